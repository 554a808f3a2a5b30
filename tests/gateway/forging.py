"""Attempts to forge the fields that only the gateway may send, and a naive gateway that falls for every one."""

import re
import socket
from contextlib import suppress
from itertools import product

from shared.app.shared_secret import HEADER
from tests.contract.http1 import Address, request
from tests.gateway.origin import RecordingOrigin
from tests.gateway.runner import FIELD, KEY, get, post

SET = (HEADER.lower(), "x-consumer", "x-request-id", "x-forwarded-for", "x-forwarded-proto")  # by the gateway
RESERVED = re.compile(
    HEADER.lower()
    + r"|x-consumer|x-request-id|forwarded|x-forwarded.*|x-real-ip|(proxy-)?authorization|upgrade|http2-settings"
)
CHUNKED = b"Transfer-Encoding: chunked"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\nX-Consumer: forged\r\n\r\n"


def spellings(name: str) -> list[str]:
    """Return a field's name with a dash or an underscore in each place where it has a dash."""
    first, *rest = name.split("-")
    marks = product("-_", repeat=len(rest))
    return [first + "".join(mark + word for mark, word in zip(some, rest, strict=True)) for some in marks]


def forged(received: list[bytes], secret: str, consumer: str) -> list[str]:
    """Return the problems that a lenient server could find in the requests that an origin received for one attempt."""
    problems = []
    for number, one in enumerate(received):
        head, _, rest = one.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: *(\d+)\r?\n", head + b"\r\n", re.IGNORECASE)
        after = rest[int(length[1]) :] if length and b"transfer-encoding" not in head.lower() else rest
        found: dict[str, list[str]] = {}
        for line in re.split(r"[\r\n\0\v\f]+", (head + b"\r\n" + after).decode("latin-1")):
            name, colon, value = line.partition(":")
            name = name.strip().lower().replace("_", "-")
            if colon and RESERVED.fullmatch(name):
                found.setdefault(name, []).append(value.strip())
            if name == "connection" and value.strip().lower() not in ("close", "keep-alive"):
                problems.append(line)
        expected = {HEADER.lower(): secret, "x-consumer": consumer}
        problems += [f"{name}: {found.get(name)}" for name, value in expected.items() if found.get(name) != [value]]
        problems += [f"{name}: {value}" for name, value in found.items() if "forged" in str(value)]
        problems += [f"{name} is there" for name in found if name not in SET]
        if number > 0:
            problems.append("there is more than one request")
    return problems


class Relay(RecordingOrigin):
    """A naive gateway: it adds its fields at the end of the header section, and forwards the rest as it came."""

    def __init__(self, origin: RecordingOrigin, secret: str, consumer: str) -> None:
        super().__init__()
        self.origin, self.fields = origin, f"{HEADER}: {secret}\r\nX-Consumer: {consumer}\r\n".encode()

    def handle(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.settimeout(0.3)
            received = b""
            with suppress(TimeoutError):
                while piece := connection.recv(65_536):
                    received += piece
            head, _, rest = received.replace(b"%0d%0a", b"\r\n").partition(b"\r\n\r\n")
            with Address("127.0.0.1", self.origin.port).connect() as forward:
                forward.sendall(head.replace(b" /falcon", b" ", 1) + b"\r\n" + self.fields + b"\r\n" + rest)
                forward.shutdown(socket.SHUT_WR)
                while piece := forward.recv(65_536):
                    connection.sendall(piece)


FIELDS = [
    *(spelling.encode() for spelling in spellings(HEADER)),
    *(FIELD.lower(), FIELD.upper().replace(b"-", b"_"), b"X-Consumer", b"X_Consumer", b"x-consumer", b"X_CONSUMER"),
    *(b"X-Request-Id", b"X_Request_ID", b"Forwarded", b"X-Forwarded-For", b"X_Forwarded_For", b"X-Forwarded_For"),
    *(b"X-Forwarded-Proto", b"X_Forwarded_Proto", b"X-Forwarded-Host", b"X_FORWARDED_PREFIX", b"X-Real-IP"),
    *(b"X_Real_IP", b"Proxy-Authorization"),
]
END = b"0\r\n\r\n"
TRAILERS = (FIELD, b"X-Consumer", b"X_Consumer", b"X-Forwarded-For")
ATTEMPTS = {
    **{f"field {name.decode()}": get(name + b": forged") for name in FIELDS},
    **{f"trailer {name.decode()}": post(CHUNKED, body=b"0\r\n%b: forged\r\n\r\n" % name) for name in TRAILERS},
    "announced trailer": post(CHUNKED, b"Trailer: X-Consumer", body=b"0\r\nX-Consumer: forged\r\n\r\n"),
    "twice": get(b"X-Consumer: forged", b"X-Consumer: forged"),
    "both spellings": get(b"X-Consumer: forged", b"X_Consumer: forged"),
    "empty, then not": get(FIELD + b":", FIELD + b": forged"),
    "list": get(b"X-Consumer: a, forged"),
    "before the key": request("/falcon/protected", b"X-Consumer: forged", KEY),
    "listed secret": get(connection=b"Connection: close, " + FIELD),
    "listed consumer": get(connection=b"Connection: X-Consumer"),
    "listed in lower case": get(connection=b"connection: keep-alive, x-consumer, " + FIELD.lower()),
    "listed in a second field": get(b"Connection: " + FIELD),
    "h2c": get(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk", connection=b"Connection: Upgrade, HTTP2-Settings"),
    "HTTP/2 without an upgrade": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nX-Consumer: forged\r\n\r\n",
    "folded": get(b"X-Other: a\r\n X-Consumer: forged"),
    "folded by a tab": get(b"X-Other: a\r\n\tX-Consumer: forged"),
    "folded value": get(b"X-Consumer:\r\n forged"),
    "folded name": get(b"X-Other: a", b" X-Consumer: forged"),
    "folded first line": b"GET /falcon/protected HTTP/1.1\r\n X-Consumer: forged\r\n" + get().split(b"\r\n", 1)[1],
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
    "negative length": post(b"Content-Length: -1", body=SMUGGLED),
    "length in hex": post(b"Content-Length: 0x0", body=SMUGGLED),
    "length of more than 64 bits": post(b"Content-Length: 18446744073709551616", body=SMUGGLED),
    "length with an underscore": post(b"Content_Length: 99", body=SMUGGLED),
    "chunk with an extension": post(CHUNKED, body=b"1;a=\nb\r\nx\r\n" + END + SMUGGLED),
    "chunk without a size": post(CHUNKED, body=b"\r\n" + END + SMUGGLED),
    "no length": post(body=SMUGGLED),
}  # fmt: skip
