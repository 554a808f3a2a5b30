"""Pages of browsers that ask from another origin (Fetch standard, section 3.3)."""

from tests.contract.http1 import Response, request
from tests.gateway.checks import Start, assert_problem, fails_for
from tests.gateway.runner import KEY, Gateway, get, instead, without

PAGE = "https://app.example"
ORIGIN = b"Origin: " + PAGE.encode()
ASKED = (b"Access-Control-Request-Method: PUT", b"Access-Control-Request-Headers: authorization,content-type")
CORS = {"CORS": PAGE}
OTHERS = (
    *("https://other.example", "https://app.example.evil.test", "https://xapp.example", "https://app.exampl"),
    *("http://app.example", "https://app.example:8443", "https://app.example/", "null", "*", "", "HTTPS://APP.EXAMPLE"),
    f"{PAGE}, https://other.example",
)


def preflight(gateway: Gateway, *fields: bytes, path: str = "/falcon/protected") -> Response:
    """Return the answer to OPTIONS without a key."""
    got = gateway.send(request(path, *fields, method="OPTIONS"))
    assert got, "no answer"
    return got


def said(got: Response | None) -> dict[str, str]:
    """Return the fields of an answer that say what a page may do."""
    assert got, "no answer"
    return {name.lower(): value for name, value in got.headers.items() if name.lower().startswith("access-control-")}


@fails_for(
    needs_a_key=without("http-request return status 204"),
    not_the_page=instead('Access-Control-Allow-Origin "$CORS"', 'Access-Control-Allow-Origin "*"'),
    no_fields=instead(" hdr Access-Control-Allow-Headers %[req.fhdr(access-control-request-headers)]", ""),
    not_kept=instead(" hdr Access-Control-Max-Age 600", ""),
    for_every_page=without("add-header Vary Origin"),
)
def test_preflights(start: Start) -> None:
    """One of the page is answered without a key, and never reaches an origin."""
    with start(config=CORS) as (gateway, origin):
        for path in ("/falcon/protected", "/healthz", "/nowhere"):
            got = preflight(gateway, ORIGIN, *ASKED, path=path)
            assert (got.status, got.body) == (204, b"")
            expected = {
                "access-control-allow-origin": PAGE,
                "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
                "access-control-allow-headers": "authorization,content-type",
                "access-control-max-age": "600",
                "access-control-expose-headers": "Retry-After, X-Request-Id",
            }
            assert said(got) == expected
            assert got.headers["Vary"] == "Origin"
        assert preflight(gateway, ORIGIN, ASKED[0]).status == 204
        assert origin.received == []


@fails_for(
    every_page=instead('req.fhdr(origin) -m str "$CORS"', "req.fhdr(origin) -m found"),
    beginning=instead('req.fhdr(origin) -m str "$CORS"', 'req.fhdr(origin) -m beg "$CORS"'),
    end=instead('req.fhdr(origin) -m str "$CORS"', 'req.fhdr(origin) -m end "app.example"'),
    letter_case=instead('req.fhdr(origin) -m str "$CORS"', 'req.fhdr(origin) -m str -i "$CORS"'),
    one_of_many=instead("req.fhdr(origin)", "req.hdr(origin)"),
)
def test_other_pages(start: Start) -> None:
    """A preflight of any other page gets 401, and nothing says that it may ask."""
    with start(config=CORS) as (gateway, origin):
        for page in OTHERS:
            got = preflight(gateway, b"Origin: " + page.encode(), *ASKED)
            assert_problem(got, 401)
            assert said(got) == {}, page
            assert got.headers["Vary"] == "Origin"
            assert said(gateway.send(get(b"Origin: " + page.encode()))) == {}, page
        assert len(origin.received) == len(OTHERS)


@fails_for(
    not_said=without('set-header Access-Control-Allow-Origin "$CORS"'),
    hidden=without("Access-Control-Expose-Headers"),
    errors=instead("http-after-response set-header Access-Control-A", "http-response set-header Access-Control-A"),
    twice=instead("set-header Access-Control-Allow-Origin", "add-header Access-Control-Allow-Origin"),
)
def test_answers(start: Start) -> None:
    """The page may read every answer, errors too, and what to do about them."""
    with start(config={**CORS, "RATE": "4", "PER_ADDRESS": "1000"}) as (gateway, origin):
        expected = {
            "access-control-allow-origin": PAGE,
            "access-control-expose-headers": "Retry-After, X-Request-Id",
        }
        key = b"Authorization: Bearer " + gateway.key("page").encode()
        own = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nVary: Accept\r\nContent-Length: 0\r\n\r\n"
        with origin.answering(own):
            got = gateway.send(request("/falcon/x", key, ORIGIN))
        assert said(got) == expected
        assert got
        assert got.headers.get_all("Access-Control-Allow-Origin") == [PAGE]
        assert got.headers.get_all("Vary") == ["Accept", "Origin"]
        with origin.answering(b"nonsense\r\n\r\n"):
            statuses = {502: gateway.send(request("/falcon/x", key, ORIGIN))}
        large = request("/falcon/x", key, ORIGIN, b"Content-Length: 100001", method="POST")
        statuses[413] = gateway.send(large)
        statuses[401] = gateway.send(request("/falcon/x", ORIGIN))
        statuses[404] = gateway.send(request("/nowhere", key, ORIGIN))
        statuses[429] = gateway.send(request("/falcon/x", key, ORIGIN))
        for status, got in statuses.items():
            assert_problem(got, status)
            assert said(got) == expected
        for early in (request("/healthz", ORIGIN), request("/falcon/x", ORIGIN, b"X-Large: " + b"x" * 16_384)):
            assert said(gateway.send(early)) == expected


@fails_for(every=instead(" { req.fhdr(access-control-request-method) -m found }", ""))
def test_other_options(start: Start) -> None:
    """OPTIONS that is no preflight needs a key like any other request, and reaches the origin."""
    with start(config=CORS) as (gateway, origin):
        assert preflight(gateway, ORIGIN).status == 401
        got = gateway.send(request("/falcon/x", KEY, ORIGIN, method="OPTIONS"))
        assert got
        assert got.status == 200
        assert len(origin.received) == 1


@fails_for(accepted=without("req.hdrs -m reg"))
def test_characters_that_are_not_sent_back(start: Start) -> None:
    """What is asked for is sent back as it is, and characters that end a line for somebody are refused."""
    with start(config=CORS) as (gateway, _):
        for mark in (b"\v", b"\f", b"\x01", b"\x7f"):
            asked = b"Access-Control-Request-Headers: a" + mark + b"Set-Cookie: forged"
            got = gateway.send(request("/falcon/x", ORIGIN, ASKED[0], asked, method="OPTIONS"))
            assert got is None or got.status == 400
            assert "forged" not in str(got)


@fails_for(on=instead("    presetenv TRUSTED", f"    presetenv CORS {PAGE}\n    presetenv TRUSTED"))
def test_off_by_default(start: Start) -> None:
    """Without the setting, no page is told that it may ask."""
    with start() as (gateway, origin):
        got = preflight(gateway, ORIGIN, *ASKED)
        assert_problem(got, 401)
        answers = [got, gateway.send(get(ORIGIN)), preflight(gateway, b"Origin:", *ASKED)]
        assert [said(one) for one in answers] == [{}] * 3
        assert len(origin.received) == 1
