"""The gateway, with a local HAProxy: what it lets in, what it adds, what it keeps out, and how it changes under way.

Most of it are checks that are put to the gateway, and each also to one that is broken, where it has to fail.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from shared.apps import APPS, ROOT
from tests.contract.case import Case
from tests.contract.http1 import DEADLINE, NO_ANSWER, Address, Response, exchange, request, respond, send
from tests.contract.target import Target
from tests.contract.waiting import wait_until
from tests.gateway.runner import (
    ATTEMPTS,
    CHECKABLE,
    HAPROXY,
    KEY,
    Edit,
    Gateway,
    Origin,
    Relay,
    as_it_is,
    as_target,
    busy,
    forged,
    gateway_before,
    get,
    is_problem,
    post,
    put_through,
)
from tests.processes import STOP_DEADLINE, Service
from tests.selection import parameters

if not HAPROXY:
    pytest.skip("These need haproxy: `apt install haproxy` or `brew install haproxy`.", allow_module_level=True)
SLOW = 500  # clients
OF_ITS_OWN = {"RATE": "100000"}  # any setting gets a check a gateway that others do not use

Start = Callable[..., AbstractContextManager[tuple[Gateway, Origin]]]
Check = Callable[[Start], None]
CHECKS: dict[str, Check] = {}
BROKEN: list[tuple[str, str, Edit]] = []  # the check, how its gateway is broken, and the edit that breaks it


def instead(old: str, new: str, name: str = "haproxy.cfg") -> Edit:
    """Return what puts one text for another."""

    def edit(file: str, text: str) -> str:
        assert file != name or old in text, f"{name} has no {old!r}"
        return text.replace(old, new) if file == name else text

    return edit


def without(part: str) -> Edit:
    """Return what leaves out the lines of haproxy.cfg that have a part in them."""

    def edit(file: str, text: str) -> str:
        lines = text.splitlines(keepends=True)
        assert file != "haproxy.cfg" or part in text, f"haproxy.cfg has no {part!r}"
        return "".join(line for line in lines if part not in line) if file == "haproxy.cfg" else text

    return edit


def fails_for(**broken: Edit) -> Callable[[Check], Check]:
    """Name a check as one that a gateway has to pass, and that each of these has to fail."""

    def name(check: Check) -> Check:
        CHECKS[check.__name__] = check
        BROKEN.extend((check.__name__, how, edit) for how, edit in broken.items())
        return check

    return name


@contextmanager
def started(
    folder: Path, breaking: Edit, edit: Edit = as_it_is, config: Mapping[str, str] | None = None
) -> Iterator[tuple[Gateway, Origin]]:
    """Run a gateway in front of an origin that keeps what comes."""
    with (
        Origin() as origin,
        gateway_before(origin, folder, lambda name, text: breaking(name, edit(name, text)), config) as gateway,
    ):
        gateway.wait_for_origin("falcon")
        origin.came.clear()
        yield gateway, origin


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Origin]]:
    """Give a gateway as it is, and the origin behind it, for what leaves both as they were."""
    with started(tmp_path_factory.mktemp("gateway"), as_it_is) as both:
        yield both


@pytest.fixture
def start(ready: tuple[Gateway, Origin], tmp_path: Path) -> Start:
    """Give what starts a gateway, or the one that is there where nothing special is asked for."""

    @contextmanager
    def start(edit: Edit = as_it_is, config: Mapping[str, str] | None = None) -> Iterator[tuple[Gateway, Origin]]:
        if edit is as_it_is and not config:
            ready[1].came.clear()
            yield ready
        else:
            with started(tmp_path, as_it_is, edit, config) as both:
                yield both

    return start


def lines(came: bytes) -> tuple[str, dict[str, list[str]]]:
    """Return the request line of what came to the origin, and the values of its fields by name."""
    first, *fields = came.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    values: dict[str, list[str]] = {}
    for field in fields:
        name, _, value = field.partition(": ")
        values.setdefault(name.lower(), []).append(value)
    return first, values


# What reaches an origin


@fails_for(
    secret=without("set-header X-Shared-Secret"),
    consumer=without("set-header X-Consumer"),
    id=without("http-request set-header X-Request-Id"),
    id_in_the_answer=without("http-after-response set-header X-Request-Id"),
    address=without("set-header X-Forwarded-For"),
    protocol=without("set-header X-Forwarded-Proto"),
    key=without("authorization$'"),
    prefix=without("set-uri"),
)
def fields_of_the_gateway(start: Start) -> None:
    """The origin gets what the gateway says, and everything else of the request as it was."""
    with start() as (gateway, origin):
        answers = [gateway.get("/falcon/protected?a=b%20c", b"Accept: a/b", b"Cookie: c=d") for _ in range(2)]
        ids = set()
        for came, answer in zip(origin.came, answers, strict=True):
            first, fields = lines(came)
            assert first == "GET /protected?a=b%20c HTTP/1.1"
            ids.add(answer.headers["X-Request-Id"])
            assert fields.pop("x-request-id", None) == [answer.headers["X-Request-Id"]]
            assert fields == {
                "host": [str(gateway.address)],
                "accept": ["a/b"],
                "cookie": ["c=d"],
                "x-shared-secret": [gateway.secret],
                "x-consumer": ["acme"],
                "x-forwarded-for": ["127.0.0.1"],
                "x-forwarded-proto": ["http"],
                "connection": ["close"],
            }
        assert len(ids) == 2


@fails_for(other_part=instead("regsub(^/[^/]+,)", "regsub(^/[^/]+/,/x/)"), absolute=instead("set-uri", "set-pathq"))
def paths(start: Start) -> None:
    """Only the name of the framework is taken away."""
    with start() as (gateway, origin):
        told = {"/falcon/": "/", "/falcon//": "//", "/fastapi/a/b?c": "/a/b?c", "/pyramid/..%2f": "/..%2f"}
        for path, expected in {**told, "http://a.test/litestar/x?y": "/x?y", "/cherrypy/%ff/": "/%ff/"}.items():
            assert gateway.get(path, host=b"Host: a.test").status == 200
            assert lines(origin.came[-1])[0] == f"GET {expected} HTTP/1.1"


@fails_for(
    no_check=without("deny_status 404"),
    before_the_key=instead("    # Who is", "    http-request deny deny_status 404 if { path /nope }\n    # Who is"),
)
def not_found(start: Start) -> None:
    """What is no framework's is 404 for who has a key, and 401 for others."""
    with start() as (gateway, origin):
        for path in (
            "/",
            "/nope",
            "/falcon",
            "/falcon?/x",
            "/nope/x",
            "/rates/x",
            "/gateway/x",
            "//falcon/x",
            "/FALCON/x",
        ):
            is_problem(gateway.get(path), 404)
            is_problem(gateway.send(request(path)), 401)
        is_problem(gateway.send(request("*", KEY, method="OPTIONS")), 404)
        is_problem(gateway.send(request("a.test:80", KEY, method="CONNECT", host=b"Host: a.test:80")), 404)
        assert origin.came == []


