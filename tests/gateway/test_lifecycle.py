"""Starting and stopping, and mistakes in the settings."""

import fcntl
import select
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.contract.http1 import DEADLINE
from tests.gateway.checks import Running, Start, fails_for
from tests.gateway.origin import RecordingOrigin
from tests.gateway.runner import MANAGE, Gateway, gateway_before, instead
from tests.processes import STOP_DEADLINE

pytestmark = pytest.mark.usefixtures("haproxy")


def test_without_haproxy(tmp_path: Path) -> None:
    """The message says how to install it."""
    gateway = Gateway(tmp_path, {}, instead(":/usr/sbin:/usr/local/sbin", "", "manage.py"))
    (tmp_path / "bin" / "haproxy").unlink()
    assert "apt install haproxy" in gateway.manage("serve", "falcon=1", fails=True)


def test_haproxy_in_an_administrators_folder(haproxy: str, tmp_path: Path) -> None:
    """It is found outside PATH, and can start itself again in a reload."""
    place = Path(haproxy).parent
    gateway = Gateway(tmp_path, {"falcon": 1}, instead(":/usr/sbin:/usr/local/sbin", f":{place}", "manage.py"))
    (tmp_path / "bin" / "haproxy").unlink()
    with gateway:
        gateway.reload()


def test_one_gateway_per_folder(ready: Running) -> None:
    """A second one would take over the admin socket of the first, which would then miss every revocation."""
    gateway, _ = ready
    assert "already running" in gateway.manage("serve", "falcon=1", fails=True)


def test_port_taken(ready: Running, tmp_path: Path) -> None:
    """A clear line and a status that is not 0."""
    second = Gateway(tmp_path, {})
    second.listen_on(ready[0].address.port)
    assert f"{ready[0].address}" in second.manage("serve", "falcon=1", fails=True)


def test_mistakes_in_the_settings(tmp_path: Path) -> None:
    """Missing settings are added, existing ones stay, and an invalid one has a message."""
    gateway = Gateway(tmp_path, {})
    (tmp_path / ".env").write_text("SHARED_SECRET=of-an-older-kind")
    gateway.file("shared_secret").write_text("")
    gateway.manage("setup")
    text = (tmp_path / ".env").read_text()
    assert text.startswith("SHARED_SECRET=of-an-older-kind\n")
    assert {"SHARED_SECRET_FILE", "GATEWAY_PORT"} <= {line.partition("=")[0] for line in text.splitlines()}
    secret = gateway.file("shared_secret").read_text()
    assert gateway.file("sent.map").read_text() == f"secret {secret}"
    gateway.file("keys.map").write_text("stray\n")
    assert "keys.map" in gateway.manage("add", "acme", fails=True)
    for port in ("abc", "0", "123456"):
        gateway.environ["GATEWAY_PORT"] = port
        assert "GATEWAY_PORT" in gateway.manage("serve", "falcon=1", fails=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends(number: int, tmp_path: Path) -> None:
    """On Ctrl-C and on SIGTERM, with everything that it has started."""
    with RecordingOrigin() as origin, gateway_before(origin, tmp_path) as gateway:
        family = [psutil.Process(gateway.process.pid), *psutil.Process(gateway.process.pid).children(recursive=True)]
        assert len(family) > 1
        gateway.process.send_signal(number)
        gateway.process.wait(STOP_DEADLINE)
        _, alive = psutil.wait_procs(family, STOP_DEADLINE)
        assert alive == []


@fails_for(nothing_said=instead("Waiting for another command of this folder to end.", "", "manage.py"))
def test_one_command_at_a_time(start: Start) -> None:
    """A second one says that it waits, and goes on when the first has ended."""
    with start() as (gateway, _), gateway.file(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(
            [*MANAGE, "keys"], cwd=gateway.root, env=gateway.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as second:
            try:
                assert second.stderr
                assert select.select([second.stderr], [], [], DEADLINE)[0]
                assert second.stderr.readline() == b"Waiting for another command of this folder to end.\n"
                fcntl.flock(lock, fcntl.LOCK_UN)
                keys, _ = second.communicate(timeout=STOP_DEADLINE)
            finally:
                second.kill()
        assert keys.startswith(b"acme ")
