"""A gateway to test: started as `make gateway` starts it, in a folder of its own, in front of origins that are told."""

import json
import os
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
import requests

from shared.apps import APPS, ROOT
from tests.contract.case import Case
from tests.contract.groups import CASES
from tests.contract.http1 import DEADLINE, NO_ANSWER, Address, Response, exchange, request
from tests.contract.target import Instance, NotCheckedError, Target
from tests.processes import Service

HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
CLIENTS = 4
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Origin:
    """An origin that keeps what comes, byte for byte, and answers all of it alike."""

    def __init__(self) -> None:
        self.answer: bytes | None = OK  # None is silence
        self.came: list[bytes] = []
        origin = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                origin.handle(self.request)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]

    def handle(self, connection: socket.socket) -> None:
        """Read a request, answer it, and read on until the end: nothing more should come."""
        with suppress(OSError):
            connection.settimeout(DEADLINE)
            came = connection.recv(65_536)
            if came.startswith(b"GET /healthz ") or not came:
                connection.sendall(OK)
                return
            self.came.append(came)
            place = len(self.came) - 1
            while not whole(self.came[place]) and (piece := connection.recv(65_536)):
                self.came[place] += piece
            if self.answer is None:
                connection.recv(1)  # until the gateway gives up
                return
            connection.sendall(self.answer)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65_536):
                self.came[place] += piece

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def whole(came: bytes) -> bool:
    """Return whether a request is there with as much of a body as it says; what is not clear about it comes later."""
    head, end, body = came.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: *(\d+)", head, re.IGNORECASE)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


Edit = Callable[[str, str], str]  # takes the name of a file and its text, and returns another text


def as_it_is(name: str, text: str) -> str:
    """Change nothing."""
    return text


class Gateway(Service):
    """The gateway in front of the origins at some ports; `edit` changes its files."""

    def __init__(
        self, folder: Path, ports: Mapping[str, int], edit: Edit = as_it_is, config: Mapping[str, str] | None = None
    ) -> None:
        assert HAPROXY
        self.root = folder
        (folder / "shared" / "gateway").mkdir(parents=True)
        for name in ("haproxy.cfg", "manage.py"):
            text = (ROOT / "shared" / "gateway" / name).read_text()
            (folder / "shared" / "gateway" / name).write_text(edit(name, text))
        (folder / "bin").mkdir()
        (folder / "bin" / "haproxy").symlink_to(HAPROXY)
        command = [sys.executable, "shared/gateway/manage.py", "serve", *(f"{app}={ports[app]}" for app in ports)]
        log = folder / "log"
        log.touch()
        super().__init__("gateway", command, folder, {"RATE": "1000000", **(config or {})}, log)
        self.environ["PATH"] = str(folder / "bin")  # no docker there
        self.manage("setup")
        self.secret = self.file("shared_secret").read_text().strip()
        self.keys: dict[str, str] = {}

    def listen_on(self, port: int) -> None:
        super().listen_on(port)
        self.environ["GATEWAY_PORT"] = str(port)

    def file(self, name: str) -> Path:
        """Return the path of a file with the gateway's keys or secrets."""
        return self.root / ".secrets" / name

    def manage(self, *words: str, fails: bool = False) -> str:
        """Do what `make` does with a command, and return all that it prints."""
        command = [sys.executable, "shared/gateway/manage.py", *words]
        done = subprocess.run(
            command, cwd=self.root, env=self.environ, capture_output=True, text=True, timeout=4 * DEADLINE
        )
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def send_secret(self, secret: str) -> None:
        """Let it send this secret, in the place of the one that it has made for itself."""
        self.file("shared_secret").write_text(secret)
        self.file("sent.map").unlink()
        self.manage("setup")
        self.secret = secret

    def key(self, consumer: str = "acme") -> str:
        """Return the key of a consumer; make it the first time."""
        if consumer not in self.keys:
            found = re.search(r"\bogk_[\w-]{43}\b", self.manage("add", consumer))
            assert found
            self.keys[consumer] = found[0]
        return self.keys[consumer]

    def send(self, sent: bytes, deadline: float = DEADLINE) -> Response | None:
        """Return what is answered to a request, with the key of acme where it says `<key>`."""
        sent = sent.replace(b"<key>", self.key().encode()).replace(b"<host>", str(self.address).encode())
        with suppress(*NO_ANSWER):
            return exchange(self.address, sent, deadline)
        return None

    def get(self, path: str, *fields: bytes, key: str = "<key>", **changes: Any) -> Response:
        """Return what is answered to a GET with a key, that of acme unless it is told."""
        got = self.send(request(path, b"Authorization: Bearer " + key.encode(), *fields, **changes))
        assert got, f"no answer to GET {path}"
        return got

    def access_log(self) -> list[dict[str, Any]]:
        """Return the lines of the access log, which have to be JSON."""
        lines = [line for line in self.log().splitlines() if line.startswith("{")]
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise AssertionError(f"{error} in the log:\n{self.tail()}") from error

    def wait_for_origin(self, name: str, status: int = 200) -> None:
        """Wait until an origin answers through the gateway, or until it is known to be down."""
        deadline = time.monotonic() + DEADLINE
        while (got := self.get(f"/{name}/protected").status) != status:
            assert time.monotonic() < deadline, f"{name} answers {got}, not {status}:\n{self.tail()}"
            time.sleep(0.05)


