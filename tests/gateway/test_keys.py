"""API keys: which are accepted, and how they are made and revoked."""

import hashlib
import re
from pathlib import Path

import pytest

from tests.contract.http1 import Response, request, respond
from tests.gateway.checks import OWN_GATEWAY, Running, Start, assert_problem, fails_for, started
from tests.gateway.origin import RecordingOrigin, parse
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
    still_stored=instead("if line.split()[:1] != [known[name].digest]", "", "manage.py"),
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


@fails_for(stored=instead("    print(example", "    Path('log').write_text(key)\n    print(example", "manage.py"))
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


HASH, OTHER = hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"other").hexdigest()
PLAIN = "ogk_" + "k" * 43
WRONG = {  # lines of keys.map below one that is right, and what is said about them
    f"{HASH.upper()} acme": "upper-case",
    f"{PLAIN} acme": "a key itself",
    f"{HASH} first 2026-01-02": "first is already",
    f"{OTHER} acme": "the same key",
    f"{HASH[1:]} acme": "SHA-256",
    f"{HASH}0 acme": "SHA-256",
    f"acme {HASH}": "SHA-256",
    f"{HASH} acme 2026-01-02 more": "the name of its consumer",
    f"{HASH} acme # a remark": "the name of its consumer",
    f"{HASH}": "the name of its consumer",
    f"{HASH}\tacme\t2026-01-02": "a tab",
    " # a remark": "SHA-256",
}


@fails_for(
    no_number=instead("because line {number} of", "because a line of", "manage.py"),
    lines_that_count=instead("            continue\n        problem", "            pass\n        problem", "manage.py"),
    first_lines_left_out=instead('surrogateescape").rstrip()', 'surrogateescape").strip()', "manage.py"),
    capitals=instead("words[0] != words[0].lower()", "False", "manage.py"),
    keys_themselves=instead("words[0].startswith(PREFIX)", "False", "manage.py"),
    tabs=instead('"\\t" in line', "False", "manage.py"),
    consumers_twice=instead("words[1] in known", "False", "manage.py"),
    keys_twice=instead("words[0] in {", "words[0] not in words and {", "manage.py"),
    shown=instead("is wrong: {problem}.", "is wrong: {problem}: {line}.", "manage.py"),
)
def test_wrong_lines(start: Start) -> None:
    """The number of the line and what is wrong with it, without the key or its hash; nothing is changed."""
    with start(config=OWN_GATEWAY) as (gateway, _):
        for place, (line, problem) in enumerate(WRONG.items()):
            text = f"\n \n# a remark\u2028\x0c on café\n{OTHER} first\n\n{line}\n"
            gateway.file("keys.map").write_text(text)
            words = [["add", "new"], ["revoke", "first"], ["keys"]][place % 3]
            message = gateway.manage(*words, fails=True)
            assert "line 6 of .secrets/keys.map is wrong" in message, line
            assert problem in message, line
            for secret in (HASH[1:], PLAIN, OTHER, "ogk_"):
                assert secret not in message.lower()
            assert gateway.file("keys.map").read_text() == text


@fails_for(
    lines_of_keys_alone=instead(
        "    before = stored_lines()", "    before = [one for one in stored_lines() if '#' not in one]", "manage.py"
    ),
    indented_ones_stay=instead("line.split()[:1] != [known", "line.split(' ')[:1] != [known", "manage.py"),
    remarks_go_too=instead("line.split()[:1] != [known[name].digest]", "known[name].digest not in line", "manage.py"),
    no_day=instead('f"{datetime.now(UTC):%Y-%m-%d}"', '""', "manage.py"),
    whole_line=instead("map_str(keys.map),word(1,' ')", "map_str(keys.map)"),
    hashes=instead("{key.consumer:{width}}", "{key.digest} {key.consumer:{width}}", "manage.py"),
)
def test_lines_of_people_stay(start: Start) -> None:
    """Remarks, empty lines, keys without a day and indented ones; the origin gets the consumer's name alone."""
    with start(config=OWN_GATEWAY) as (gateway, origin):
        file = gateway.file("keys.map")

        def consumers(**keys: str) -> dict[str, str | int]:
            """Return the consumer's name as the origin gets it, or the status."""
            found: dict[str, str | int] = {}
            for name, key in keys.items():
                status = gateway.get("/falcon/x", key=key).status
                found[name] = parse(origin.received[-1])[1]["x-consumer"][0] if status == 200 else status
            return found

        acme = file.read_text()
        assert re.fullmatch(r"[0-9a-f]{64} acme \d{4}-\d\d-\d\d\n", acme)
        text = f"# by hand, on café\n\n{HASH} older\n   {OTHER} indented\n# {HASH} was once another's\n{acme}"
        file.write_text(text)
        listed = gateway.manage("keys")
        assert "ogk_" not in listed
        assert HASH not in listed
        assert [line.split(maxsplit=1) for line in listed.splitlines()] == [
            ["older", "since an unknown day"],
            ["indented", "since an unknown day"],
            ["acme", f"since {acme.split()[2]}"],
        ]
        new = gateway.key("new")
        assert consumers(new=new) == {"new": "new"}
        assert file.read_text().startswith(text)
        gateway.reload()
        everybody = {"acme": gateway.key(), "new": new, "older": "one", "indented": "other"}
        assert consumers(**everybody) == {name: name for name in everybody}
        gateway.manage("revoke", "indented")
        gateway.manage("revoke", "older")
        gateway.manage("revoke", "new")
        assert file.read_text() == f"# by hand, on café\n\n# {HASH} was once another's\n{acme}"
        assert consumers(**everybody) == {"acme": "acme", "new": 401, "older": 401, "indented": 401}


def test_nobody_has_a_key(tmp_path: Path) -> None:
    """A sentence says so, and how to make one."""
    gateway = Gateway(tmp_path, {})
    assert "No consumer has a key. `make key NAME=acme`" in gateway.manage("keys")
    gateway.file("keys.map").write_text("# a remark\n")
    assert "No consumer has a key." in gateway.manage("keys")


@fails_for(
    nothing_said=instead(
        "    if not (places := home.running(all_of_them=True)):",
        "    if (places := home.running(all_of_them=True)) is None:",
        "manage.py",
    )
)
def test_nobody_hears_of_a_revocation(start: Start) -> None:
    """A line on standard error says that no gateway runs from here; the key is gone when one starts."""
    with start(config=OWN_GATEWAY) as (gateway, _):
        gateway.stop()
        assert gateway.manage("revoke", "acme").splitlines() == [
            "Revoked the key of acme.",
            "No gateway is running from here. One that runs elsewhere still accepts the key.",
        ]
        assert gateway.file("keys.map").read_bytes() == b""