@fails_for(none=without("{ path /healthz }"), every_method=instead("if { method GET } { path /h", "if { path /h"))
def healthz(start: Start) -> None:
    """The gateway's own open path is one method and one path."""
    with start() as (gateway, origin):
        got = gateway.send(request("/healthz"))
        assert got
        assert (got.status, got.json()) == (200, {"status": "ok"})
        for sent in (request("/healthz", method="POST"), request("/healthz/"), request("/healthz%20")):
            is_problem(gateway.send(sent), 401)
        assert origin.came == []


@fails_for(forwarded=without("TRACE TRACK"), in_capitals_alone=instead("-i TRACE", "TRACE"))
def trace(start: Start) -> None:
    """TRACE would be answered with what the gateway has added."""
    with start() as (gateway, origin):
        for method in ("TRACE", "trace", "TRACK"):
            is_problem(gateway.send(get(method=method)), 405)
        assert origin.came == []


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nothing_forged_gets_through(ready: tuple[Gateway, Origin], attempt: str) -> None:
    """What a client says in the place of the gateway, in every form, is refused or taken out."""
    gateway, origin = ready
    origin.came.clear()
    got = gateway.send(ATTEMPTS[attempt])
    status = got.status if got else 400  # HAProxy 3.2 ends the connection where it finds the length unclear
    assert status in (200, *range(400, 500)), got
    assert bool(origin.came) == (status == 200)
    assert forged(origin.came, gateway.secret, "acme") == []


@pytest.fixture(scope="module")
def relay() -> Iterator[tuple[Relay, Origin]]:
    """Give a naive gateway, and the origin behind it."""
    with Origin() as origin, Relay(origin, "the-secret", "acme") as relay:
        yield relay, origin


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_forging_is_noticed(relay: tuple[Relay, Origin], attempt: str) -> None:
    """Each attempt gets through a naive gateway."""
    naive, origin = relay
    origin.came.clear()
    sent = ATTEMPTS[attempt].replace(b"<host>", b"a.test")
    with Address("127.0.0.1", naive.port).connect() as connection:
        send(connection, sent)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass
    assert forged(origin.came, "the-secret", "acme")


# Keys

