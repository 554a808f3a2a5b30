"""The header fields that reach an origin."""

from shared.app.shared_secret import HEADER
from tests.gateway.checks import Start, fails_for
from tests.gateway.origin import parse
from tests.gateway.runner import without


@fails_for(
    secret=without(f"set-header {HEADER}"),
    consumer=without("set-header X-Consumer"),
    id=without("http-request set-header X-Request-Id"),
    id_in_the_answer=without("http-after-response set-header X-Request-Id"),
    address=without("set-header X-Forwarded-For"),
    protocol=without("set-header X-Forwarded-Proto"),
    key=without("authorization$'"),
    prefix=without("set-uri"),
)
def test_fields_of_the_gateway(start: Start) -> None:
    """The origin gets the gateway's fields, and the rest of the request unchanged."""
    with start() as (gateway, origin):
        answers = [gateway.get("/falcon/protected?a=b%20c", b"Accept: a/b", b"Cookie: c=d") for _ in range(2)]
        ids = set()
        for received, answer in zip(origin.received, answers, strict=True):
            first, fields = parse(received)
            assert first == "GET /protected?a=b%20c HTTP/1.1"
            ids.add(answer.headers["X-Request-Id"])
            assert fields.pop("x-request-id", None) == [answer.headers["X-Request-Id"]]
            assert fields == {
                "host": [str(gateway.address)],
                "accept": ["a/b"],
                "cookie": ["c=d"],
                HEADER.lower(): [gateway.secret],
                "x-consumer": ["acme"],
                "x-forwarded-for": ["127.0.0.1"],
                "x-forwarded-proto": ["http"],
                "connection": ["close"],
            }
        assert len(ids) == 2
