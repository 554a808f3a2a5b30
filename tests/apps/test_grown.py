"""The grown apps: what GROW.md adds works and is behind the check, and the contract still holds.

All five add the same routes, so that one test asks all, and a middleware (tween, tool, hook) that sets X-Seen.
The route that raises is /protected in the state "crash"; no recipe needs one.
"""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.apps import APPS
from tests.apps.fixtures import PATHS
from tests.apps.grown import ADDED, HEADER, MALFORMED, NO_FAILURE, ODD, OK, WRONG, grow, grown_service, recipes, request
from tests.apps.known import BASELINE
from tests.apps.running import PREVIOUS, SECRET
from tests.background import SLOW_GROUPS
from tests.commands import run
from tests.contract.case import Case, Exchange
from tests.contract.groups import CASES
from tests.contract.groups.deny import WEBSOCKET
from tests.contract.http1 import Address, Response, exchange
from tests.contract.target import Instance, Target
from tests.markdown import apply
from tests.processes import START_DEADLINE, STOP_DEADLINE, Service
from tests.selection import values

Start = Callable[..., Service]  # app, state, changes to the environment: a running service of its own
RIGHT = f"{HEADER}: {SECRET}".encode()
CORS = ("falcon", "fastapi", "litestar")  # have it themselves
SLOWER = {  # what a grown app cannot pass, because its middleware makes an answer come a turn of the loop later
    ("life/half-closed", "fastapi"): "uvicorn closes a connection as soon as its client has closed its side",
}


def with_secret(sent: bytes) -> bytes:
    """Return a request with the secret added."""
    return sent.replace(b"\r\n", b"\r\n" + RIGHT + b"\r\n", 1)


def in_folder(folder: Path, code: str) -> str:
    """Run Python code in the folder of a grown app, and return what it prints."""
    command = [str(folder / ".venv" / "bin" / "python"), "-c", code]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=START_DEADLINE)
    assert not ran.returncode, ran.stderr
    return ran.stdout


def start_grown(stack: ExitStack, place: Callable[[str], Path], homes: dict[str, Path]) -> Start:
    """Return what starts grown apps, which end with the stack."""

    def start(app: str, state: str, command: list[str] | None = None, **changes: str) -> Service:
        service = grown_service(app, state, homes[app], place(f"grown-{app}-{state}"))
        service.command = command or service.command
        service.environ |= changes
        return stack.enter_context(service)

    return start


