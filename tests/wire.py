"""One HTTP exchange at the level of bytes, for what no HTTP client would send."""

import http.client
import json
import socket
from dataclasses import dataclass
from email.message import Message
from typing import Any

DEADLINE = 30.0  # seconds of silence that count as no answer


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


def exchange(port: int, request: bytes) -> Response:
    """Send bytes to a port of 127.0.0.1 and read one response; silence raises TimeoutError."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection, method=request.split(b" ", 1)[0].decode("latin-1"))
        response.begin()
        return Response(response.status, response.headers, response.read())
