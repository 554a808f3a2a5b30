"""API keys: which are accepted, and how they are made and revoked."""

import re
from pathlib import Path

import pytest

from tests.contract.http1 import Response, request, respond
from tests.gateway.checks import OWN_GATEWAY, Running, Start, assert_problem, fails_for, started
from tests.gateway.origin import RecordingOrigin
from tests.gateway.runner import KEY, Gateway, instead, without

pytestmark = pytest.mark.usefixtures("haproxy")
REFUSED = {
    "missing": [],
    "empty": [b"Authorization:"],
    "no key": [b"Authorization: Bearer"],
    "no key, a space": [b"Authorization: Bearer "],
    "another scheme": [b"Authorization: Basic <key>"],
    "no scheme": [b"Authorization: <key>"],
    "scheme twice": [b"Authorization: Bearer Bearer <key>"],
    "unknown": [b"Authorization: Bearer ogk_0000000000000000000000000000000000000000000"],
    "other letter case": [b"Authorization: Bearer <other case>"],
    "a byte less": [b"Authorization: Bearer <less>"],
    "a byte more": [b"Authorization: Bearer <key>x"],
    "no prefix": [b"Authorization: Bearer <no prefix>"],
    "its SHA-256": [b"Authorization: Bearer <digest>"],
    "quoted": [b'Authorization: Bearer "<key>"'],
    "padded": [b"Authorization: Bearer <key>="],
    "tab": [b"Authorization: Bearer\t<key>"],
    "parameter": [b"Authorization: Bearer <key>, realm=x"],
    "key as a parameter": [b"Authorization: Bearer token=<key>"],
    "twice": [KEY, KEY],
    "after another": [b"Authorization: Bearer x", KEY],
    "before another": [KEY, b"Authorization: Basic x"],
    "before an empty one": [KEY, b"Authorization:"],
    "in one list": [b"Authorization: Bearer <key>, Bearer <key>"],
    "in another field": [b"X-Api-Key: <key>"],
    "for a proxy": [b"Proxy-Authorization: Bearer <key>"],
    "in a name with an underscore": [b"Authorization_: Bearer <key>"],
    "in a cookie": [b"Cookie: Authorization=Bearer <key>"],
}


def send_refused(gateway: Gateway, fields: list[bytes]) -> Response | None:
    """Return the answer to fields that hold no key, or not quite one."""
    key = gateway.key()
    digest = gateway.file("keys.map").read_text().split()[0]
    spelled = {"other case": key.swapcase(), "less": key[:-1], "no prefix": key[4:], "digest": digest}
    sent = request("/falcon/protected?access_token=<key>", *fields)
    for name, value in spelled.items():
        sent = sent.replace(f"<{name}>".encode(), value.encode())
    return gateway.send(sent)


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED)
def test_without_a_key(ready: Running, fields: list[bytes]) -> None:
    """401 with a challenge (RFC 6750 section 3), and no origin is contacted."""
    gateway, origin = ready
    origin.received.clear()
    got = send_refused(gateway, fields)
    assert_problem(got, 401)
    assert got
    assert got.headers.get_all("WWW-Authenticate") == ['Bearer realm="gateway"']
    assert origin.received == []


def test_a_gateway_that_ignores_keys(tmp_path: Path) -> None:
    """It answers every request of that table with 200, so that the table can fail."""
    with started(tmp_path, without("deny_status 401 unless")) as (gateway, _):
        for name, fields in REFUSED.items():
            got = send_refused(gateway, fields)
            assert got, name
            assert got.status == 200, name


@fails_for(
    any_number=instead("if one_key bearer", "if bearer"),
    any_scheme=instead("if one_key bearer", "if one_key"),
    no_challenge=instead(" hdr WWW-Authenticate", " hdr X-Authenticate"),
    scheme_in_capitals=instead("-m reg -i '^bearer", "-m reg '^Bearer"),
)
def test_one_bearer(start: Start) -> None:
    """One field with one key; the scheme's letter case does not matter (RFC 9110 section 11.1)."""
    with start() as (gateway, _):
        for fields in (REFUSED["twice"], REFUSED["another scheme"]):
            got = send_refused(gateway, fields)
            assert_problem(got, 401)
            assert got
            assert got.headers["WWW-Authenticate"] == 'Bearer realm="gateway"'
        for field in (b"authorization: bearer <key>", b"AUTHORIZATION:BEARER  <key> "):
            got = gateway.send(request("/falcon/protected", field))
            assert got
            assert got.status == 200


@fails_for(
    not_added=instead('update(place, f"add map {KEYS}', 'str(f"add map {KEYS}', "manage.py"),
    not_revoked=instead('update(place, f"del map', 'str(f"del map', "manage.py"),
    not_stored=instead("[*before, line]", "before or [line]", "manage.py"),
    still_stored=instead("if not line.startswith(known[name].digest)", "", "manage.py"),
)
def test_keys_come_and_go(start: Start) -> None:
    """A key is live when `add` returns, and refused when `revoke` returns, also after a reload."""
    with start(config=OWN_GATEWAY) as (gateway, _), gateway.address.connect() as kept:

        def status(key: str) -> int:
            field = f"Authorization: Bearer {key}".encode()
            return respond(kept, request("/falcon/x", field, connection=b"Connection: keep-alive")).status

        first, second = gateway.key("first"), gateway.key("second")
        assert (status(first), status(second), status(gateway.key())) == (200, 200, 200)
        gateway.manage("revoke", "first")
        assert (status(first), status(second), status(gateway.key())) == (401, 200, 200)
        gateway.reload()
        assert [gateway.get("/falcon/x", key=key).status for key in (first, second, gateway.key())] == [401, 200, 200]


@fails_for(stored=instead("    print_curl(key)", "    Path('log').write_text(key)\n    print_curl(key)", "manage.py"))
def test_keys_are_not_stored(start: Start) -> None:
    """No file contains a key, and nobody else can enter the folder."""
    with start(config=OWN_GATEWAY) as (gateway, _):
        for path in gateway.root.rglob("*"):
            assert not path.is_file() or path.parent.name == "bin" or gateway.key().encode() not in path.read_bytes()
        assert gateway.file("").stat().st_mode & 0o777 == 0o700


def test_mistakes_with_keys(ready: Running) -> None:
    """Mistakes have messages and change nothing; a key is shown only once."""
    gateway, _ = ready
    gateway.key()
    before = gateway.file("keys.map").read_bytes()
    assert "make revoke NAME=acme" in gateway.manage("add", "acme", fails=True)
    for name in ("", "a b", "ä", "-x", "a/b", "a" * 65, "a\nb"):
        assert "NAME=acme" in gateway.manage("add", name, fails=True)
    message = gateway.manage("revoke", "nobody", fails=True)
    assert "nobody has no key" in message
    assert "acme" in message
    assert gateway.file("keys.map").read_bytes() == before
    assert "ogk_" not in gateway.manage("curl")
    again = gateway.manage("setup")
    assert again == ""


def test_the_curl_line_works(tmp_path: Path) -> None:
    """The first time it contains a key, and can be pasted."""
    with RecordingOrigin() as origin, Gateway(tmp_path, {"falcon": origin.port}) as gateway:
        line = gateway.manage("curl").splitlines()[-1]
        gateway.wait_for_origin("falcon")
        found = re.fullmatch(r"curl -i (http://127\.0\.0\.1:\d+)(/\S+) -H 'Authorization: Bearer (ogk_\S+)'", line)
        assert found
        assert found[1] == gateway.url
        assert gateway.get(found[2], key=found[3]).status == 200
