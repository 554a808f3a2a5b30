"""A service that meets the contract, and a family of services each of which is right in everything but one way.

`BROKEN` has, for the name of every case, the service that was made to fail it. They are served in one process, but for
those that a case stops or restarts: `python broken.py broken CASE STATE` runs one as a supervisor with its workers.
"""

import asyncio
import hmac
import json
import os
import posixpath
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote

NAME = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
HEADER = b"x-shared-secret"


@dataclass
class Request:
    """A request: its line, the header fields in their order with names in lower case, its length, and its body."""

    method: str
    target: str
    version: str
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def all(self, name: bytes) -> list[bytes]:
        """Return the values of a field."""
        return [value for each, value in self.fields if each == name]

    def get(self, name: bytes) -> bytes:
        """Return the first value of a field, or nothing."""
        return next(iter(self.all(name)), b"")


class Refused(Exception):  # noqa: N818 - an answer rather than an error
    """A request is answered at once, with a status code and words."""

    def __init__(self, status: int, message: str = "Bad request", **fields: str) -> None:
        super().__init__(message)
        self.status, self.message, self.fields = status, message, fields


class Origin:
    """Right in everything. A defect overrides one of these steps."""

    header, protected, open = b"x-shared-secret", "/protected", "/healthz"
    limit = 32_768  # bytes of a header section
    replaces = True  # a worker that died
    overlaps = True  # the new workers with the old ones, in a restart
    exit_status = 0
    aloud = False  # whether the log goes to the standard output too

    def __init__(self, environ: Mapping[str, str], folder: Path = Path(), slow: bool = False) -> None:
        self.environ, self.folder, self.slow = environ, folder, slow
        self.lines: list[str] = []
        self.connections: set[asyncio.StreamWriter] = set()

    # What it is configured with

    def secret(self, name: str) -> bytes:
        """Return a secret from its file or its variable, or nothing."""
        if path := self.environ.get(f"{name}_FILE"):
            try:
                return (self.folder / path).read_bytes().strip()
            except OSError:
                return b""
        return os.fsencode(self.environ.get(name, "")).strip()

    def accepted(self) -> list[bytes]:
        """Return every secret that is let in."""
        current, previous = self.secret("SHARED_SECRET"), self.secret("SHARED_SECRET_PREVIOUS")
        return [each for each in (current, previous) if each] if current else []

    # What is let in

    def is_open(self, request: Request) -> bool:
        """Return whether this is the open door."""
        return (request.method, request.path) == ("GET", self.open)

    def values(self, request: Request) -> list[bytes]:
        """Return what is presented."""
        return request.all(self.header)

    def fits(self, secret: bytes, value: bytes) -> bool:
        """Compare."""
        return hmac.compare_digest(secret, value)

    def check(self, request: Request) -> None:
        """Refuse a request that does not carry the secret."""
        accepted = self.accepted()
        if not accepted:
            raise Refused(500, "Server configuration error")
        values = self.values(request)
        if len(values) > 1:
            raise Refused(401, "Invalid secret")
        if not values or not values[0]:
            raise Refused(401, "No secret provided")
        if not any(self.fits(secret, values[0]) for secret in accepted):
            raise Refused(401, "Invalid secret")

    def before(self, request: Request) -> None:
        """Do what comes before the check: nothing."""

    def after(self, request: Request) -> None:
        """Do what comes after it: nothing."""

    def route(self, request: Request) -> dict[str, str]:
        """Answer what is let in."""
        if (request.method, request.path) == ("GET", self.open):
            return {"status": "ok"}
        if request.path != self.protected:
            raise Refused(404, "Not found")
        if request.method != "GET":
            raise Refused(405, "Method not allowed")
        return {"message": "Access granted"}

    # What is answered

    def form(self, error: Refused) -> tuple[dict[str, str], bytes]:
        """Return header fields and body of what is refused."""
        fields = {"Content-Type": "application/json", **error.fields}
        if error.status in (401, 500):
            fields["Cache-Control"] = "no-store"
        if error.status == 401:
            fields["WWW-Authenticate"] = 'SharedSecret realm="origin"'
        return fields, json.dumps({"error": error.args[0]}).encode()

    def log(self, request: Request, status: int) -> None:
        """Write a line of the access log."""
        self.write(f"{request.method} {request.path} {status}")

    def write(self, line: str) -> None:
        """Write a line to the log."""
        self.lines.append(line)
        if self.aloud:
            print(line, flush=True)

    # How a request is read

    async def read_head(self, reader: asyncio.StreamReader) -> bytes:
        """Read a header section, up to the limit."""
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            try:
                head += await reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError as error:
                head += await reader.readexactly(error.consumed)
            if len(head) > self.limit:
                raise Refused(431, "Header section too large")
        return bytes(head[:-4])

    def parse(self, head: bytes) -> Request:
        """Return the request that a header section is, or refuse it."""
        first, *lines = head.split(b"\r\n")
        start = re.fullmatch(rb"([A-Za-z]+) (\S+) (HTTP/1\.[01])", first)
        fields = [re.fullmatch(rb"(" + NAME + rb"):[ \t]*([^\r\n\0]*?)[ \t]*", line) for line in lines]
        if not start or not all(fields):
            raise Refused(400)
        method, target, version = (part.decode("latin-1") for part in start.groups())
        request = Request(method, target, version, [(field[1].lower(), field[2]) for field in fields if field])
        self.frame(request)
        return request

    def frame(self, request: Request) -> None:
        """Refuse a request with a host too many or too few, or with no clear length."""
        lengths, chunked = request.all(b"content-length"), request.all(b"transfer-encoding")
        if len(request.all(b"host")) != 1 and request.version == "HTTP/1.1":
            raise Refused(400)
        if len(lengths) > 1 or (lengths and (chunked or not lengths[0].isdigit())):
            raise Refused(400)

    async def read_body(self, request: Request, reader: asyncio.StreamReader) -> None:
        """Read the body that comes before the check: none; a connection with a body to come is ended."""

    def stays(self, request: Request) -> bool:
        """Return whether the connection is for more than this request."""
        body = request.all(b"content-length") or request.all(b"transfer-encoding")
        return request.version == "HTTP/1.1" and request.get(b"connection") == b"keep-alive" and not body

    async def answer(self, request: Request) -> dict[str, str]:
        """Answer a request, or refuse it."""
        self.before(request)
        if not self.is_open(request):
            self.check(request)
        self.after(request)
        answer = self.route(request)
        if self.slow and request.path == "/protected":
            self.write("in flight")
            await asyncio.sleep(2)
        return answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection is for more."""
        request = Request("", "", "", [])
        status, fields = 200, {"Content-Type": "application/json"}
        try:
            request = self.parse(await self.read_head(reader))
            await self.read_body(request, reader)
            body = json.dumps(await self.answer(request)).encode()
        except Refused as error:
            status = error.status
            fields, body = self.form(error)
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        except Exception as error:
            status = 500
            fields, body = self.form(Refused(500, f"{type(error).__name__}"))
        self.log(request, status)
        lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in fields.items())]
        lines += [f"Content-Length: {len(body)}"] + ["Connection: close"] * (not self.stays(request))
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        writer.write(head + (b"" if request.method == "HEAD" else body))
        await writer.drain()
        return self.stays(request)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        self.connections.add(writer)
        try:
            while await self.serve(reader, writer):
                pass
            writer.write_eof()
            await asyncio.wait_for(reader.read(1_000_000), 1)  # so that the answer is not lost with what was not read
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.connections.discard(writer)

    # How it stops

    def close(self, server: asyncio.Server | socket.socket) -> None:
        """Take no new connections."""
        server.close()

    async def finish(self) -> None:
        """Wait until all that was accepted is answered."""
        await asyncio.sleep(0.2)
        while self.connections:
            await asyncio.sleep(0.05)


# The family: each is right in everything but one way


def fails_at(seen: Callable[[Request], object]) -> type[Origin]:
    """Make a service that raises at some requests, before the check."""

    class Fails(Origin):
        def before(self, request: Request) -> None:
            if seen(request):
                raise ValueError("unexpected")

    return Fails


def lets_in(seen: Callable[[Request], object]) -> type[Origin]:
    """Make a service that does not check some requests."""

    class LetsIn(Origin):
        def is_open(self, request: Request) -> bool:
            return bool(seen(request)) or super().is_open(request)

        def route(self, request: Request) -> dict[str, str]:
            return {"status": "ok"} if seen(request) else super().route(request)

    return LetsIn


def presented(find: Callable[[Request], bytes]) -> type[Origin]:
    """Make a service that takes the secret from another place too."""

    class Elsewhere(Origin):
        def values(self, request: Request) -> list[bytes]:
            return super().values(request) or [find(request)]

    return Elsewhere


def opens(door: Callable[[str], bool]) -> type[Origin]:
    """Make a service with a wider open door: what goes through it is answered as the open path is."""

    class Wide(Origin):
        def is_open(self, request: Request) -> bool:
            return request.method == "GET" and door(request.path)

        def route(self, request: Request) -> dict[str, str]:
            return {"status": "ok"} if self.is_open(request) else super().route(request)

    return Wide


def compares(fits: Callable[[bytes, bytes], bool]) -> type[Origin]:
    """Make a service that compares in another way."""

    class Compares(Origin):
        def fits(self, secret: bytes, value: bytes) -> bool:
            return fits(secret, value)

    return Compares


def picks(pick: Callable[[list[bytes]], bytes]) -> type[Origin]:
    """Make a service that takes one of several values."""

    class Picks(Origin):
        def values(self, request: Request) -> list[bytes]:
            return [pick(request.all(HEADER))] if request.all(HEADER) else []

    return Picks


def folds(pick: Callable[[list[bytes]], bytes]) -> type[Origin]:
    """Make a service that takes an underscore for a dash, and one of the values that then are there."""

    class Folds(Origin):
        def values(self, request: Request) -> list[bytes]:
            found = [value for name, value in request.fields if name.replace(b"_", b"-") == HEADER]
            return [pick(found)] if found else []

    return Folds


def reads(change: Callable[[bytes], bytes]) -> type[Origin]:
    """Make a service with a lenient parser: it mends a header section before it reads it."""

    class Lenient(Origin):
        def parse(self, head: bytes) -> Request:
            return super().parse(change(head))

    return Lenient


def answers(change: Callable[[dict[str, str], bytes], tuple[dict[str, str], bytes]]) -> type[Origin]:
    """Make a service that refuses in another form."""

    class Answers(Origin):
        def form(self, error: Refused) -> tuple[dict[str, str], bytes]:
            return change(*super().form(error))

    return Answers


def splits(pick: Callable[[list[bytes]], bytes]) -> type[Origin]:
    """Make a service that takes one of several values with commas between them."""

    class Splits(Origin):
        def values(self, request: Request) -> list[bytes]:
            return [pick(value.split(b",")).strip() for value in super().values(request)]

    return Splits


def both(one: type[Origin], other: type[Origin]) -> type[Origin]:
    """Make a service that is wrong in two ways, of which each alone would do no harm."""
    return type("Both", (one, other), {})


def silent_above(size: int) -> type[Origin]:
    """Make a service that hangs up on a header section of some size."""

    class HangsUp(Origin):
        limit = 10_000_000

        def parse(self, head: bytes) -> Request:
            if len(head) > size:
                raise ConnectionError
            return super().parse(head)

    return HangsUp


def limited(size: int) -> type[Origin]:
    """Make a service that takes a header section of some size."""
    return type("Limited", (Origin,), {"limit": size})


def without(*names: str) -> type[Origin]:
    """Make a service that leaves out header fields."""
    return answers(lambda fields, body: ({name: v for name, v in fields.items() if name not in names}, body))


def saying(body: bytes, kind: str = "application/json") -> type[Origin]:
    """Make a service that refuses with another body."""
    return answers(lambda fields, _: ({**fields, "Content-Type": kind}, body))


class ChecksTheOpenPath(Origin):
    def is_open(self, request: Request) -> bool:
        return super().is_open(request) and not request.all(HEADER)


class NeedsASecretToBeWell(Origin):
    def is_open(self, request: Request) -> bool:
        return bool(self.accepted()) and super().is_open(request)


class ClosedDoor(Origin):
    def is_open(self, request: Request) -> bool:
        return False


class UnwellInOtherWords(Origin):
    def route(self, request: Request) -> dict[str, str]:
        return {"ok": "yes"}


class RefusesWhenUnconfigured(Origin):
    def check(self, request: Request) -> None:
        if not self.accepted():
            raise Refused(401, "Invalid secret")
        super().check(request)


class DoesNotStrip(Origin):
    """An empty or blank secret is one."""

    def accepted(self) -> list[bytes]:
        return [os.fsencode(self.environ[name]) for name in ("SHARED_SECRET",) if name in self.environ]

    def check(self, request: Request) -> None:
        if request.get(HEADER) not in [each.strip(b" \t\n") for each in self.accepted()]:
            raise Refused(401, "Invalid secret")


class FallsBackToTheVariable(Origin):
    def secret(self, name: str) -> bytes:
        return super().secret(name) or os.fsencode(self.environ.get(name, ""))


class PreviousIsEnough(Origin):
    def accepted(self) -> list[bytes]:
        return [each for each in map(self.secret, ("SHARED_SECRET", "SHARED_SECRET_PREVIOUS")) if each]


class HeaderFirst(Origin):
    """Looks at the header before it looks at its configuration."""

    def check(self, request: Request) -> None:
        if len(request.all(HEADER)) != 1 or not request.get(HEADER).isascii() or not request.get(HEADER):
            raise Refused(401, "No secret provided")
        super().check(request)


class RoutesFirst(Origin):
    """Answers 404 and 405 before 401."""

    def before(self, request: Request) -> None:
        self.route(request)


class RefusesOldHttp(Origin):
    def before(self, request: Request) -> None:
        if request.version == "HTTP/1.0":
            raise Refused(505)


class LooksAtTheWholeTarget(Origin):
    def is_open(self, request: Request) -> bool:
        return request.target == "/healthz"

    def route(self, request: Request) -> dict[str, str]:
        request.target = request.target.replace("?", "/")
        return super().route(request)


class KnowsLetterCase(Origin):
    def parse(self, head: bytes) -> Request:
        return super().parse(re.sub(rb"x-shared-secret", b"X-Other", head))


class KeepsSpace(Origin):
    def parse(self, head: bytes) -> Request:
        request = super().parse(head)
        raw = re.findall(rb"(?i)\r\nx-shared-secret: ([^\r\n]*)", head + b"\r\n")
        request.fields = [each for each in request.fields if each[0] != HEADER] + [(HEADER, value) for value in raw]
        return request


class LetsInWithoutHeader(Origin):
    """`if header and header != secret`."""

    def check(self, request: Request) -> None:
        if request.get(HEADER):
            super().check(request)


class TextComparison(Origin):
    def values(self, request: Request) -> list[bytes]:
        return [value.decode("ascii").encode() for value in super().values(request)]


class LossyText(Origin):
    def values(self, request: Request) -> list[bytes]:
        return [value.decode("utf-8", "ignore").encode() for value in super().values(request)]


class RemembersTheOldSecret(Origin):
    def accepted(self) -> list[bytes]:
        return [*super().accepted(), b"the-secret-before"]


class ForgetsTheOldSecret(Origin):
    def accepted(self) -> list[bytes]:
        return super().accepted()[:1]


class StaysWithTheOldSecret(Origin):
    def accepted(self) -> list[bytes]:
        return super().accepted()[-1:]


class ReadsTheBodyFirst(Origin):
    async def read_body(self, request: Request, reader: asyncio.StreamReader) -> None:
        if request.all(b"transfer-encoding"):
            await reader.readuntil(b"0\r\n\r\n")
        await reader.readexactly(int(request.get(b"content-length") or 0))


class KnowsTheBodyFirst(Origin):
    async def read_body(self, request: Request, reader: asyncio.StreamReader) -> None:
        if b"json" in request.get(b"content-type"):
            try:
                json.loads(await reader.readexactly(int(request.get(b"content-length"))))
            except ValueError:
                raise Refused(400) from None


class ReadsTrailers(Origin):
    async def read_body(self, request: Request, reader: asyncio.StreamReader) -> None:
        if request.all(b"transfer-encoding"):
            trailer = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n0\r\n")[2]
            request.fields += [
                (name.lower(), value) for name, value in re.findall(rb"(" + NAME + rb"): (.*?)\r\n", trailer)
            ]


class TakesTheBodyForARequest(Origin):
    def stays(self, request: Request) -> bool:
        return request.get(b"connection") == b"keep-alive"


class RemembersTheConnection(Origin):
    """The task is the connection: what was let in once is let in from then on."""

    def __init__(self, environ: Mapping[str, str], folder: Path = Path(), slow: bool = False) -> None:
        super().__init__(environ, folder, slow)
        self.known: set[object] = set()

    def check(self, request: Request) -> None:
        if asyncio.current_task() not in self.known:
            super().check(request)
            self.known.add(asyncio.current_task())


class Overridden(Origin):
    """Takes method and path from header fields."""

    def before(self, request: Request) -> None:
        for name in (b"x-original-url", b"x-rewrite-url", b"x-forwarded-prefix", b"path_info"):
            request.target = (request.get(name) or request.target.encode("latin-1")).decode("latin-1")
        request.method = (request.get(b"x-http-method-override") or request.method.encode()).decode()


class RoutedByHeader(Origin):
    def route(self, request: Request) -> dict[str, str]:
        request.target = (request.get(b"x-original-url") or request.target.encode()).decode("latin-1")
        return super().route(request)


class LosesItsPlace(Origin):
    """Takes SCRIPT_NAME off the path, and answers what is not below it before the check."""

    def before(self, request: Request) -> None:
        script = request.get(b"script_name").decode()
        if script and (not request.path.startswith(script) or request.path == script):
            raise Refused(500)


class RedirectsFirst(Origin):
    def before(self, request: Request) -> None:
        if len(request.path) > 1 and request.path.endswith("/"):
            raise Refused(307, Location=request.path.rstrip("/"))


class AsksBrowsersToLogIn(Origin):
    def before(self, request: Request) -> None:
        if b"text/html" in request.get(b"accept") and not request.all(HEADER):
            raise Refused(302, Location="/login")


class FindsEverything(Origin):
    def route(self, request: Request) -> dict[str, str]:
        return {"message": "Access granted"}


class TellsTheSecret(Origin):
    def form(self, error: Refused) -> tuple[dict[str, str], bytes]:
        fields, _ = super().form(error)
        return fields, json.dumps({"error": error.args[0], "expected": self.environ.get("SHARED_SECRET")}).encode()


class LogsSecrets(Origin):
    def log(self, request: Request, status: int) -> None:
        super().log(request, status)
        if status != 401:
            self.write(f"{request.fields}")


class LogsWhatIsRefused(Origin):
    def log(self, request: Request, status: int) -> None:
        super().log(request, status)
        if status == 401:
            self.write(f"refused: {request.get(HEADER)!r}")


class LogsTheQuery(Origin):
    def log(self, request: Request, status: int) -> None:
        self.write(f"{request.method} {request.target} {status}")


class LogsDecodedPaths(Origin):
    def log(self, request: Request, status: int) -> None:
        for line in unquote(f"{request.method} {request.path} {status}").split("\n"):
            self.write(line)


class OneAtATime(Origin):
    def __init__(self, environ: Mapping[str, str], folder: Path = Path(), slow: bool = False) -> None:
        super().__init__(environ, folder, slow)
        self.turn = asyncio.Semaphore(1)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self.turn:
                await super().connected(reader, writer)
        finally:
            writer.close()


class FiftyAtATime(OneAtATime):
    def __init__(self, environ: Mapping[str, str], folder: Path = Path(), slow: bool = False) -> None:
        super().__init__(environ, folder, slow)
        self.turn = asyncio.Semaphore(50)


class ReadsItsFilesOnce(Origin):
    def secret(self, name: str) -> bytes:
        self.known: dict[str, bytes] = getattr(self, "known", {})
        return self.known.setdefault(name, super().secret(name))


class NeedsOneHost(Origin):
    def frame(self, request: Request) -> None:
        [_] = request.all(b"host")


class AddsUpLengths(Origin):
    def frame(self, request: Request) -> None:
        int(b",".join(request.all(b"content-length")) or 0)


class ExpectsOneFraming(Origin):
    def frame(self, request: Request) -> None:
        assert not (request.all(b"content-length") and request.all(b"transfer-encoding"))
        super().frame(request)


class ExpectsAVersion(Origin):
    def parse(self, head: bytes) -> Request:
        (b"HTTP/1.0", b"HTTP/1.1").index(head.partition(b"\r\n")[0].split(b" ")[2])
        return super().parse(head)


class EndsAtOnce(Origin):
    async def finish(self) -> None:
        os._exit(0)


class KeepsItsPortOpen(Origin):
    def close(self, server: asyncio.Server | socket.socket) -> None:
        pass


class EndsWithAnError(Origin):
    exit_status = 1


class LosesWorkers(Origin):
    replaces = False


class RestartsAllAtOnce(Origin):
    overlaps = False


def unword(value: bytes) -> bytes:
    """Decode an RFC 2047 word."""
    return re.sub(rb"=\?utf-8\?q\?(.*?)\?=", rb"\1", value)


def parameter(request: Request) -> bytes:
    """Return the secret that is a parameter of the query."""
    return request.target.lower().partition("x-shared-secret=")[2].encode() and request.target.split("=", 1)[1].encode()


def after(prefix: bytes, value: bytes) -> bytes:
    """Return what comes after a prefix, or nothing."""
    return value[len(prefix) :] if value.startswith(prefix) else b""


def has_method(method: str, request: Request) -> bool:
    """Return whether a request is of a method."""
    return request.method == method


def decodes(text: str) -> bool:
    """Decode percent-encoded UTF-8, strictly."""
    return unquote(text, errors="strict") == ""


first: Callable[[list[bytes]], bytes] = lambda found: found[0]  # noqa: E731
last: Callable[[list[bytes]], bytes] = lambda found: found[-1]  # noqa: E731
UNCONFIGURED = {
    "unset": RefusesWhenUnconfigured,
    "empty": DoesNotStrip,
    "blank": DoesNotStrip,
    "newline": DoesNotStrip,
    "file-missing": FallsBackToTheVariable,
    "previous-only": PreviousIsEnough,
}
METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO", "get")
DOCS = ("docs", "redoc", "openapi", "schema", "schema-openapi")
Prefix = opens(lambda path: path.startswith("/healthz"))
Normal = opens(lambda path: posixpath.normpath(unquote(path)) == "/healthz")
OpenToAllMethods = lets_in(lambda request: request.path == "/healthz")
OpenDocs = lets_in(lambda request: re.match(r"/(docs|redoc|schema|openapi)", request.path))
NotAPath = lets_in(lambda request: not request.target.startswith("/"))
DecodesWords = fails_at(lambda request: any(b"=?" in value for _, value in request.fields))
ParsesBodies = fails_at(lambda request: request.all(b"content-type"))
DecodesPaths = fails_at(lambda request: decodes(request.path))
DecodesRoots = fails_at(lambda request: not request.get(b"x-vhm-root").isascii())
AnyValue = compares(lambda secret, value: True)
CountsFields = fails_at(lambda request: len(request.fields) > 100)
Endless = limited(1_000_000_000)

# For the name of every case, the service that was made to fail it.
BROKEN: dict[str, type[Origin]] = {
    "open/alone": ClosedDoor,
    "open/wrong-secret": ChecksTheOpenPath,
    "open/query": LooksAtTheWholeTarget,
    "open/odd-query": fails_at(lambda request: "self=" in request.target),
    "open/HTTP-1.0": RefusesOldHttp,
    "open/absolute-form": fails_at(lambda request: "://" in request.target),
    "open/unknown-charset": DecodesWords,
    "open/virtual-root": DecodesRoots,
    "open/body": UnwellInOtherWords,
    **{f"config/{state}-open": NeedsASecretToBeWell for state in UNCONFIGURED},
    **{
        f"config/{state}-{sent}": service
        for state, service in UNCONFIGURED.items()
        for sent in ("missing", "empty", "secret", "previous")
    },
    "config/first-blank": HeaderFirst,
    "config/first-wrong": RefusesWhenUnconfigured,
    "config/first-byte-0xe9": HeaderFirst,
    "config/first-twice": HeaderFirst,
    "config/first-unknown": RoutesFirst,
    "config/first-method": RoutesFirst,
    "config/first-docs": OpenDocs,
    "config/first-near-open": Prefix,
    "config/first-body": KnowsTheBodyFirst,
    "auth/right": compares(lambda secret, value: False),
    "auth/right-and-query": LooksAtTheWholeTarget,
    "auth/right-and-odd-query": fails_at(lambda request: "self=" in request.target),
    "auth/right-HTTP-1.0": RefusesOldHttp,
    "auth/right-body": UnwellInOtherWords,
    "auth/name-in-lower-case": KnowsLetterCase,
    "auth/space-around": KeepsSpace,
    "auth/missing": LetsInWithoutHeader,
    "auth/missing-HTTP-1.0": lets_in(lambda request: request.version == "HTTP/1.0"),
    "auth/empty": LetsInWithoutHeader,
    "auth/blank": LetsInWithoutHeader,
    "auth/wrong": AnyValue,
    "auth/secret-less-a-byte": compares(lambda secret, value: secret.startswith(value)),
    "auth/secret-less-its-first-byte": compares(lambda secret, value: secret.endswith(value)),
    "auth/secret-plus-a-byte": compares(lambda secret, value: value.startswith(secret)),
    "auth/letter-case": compares(lambda secret, value: secret.lower() == value.lower()),
    "auth/quoted": compares(lambda secret, value: secret == value.strip(b'"')),
    "auth/bearer": compares(lambda secret, value: secret == value.removeprefix(b"Bearer ")),
    "auth/rfc-2047-word": compares(lambda secret, value: secret == unword(value)),
    "auth/previous": RemembersTheOldSecret,
    "auth/in-query": presented(parameter),
    "auth/in-cookie": presented(lambda request: after(b"X-Shared-Secret=", request.get(b"cookie"))),
    "auth/in-authorization": presented(lambda request: after(b"Bearer ", request.get(b"authorization"))),
    "auth/in-trailer": ReadsTrailers,
    "auth/in-trailer-of-post": both(ReadsTrailers, FindsEverything),
    "deny/HEAD-protected": lets_in(lambda request: request.method == "HEAD"),
    **{f"deny/{method}-protected": lets_in(partial(has_method, method)) for method in METHODS},
    **{f"deny/{method}-open": OpenToAllMethods for method in ("HEAD", *METHODS)},
    **{f"deny/path-{name}": OpenDocs for name in DOCS},
    **{f"deny/path-{name}": RoutesFirst for name in ("root", "unknown", "favicon")},
    "deny/path-not-utf-8": DecodesPaths,
    "deny/path-protected-slash": RedirectsFirst,
    "deny/absolute-form": NotAPath,
    "deny/absolute-form-other-host": NotAPath,
    "deny/CONNECT-authority": NotAPath,
    "deny/asterisk-form": NotAPath,
    "deny/preflight": lets_in(lambda request: request.method == "OPTIONS" and request.all(b"origin")),
    "deny/websocket": lets_in(lambda request: request.all(b"upgrade")),
    "deny/body-not-sent": ReadsTheBodyFirst,
    "deny/chunks-not-sent": ReadsTheBodyFirst,
    "deny/bad-json": KnowsTheBodyFirst,
    "deny/wrong-secret-unknown": RoutesFirst,
    "deny/open-slash-after": Prefix,
    "deny/open-slash-before": opens(lambda path: re.sub("/+", "/", path) == "/healthz"),
    "deny/open-nul": opens(lambda path: path.partition("%00")[0] == "/healthz"),
    "deny/open-space": opens(lambda path: unquote(path).strip() == "/healthz"),
    "deny/open-not-utf-8": opens(lambda path: unquote(path, errors="ignore") == "/healthz"),
    "deny/open-parameter": opens(lambda path: path.partition(";")[0] == "/healthz"),
    "deny/open-encoded-query": opens(lambda path: unquote(path).partition("?")[0] == "/healthz"),
    "deny/open-suffix": Prefix,
    "deny/open-letter-case": opens(lambda path: path.lower() == "/healthz"),
    "deny/open-below": Prefix,
    "deny/open-above": opens(lambda path: path.endswith("/healthz")),
    "deny/open-dots-to-protected": Prefix,
    "deny/open-encoded-dots-to-protected": Prefix,
    "deny/open-dot": Normal,
    "deny/open-dots": Normal,
    "deny/method-override": Overridden,
    "deny/original-url": Overridden,
    "deny/rewrite-url": Overridden,
    "deny/forwarded-prefix": Overridden,
    "deny/path-info": Overridden,
    "deny/script-name": LosesItsPlace,
    "deny/script-name-elsewhere": LosesItsPlace,
    "deny/moved-from-open": RoutedByHeader,
    "deny/forwarded-for": lets_in(lambda request: request.get(b"x-forwarded-for") == b"127.0.0.1"),
    "deny/forwarded": lets_in(lambda request: b"for=127.0.0.1" in request.get(b"forwarded")),
    "deny/forwarded-host": lets_in(lambda request: request.get(b"x-forwarded-host") == b"localhost"),
    "deny/real-ip": lets_in(lambda request: request.get(b"x-real-ip") == b"127.0.0.1"),
    "deny/pipelined": RemembersTheConnection,
    "deny/body-is-no-request": TakesTheBodyForARequest,
    "wire/right-twice": picks(first),
    "wire/right-then-wrong": picks(first),
    "wire/wrong-then-right": picks(last),
    "wire/right-then-empty": picks(first),
    "wire/empty-then-right": picks(last),
    "wire/joined-right-twice": splits(first),
    "wire/joined-right-then-wrong": splits(first),
    "wire/joined-wrong-then-right": splits(last),
    "wire/underscores": folds(first),
    "wire/half-underscores": folds(first),
    "wire/underscores-after-wrong": folds(last),
    "wire/underscores-before-wrong": folds(first),
    "wire/half-underscores-after-wrong": folds(last),
    "wire/wrong-underscores-after-right": fails_at(lambda request: request.all(b"x_shared_secret")),
    "wire/byte-0xe9": TextComparison,
    "wire/right-and-0xe9": LossyText,
    "wire/utf-8": TextComparison,
    "wire/not-utf-8": TextComparison,
    "wire/nul": reads(lambda head: head.replace(b"\0", b"")),
    "wire/folded": reads(lambda head: re.sub(rb"\r\n[ \t][^\r]*", b"", head)),
    "wire/space-before-colon": reads(lambda head: head.replace(b" :", b":")),
    "wire/no-colon": reads(lambda head: re.sub(rb"(?i)(\r\nx-shared-secret) ", rb"\1: ", head)),
    "wire/bare-lf": both(reads(lambda head: re.sub(rb"(?<!\r)\n", b"\r\n", head)), picks(last)),
    "wire/bare-cr": both(reads(lambda head: re.sub(rb"\r(?!\n)", b"\r\n", head)), picks(last)),
    "wire/8-KB": silent_above(7_000),
    "wire/64-KB": silent_above(60_000),
    "wire/1-MB": silent_above(900_000),
    "wire/200-fields": CountsFields,
    "wire/no-host": NeedsOneHost,
    "wire/two-hosts": NeedsOneHost,
    "wire/length-twice": AddsUpLengths,
    "wire/length-not-a-number": AddsUpLengths,
    "wire/length-and-chunks": ExpectsOneFraming,
    "wire/version": ExpectsAVersion,
    "wire/no-version": ExpectsAVersion,
    "wire/unknown-transfer-encoding": fails_at(lambda request: request.get(b"transfer-encoding") == b"odd"),
    "wire/unknown-charset": DecodesWords,
    "wire/bad-path-right": DecodesPaths,
    "wire/form-charset-right": ParsesBodies,
    "wire/form-bytes-right": ParsesBodies,
    "wire/no-boundary-right": ParsesBodies,
    "wire/half-json-right": ParsesBodies,
    "wire/odd-type-right": ParsesBodies,
    "wire/no-host-right": NeedsOneHost,
    "wire/odd-host-right": fails_at(lambda request: b"[" in request.get(b"host")),
    "wire/odd-cookie-right": fails_at(lambda request: not request.get(b"cookie").isascii()),
    "wire/bad-query-right": fails_at(lambda request: decodes(request.target)),
    "wire/unknown-charset-right": DecodesWords,
    "wire/bad-base64-right": DecodesWords,
    "wire/word-in-text-right": DecodesWords,
    "wire/virtual-root-right": DecodesRoots,
    "wire/HEAD-right": fails_at(lambda request: request.method == "HEAD"),
    "wire/OPTIONS-right": fails_at(lambda request: request.method == "OPTIONS"),
    "wire/slash-right": fails_at(lambda request: request.path.endswith("/")),
    "wire/200-fields-right": CountsFields,
    "errors/not-found": FindsEverything,
    "errors/no-method": FindsEverything,
    "errors/accept-html": AsksBrowsersToLogIn,
    "errors/challenge": without("WWW-Authenticate"),
    "errors/no-secret": TellsTheSecret,
    "errors/no-traceback": saying(b'{"error": "Traceback (most recent call last): ..."}'),
    "errors/no-file-path": saying(b'{"error": "in /srv/app/main.py, line 1"}'),
    "errors/no-version": saying(b'{"error": "Express/4.18"}'),
    "errors/json": saying(b"Unauthorized", "text/plain"),
    "errors/words": saying(b'{"error": "no"}'),
    "errors/no-store": without("Cache-Control"),
    "load/endless-value": Endless,
    "load/endless-lines": Endless,
    "load/endless-target": Endless,
    "load/memory": limited(48_000_000),
    "load/slow-client": OneAtATime,
    "load/slow-clients": FiftyAtATime,
    "rotate/new": StaysWithTheOldSecret,
    "rotate/old": ForgetsTheOldSecret,
    "rotate/other": AnyValue,
    "rotate/both": picks(first),
    "rotate/twice": picks(first),
    "rotate/files": ReadsItsFilesOnce,
    "rotate/workers": RestartsAllAtOnce,
    "stop/in-flight": EndsAtOnce,
    "stop/on-its-way": EndsAtOnce,
    "stop/port-closed": KeepsItsPortOpen,
    "stop/exit-status": EndsWithAnError,
    "stop/worker-killed": LosesWorkers,
    "leak/own-secret": LogsSecrets,
    "leak/presented-secret": LogsWhatIsRefused,
    "leak/query": LogsTheQuery,
    "leak/forged-line": LogsDecodedPaths,
}


@contextmanager
def served(service: Origin) -> Iterator[int]:
    """Serve in this process, on a thread with an event loop, and give the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)  # so that an interrupt ends everything
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(service.connected, "127.0.0.1", 0)

    async def stop() -> None:
        server.close()
        await asyncio.sleep(0.001)  # until what was accepted has its task
        for writer in service.connections:
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.001)  # until the connections are closed

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def work(service: Origin, listener: socket.socket) -> int:
    """Start a worker, which serves until SIGTERM and then answers what it has accepted; return its process id."""
    if worker := os.fork():
        return worker

    async def serve() -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        server = await asyncio.start_server(service.connected, sock=listener)
        await stopped.wait()
        service.close(server)
        await service.finish()

    asyncio.run(serve())
    os._exit(0)


