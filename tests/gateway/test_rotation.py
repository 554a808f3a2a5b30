"""The secret that the gateway sends, and its rotation; test_system.py rotates under load, with real origins."""

import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from shared.app.shared_secret import HEADER
from tests.gateway.checks import Start, fails_for
from tests.gateway.origin import parse
from tests.gateway.runner import MANAGE, Gateway, instead, waiting
from tests.processes import STOP_DEADLINE

pytestmark = pytest.mark.usefixtures("haproxy")
ODD = "any text: ünï \"$(x)\" $HOME \\ ;{}#%d %[env(HOME)] '<b>', a comma <<"


@fails_for(
    fixed=instead("%[str(secret),map_str(sent.map)]", "fixed"),
    at_the_start_alone=instead(
        "    for place in places:\n        version", "    for place in places[:0]:\n        version", "manage.py"
    ),
)
def test_a_secret_of_any_text(start: Start) -> None:
    """The gateway sends the text of the file unchanged, from the start and after a change."""
    with start(edit=waiting(0.1)) as (gateway, origin):
        for secret in (ODD, f"another, {ODD} x", "plain"):
            gateway.file("shared_secret").write_text(secret + "\n")
            gateway.manage("rotate")  # continues the rotation that this has begun
            gateway.get("/falcon/x")
            assert parse(origin.received[-1])[1][HEADER.lower()] == [secret.encode().decode("latin-1")]
            gateway.reload()
            gateway.get("/falcon/x")
            assert parse(origin.received[-1])[1][HEADER.lower()] == [secret.encode().decode("latin-1")]


def test_rotation_needs_a_gateway(tmp_path: Path) -> None:
    """Without a gateway to update nothing changes: the origins would get a secret that nobody sends."""
    gateway = Gateway(tmp_path, {})
    before = {path.name: path.read_bytes() for path in gateway.file("").iterdir()}
    assert "make up" in gateway.manage("rotate", fails=True)
    (tmp_path / "bin" / "docker").write_text('#!/bin/sh\n[ "$2" = version ] || { echo "no engine" >&2; exit 1; }\n')
    (tmp_path / "bin" / "docker").chmod(0o755)
    for words in (["rotate"], ["add", "acme"]):
        assert "no engine" in gateway.manage(*words, fails=True)
    assert {path.name: path.read_bytes() for path in gateway.file("").iterdir()} == before


def test_an_interrupted_rotation_continues(start: Start) -> None:
    """At every step the origins accept the secret that the gateway sends, and the next rotation finishes."""
    with start(edit=waiting(0.5)) as (gateway, origin):
        for seconds in (0.1, 0.3, 0.6, 0.9, 1.2):
            rotation = subprocess.Popen(
                [*MANAGE, "rotate"], cwd=gateway.root, env=gateway.environ, stderr=subprocess.DEVNULL
            )
            with suppress(subprocess.TimeoutExpired):
                rotation.wait(seconds)
            rotation.send_signal(signal.SIGINT)
            rotation.wait(STOP_DEADLINE)
            for _ in range(2):
                gateway.get("/falcon/x")
                (sent,) = parse(origin.received[-1])[1][HEADER.lower()]
                names = ("shared_secret", "shared_secret_previous")
                assert sent in [gateway.file(name).read_text().strip() for name in names]
                gateway.reload()
        gateway.manage("rotate")
        gateway.get("/falcon/x")
        assert parse(origin.received[-1])[1][HEADER.lower()] == [gateway.file("shared_secret").read_text().strip()]
        assert gateway.file("shared_secret_previous").read_text() == ""
