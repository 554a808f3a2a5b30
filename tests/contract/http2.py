"""HTTP/2 (RFC 9113): the requests of HTTP/1.1 that have a meaning in it, asked on connections of their own."""

import re
import socket
import ssl
from email.message import Message

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from .http1 import DEADLINE, Address, Response

Fields = list[tuple[bytes, bytes]]
NAME = rb"[a-z0-9!#$%&'*+.^_`|~-]+"
OF_A_CONNECTION = set(b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade".split())
LONGEST = 30_000  # bytes of a header section: more is up to the limit that a server states (RFC 9113 section 6.5.2)
UPGRADE = (b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings")


class NotSpokenError(Exception):
    """A service does not speak HTTP/2."""


class ResetError(ConnectionError):
    """A service has ended the stream of a request instead of answering it."""


def converted(sent: bytes, scheme: bytes = b"http") -> tuple[Fields, bytes] | None:
    """Return the fields and the body of a request of HTTP/1.1 in HTTP/2, or None where it has no meaning there."""
    head, _, body = sent.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    start = re.fullmatch(rb"([!-~]+) (/[!-~]*|\*) HTTP/1\.1", first)
    found = [re.fullmatch(rb"([!-9;-~]+):[ \t]*([^\r\n\0]*?)[ \t]*", line) for line in lines]
    fields = [(field[1].lower(), field[2]) for field in found if field and field[0] != b"Connection: close"]
    names = [name for name, _ in fields]
    if not start or not all(found) or names.count(b"host") != 1 or start[1] == b"CONNECT" or len(head) > LONGEST:
        return None
    if OF_A_CONNECTION & set(names) or not all(re.fullmatch(NAME, name) for name in names):
        return None
    if [value for name, value in fields if name == b"content-length"] not in ([], [b"%d" % len(body)]):
        return None
    host = dict(fields)[b"host"]
    pseudo = [(b":method", start[1]), (b":scheme", scheme), (b":authority", host), (b":path", start[2])]
    return pseudo + [field for field in fields if field[0] != b"host"], body


def client() -> H2Connection:
    """Return the state of a client's connection."""
    return H2Connection(H2Configuration(client_side=True, header_encoding=None))


def exchange(address: Address, fields: Fields, body: bytes = b"", deadline: float = DEADLINE) -> Response:
    """Ask on a connection of its own; raises NotSpokenError where the service chooses HTTP/1.1, else as http1 does."""
    state = client()
    with address.connect(deadline, "h2", "http/1.1") as connection:
        if isinstance(connection, ssl.SSLSocket) and connection.selected_alpn_protocol() != "h2":
            raise NotSpokenError
        state.initiate_connection()
        state.send_headers(1, fields, end_stream=not body)
        if body:
            state.send_data(1, body, end_stream=True)
        return response(connection, state)


def upgraded(address: Address, sent: bytes, deadline: float = DEADLINE) -> tuple[int, bool]:
    """Ask a connection of HTTP/1.1 to change to HTTP/2, by a request with HTTP2-Settings to be filled in (`%s`).

    Return the status code of the answer, and whether it came after the change.
    """
    state = client()
    settings = state.initiate_upgrade_connection() or b""
    head = b""
    with address.connect(deadline) as connection:
        connection.sendall(sent.replace(b"%s", settings.rstrip(b"=")))
        while b"\r\n\r\n" not in head:
            if not (piece := connection.recv(65_536)):
                raise ConnectionError("the connection ends before the answer")
            head += piece
        status = int(head.partition(b" ")[2][:3])
        if status != 101:
            return status, False
        return response(connection, state, head.partition(b"\r\n\r\n")[2]).status, True


def response(connection: socket.socket, state: H2Connection, received: bytes = b"") -> Response:
    """Send what is due, and read the answer on the first stream; some of it may be received already."""
    headers, body = Message(), b""
    while True:
        try:
            events: list[Event] = state.receive_data(received) if received else []
        except ProtocolError as error:
            raise ConnectionError(f"what comes is not HTTP/2: {error}") from error
        for event in events:
            if isinstance(event, ResponseReceived):
                for name, value in event.headers or ():
                    headers[as_text(name)] = as_text(value)
            elif isinstance(event, DataReceived):
                body += event.data or b""
                state.acknowledge_received_data(event.flow_controlled_length or 0, 1)
            elif isinstance(event, StreamEnded):
                return Response(int(headers[":status"]), headers, body)
            elif isinstance(event, StreamReset | ConnectionTerminated):
                raise ResetError(f"error code {event.error_code}")
        connection.sendall(state.data_to_send())
        if not (received := connection.recv(65_536)):
            raise ConnectionError("the connection ends before the answer")


def as_text(value: bytes | str) -> str:
    """Return the name or the value of a field as text."""
    return value if isinstance(value, str) else value.decode("latin-1")
