"""Limits on size and time: large requests and slow clients."""

import os
import time
from contextlib import ExitStack, suppress

from tests.contract import http2
from tests.contract.http1 import NO_ANSWER, Response
from tests.gateway.checks import Start, assert_problem, fails_for
from tests.gateway.runner import Gateway, get, instead, post, without

SLOW = 500  # clients


@fails_for(body=without("deny_status 413"), no_length=without("status 411"), header=without("status 431"))
def test_sizes(start: Start) -> None:
    """A request that is too large, or whose length is not given, is refused; any other is forwarded whole."""
    with start() as (gateway, origin):
        body = os.urandom(100_000)
        got = gateway.send(post(b"Content-Length: 100000", body=body))
        assert got
        assert got.status == 200
        assert origin.received[-1].endswith(b"\r\n\r\n" + body)
        del origin.received[:]
        assert_problem(gateway.send(post(b"Content-Length: 100001", body=body + b"x")), 413)
        got = gateway.send(post(b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\n\r\n"))
        assert_problem(got, 411)
        assert got
        assert "Content-Length" in got.json()["detail"]
        assert_problem(gateway.send(get(b"X-Large: " + b"x" * 16_384)), 431)
        got = gateway.send(get(b"X-Large: " + b"x" * 200_000))
        assert got
        assert got.status in (400, 431)
        assert origin.received == []


@fails_for(
    fixed=instead('gt "$BODY_MAX"', "gt 100000"),
    not_said=instead("at most $BODY_MAX bytes", "at most 100000 bytes"),
)
def test_another_size(start: Start) -> None:
    """BODY_MAX bytes are the most, and the answer to more says so; what a buffer does not hold is forwarded too."""
    with start(config={"BODY_MAX": "10"}) as (gateway, origin):
        got = gateway.send(post(b"Content-Length: 11", body=b"x" * 11))
        assert_problem(got, 413)
        assert got
        assert "at most 10 bytes" in got.json()["detail"]
        assert origin.received == []
        got = gateway.send(post(b"Content-Length: 10", body=b"x" * 10))
        assert got
        assert got.status == 200


@fails_for(
    fixed=instead('gt "$BODY_MAX"', "gt 100000"),
)
def test_a_large_size(start: Start) -> None:
    """With a BODY_MAX that is more than a buffer holds, a body is forwarded whole all the same."""
    with start(config={"BODY_MAX": "1000000"}) as (gateway, origin):
        body = os.urandom(500_000)
        got = gateway.send(post(b"Content-Length: 500000", body=body))
        assert got
        assert got.status == 200
        assert origin.received[0].endswith(b"\r\n\r\n" + body)


@fails_for(forwarded=without("req.body_len gt 0"), large=without("deny_status 413"))
def test_http_2(start: Start) -> None:
    """If HTTP/2 were spoken, a body without a length would be refused too, and so would one that is too large."""
    with start(edit=instead(" proto h1", ""), config={"BODY_MAX": "20"}) as (gateway, origin):
        assert_problem(ask_in_http_2(gateway, post(body=b"x" * 20)), 411)
        assert_problem(ask_in_http_2(gateway, post(b"Content-Length: 21", body=b"x" * 21)), 413)
        assert origin.received == []
        for sent in (post(b"Content-Length: 20", body=b"x" * 20), get()):
            got = ask_in_http_2(gateway, sent)
            assert got
            assert got.status == 200
        assert origin.received[0].endswith(b"\r\n\r\n" + b"x" * 20)


def ask_in_http_2(gateway: Gateway, sent: bytes) -> Response | None:
    """Return the answer to a request of HTTP/1.1 that is asked in HTTP/2, to a server known to speak it."""
    asked = http2.converted(gateway.filled(sent))
    assert asked
    with suppress(*NO_ANSWER):
        return http2.exchange(gateway.address, *asked)
    return None


@fails_for(spoken=instead(" proto h1", ""))
def test_no_http_2(start: Start) -> None:
    """It is not spoken."""
    with start() as (gateway, origin):
        assert ask_in_http_2(gateway, get()) is None
        assert origin.received == []


@fails_for(
    few_connections=instead("    maxconn 1000", "    maxconn 400"),
    bodies_are_not_awaited=without("wait-for-body"),
)
def test_slow_clients(start: Start) -> None:
    """Hundreds of clients that send a byte a second delay no other client, and occupy no origin."""
    longer = instead("http-request 10s", "http-request 60s")
    with start(edit=longer, config={"PER_ADDRESS": "1000"}) as (gateway, origin), ExitStack() as stack:
        head = get(b"X-Slow: ")[:-4]
        body = post(b"Content-Length: 1000", body=b"x").replace(b"<key>", gateway.key().encode())
        clients = [stack.enter_context(gateway.address.connect()) for _ in range(SLOW)]
        for number, client in enumerate(clients):
            client.sendall(body if number % 2 else head)
        for _ in range(3):
            time.sleep(1)
            try:
                for client in clients:
                    client.sendall(b"x")
            except OSError as error:
                raise AssertionError(f"the gateway does not wait for a slow client: {error}") from error
            got = gateway.send(get(), 5)
            assert got
            assert got.status == 200
        assert len(origin.received) == 3


@fails_for(for_ever=instead("timeout http-request 1s", "timeout http-request 60s"))
def test_slow_headers_end(start: Start) -> None:
    """The gateway does not wait for ever for the end of a header section."""
    with (
        start(edit=instead("timeout http-request 10s", "timeout http-request 1s")) as (gateway, _),
        gateway.address.connect(5) as connection,
        suppress(ConnectionError),
    ):
        connection.sendall(get()[:-2].replace(b"<key>", gateway.key().encode()))
        try:
            received = connection.recv(100)
        except TimeoutError as error:
            raise AssertionError("the gateway still waits") from error
        assert received.startswith(b"HTTP/1.1 408 ") or not received


@fails_for(for_ever=instead("wait-for-body time 1s", "wait-for-body time 60s"))
def test_slow_bodies_end(start: Start) -> None:
    """The gateway does not wait for ever for the end of a body."""
    with start(edit=instead("wait-for-body time 10s", "wait-for-body time 1s")) as (gateway, origin):
        assert_problem(gateway.send(post(b"Content-Length: 10", body=b"x"), 5), 408)
        assert origin.received == []
