"""An origin that keeps every request byte for byte, for tests that look at what reaches an origin."""

import queue
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from tests.contract.http1 import DEADLINE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class RecordingOrigin:
    """An origin that keeps every request byte for byte, and gives the same answer to each."""

    def __init__(self) -> None:
        self.answer: bytes | None = OK  # with None it stays silent
        self.events: queue.SimpleQueue[bytes] | None = (
            None  # what is sent after the answer, as it comes, to an empty one
        )
        self.received: list[bytes] = []
        origin = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                origin.handle(self.request)

        class Server(socketserver.ThreadingTCPServer):
            request_queue_size = 1000  # for tests with many connections at once

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]

    def handle(self, connection: socket.socket) -> None:
        """Read a request, answer it, and read on until the connection ends: nothing more should come."""
        with suppress(OSError):
            connection.settimeout(DEADLINE)
            received = connection.recv(65_536)
            if received.startswith(b"GET /healthz ") or not received:
                connection.sendall(OK)
                return
            self.received.append(received)
            place = len(self.received) - 1
            while not is_complete(self.received[place]) and (piece := connection.recv(65_536)):
                self.received[place] += piece
            if self.answer is None:
                connection.recv(1)  # until the gateway gives up
                return
            connection.sendall(self.answer)
            for event in iter(self.events.get, b"") if self.events else ():
                connection.sendall(event)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65_536):
                self.received[place] += piece

    @contextmanager
    def answering(self, answer: bytes | None) -> Iterator[None]:
        """Give another answer for as long as the block lasts."""
        before, self.answer = self.answer, answer
        try:
            yield
        finally:
            self.answer = before

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def is_complete(received: bytes) -> bool:
    """Return whether a request has arrived with a body of its Content-Length; anything beyond that is read later."""
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: *(\d+)", head, re.IGNORECASE)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def parse(received: bytes) -> tuple[str, dict[str, list[str]]]:
    """Return the request line of a request, and the values of its fields by name in lower case."""
    first, *fields = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    values: dict[str, list[str]] = {}
    for field in fields:
        name, _, value = field.partition(": ")
        values.setdefault(name.lower(), []).append(value)
    return first, values