def ended() -> set[int]:
    """Return the workers that have ended since this was last asked."""
    found = set()
    with suppress(ChildProcessError):
        while worker := os.waitpid(-1, os.WNOHANG)[0]:
            found.add(worker)
    return found


def supervise(service: Origin) -> None:
    """Keep WEB_CONCURRENCY workers, replace them all on SIGHUP, end with them on SIGTERM."""
    signals = {signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    address = os.environ["HOST"], int(os.environ["PORT"])
    listener = socket.create_server(address)
    count = int(os.environ.get("WEB_CONCURRENCY", 1))
    workers = {work(service, listener) for _ in range(count)}
    while (number := signal.sigwait(signals)) != signal.SIGTERM:
        if number == signal.SIGHUP:
            old, workers = workers, set()
            if service.overlaps:
                workers = {work(service, listener) for _ in range(count)}
            for worker in old:
                os.kill(worker, signal.SIGTERM)
            if not service.overlaps:
                listener.close()
                time.sleep(0.5)
                listener = socket.create_server(address)
        workers -= ended()
        while len(workers) < count and (service.replaces or number == signal.SIGHUP):
            workers.add(work(service, listener))
    service.close(listener)
    for worker in workers:
        os.kill(worker, signal.SIGTERM)
    with suppress(ChildProcessError):
        while os.wait():
            pass
    sys.exit(service.exit_status)


if __name__ == "__main__":
    member, name, state = sys.argv[1:]
    chosen = (BROKEN[name] if member == "broken" else Origin)(os.environ, slow=state == "slow")
    chosen.aloud = True
    supervise(chosen)
