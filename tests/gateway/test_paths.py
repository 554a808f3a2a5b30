"""Which paths and methods are forwarded, and as what."""

from tests.contract.http1 import request
from tests.gateway.checks import Start, assert_problem, fails_for
from tests.gateway.origin import parse
from tests.gateway.runner import KEY, get, instead, without


@fails_for(other_part=instead("regsub(^/[^/]+,)", "regsub(^/[^/]+/,/x/)"), absolute=instead("set-uri", "set-pathq"))
def test_paths(start: Start) -> None:
    """Only the name of the framework is removed."""
    with start() as (gateway, origin):
        for path, expected in {
            "/falcon/": "/",
            "/falcon//": "//",
            "/fastapi/a/b?c": "/a/b?c",
            "/pyramid/..%2f": "/..%2f",
            "http://a.test/litestar/x?y": "/x?y",
            "/cherrypy/%ff/": "/%ff/",
        }.items():
            assert gateway.get(path, host=b"Host: a.test").status == 200
            assert parse(origin.received[-1])[0] == f"GET {expected} HTTP/1.1"


@fails_for(
    no_check=without("deny_status 404"),
    before_the_key=instead("    # Who is", "    http-request deny deny_status 404 if { path /nope }\n    # Who is"),
)
def test_not_found(start: Start) -> None:
    """A path that begins with no framework is 404 with a key, and 401 without."""
    with start() as (gateway, origin):
        for path in (
            "/",
            "/nope",
            "/falcon",
            "/falcon?/x",
            "/nope/x",
            "/rates/x",
            "/gateway/x",
            "//falcon/x",
            "/FALCON/x",
        ):
            assert_problem(gateway.get(path), 404)
            assert_problem(gateway.send(request(path)), 401)
        assert_problem(gateway.send(request("*", KEY, method="OPTIONS")), 404)
        assert_problem(gateway.send(request("a.test:80", KEY, method="CONNECT", host=b"Host: a.test:80")), 404)
        assert origin.received == []


@fails_for(none=without("{ path /healthz }"), every_method=instead("if { method GET } { path /h", "if { path /h"))
def test_healthz(start: Start) -> None:
    """The gateway's own open path is open for one method and one path."""
    with start() as (gateway, origin):
        got = gateway.send(request("/healthz"))
        assert got
        assert (got.status, got.json()) == (200, {"status": "ok"})
        for sent in (request("/healthz", method="POST"), request("/healthz/"), request("/healthz%20")):
            assert_problem(gateway.send(sent), 401)
        assert origin.received == []


@fails_for(forwarded=without("TRACE TRACK"), in_capitals_alone=instead("-i TRACE", "TRACE"))
def test_trace(start: Start) -> None:
    """TRACE is refused: its answer would contain the secret."""
    with start() as (gateway, origin):
        for method in ("TRACE", "trace", "TRACK"):
            assert_problem(gateway.send(get(method=method)), 405)
        assert origin.received == []