REFUSED = {
    "missing": [],
    "empty": [b"Authorization:"],
    "no key": [b"Authorization: Bearer"],
    "no key, a space": [b"Authorization: Bearer "],
    "another scheme": [b"Authorization: Basic <key>"],
    "no scheme": [b"Authorization: <key>"],
    "scheme alone, then twice": [b"Authorization: Bearer Bearer <key>"],
    "unknown": [b"Authorization: Bearer ogk_0000000000000000000000000000000000000000000"],
    "other letter case": [b"Authorization: Bearer <other case>"],
    "less a byte": [b"Authorization: Bearer <less>"],
    "a byte more": [b"Authorization: Bearer <key>x"],
    "no prefix": [b"Authorization: Bearer <no prefix>"],
    "its SHA-256": [b"Authorization: Bearer <digest>"],
    "quoted": [b'Authorization: Bearer "<key>"'],
    "padded": [b"Authorization: Bearer <key>="],
    "tab": [b"Authorization: Bearer\t<key>"],
    "parameter": [b"Authorization: Bearer <key>, realm=x"],
    "parameter of its own": [b"Authorization: Bearer token=<key>"],
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


def refused(gateway: Gateway, fields: list[bytes]) -> Response | None:
    """Return what is answered to fields that are no key, or nearly one."""
    key = gateway.key()
    digest = gateway.file("keys.map").read_text().split()[0]
    spelled = {"other case": key.swapcase(), "less": key[:-1], "no prefix": key[4:], "digest": digest}
    sent = request("/falcon/protected?access_token=<key>", *fields)
    for name, value in spelled.items():
        sent = sent.replace(f"<{name}>".encode(), value.encode())
    return gateway.send(sent)


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED)
def test_without_a_key(ready: tuple[Gateway, Origin], fields: list[bytes]) -> None:
    """401 with a challenge (RFC 6750 section 3), and no origin is contacted."""
    gateway, origin = ready
    origin.came.clear()
    got = refused(gateway, fields)
    is_problem(got, 401)
    assert got
    assert got.headers.get_all("WWW-Authenticate") == ['Bearer realm="gateway"']
    assert origin.came == []


def test_keys_that_are_not_looked_at_are_noticed(tmp_path: Path) -> None:
    """Every request of that table is answered 200 where nobody looks at keys."""
    with started(tmp_path, without("deny_status 401 unless")) as (gateway, _):
        for name, fields in REFUSED.items():
            got = refused(gateway, fields)
            assert got, name
            assert got.status == 200, name


@fails_for(
    any_number=instead("if one_key bearer", "if bearer"),
    any_scheme=instead("if one_key bearer", "if one_key"),
    no_challenge=instead(" hdr WWW-Authenticate", " hdr X-Authenticate"),
    scheme_in_capitals=instead("-m reg -i '^bearer", "-m reg '^Bearer"),
)
def one_bearer(start: Start) -> None:
    """One field with one key; the scheme has no letter case (RFC 9110 section 11.1)."""
    with start() as (gateway, _):
        for fields in (REFUSED["twice"], REFUSED["another scheme"]):
            got = refused(gateway, fields)
            is_problem(got, 401)
            assert got
            assert got.headers["WWW-Authenticate"] == 'Bearer realm="gateway"'
        for field in (b"authorization: bearer <key>", b"AUTHORIZATION:BEARER  <key> "):
            got = gateway.send(request("/falcon/protected", field))
            assert got
            assert got.status == 200


@fails_for(
    not_added=instead('tell(ask, f"add map', 'str(f"add map', "manage.py"),
    not_revoked=instead('tell(ask, f"del map', 'str(f"del map', "manage.py"),
    not_stored=instead("    write_consumers({", "    known or write_consumers({", "manage.py"),
    still_stored=instead("write_consumers(known)", "", "manage.py"),
)
def keys_come_and_go(start: Start) -> None:
    """A key counts when the command is over, and no more when the other is, also after a reload."""
    with start(config=OF_ITS_OWN) as (gateway, _), gateway.address.connect() as kept:

        def status(key: str) -> int:
            field = f"Authorization: Bearer {key}".encode()
            return respond(kept, request("/falcon/x", field, connection=b"Connection: keep-alive")).status

        first, second = gateway.key("first"), gateway.key("second")
        assert (status(first), status(second), status(gateway.key())) == (200, 200, 200)
        gateway.manage("revoke", "first")
        assert (status(first), status(second), status(gateway.key())) == (401, 200, 200)
        reload(gateway)
        assert [gateway.get("/falcon/x", key=key).status for key in (first, second, gateway.key())] == [401, 200, 200]


@fails_for(stored=instead("    print_curl(key)", "    Path('log').write_text(key)\n    print_curl(key)", "manage.py"))
def keys_are_not_stored(start: Start) -> None:
    """A key is nowhere in the files; nobody else can enter their folder."""
    with start(config=OF_ITS_OWN) as (gateway, _):
        for path in gateway.root.rglob("*"):
            assert not path.is_file() or path.parent.name == "bin" or gateway.key().encode() not in path.read_bytes()
        assert gateway.file("").stat().st_mode & 0o777 == 0o700