@pytest.fixture(scope="module")
def homes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give the folder of each grown app."""
    folder = tmp_path_factory.mktemp("grown")
    return {str(app): grow(str(app), folder / str(app)) for app in values(request.session.items, "app")}


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory, homes: dict[str, Path]) -> Iterator[Start]:
    """Give what starts services for one test."""
    with ExitStack() as stack:
        yield start_grown(stack, tmp_path_factory.mktemp, homes)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, homes: dict[str, Path]) -> Iterator[dict[str, Target]]:
    """Give every grown app as what the contract is run against."""
    with ExitStack() as stack:
        start = start_grown(stack, tmp_path_factory.mktemp, homes)

        def target(app: str) -> Target:
            target = Target(app, lambda state: start(app, state).instance(), SECRET, PREVIOUS, HEADER)
            target.also_open, target.paths = ("/version",), PATHS
            return target

        targets = {app: target(app) for app in homes}
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda target: target.instance("configured"), targets.values()))
        yield targets


@pytest.fixture(scope="module", autouse=True)
def begun(request: pytest.FixtureRequest, grown: dict[str, Target]) -> Iterator[dict[str, list[Future[list[str]]]]]:
    """Give what fails on each grown app: of the cases that mostly wait, and of the others; they run from now on."""

    def begin(target: Target) -> list[Future[list[str]]]:
        slow = [case for case in CASES if case.group in SLOW_GROUPS and not isinstance(case, Exchange)]
        return [pool.submit(failures, target, cases) for cases in (slow, [case for case in CASES if case not in slow])]

    wanted = [item for item in request.session.items if "test_grown.py::test_contract[" in item.nodeid]
    with ThreadPoolExecutor(max_workers=4) as pool:
        yield {app: begin(grown[app]) for app in map(str, values(wanted, "app"))}


def failures(target: Target, cases: Sequence[Case]) -> list[str]:
    """Run cases of the contract, and return those that fail, with what was sent and received."""
    left_out = {case for case, app in (*BASELINE, *SLOWER) if app == target.name}
    chosen = [case for case in cases if case.name not in left_out and case.group != "http2"]
    results = [(case, case.run(target)) for case in chosen]
    return [f"{case.name}: {result.describe(case)}" for case, result in results if result.outcome != "passed"]


@pytest.fixture
def instance(app: str, grown: dict[str, Target]) -> Iterator[Instance]:
    """Give a running grown app; nothing that a test sends to it may leave a traceback in its log."""
    instance = grown[app].instance("configured")
    assert instance.log
    before = len(instance.log())
    yield instance
    assert "Traceback" not in instance.log()[before:]


@pytest.mark.parametrize("what", ADDED)
def test_added_without_the_secret(what: str, instance: Instance) -> None:
    """It is refused: no code of it ran, and none of its body was waited for."""
    head = ADDED[what][0].partition(b"\r\n\r\n")[0]
    for sent in (head, head.replace(b"\r\n", b"\r\n" + HEADER.encode() + b": wrong\r\n", 1)):
        unsent = re.sub(rb"Content-Length: \d+", b"Content-Length: 3000000", sent)
        got = exchange(instance.address, unsent + b"\r\n\r\n")
        assert got.status == 401, got
        assert "X-Seen" not in got.headers


@pytest.mark.parametrize("what", ADDED)
def test_added_with_the_secret(what: str, instance: Instance) -> None:
    """It works."""
    sent, status, body = ADDED[what]
    got = exchange(instance.address, with_secret(sent))
    assert got.status in status, got
    assert body in got.body if isinstance(body, bytes) else got.json() == body
    if what in ("json", "path"):
        assert got.headers["X-Seen"] == "yes"
    if what == "stream":
        assert got.headers["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize(("sent", "status"), [
    *(pytest.param(sent, WRONG, id=name) for name, sent in MALFORMED.items()),
    *(pytest.param(sent, NO_FAILURE, id=name) for name, sent in ODD.items()),
])  # fmt: skip
def test_malformed(sent: bytes, status: range, instance: Instance) -> None:
    """With the secret it is a 4xx, or at least no failure; without it the app or the server refuses it."""
    got = exchange(instance.address, with_secret(sent))
    assert got.status in status, got
    assert exchange(instance.address, sent).status in (400, 401)


def test_second_open_path(instance: Instance) -> None:
    """GET is open there, and nothing below or above it."""
    assert exchange(instance.address, request("/version")).json() == {"version": "1"}
    for path in ("/version/", "/version/x", "/sub/version"):
        assert exchange(instance.address, request(path)).status == 401


def test_cors(app: str, instance: Instance) -> None:
    """An answer allows the origin, where the framework does that; a preflight needs the secret, as everything does."""
    origin = b"Origin: https://a.test"
    preflight = request("/protected", origin, b"Access-Control-Request-Method: GET", method="OPTIONS")
    refused = exchange(instance.address, preflight)
    assert refused.status == 401
    assert "Access-Control-Allow-Origin" not in refused.headers
    if app in CORS:
        for sent in (preflight, request("/protected", origin)):
            got = exchange(instance.address, with_secret(sent))
            assert got.status in OK
            assert got.headers["Access-Control-Allow-Origin"] in ("*", "https://a.test")


def opened(address: Address, *fields: bytes) -> tuple[bytes, bytes]:
    """Open a WebSocket at /ws and send a text; return the status line, and the frame that comes back."""
    with address.connect() as connection, connection.makefile("rb") as file:
        connection.sendall(request("/ws", *WEBSOCKET, *fields, connection=b"Connection: Upgrade"))
        status = file.readline()
        if b" 101 " not in status:
            return status, b""
        while file.readline().strip():  # the header fields
            pass
        connection.sendall(b"\x81\x82\0\0\0\0hi")  # a text frame of two bytes, masked with zeros
        return status, file.read(4)


@pytest.mark.parametrize("app", ["fastapi", "litestar"])
def test_websocket(instance: Instance) -> None:
    """It echoes with the secret; without it the handler, which would accept it first, does not run."""
    assert opened(instance.address, RIGHT)[1] == b"\x81\x02hi"
    for fields in ((), (HEADER.encode() + b": wrong",)):
        assert re.match(rb"HTTP/1\.1 4\d\d ", opened(instance.address, *fields)[0])


def test_hooks_and_an_unhandled_error(app: str, start: Start) -> None:
    """Start and stop hooks run; an error is a 500 and a traceback in the log, and shows the secret nowhere."""
    service = start(app, "crash")
    got = exchange(service.address, request("/protected", RIGHT, b"Cookie: a=" + SECRET.encode()))
    assert got.status == 500
    assert SECRET not in str(got)
    service.wait_for_log("KeyError: 0")
    assert "started" in service.log()
    assert "stopped" not in service.log()
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(STOP_DEADLINE)
    service.wait_for_log("stopped")
    assert SECRET not in service.log()


def test_prefix(app: str, start: Start) -> None:
    """Where a server or proxy takes off a prefix, the open path is still the app's own /healthz, and that alone."""
    if APPS[app].interface == "WSGI":
        service, prefix = start(app, "configured", SCRIPT_NAME="/api"), "/api"
    else:  # the proxy has taken it off
        serve = re.search(r"uvicorn app:app --root-path /api [^`]+", (APPS[app].folder / "GROW.md").read_text())
        assert serve
        service, prefix = start(app, "configured", ["sh", "-c", f"exec {serve[0]} --port $PORT"]), ""

    def status(path: str, *fields: bytes) -> int:
        return exchange(service.address, request(prefix + path, *fields)).status

    for path in ("/protected", "/things/7", "/sub/hello", "/sub/healthz", "/static/hello.txt"):
        assert (path, status(path), status(path, RIGHT)) == (path, 401, 200)
    assert [status(path) for path in ("/healthz", "/version")] == [200, 200]
    assert [status(path) for path in ("/healthz/", "/api/healthz", "/x/healthz")] == [401, 401, 401]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="it needs IPv6")
