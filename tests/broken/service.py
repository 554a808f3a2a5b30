"""A service that meets the contract, step by step, so that a defect can override one of the steps."""

import asyncio
import hmac
import json
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from tests.contract.target import Target

NAME = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
HEADER = Target.header.lower().encode()
PREFACE = b"PRI * HTTP/2.0"  # RFC 9113 section 3.4
Answer = tuple[int, dict[str, str], bytes]  # status code, header fields, body


@dataclass
class Request:
    """A request: its line, the header fields in their order with names in lower case."""

    method: str
    target: str
    version: str
    fields: list[tuple[bytes, bytes]]

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def all(self, name: bytes) -> list[bytes]:
        """Return the values of a field."""
        return [value for field, value in self.fields if field == name]

    def get(self, name: bytes) -> bytes:
        """Return the first value of a field, or nothing."""
        return next(iter(self.all(name)), b"")


class Refused(Exception):  # noqa: N818 - an answer rather than an error
    """A request is answered at once, with a status code and words."""

    def __init__(self, status: int, message: str = "Bad request", **fields: str) -> None:
        super().__init__(message)
        self.status, self.fields = status, fields


def server() -> H2Connection:
    """Return the state of a server's connection of HTTP/2."""
    return H2Connection(H2Configuration(client_side=False, header_encoding=None))


class CarefulService:
    """Correct in everything. A defect overrides one of these steps."""

    header, protected, open = HEADER, "/protected", "/healthz"
    limit = 32_768  # bytes of a header section
    replaces = True  # a worker that died
    overlaps = True  # the new workers with the old ones, in a restart
    stopping = False
    exit_status = 0
    aloud = False  # whether the log goes to the standard output too

    def __init__(self, environ: Mapping[str, str], folder: Path = Path(), slow: bool = False) -> None:
        self.environ, self.folder, self.slow = environ, folder, slow
        self.lines: list[str] = []
        self.connections: set[asyncio.StreamWriter] = set()
        self.idle: set[asyncio.StreamWriter] = set()

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
        """Return every secret that is accepted."""
        current, previous = self.secret("SHARED_SECRET"), self.secret("SHARED_SECRET_PREVIOUS")
        return [secret for secret in (current, previous) if secret] if current else []

    # What is accepted

    def is_open(self, request: Request) -> bool:
        """Return whether this request needs no secret."""
        return (request.method, request.path) == ("GET", self.open)

    def values(self, request: Request) -> list[bytes]:
        """Return the values presented as the secret."""
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

    def route(self, request: Request) -> dict[str, str]:
        """Answer an accepted request."""
        if (request.method, request.path) == ("GET", self.open):
            return {"status": "ok"}
        if request.path != self.protected:
            raise Refused(404, "Not found")
        if request.method != "GET":
            raise Refused(405, "Method not allowed")
        return {"message": "Access granted"}

    # What is answered

    def form(self, error: Refused) -> tuple[dict[str, str], bytes]:
        """Return the header fields and the body of a refusal."""
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
        """Refuse a request without exactly one Host, or without a clear length."""
        lengths, chunked = request.all(b"content-length"), request.all(b"transfer-encoding")
        if len(request.all(b"host")) != 1 and request.version == "HTTP/1.1":
            raise Refused(400)
        if len(lengths) > 1 or (lengths and (chunked or not lengths[0].isdigit())):
            raise Refused(400)

    async def read_body(self, request: Request, reader: asyncio.StreamReader) -> None:
        """Read nothing of the body before the check; a connection on which a body would follow is closed."""

    def stays(self, request: Request) -> bool:
        """Return whether the connection is for more than this request."""
        last = self.stopping or request.all(b"content-length") or request.all(b"transfer-encoding")
        return request.version == "HTTP/1.1" and request.get(b"connection") == b"keep-alive" and not last

    async def answer(self, request: Request) -> dict[str, str]:
        """Answer a request, or refuse it."""
        self.before(request)
        if not self.is_open(request):
            self.check(request)
        answer = self.route(request)
        if self.slow and request.path == "/protected":
            self.write("in flight")
            await asyncio.sleep(2)
        return answer

    async def respond(self, request: Request, reader: asyncio.StreamReader) -> Answer:
        """Answer a request in any case."""
        try:
            await self.read_body(request, reader)
            answer = 200, {"Content-Type": "application/json"}, json.dumps(await self.answer(request)).encode()
        except Exception as error:
            if isinstance(error, asyncio.IncompleteReadError | ConnectionError):
                raise
            answer = self.refusal(error)
        self.log(request, answer[0])
        return answer

    def refusal(self, error: Exception) -> Answer:
        """Return the answer to a request that is refused, or that made something fail."""
        refused = error if isinstance(error, Refused) else Refused(500, f"{type(error).__name__}")
        return refused.status, *self.form(refused)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection is for more."""
        request = Request("", "", "", [])
        try:
            self.idle.add(writer)
            begin = await reader.readexactly(1)
            self.idle.discard(writer)
            head = begin + await self.read_head(reader)
            if head == PREFACE:
                await self.serve_http2(reader, writer)
                return False
            request = self.parse(head)
            if await self.changes(request, writer):
                return False
            status, fields, body = await self.respond(request, reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        except Exception as error:
            status, fields, body = self.refusal(error)
            self.log(request, status)
        lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in fields.items())]
        lines.append(f"Content-Length: {len(body)}")
        if not self.stays(request):
            lines.append("Connection: close")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        writer.write(head + (b"" if request.method == "HEAD" else body))
        await writer.drain()
        return self.stays(request)

    async def changes(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Return whether the connection has changed to another protocol: it never does."""
        return False

    async def serve_http2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection that is HTTP/2 from its first byte on."""
        state = server()
        state.initiate_connection()
        received = PREFACE + b"\r\n\r\n"
        while received:
            for event in state.receive_data(received):
                if isinstance(event, RequestReceived):
                    await self.answer_stream(state, event.stream_id or 0, event.headers or [], reader)
            writer.write(state.data_to_send())
            await writer.drain()
            received = await reader.read(65_536)

    async def answer_stream(
        self, state: H2Connection, stream: int, headers: Sequence[tuple[bytes, bytes]], reader: asyncio.StreamReader
    ) -> None:
        """Answer a request of HTTP/2."""
        fields = dict(headers)
        method, target = (fields[name].decode("latin-1") for name in (b":method", b":path"))
        request = Request(method, target, "HTTP/2", [field for field in headers if field[0][:1] != b":"])
        status, answered, body = await self.respond(request, reader)
        lines = [(name.lower(), value) for name, value in answered.items()]
        state.send_headers(stream, [(":status", str(status)), *lines], end_stream=method == "HEAD")
        if method != "HEAD":
            state.send_data(stream, body, end_stream=True)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        self.connections.add(writer)
        try:
            while await self.serve(reader, writer):
                pass
            writer.write_eof()
            await asyncio.wait_for(self.linger(reader), 1)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.connections.discard(writer)
            self.idle.discard(writer)

    async def linger(self, reader: asyncio.StreamReader) -> None:
        """Discard what still comes: what is not read would reset the connection, and lose the answer."""
        while await reader.read(65_536):
            pass

    # How it stops

    def close(self, server: asyncio.Server | socket.socket) -> None:
        """Take no new connections."""
        server.close()

    async def finish(self) -> None:
        """Wait until all that was accepted is answered."""
        self.stopping = True
        await asyncio.sleep(0.2)
        self.end_idle()
        while self.connections:
            await asyncio.sleep(0.05)

    def end_idle(self) -> None:
        """Close the connections on which no request has begun."""
        for writer in self.idle:
            writer.close()