def test_a_key_is_told_once(ready: tuple[Gateway, Origin]) -> None:
    """Mistakes have messages, and change nothing."""
    gateway, _ = ready
    gateway.key()
    before = gateway.file("keys.map").read_bytes()
    assert "make revoke NAME=acme" in gateway.manage("add", "acme", fails=True)
    for name in ("", "a b", "ä", "-x", "a/b", "a" * 65, "a\nb"):
        assert "NAME=acme" in gateway.manage("add", name, fails=True)
    told = gateway.manage("revoke", "nobody", fails=True)
    assert "nobody has no key" in told
    assert "acme" in told
    assert gateway.file("keys.map").read_bytes() == before
    assert "ogk_" not in gateway.manage("curl")
    again = gateway.manage("setup")
    assert again == ""


def test_the_curl_line_works(tmp_path: Path) -> None:
    """The first time it has a key, and can be pasted."""
    with Origin() as origin, Gateway(tmp_path, {"falcon": origin.port}) as gateway:
        line = gateway.manage("curl").splitlines()[-1]
        gateway.wait_for_origin("falcon")
        found = re.fullmatch(r"curl -i (http://127\.0\.0\.1:\d+)(/\S+) -H 'Authorization: Bearer (ogk_\S+)'", line)
        assert found
        assert found[1] == gateway.url
        assert gateway.get(found[2], key=found[3]).status == 200


# Rates


@fails_for(
    none=without("deny_status 429"),
    no_word_when=instead(" hdr Retry-After 10", ""),
    all_alike=instead("track-sc0 var(txn.consumer)", "track-sc0 src"),
    refused_count=instead("sc_gpc0_rate(0,rates)", "sc_http_req_rate(0,rates)"),
)
def rates(start: Start) -> None:
    """Each consumer has so many requests in so many seconds; who waits as long as it is told is served again."""
    stored = instead("store gpc0,", "store http_req_rate(10s),gpc0,")
    with start(edit=stored, config={"RATE": "5"}) as (gateway, origin):
        key, other = gateway.key("hasty"), gateway.key("patient")
        statuses = [gateway.get("/falcon/x", key=key).status for _ in range(15)]
        assert statuses == [200] * 5 + [429] * 10
        got = gateway.get("/falcon/x", key=key)
        is_problem(got, 429)
        asked = len(origin.came)
        assert gateway.get("/falcon/x", key=other).status == 200
        assert got.headers["Retry-After"]
        end = time.monotonic() + float(got.headers["Retry-After"])
        while time.monotonic() < end:
            gateway.get("/falcon/x", key=key)
            time.sleep(0.5)
        assert gateway.get("/falcon/x", key=key).status == 200
        assert len(origin.came) > asked


# The log


@fails_for(
    no_consumer=instead("%[var(txn.consumer),json(utf8s)]", "-"),
    query=instead("set-var(txn.path) path,", "set-var(txn.path) url,"),
    key_in_the_path=instead(",regsub(ogk_[A-Za-z0-9_-]+,ogk_...,g)", ""),
    cut=instead("log stdout len 8192", "log stdout"),
    method=instead("method,bytes(0,50)", "str(GET),bytes(0,50)"),
    key=instead('"client":"%ci"', '"client":"%[capture.req.hdr(0)]"'),
    not_json=instead("%[var(txn.path),json(utf8s),", "%[var(txn.path),"),
)
def log(start: Start) -> None:
    """Each line is JSON, names the consumer, and has no key, no secret and no query in it."""
    capture = instead(
        "    unique-id-format", "    http-request capture req.fhdr(authorization) len 200\n    unique-id-format"
    )
    with start(edit=capture) as (gateway, _):
        key = gateway.key()
        path = f"/falcon/seen/{os.urandom(4).hex()}"
        for sent in (
            get(b"X-Shared-Secret: presented-and-wrong"),
            get(b"Referer: https://a.test/?" + key.encode(), b"User-Agent: " + gateway.secret.encode()),
            request("/falcon/x?access_token=<key>", KEY),
            request("/falcon/x", b"Authorization: Bearer presented-and-wrong"),
            request("/falcon/x", b"Authorization : Bearer <key>"),
            b"<key>\r\n\r\n",
            request('/falcon/"\\%0a', KEY),
            request("/falcon/\xff", KEY),
            request(f"/falcon/{'a' * 10_000}", KEY),
            request("/falcon/<key>", KEY),
            request("/falcon/x", KEY, method="<key>"),
            request(path, KEY, method="ODD"),
        ):
            gateway.send(sent)
        gateway.wait_for_log(path)
        for word in (key, gateway.secret, "presented-and-wrong", "access_token"):
            assert word not in gateway.log()
        (line,) = (line for line in gateway.access_log() if line["path"] == path)
        told = {name: line[name] for name in ("consumer", "method", "path", "origin", "server", "status", "client")}
        assert told.pop("server").startswith("falcon-")
        seen = {"consumer": "acme", "method": "ODD", "path": path, "origin": "falcon", "status": 200}
        assert told == {**seen, "client": "127.0.0.1"}
        assert {"time", "id", "bytes", "ms"} <= line.keys()