@pytest.mark.parametrize("app", ["fastapi"])
def test_https_redirect(app: str, start: Start) -> None:
    """It is behind the check, and believes the gateway, also when IPv6 shows it as ::ffff:127.0.0.1."""
    two = {"HOST": "::", "WEB_CONCURRENCY": "2"}  # with workers, uvicorn listens on IPv4 and IPv6
    service = start(app, "configured", HTTPS_REDIRECT="1", **two)

    def ask(*fields: bytes, path: str = "/protected") -> Response:
        return exchange(service.address, request(path, *fields))

    https = b"X-Forwarded-Proto: https"
    assert [ask().status, ask(https).status, ask(RIGHT).status, ask(RIGHT, https).status] == [401, 401, 307, 200]
    assert ask(RIGHT).headers["Location"] == "https://a.test/protected"
    assert [ask(path="/healthz").status, ask(https, path="/healthz").status] == [307, 200]


OUTERMOST = """
import asyncio, app, fastapi, litestar

async def inner(*arguments):
    print("inner")

class Rule:
    def check(self, value):
        print("check")
        return denial

async def send(message):
    print(message.get("status", "body"))

litestar.Litestar.__call__ = fastapi.FastAPI.__call__ = inner
app.rule = Rule()
for denial in (app.SharedSecret({}).check(None), None):
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    asyncio.run(app.app(scope, None, send))
"""


@pytest.mark.parametrize("app", ["fastapi", "litestar"])
def test_the_check_is_outermost(homes: dict[str, Path], app: str) -> None:
    """The framework's own call asks the rule first, and hands on only what it accepts."""
    assert in_folder(homes[app], OUTERMOST).split() == ["check", "500", "body", "check", "inner"]


@pytest.mark.parametrize(("app", "paths", "others"), [
    ("fastapi", ["/docs", "/openapi.json"], ["/redoc", "/docs/oauth2-redirect"]),
    ("litestar", ["/schema"], ["/schema/openapi.json", "/schema/"]),
])  # fmt: skip
def test_docs_opened(app: str, paths: list[str], others: list[str], tmp_path: Path) -> None:
    """The docs are open after the change that the README shows for it, and no other path is."""
    (log := tmp_path / "home").mkdir()
    with grown_service(app, "configured", grow(app, tmp_path / app, "Docs while developing"), log) as service:
        for path in (*paths, *others):
            assert (path, exchange(service.address, request(path)).status) == (path, 200 if path in paths else 401)


OAUTH2 = """
import app, fastapi.security as security, fastapi

@app.app.get("/me")
async def me(token=fastapi.Depends(security.OAuth2PasswordBearer("token"))):
    return token

print(*(name for scheme in app.app.openapi()["paths"]["/me"]["get"]["security"] for name in scheme))
"""


@pytest.mark.parametrize("app", ["fastapi"])
def test_a_scheme_of_a_route(homes: dict[str, Path], app: str) -> None:
    """A route's own OAuth2 stands beside the secret in the document, so /docs asks for both."""
    assert sorted(in_folder(homes[app], OAUTH2).split()) == ["APIKeyHeader", "OAuth2PasswordBearer"]


def test_each_recipe_works_alone(app: str, tmp_path: Path) -> None:
    """Its diffs fit the app as it is, after those at the top of GROW.md, and no name is missing then."""
    found = [block for block in recipes(app) if block.language == "diff"]
    for number, heading in enumerate({block.heading for block in found}):
        code = (APPS[app].folder / "app.py").read_text()
        for block in found:
            code = apply(block.code, code) if block.heading in ("Grow it", heading) else code
        (tmp_path / f"{number}.py").write_text(code)
    run(f"{Path(sys.executable).with_name('ruff')} check --isolated --select F821 .", tmp_path)


def test_contract(app: str, begun: dict[str, list[Future[list[str]]]]) -> None:
    """A grown app meets the contract as it did before, and with another header."""
    assert not (failed := [case for part in begun[app] for case in part.result()]), "\n\n".join(failed)
