"""HTTP/1.1 as bytes, for requests that no HTTP client would send."""

import http.client
import json
import select
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from functools import cache
from typing import Any, NamedTuple

DEADLINE = 30.0  # seconds of silence that count as no answer
NO_ANSWER = (OSError, http.client.HTTPException)  # what `exchange` raises where none comes


class Address(NamedTuple):
    """Where a service listens; `name` is the host that it is asked for, if that is another one."""

    host: str
    port: int
    tls: bool = False
    name: str | None = None

    def __str__(self) -> str:
        """Return it in the form of a Host field (RFC 9110 section 7.2)."""
        return self.name or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")

    @property
    def server_name(self) -> str:
        """The name in TLS (RFC 6066 section 3): that of the Host field, without a port."""
        return self.name.partition(":")[0] if self.name else self.host

    def connect(self, deadline: float = DEADLINE, *protocols: str) -> socket.socket:
        """Open a connection to it; silence on it is a TimeoutError after the deadline. TLS offers the protocols."""
        connection = socket.create_connection((self.host, self.port), deadline)
        if not self.tls:
            return connection
        return tls_context(protocols).wrap_socket(connection, server_hostname=self.server_name)


@cache
def tls_context(protocols: tuple[str, ...]) -> ssl.SSLContext:
    """Return how TLS is spoken, offering protocols; certificates take long to read."""
    context = ssl.create_default_context()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@dataclass(frozen=True)
class Response:
    """What came back: status code, header fields, body."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON, or None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def __str__(self) -> str:
        lines = [str(self.status), *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\n".join([*lines, "", self.body[:1000].decode(errors="backslashreplace")])


def request(
    target: str,
    *fields: bytes,
    method: str = "GET",
    version: str = "HTTP/1.1",
    host: bytes | None = b"Host: <host>",
    connection: bytes = b"Connection: close",
    body: bytes = b"",
) -> bytes:
    """Return a request as bytes; fields are whole header lines without their end."""
    lines = [f"{method} {target} {version}".encode(), *([host] if host else []), *fields, connection]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def send(connection: socket.socket, sent: bytes) -> None:
    """Send bytes until an answer begins: a service that refuses early may close the connection and lose the answer."""
    rest = memoryview(sent)
    readable = 0 if isinstance(connection, ssl.SSLSocket) else select.POLLIN  # TLS has more to read than answers
    ready = select.poll()
    ready.register(connection, readable | select.POLLOUT)
    with suppress(OSError):
        while rest:
            if [event for _, event in ready.poll(1000 * DEADLINE)] != [select.POLLOUT]:
                return
            rest = rest[connection.send(rest[:16_384]) :]


def respond(connection: socket.socket, sent: bytes) -> Response:
    """Send bytes on a connection and read one response; raises one of NO_ANSWER where none comes."""
    send(connection, sent)
    response = http.client.HTTPResponse(connection, method=sent.split(b" ", 1)[0].decode("latin-1").upper())
    response.begin()
    body = b""
    with suppress(ConnectionError):  # who refuses early may end the connection before all of the answer is read
        body = response.read()
    return Response(response.status, response.headers, body)


def exchange(address: Address, sent: bytes, deadline: float = DEADLINE) -> Response:
    """Send bytes on a connection of their own and read one response; raises one of NO_ANSWER where none comes."""
    with address.connect(deadline) as connection:
        return respond(connection, sent)


def conversation(address: Address, sent: bytes, deadline: float) -> bytes:
    """Send bytes and return all that comes back until the service ends the connection, or is silent."""
    received = b""
    with address.connect(deadline) as connection:
        send(connection, sent)
        with suppress(OSError):  # what was read before a time-out or a reset counts
            while piece := connection.recv(65_536):
                received += piece
    return received