# Limits


@fails_for(body=without("deny_status 413"), no_length=without("status 411"), header=without("status 431"))
def sizes(start: Start) -> None:
    """What is too large, or of a size that is not told, is refused; what is not comes whole."""
    with start() as (gateway, origin):
        body = os.urandom(100_000)
        got = gateway.send(post(b"Content-Length: 100000", body=body))
        assert got
        assert got.status == 200
        assert origin.came[-1].endswith(b"\r\n\r\n" + body)
        del origin.came[:]
        is_problem(gateway.send(post(b"Content-Length: 100001", body=body + b"x")), 413)
        is_problem(gateway.send(post(b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\n\r\n")), 411)
        is_problem(gateway.send(get(b"X-Large: " + b"x" * 16_384)), 431)
        got = gateway.send(get(b"X-Large: " + b"x" * 200_000))
        assert got
        assert got.status in (400, 431)
        assert origin.came == []


@fails_for(
    few_connections=instead("maxconn 1000", "maxconn 400"),
    bodies_are_not_awaited=without("wait-for-body"),
)
def slow_clients(start: Start) -> None:
    """Hundreds that send a byte a second keep no other waiting, and no origin."""
    longer = instead("http-request 10s", "http-request 60s")
    with start(edit=longer) as (gateway, origin), ExitStack() as stack:
        head = get(b"X-Slow: ")[:-4]
        body = post(b"Content-Length: 1000", body=b"x").replace(b"<key>", gateway.key().encode())
        clients = [stack.enter_context(gateway.address.connect()) for _ in range(SLOW)]
        for number, client in enumerate(clients):
            client.sendall(body if number % 2 else head)
        for _ in range(3):
            time.sleep(1)
            try:
                for client in clients:
                    client.sendall(b"x")
            except OSError as error:
                raise AssertionError(f"a slow client is not waited for: {error}") from error
            got = gateway.send(get(), 5)
            assert got
            assert got.status == 200
        assert len(origin.came) == 3


@fails_for(for_ever=instead("timeout http-request 1s", "timeout http-request 60s"))
def slow_headers_end(start: Start) -> None:
    """A header that does not end is not waited for."""
    with (
        start(edit=instead("timeout http-request 10s", "timeout http-request 1s")) as (gateway, _),
        gateway.address.connect(5) as connection,
        suppress(ConnectionError),
    ):
        connection.sendall(get()[:-2].replace(b"<key>", gateway.key().encode()))
        try:
            came = connection.recv(100)
        except TimeoutError as error:
            raise AssertionError("it is waited for") from error
        assert came.startswith(b"HTTP/1.1 408 ") or not came


@fails_for(for_ever=instead("wait-for-body time 1s", "wait-for-body time 60s"))
def slow_bodies_end(start: Start) -> None:
    """A body that does not come is not waited for."""
    with start(edit=instead("wait-for-body time 10s", "wait-for-body time 1s")) as (gateway, origin):
        is_problem(gateway.send(post(b"Content-Length: 10", body=b"x"), 5), 408)
        assert origin.came == []


# Origins that fail


@fails_for(
    down=without("http-error status 503"),
    nonsense=without("http-error status 502"),
    silent=without("http-error status 504"),
    for_ever=instead("timeout server 1s", "timeout server 60s"),
)
def origins_that_fail(start: Start) -> None:
    """One that is down, silent or talks nonsense is JSON."""
    with start(edit=instead("timeout server 30s", "timeout server 1s")) as (gateway, origin):
        origin.answer = b"nonsense\r\n\r\n"
        is_problem(gateway.send(get(), 5), 502)
        origin.answer = None
        is_problem(gateway.send(get(), 5), 504)
        origin.server.shutdown()
        origin.server.server_close()
        is_problem(gateway.send(get(), 5), 503)


@fails_for(
    again=without("disable-l7-retry"),
    given_up=instead("retry-on conn-failure empty-response", "retry-on conn-failure"),
)
def origins_that_hang_up(start: Start) -> None:
    """What is safe to send twice is sent again, and nothing else (RFC 9110 section 9.2.1)."""
    with start() as (gateway, origin), answering(origin, b""):
        is_problem(gateway.send(post(b"Content-Length: 1", body=b"x")), 502)
        assert len(origin.came) == 1
        is_problem(gateway.send(get()), 502)
        assert len(origin.came) > 2


# What comes back


@fails_for(secret=without("http-response del-header"))
def nothing_of_the_secret_comes_back(start: Start) -> None:
    """An origin that sends back what it got does not give it away."""
    with start() as (gateway, origin):
        names = ("X-Shared-Secret", "X_Shared_Secret", "x-shared_secret", "X-Consumer", "X_Consumer")
        echoed = "".join(f"{name}: {gateway.secret}\r\n" for name in names).encode()
        with answering(origin, b"HTTP/1.1 200 OK\r\nX-Other: kept\r\nContent-Length: 0\r\n%b\r\n" % echoed):
            got = gateway.get("/falcon/x")
        assert gateway.secret not in str(got)
        assert got.headers["X-Other"] == "kept"


@fails_for(passed_on=without("deny_status 502"), in_lower_case=instead("-m beg -i Shared", "-m beg Shared"))
def a_secret_that_is_wrong_is_no_fault_of_the_client(start: Start) -> None:
    """An origin that refuses the gateway is a 502; any other 401 is between the client and the origin."""
    with start() as (gateway, origin):
        refusal = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: %b\r\nContent-Length: 0\r\n\r\n"
        for challenge in (b'SharedSecret realm="origin"', b"sharedsecret"):
            with answering(origin, refusal % challenge):
                got = gateway.get("/falcon/x")
                is_problem(got, 502)
                assert "sharedsecret" not in str(got).lower()
        with answering(origin, refusal % b'Basic realm="x"'):
            assert gateway.get("/falcon/x").headers["WWW-Authenticate"] == 'Basic realm="x"'


@fails_for(
    passed_on=without("replace-header Location"),
    letter_case=instead("field(3,/),lower", "field(3,/)"),
    every_one=instead(" if own_location", ""),
)
def redirects(start: Start) -> None:
    """A redirect within an origin stays within it, and another leads where it led."""
    with start() as (gateway, origin):
        for location, expected in {
            "/a?b": "/falcon/a?b",
            "http://own.test:8080/a": "/falcon/a",
            "https://OWN.test:8080/c": "/falcon/c",
            "https://own.test/d": "https://own.test/d",
            "https://a.test/b": "https://a.test/b",
            "//a.test/b": "//a.test/b",
            "//own.test:8080/b": "/falcon/b",
            "b": "b",
        }.items():
            moved = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            with answering(origin, moved.encode()):
                assert gateway.get("/falcon/x", host=b"Host: Own.test:8080").headers["Location"] == expected


@contextmanager
def answering(origin: Origin, answer: bytes | None) -> Iterator[None]:
    """Let an origin give another answer for a while."""
    before, origin.answer = origin.answer, answer
    try:
        yield
    finally:
        origin.answer = before


# What changes while it runs


def reload(gateway: Gateway) -> None:
    """Let it read its files again; return when the new process has taken over."""
    master = psutil.Process(gateway.process.pid)
    before = {child.pid for child in master.children()}
    count = gateway.log().count("Loading success")

    def is_over() -> bool:
        return gateway.log().count("Loading success") > count and bool(
            {each.pid for each in master.children()} - before
        )

    for _ in range(6):  # HAProxy may miss a signal that comes just when it has begun to run
        master.send_signal(signal.SIGUSR2)
        if wait_until(is_over, DEADLINE / 6):
            return
    raise AssertionError(f"It does not reload:\n{gateway.tail()}")


@fails_for(connections=without("idle-close-on-response"))
def connections_outlive_a_reload(start: Start) -> None:
    """A client whose connection is kept may use it again, and is told then that it ends."""
    with start(config=OF_ITS_OWN) as (gateway, _), gateway.address.connect() as kept:
        sent = get(connection=b"Connection: keep-alive").replace(b"<key>", gateway.key().encode())
        assert respond(kept, sent).status == 200
        reload(gateway)
        time.sleep(0.5)  # until the old process has done what it does at once
        got = None
        with suppress(*NO_ANSWER):
            got = respond(kept, sent)
        assert got, "it is closed"
        assert got.status == 200
        assert got.headers["Connection"] == "close"


ODD = "any text: ünï \"$(x)\" $HOME \\ ;{}#%d %[env(HOME)] '<b>', a comma <<"


@fails_for(
    fixed=instead("%[str(secret),map_str(sent.map)]", "fixed"),
    at_the_start_alone=instead("    for ask in gateways:", "    for ask in gateways[:0]:", "manage.py"),
)
def secret_of_any_text(start: Start) -> None:
    """What the file says is sent as it is, from the start and when it changes."""
    with start(edit=instead("SETTLED = 5.0", "SETTLED = 0.1", "manage.py")) as (gateway, origin):
        for secret in (ODD, f"another, {ODD} x", "plain"):
            gateway.file("shared_secret").write_text(secret + "\n")
            gateway.manage("rotate")  # goes on with one that was begun
            gateway.get("/falcon/x")
            assert lines(origin.came[-1])[1]["x-shared-secret"] == [secret.encode().decode("latin-1")]
            reload(gateway)
            gateway.get("/falcon/x")
            assert lines(origin.came[-1])[1]["x-shared-secret"] == [secret.encode().decode("latin-1")]


# The checks, on the gateway and on those that are broken


@pytest.mark.parametrize("check", CHECKS)
def test_gateway(check: str, start: Start) -> None:
    """The gateway passes every check."""
    CHECKS[check](start)


@pytest.fixture(scope="module")
def noticed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], str]]:
    """Give what a check says of a broken gateway, by its place in BROKEN; all that are asked for run side by side."""

    def put(check: str, breaking: Edit) -> str:
        began = []

        @contextmanager
        def start(edit: Edit = as_it_is, config: Mapping[str, str] | None = None) -> Iterator[tuple[Gateway, Origin]]:
            with started(tmp_path_factory.mktemp("broken"), breaking, edit, config) as both:
                began.append(True)
                yield both

        try:
            CHECKS[check](start)
        except AssertionError as error:
            return str(error) if began else f"did not start: {error}"
        return "passed"

    chosen = [values["number"] for values in map(parameters, request.session.items) if "number" in values]
    with ThreadPoolExecutor(3) as pool:
        running = {number: pool.submit(put, BROKEN[number][0], BROKEN[number][2]) for number in chosen}  # type: ignore
        yield lambda number: running[number].result()


