"""What the gateway changes in an origin's answers."""

from shared.app.shared_secret import HEADER
from tests.gateway.checks import Start, assert_problem, fails_for
from tests.gateway.forging import spellings
from tests.gateway.runner import instead, without


@fails_for(secret=without("http-response del-header"))
def test_the_secret_does_not_come_back(start: Start) -> None:
    """An origin that sends back the fields that it got does not reveal the secret."""
    with start() as (gateway, origin):
        names = (*spellings(HEADER), HEADER.lower(), "X-Consumer", "X_Consumer")
        echoed = "".join(f"{name}: {gateway.secret}\r\n" for name in names).encode()
        with origin.answering(b"HTTP/1.1 200 OK\r\nX-Other: kept\r\nContent-Length: 0\r\n%b\r\n" % echoed):
            got = gateway.get("/falcon/x")
        assert gateway.secret not in str(got)
        assert got.headers["X-Other"] == "kept"


@fails_for(
    passed_on=without("http-response return status 502"),
    in_lower_case=instead("-m beg -i Shared", "-m beg Shared"),
    no_cause=instead("The origin refuses this gateway: they do not have the same secret.", "No."),
)
def test_a_wrong_secret_is_not_the_clients_fault(start: Start) -> None:
    """An origin that refuses the gateway is a 502; any other 401 goes to the client."""
    with start() as (gateway, origin):
        refusal = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: %b\r\nContent-Length: 0\r\n\r\n"
        for challenge in (b'SharedSecret realm="origin"', b"sharedsecret"):
            with origin.answering(refusal % challenge):
                got = gateway.get("/falcon/x")
                assert_problem(got, 502)
                assert "same secret" in got.json()["detail"]
                assert "sharedsecret" not in str(got).lower()
                assert gateway.secret not in str(got)
        with origin.answering(refusal % b'Basic realm="x"'):
            assert gateway.get("/falcon/x").headers["WWW-Authenticate"] == 'Basic realm="x"'


@fails_for(
    passed_on=without("replace-header Location"),
    letter_case=instead("field(3,/),lower", "field(3,/)"),
    every_one=instead(" if own_location", ""),
)
def test_redirects(start: Start) -> None:
    """A redirect within an origin stays within it, and any other is not changed."""
    with start() as (gateway, origin):
        for location, expected in {
            "/a?b": "/falcon/a?b",
            "http://own.test:8080/a": "/falcon/a",
            "https://OWN.test:8080/c": "/falcon/c",
            "https://own.test/d": "https://own.test/d",
            "https://a.test/b": "https://a.test/b",
            "//a.test/b": "//a.test/b",
            "//own.test:8080/b": "/falcon/b",
            "b": "b",
        }.items():
            moved = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            with origin.answering(moved.encode()):
                assert gateway.get("/falcon/x", host=b"Host: Own.test:8080").headers["Location"] == expected
