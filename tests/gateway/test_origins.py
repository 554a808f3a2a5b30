"""Origins that fail: down, silent, hanging up, or answering nonsense."""

from tests.gateway.checks import Start, assert_problem, fails_for
from tests.gateway.runner import get, instead, post, without


@fails_for(
    down=without("http-error status 503"),
    nonsense=without("http-error status 502"),
    silent=without("http-error status 504"),
    for_ever=instead('timeout server "$TIMEOUT"', "timeout server 60s"),
)
def test_origins_that_fail(start: Start) -> None:
    """The error is JSON for an origin that is down, silent or answers nonsense."""
    with start(config={"TIMEOUT": "1s"}) as (gateway, origin):
        origin.answer = b"nonsense\r\n\r\n"
        assert_problem(gateway.send(get(), 5), 502)
        origin.answer = None
        assert_problem(gateway.send(get(), 5), 504)
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