@pytest.mark.parametrize(
    "number", [pytest.param(number, id=f"{check}-{how}") for number, (check, how, _) in enumerate(BROKEN)]
)
def test_a_broken_gateway_is_noticed(number: int, noticed: Callable[[int], str]) -> None:
    """Each check fails on a gateway that is broken in a way that it is there for."""
    told = noticed(number)
    assert not told.startswith(("passed", "did not start")), told


# With real origins

System = tuple[Gateway, dict[str, Service]]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Give a gateway in front of two origins that take the secret from its files; the other three are down."""
    folder = tmp_path_factory.mktemp("system")
    edit = instead("SETTLED = 5.0", "SETTLED = 2.0", "manage.py")
    gateway = Gateway(folder, {}, edit)
    files = {"SHARED_SECRET_FILE": "shared_secret", "SHARED_SECRET_PREVIOUS_FILE": "shared_secret_previous"}
    config = {name: str(gateway.file(file)) for name, file in files.items()}
    with ExitStack() as stack:
        origins = {}
        for app in ("falcon", "fastapi"):
            log = tmp_path_factory.mktemp(app) / "log"
            log.touch()
            home = ROOT / "apps" / app
            origins[app] = stack.enter_context(Service(app, APPS[app].command, home, config, log))
        gateway.command += [f"{app}={service.address.port}" for app, service in origins.items()]
        stack.enter_context(gateway)
        for app in origins:
            gateway.wait_for_origin(app)
        yield gateway, origins


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CHECKABLE])
def test_contract_through_the_gateway(case: Case, target: Target) -> None:
    """The gateway is a service that answers only who has a key, and that is what the contract is about."""
    put_through(case, target)


@pytest.fixture(scope="module")
def target(system: System) -> Target:
    """Give the gateway as what the contract can be put to."""
    return as_target(system[0].instance(), system[0].key())


def test_origins_that_are_down(system: System) -> None:
    """Theirs is a 503, and no other origin's answer is touched."""
    gateway, _ = system
    for app in APPS:
        got = gateway.get(f"/{app}/protected")
        if app in ("falcon", "fastapi"):
            assert (got.status, got.json()) == (200, {"message": "Access granted"})
        else:
            is_problem(got, 503)