@contextmanager
def gateway_before(
    origin: Origin, folder: Path, edit: Edit = as_it_is, config: Mapping[str, str] | None = None
) -> Iterator[Gateway]:
    """Run a gateway with one origin in the place of all five."""
    gateway = Gateway(folder, dict.fromkeys(APPS, origin.port), edit, config)
    gateway.key()
    with gateway:
        yield gateway


class Busy:
    """Clients that send request after request on connections that they keep, and count what comes back."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.headers = url, {"Authorization": f"Bearer {key}"}
        self.ended = threading.Event()
        self.sent = 0
        self.lost: list[str] = []

    def client(self) -> None:
        """Send requests until the end."""
        with requests.Session() as session:
            while not self.ended.wait(0.02):
                try:
                    got = session.get(self.url, headers=self.headers, timeout=DEADLINE)
                    self.lost += [f"{got.status_code} {got.text}"] if got.status_code != 200 else []
                except requests.RequestException as error:
                    self.lost.append(repr(error))
                self.sent += 1


@contextmanager
def busy(url: str, key: str) -> Iterator[Busy]:
    """Keep a gateway busy for as long as the block lasts."""
    clients = Busy(url, key)
    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(clients.client) for _ in range(CLIENTS)]
        try:
            yield clients
        finally:
            clients.ended.set()
    for each in running:
        each.result()


def is_problem(got: Response | None, status: int) -> None:
    """Check that an answer is a denial or an error as RFC 9457 has it, which nobody stores."""
    assert got
    assert (got.status, got.headers["Content-Type"]) == (status, "application/problem+json"), got
    assert got.json()["status"] == status
    assert got.json()["title"]
    assert got.headers["Cache-Control"] == "no-store"


OTHER_STATES = ("config", "rotate", "stop")  # groups of cases for which it would have to be started in other ways
OWN_WORDS = "errors/words"  # it says what a client can do, and the contract what an origin misses
CHECKABLE = [case for case in CASES if case.group not in OTHER_STATES and case.name != OWN_WORDS]


def as_target(gateway: Instance, key: str) -> Target:
    """Return a gateway as what the contract can be put to: a service that answers only who has a key."""

    def find(state: str) -> Instance:
        if state in ("configured", "behind-proxy", "crowded"):
            return gateway
        raise NotCheckedError(f"The gateway has no state {state}.")

    return Target("gateway", find, f"Bearer {key}", header="Authorization", protected="/falcon/protected")


def put_through(case: Case, target: Target) -> None:
    """Put a case of the contract to a gateway, as far as it is about gateways."""
    result = case.run(target)
    if result.outcome == "not checked":
        pytest.skip(result.reason)
    if case.name == "wire/length-twice" and result.outcome == "failed":
        pytest.xfail("HAProxy 3.2 ends the connection without an answer")
    assert result.outcome == "passed", result.describe(case)


# Forging

SET = ("x-shared-secret", "x-consumer", "x-request-id", "x-forwarded-for", "x-forwarded-proto")
KEPT_OUT = re.compile(
    r"x-shared-secret|x-consumer|x-request-id|forwarded|x-forwarded.*|x-real-ip|(proxy-)?authorization|upgrade|http2-settings"
)


def forged(came: list[bytes], secret: str, consumer: str) -> list[str]:
    """Return what a lenient server may find in what came for one request, and the gateway has not set."""
    problems = []
    for number, one in enumerate(came):
        head, _, rest = one.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: *(\d+)\r?\n", head + b"\r\n", re.IGNORECASE)
        after = rest[int(length[1]) :] if length and b"transfer-encoding" not in head.lower() else rest
        found: dict[str, list[str]] = {}
        for line in re.split(r"[\r\n\0\v\f]+", (head + b"\r\n" + after).decode("latin-1")):
            name, colon, value = line.partition(":")
            name = name.strip().lower().replace("_", "-")
            if colon and KEPT_OUT.fullmatch(name):
                found.setdefault(name, []).append(value.strip())
            if name == "connection" and value.strip().lower() not in ("close", "keep-alive"):
                problems.append(line)
        expected = {"x-shared-secret": secret, "x-consumer": consumer}
        problems += [f"{name}: {found.get(name)}" for name, value in expected.items() if found.get(name) != [value]]
        problems += [f"{name}: {value}" for name, value in found.items() if "forged" in str(value)]
        problems += [f"{name} is there" for name in found if name not in SET]
        problems += ["there is more than one request"] * (number > 0)
    return problems


class Relay(Origin):
    """What a naive gateway does: it puts its fields at the end of the header, and sends on all the rest as it came."""

    def __init__(self, origin: Origin, secret: str, consumer: str) -> None:
        super().__init__()
        self.origin, self.fields = origin, f"X-Shared-Secret: {secret}\r\nX-Consumer: {consumer}\r\n".encode()

    def handle(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.settimeout(0.3)
            came = b""
            with suppress(TimeoutError):
                while piece := connection.recv(65_536):
                    came += piece
            head, _, rest = came.replace(b"%0d%0a", b"\r\n").partition(b"\r\n\r\n")
            with Address("127.0.0.1", self.origin.port).connect() as on:
                on.sendall(head.replace(b" /falcon", b" ", 1) + b"\r\n" + self.fields + b"\r\n" + rest)
                on.shutdown(socket.SHUT_WR)
                while piece := on.recv(65_536):
                    connection.sendall(piece)


KEY = b"Authorization: Bearer <key>"
CHUNKED = b"Transfer-Encoding: chunked"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\nX-Consumer: forged\r\n\r\n"


def get(*fields: bytes, **changes: Any) -> bytes:
    """Return a request with a key and other fields."""
    return request("/falcon/protected", KEY, *fields, **changes)


def post(*fields: bytes, body: bytes, **changes: Any) -> bytes:
    """Return a request with a key, other fields and a body."""
    return get(*fields, method="POST", body=body, **changes)


FIELDS = [
    *(b"X%bShared%bSecret" % (first, second) for first in (b"-", b"_") for second in (b"-", b"_")),
    *(b"x-shared-secret", b"X_SHARED_SECRET", b"X-Consumer", b"X_Consumer", b"x-consumer", b"X_CONSUMER"),
    *(b"X-Request-Id", b"X_Request_ID", b"Forwarded", b"X-Forwarded-For", b"X_Forwarded_For", b"X-Forwarded_For"),
    *(b"X-Forwarded-Proto", b"X_Forwarded_Proto", b"X-Forwarded-Host", b"X_FORWARDED_PREFIX", b"X-Real-IP"),
    *(b"X_Real_IP", b"Proxy-Authorization"),
]
END = b"0\r\n\r\n"
TRAILERS = (b"X-Shared-Secret", b"X-Consumer", b"X_Consumer", b"X-Forwarded-For")
ATTEMPTS = {
    **{f"field {name.decode()}": get(name + b": forged") for name in FIELDS},
    **{f"trailer {name.decode()}": post(CHUNKED, body=b"0\r\n%b: forged\r\n\r\n" % name) for name in TRAILERS},
    "trailer that is announced": post(CHUNKED, b"Trailer: X-Consumer", body=b"0\r\nX-Consumer: forged\r\n\r\n"),
    "twice": get(b"X-Consumer: forged", b"X-Consumer: forged"),
    "both spellings": get(b"X-Consumer: forged", b"X_Consumer: forged"),
    "empty, then not": get(b"X-Shared-Secret:", b"X-Shared-Secret: forged"),
    "list": get(b"X-Consumer: a, forged"),
    "before the key": request("/falcon/protected", b"X-Consumer: forged", KEY),
    "listed secret": get(connection=b"Connection: close, X-Shared-Secret"),
    "listed consumer": get(connection=b"Connection: X-Consumer"),
    "listed in lower case": get(connection=b"connection: keep-alive, x-consumer, x-shared-secret"),
    "listed in a second field": get(b"Connection: X-Shared-Secret"),
    "h2c": get(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk", connection=b"Connection: Upgrade, HTTP2-Settings"),
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nX-Consumer: forged\r\n\r\n",
    "folded": get(b"X-Other: a\r\n X-Consumer: forged"),
    "folded by a tab": get(b"X-Other: a\r\n\tX-Consumer: forged"),
    "folded value": get(b"X-Consumer:\r\n forged"),
    "folded name": get(b"X-Other: a", b" X-Consumer: forged"),
    "folded at once": b"GET /falcon/protected HTTP/1.1\r\n X-Consumer: forged\r\n" + get().split(b"\r\n", 1)[1],
    "space before the colon": get(b"X-Consumer : forged"),
    "tab before the colon": get(b"X-Consumer\t: forged"),
    "bare LF": get(b"X-Other: a\nX-Consumer: forged"),
    "bare CR": get(b"X-Other: a\rX-Consumer: forged"),
    "CR CR LF": get(b"X-Other: a\r\r\nX-Consumer: forged"),
    "NUL": get(b"X-Other: a\0X-Consumer: forged"),
    "vertical tab": get(b"X-Other: a\vX-Consumer: forged"),
    "line in the path": request("/falcon/%0d%0aX-Consumer:forged", KEY),
    "line in the target": get().replace(b"/protected ", b"/protected\rX-Consumer: forged "),
    "pipelined without a key": get(connection=b"Connection: keep-alive") + SMUGGLED,
    "length and chunks": post(b"Content-Length: 6", CHUNKED, body=END + SMUGGLED),
    "chunks and length": post(CHUNKED, b"Content-Length: 4", body=b"40\r\n" + SMUGGLED + b"\r\n" + END),
    "chunks in HTTP/1.0": post(CHUNKED, b"Content-Length: 6", body=END + SMUGGLED, version="HTTP/1.0"),
    "two codings": post(b"Content-Length: 6", CHUNKED, b"Transfer-Encoding: identity", body=END + SMUGGLED),
    "unknown coding": post(b"Content-Length: 6", b"Transfer-Encoding: xchunked", body=END + SMUGGLED),
    "quoted coding": post(b"Content-Length: 6", b'Transfer-Encoding: "chunked"', body=END + SMUGGLED),
    "coding and comma": post(b"Content-Length: 6", b"Transfer-Encoding: chunked,", body=END + SMUGGLED),
    "coding after a fold": post(b"Content-Length: 6", b"Transfer-Encoding:\r\n chunked", body=END + SMUGGLED),
    "coding after a vertical tab": post(b"Content-Length: 6", b"Transfer-Encoding:\vchunked", body=END + SMUGGLED),
    "coding, space, colon": post(b"Content-Length: 6", b"Transfer-Encoding : chunked", body=END + SMUGGLED),
    "coding with an underscore": post(b"Content-Length: 0", b"Transfer_Encoding: chunked", body=SMUGGLED),
    "two lengths": post(b"Content-Length: 5", b"Content-Length: 0", body=SMUGGLED),
    "list of lengths": post(b"Content-Length: 5, 0", body=SMUGGLED),
    "length with a plus": post(b"Content-Length: +0", body=SMUGGLED),
    "length less than nothing": post(b"Content-Length: -1", body=SMUGGLED),
    "length in hex": post(b"Content-Length: 0x0", body=SMUGGLED),
    "length without end": post(b"Content-Length: 18446744073709551616", body=SMUGGLED),
    "length with an underscore": post(b"Content_Length: 99", body=SMUGGLED),
    "chunk with an extension": post(CHUNKED, body=b"1;a=\nb\r\nx\r\n" + END + SMUGGLED),
    "chunk without a size": post(CHUNKED, body=b"\r\n" + END + SMUGGLED),
    "no length": post(body=SMUGGLED),
}  # fmt: skip
