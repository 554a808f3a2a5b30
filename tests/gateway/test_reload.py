"""A reload: the gateway reads its files again while clients are connected."""

import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.contract.http1 import NO_ANSWER, respond
from tests.gateway.checks import OWN_GATEWAY, Start, assert_problem, fails_for
from tests.gateway.runner import Gateway, get, instead, without

pytestmark = pytest.mark.usefixtures("haproxy")
SOON = instead("ARRIVAL = 10.0", "ARRIVAL = 2.0", "places.py")
KEPT = instead("timeout http-keep-alive 4s", "timeout http-keep-alive 60s")  # however long a reload takes


@fails_for(connections=without("idle-close-on-response"))
def test_connections_outlive_a_reload(start: Start) -> None:
    """A client may use a kept connection once more, and the answer says that it then closes."""
    with start(config=OWN_GATEWAY, edit=KEPT) as (gateway, _), gateway.address.connect() as kept:
        sent = get(connection=b"Connection: keep-alive").replace(b"<key>", gateway.key().encode())
        assert respond(kept, sent).status == 200
        gateway.reload()
        time.sleep(0.5)  # until the old process has done what it does at once
        got = None
        with suppress(*NO_ANSWER):
            got = respond(kept, sent)
        assert got, "the connection is closed"
        assert got.status == 200
        assert got.headers["Connection"] == "close"


@fails_for(
    no_signal=instead("        os.kill(int(", "        str((", "places.py"),
    no_wait=instead('while process(place) in ("", before)', "while False", "manage.py"),
)
def test_changes_by_hand_are_live_after_a_reload(start: Start) -> None:
    """When `make reload` returns, the configuration and the keys are those of the files."""
    with start(edit=SOON) as (gateway, _):
        for number in range(5):  # a reload that does not wait is sometimes quick enough
            key, other = gateway.key(f"passing-{number}"), gateway.key()
            keys, config = gateway.file("keys.map"), gateway.root / "shared" / "gateway" / "haproxy.cfg"
            keys.write_text("".join(line for line in keys.read_text().splitlines(True) if " passing-" not in line))
            text = config.read_text()
            config.write_text(text.replace('"title":"Not Found"', f'"title":"Not Found {number}"'))
            assert "has read its files again" in gateway.manage("reload")
            assert gateway.get("/falcon/x", key=key).status == 401
            got = gateway.get("/nothing", key=other)
            assert_problem(got, 404)
            assert got.json()["title"] == f"Not Found {number}"
            config.write_text(text)


@fails_for(
    not_noticed=instead(
        'if time.monotonic() > end:\n                sys.exit("The gateway goes',
        'if time.monotonic() > end:\n                break\n                sys.exit("The gateway goes',
        "manage.py",
    ),
    no_reason=instead(" Its log says why.", "", "manage.py"),
)
def test_a_broken_configuration(start: Start) -> None:
    """The command says that the gateway goes on as it was, and it does; when that is mended, the next one works."""
    with start(edit=SOON) as (gateway, _):
        config = gateway.root / "shared" / "gateway" / "haproxy.cfg"
        text = config.read_text()
        config.write_text(f"{text}\nnonsense\n")
        message = gateway.manage("reload", fails=True)
        assert "The gateway goes on as it was" in message
        assert "Its log says why." in message
        assert "nonsense" in gateway.log()
        assert gateway.get("/falcon/x").status == 200
        key = gateway.key("meanwhile")
        assert gateway.get("/falcon/x", key=key).status == 200
        config.write_text(text)
        gateway.manage("reload")
        assert gateway.get("/falcon/x", key=key).status == 200


@fails_for(not_looked_for=instead("    keys()\n    gateways(home)\n", "    gateways(home)\n", "manage.py"))
def test_a_wrong_line_of_the_keys(start: Start) -> None:
    """The command names it, and the gateway reads nothing."""
    with start(edit=SOON) as (gateway, _):
        keys, count = gateway.file("keys.map"), gateway.log().count("Loading success")
        keys.write_text(f"# a remark\n{keys.read_text().upper()}")
        message = gateway.manage("reload", fails=True)
        assert "Nothing was changed, because line 2 of .secrets/keys.map is wrong" in message
        assert gateway.get("/falcon/x").status == 200
        assert gateway.log().count("Loading success") == count


def test_a_reload_needs_a_gateway(tmp_path: Path) -> None:
    """A line says how to start one."""
    message = Gateway(tmp_path, {}).manage("reload", fails=True)
    assert message == "No gateway is running. Run `make up` or `make gateway` first.\n"