def test_rotation_loses_nothing(system: System) -> None:
    """From the old secret over both to the new one, through the gateway, under load."""
    gateway, origins = system
    old = gateway.file("shared_secret").read_text()
    with ExitStack() as stack:
        loads = [stack.enter_context(busy(f"{gateway.url}/{app}/protected", gateway.key())) for app in origins]
        gateway.manage("rotate")
        time.sleep(2)
    new = gateway.file("shared_secret").read_text()
    assert new != old
    for load, origin in zip(loads, origins.values(), strict=True):
        assert load.lost == []
        assert load.sent > 20
        statuses = [
            exchange(origin.address, request("/protected", f"X-Shared-Secret: {secret.strip()}".encode())).status
            for secret in (old, new)
        ]
        assert statuses == [401, 200]


def test_reloads_and_keys_under_load_lose_nothing(system: System) -> None:
    """Neither reading the files again nor another consumer's key disturbs anybody."""
    gateway, _ = system
    with busy(f"{gateway.url}/falcon/protected", gateway.key()) as load:
        for number in range(3):
            key = gateway.key(f"passing-{number}")
            assert gateway.get("/falcon/protected", key=key).status == 200
            reload(gateway)
            gateway.manage("revoke", f"passing-{number}")
            assert gateway.get("/falcon/protected", key=key).status == 401
    assert load.lost == []
    assert load.sent > 20


