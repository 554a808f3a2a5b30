"""Origins that fail: down, silent, hanging up, or answering nonsense; and those that answer little by little."""

import queue
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.gateway.checks import Start, assert_problem, fails_for
from tests.gateway.origin import RecordingOrigin
from tests.gateway.runner import Gateway, get, instead, post, without

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


@fails_for(
    down=without("http-error status 503"),
    nonsense=without("http-error status 502"),
    silent=without("http-error status 504"),
    for_ever=instead('timeout server "$TIMEOUT"', "timeout server 60s"),
    not_said=instead("said nothing for $TIMEOUT", "said nothing for 30s"),
)
def test_origins_that_fail(start: Start) -> None:
    """The error is JSON for an origin that is down, silent or answers nonsense."""
    with start(config={"TIMEOUT": "1s"}) as (gateway, origin):
        origin.answer = b"nonsense\r\n\r\n"
        assert_problem(gateway.send(get(), 5), 502)
        origin.answer = None
        got = gateway.send(get(), 5)
        assert_problem(got, 504)
        assert got
        assert "for 1s" in got.json()["detail"]
        origin.server.shutdown()
        origin.server.server_close()
        assert_problem(gateway.send(get(), 5), 503)


@fails_for(
    again=without("disable-l7-retry"),
    given_up=instead("retry-on conn-failure empty-response", "retry-on conn-failure"),
)
def test_origins_that_hang_up(start: Start) -> None:
    """Only a request that is safe to repeat is sent again (RFC 9110 section 9.2.1)."""
    with start() as (gateway, origin), origin.answering(b""):
        assert_problem(gateway.send(post(b"Content-Length: 1", body=b"x")), 502)
        assert len(origin.received) == 1
        assert_problem(gateway.send(get()), 502)
        assert len(origin.received) > 2


@contextmanager
def stream(gateway: Gateway, origin: RecordingOrigin) -> Iterator[tuple[queue.SimpleQueue[bytes], socket.socket]]:
    """Give what an origin sends as it comes, and a connection to the gateway where it should arrive."""
    origin.events = queue.SimpleQueue()
    try:
        with origin.answering(STREAM), gateway.connect(5) as connection:
            connection.sendall(gateway.filled(get()))
            yield origin.events, connection
    finally:
        origin.events.put(b"")
        origin.events = None


def read(connection: socket.socket, end: bytes) -> bytes:
    """Return what comes on a connection until there is an end, or until there is no more."""
    received = b""
    try:
        while not received.endswith(end) and (piece := connection.recv(65_536)):
            received += piece
    except OSError as error:
        raise AssertionError(f"after {received!r}: {error}") from error
    return received


@fails_for(
    cut=instead('timeout server "$TIMEOUT"', "timeout server 500ms"),
    held_back=instead("    acl refused", "    http-response wait-for-body time 60s\n    acl refused"),
)
def test_event_streams(start: Start) -> None:
    """Each event arrives before the next is sent, and the last one too after a silence."""
    with start() as (gateway, origin), stream(gateway, origin) as (events, connection):
        for number in range(3):
            event = b"9\r\ndata: %d\n\n\r\n" % number
            events.put(event)
            assert read(connection, event).endswith(event)
        time.sleep(1)
        events.put(END)
        assert read(connection, END) == END


@fails_for(for_ever=instead('timeout server "$TIMEOUT"', "timeout server 60s"))
def test_silent_streams_are_cut(start: Start) -> None:
    """After TIMEOUT without an event, the answer ends without its end."""
    with start(config={"TIMEOUT": "500ms"}) as (gateway, origin), stream(gateway, origin) as (events, connection):
        event = b"9\r\ndata: 0\n\n\r\n"
        events.put(event)
        assert read(connection, event).startswith(b"HTTP/1.1 200 ")
        assert read(connection, END) == b""