def test_an_origin_is_killed_and_brought_back(system: System) -> None:
    """Meanwhile it is a 503, and the other origin is answered as ever."""
    gateway, origins = system
    falcon = origins["falcon"]
    with busy(f"{gateway.url}/fastapi/protected", gateway.key()) as load:
        falcon.stop()
        got = gateway.get("/falcon/protected")
        assert got.status in (502, 503)
        is_problem(got, got.status)
        gateway.wait_for_origin("falcon", 503)
        falcon.__enter__()
        gateway.wait_for_origin("falcon")
    assert load.lost == []


# Starting and stopping


def test_without_haproxy(tmp_path: Path) -> None:
    """It is said how to get one."""
    gateway = Gateway(tmp_path, {}, instead(":/usr/sbin:/usr/local/sbin", "", "manage.py"))
    (tmp_path / "bin" / "haproxy").unlink()
    assert "apt install haproxy" in gateway.manage("serve", "falcon=1", fails=True)


def test_one_gateway_a_folder(ready: tuple[Gateway, Origin]) -> None:
    """A second one would take the admin socket of the first, which then hears of no revocation."""
    gateway, _ = ready
    assert "runs already" in gateway.manage("serve", "falcon=1", fails=True)


def test_rotation_needs_a_gateway(tmp_path: Path) -> None:
    """Where none can be told, nothing is changed: the origins would be told of what nobody sends."""
    gateway = Gateway(tmp_path, {})
    before = {path.name: path.read_bytes() for path in gateway.file("").iterdir()}
    assert "make up" in gateway.manage("rotate", fails=True)
    (tmp_path / "bin" / "docker").write_text('#!/bin/sh\n[ "$2" = version ] || { echo "no engine" >&2; exit 1; }\n')
    (tmp_path / "bin" / "docker").chmod(0o755)
    for words in (["rotate"], ["add", "acme"]):
        assert "no engine" in gateway.manage(*words, fails=True)
    assert {path.name: path.read_bytes() for path in gateway.file("").iterdir()} == before


def test_a_rotation_that_was_interrupted_goes_on(start: Start) -> None:
    """At every step what the gateway sends is accepted, and the next rotation finishes."""
    with start(edit=instead("SETTLED = 5.0", "SETTLED = 0.5", "manage.py")) as (gateway, origin):
        for seconds in (0.1, 0.3, 0.6, 0.9, 1.2):
            command = [sys.executable, "shared/gateway/manage.py", "rotate"]
            rotation = subprocess.Popen(command, cwd=gateway.root, env=gateway.environ, stderr=subprocess.DEVNULL)
            with suppress(subprocess.TimeoutExpired):
                rotation.wait(seconds)
            rotation.send_signal(signal.SIGINT)
            rotation.wait(STOP_DEADLINE)
            for _ in range(2):
                gateway.get("/falcon/x")
                (sent,) = lines(origin.came[-1])[1]["x-shared-secret"]
                names = ("shared_secret", "shared_secret_previous")
                assert sent in [gateway.file(name).read_text().strip() for name in names]
                reload(gateway)
        gateway.manage("rotate")
        gateway.get("/falcon/x")
        assert lines(origin.came[-1])[1]["x-shared-secret"] == [gateway.file("shared_secret").read_text().strip()]
        assert gateway.file("shared_secret_previous").read_text() == ""


def test_mistakes_in_the_settings(tmp_path: Path) -> None:
    """What is not there is made, what is there stays, and what makes no sense has a message."""
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


def test_haproxy_where_administrators_have_it(tmp_path: Path) -> None:
    """It is found where PATH does not lead, and finds itself when it starts."""
    place = Path(HAPROXY or "").parent
    gateway = Gateway(tmp_path, {"falcon": 1}, instead(":/usr/sbin:/usr/local/sbin", f":{place}", "manage.py"))
    (tmp_path / "bin" / "haproxy").unlink()
    with gateway:
        reload(gateway)


def test_port_taken(ready: tuple[Gateway, Origin], tmp_path: Path) -> None:
    """A clear line and a status that is not 0."""
    second = Gateway(tmp_path, {})
    second.listen_on(ready[0].address.port)
    assert f"{ready[0].address}" in second.manage("serve", "falcon=1", fails=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends(number: int, tmp_path: Path) -> None:
    """On Ctrl-C and on SIGTERM, with all that it has started."""
    with Origin() as origin, gateway_before(origin, tmp_path) as gateway:
        family = [psutil.Process(gateway.process.pid), *psutil.Process(gateway.process.pid).children(recursive=True)]
        assert len(family) > 1
        gateway.process.send_signal(number)
        gateway.process.wait(STOP_DEADLINE)
        _, alive = psutil.wait_procs(family, STOP_DEADLINE)
        assert alive == []
