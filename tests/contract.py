"""The contract of a service that answers only its gateway, as a table of cases.

A case is data: what is sent to a service in which state, what has to come back, and what to do where it does not.
In what is sent, `<secret>` stands for the secret that the service was given; `fill` names what else there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from wire import Response

ERROR_FIELD = {
    "cherrypy": "message",
    "falcon": "description",
    "fastapi": "detail",
    "litestar": "detail",
    "pyramid": "error",
}


@dataclass(frozen=True)
class Answer:
    """What has to come back: one of these status codes, with these words in the error, or these members in the body."""

    status: frozenset[int]
    words: str | None = None
    members: Mapping[str, str] = field(default_factory=dict)
    json: bool = False

    def __str__(self) -> str:
        low, high = min(self.status), max(self.status)
        return " ".join(map(str, filter(None, [low if low == high else f"{low} to {high}", self.words, self.members])))

    def mismatches(self, got: Response, error_field: str) -> list[str]:
        """Return in words every way in which a response is not as it has to be."""
        refused = got.status in (401, 500)
        expected: dict[str, str] = {}
        if (self.json and got.body) or self.members or refused:
            expected["Content-Type"] = "application/json"
        if refused:
            expected["Cache-Control"] = "no-store"
        if got.status == 401:
            expected["WWW-Authenticate"] = 'SharedSecret realm="origin"'
        wrong = [
            f"{name} is {got.headers[name]!r}, not {v!r}" for name, v in expected.items() if got.headers[name] != v
        ]
        if got.status not in self.status:
            wrong.insert(0, f"the status is {got.status}")
        if b"Traceback" in got.body:
            wrong.append("the body has a traceback")
        if expected and got.body:
            body = got.json()
            members = dict(self.members) | ({error_field: self.words} if self.words else {})
            if not isinstance(body, dict):
                wrong.append("the body is not a JSON object")
            elif members != {name: body.get(name) for name in members}:
                wrong.append(f"the body does not say {members}")
            elif refused and not self.words and error_field not in body:
                wrong.append(f"the body has no {error_field!r}")
        elif self.words or self.members:
            wrong.append("there is no body")
        return wrong


GRANTED = Answer(frozenset({200}), members={"message": "Access granted"})
HEALTHY = Answer(frozenset({200}), members={"status": "ok"})
NOT_CONFIGURED = Answer(frozenset({500}), "Server configuration error")
NOT_PROVIDED = Answer(frozenset({401}), "No secret provided")
INVALID = Answer(frozenset({401}), "Invalid secret")
NOT_FOUND = Answer(frozenset({404}), json=True)
NO_METHOD = Answer(frozenset({404, 405}), json=True)
REFUSED = Answer(frozenset({401}))
NO_FAILURE = Answer(frozenset(range(200, 500)), json=True)  # a redirect may have no body
REJECTED = Answer(frozenset(range(400, 500)), json=True)
REJECTED_BY_SERVER = Answer(frozenset(range(400, 500)))  # before any app sees it, and so in the server's own words
ANY_BUT_FAILURE = Answer(frozenset(range(200, 500)))


@dataclass(frozen=True)
class Case:
    """What is sent, to a service in which state, what has to come back, and what to do where it does not."""

    name: str
    sent: bytes
    answer: Answer
    hint: str
    state: str = "configured"


def fill(sent: bytes, secret: str, previous: str) -> bytes:
    """Put the secrets into what a case sends."""
    for placeholder, value in (
        (b"<secret>", secret),
        (b"<secret less a byte>", secret[:-1]),
        (b"<secret in other letter case>", secret.swapcase()),
        (b"<previous>", previous),
    ):
        sent = sent.replace(placeholder, value.encode())
    return sent


def request(
    target: str,
    *fields: bytes,
    method: str = "GET",
    host: bytes | None = b"Host: origin.test",
    connection: bytes = b"Connection: close",
    body: bytes = b"",
) -> bytes:
    """Return a request as bytes; fields are whole header lines without their end."""
    lines = [f"{method} {target} HTTP/1.1".encode(), *([host] if host else []), *fields, connection]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


protected = partial(request, "/protected")


RIGHT = b"X-Shared-Secret: <secret>"


def post(kind: bytes, body: bytes) -> bytes:
    """Return a request with the secret and a body of some media type, to a path that takes none."""
    length = f"Content-Length: {len(body)}".encode()
    return request("/nope", RIGHT, b"Content-Type: " + kind, length, method="POST", body=body)


WRONG = b"X-Shared-Secret: presented-and-wrong"
EMPTY = b"X-Shared-Secret:"
BLANK = b"X-Shared-Secret: \t "
PREVIOUS = b"X-Shared-Secret: <previous>"

CONFIG_FIRST = "Look at the configuration before anything else: without a secret all but the open path is a 500."
OPEN = "GET /healthz answers a health check, and looks at no secret."
TRIMMED = "White space around a field value is no part of it (RFC 9110 section 5.5)."
WHOLE = "Compare the whole value, byte by byte, and decode or unquote nothing."
BYTES = "Compare bytes with hmac.compare_digest: text that is not ASCII makes it raise."
ALL_VALUES = "Look at every value of the header, and refuse more than one."
ONE_NAME = "Take the secret from X-Shared-Secret alone, on a server that does not fold `_` into `-`."
BEFORE_ROUTING = "Check in front of routing: 401 comes before 404, 405, redirects, docs and the body."
EXACT = "Compare method and path, as they came, with the one open door; no prefixes, no tidying of paths."
ROBUST = "Let nothing in a request raise before or beside the check; answer what is malformed with a 4xx."
FRAMEWORK = "With the secret the framework answers as it would, in JSON."

METHODS = ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO")
UNKNOWN = ("/", "/nope", "/docs", "/redoc", "/openapi.json", "/schema", "/schema/openapi.json", "/favicon.ico", "/%ff")
NEAR_OPEN = (
    "/healthz/",
    "//healthz",
    "/./healthz",
    "/healthz%00",
    "/healthz%20",
    "/healthz%ff",
    "/healthz;a=b",
    "/healthz%3Fa",
    "/healthz.json",
    "/Healthz",
    "/healthz/x",
    "/x/healthz",
    "/healthz/../protected",
    "/protected/../healthz",
)

CASES = [
    Case("open/healthz", request("/healthz"), HEALTHY, OPEN),
    Case("open/wrong-secret", request("/healthz", WRONG), HEALTHY, OPEN),
    Case("open/query", request("/healthz?probe=1"), HEALTHY, OPEN),
    Case("auth/right", protected(RIGHT), GRANTED, "With the right secret GET /protected is granted."),
    Case("auth/right-and-query", request("/protected?a=b", RIGHT), GRANTED, "A query does not make it another path."),
    Case("auth/name-in-any-case", protected(b"x-sHARED-sECRET: <secret>"), GRANTED, "Field names have no letter case."),
    Case("auth/space-around", protected(b"X-Shared-Secret: \t <secret> \t"), GRANTED, TRIMMED),
    Case("auth/missing", protected(), NOT_PROVIDED, "No header is a 401 that says so."),
    Case("auth/empty", protected(EMPTY), NOT_PROVIDED, "An empty header provides no secret."),
    Case("auth/blank", protected(BLANK), NOT_PROVIDED, "A blank header provides no secret."),
    Case("auth/wrong", protected(WRONG), INVALID, "A wrong secret is a 401 that says so."),
    Case("auth/longer", protected(b"X-Shared-Secret: <secret>x"), INVALID, WHOLE),
    Case("auth/shorter", protected(b"X-Shared-Secret: <secret less a byte>"), INVALID, WHOLE),
    Case("auth/letter-case", protected(b"X-Shared-Secret: <secret in other letter case>"), INVALID, WHOLE),
    Case("auth/quoted", protected(b'X-Shared-Secret: "<secret>"'), INVALID, WHOLE),
    Case("auth/rfc2047-word", protected(b"X-Shared-Secret: =?utf-8?q?<secret>?="), INVALID, WHOLE),
    Case("auth/previous", protected(PREVIOUS), INVALID, "A secret that is not configured any more is wrong."),
    Case("auth/in-authorization", protected(b"Authorization: Bearer <secret>"), NOT_PROVIDED, ONE_NAME),
    Case("auth/in-query", request("/protected?X-Shared-Secret=<secret>"), NOT_PROVIDED, ONE_NAME),
    Case("auth/in-cookie", protected(b"Cookie: X-Shared-Secret=<secret>"), NOT_PROVIDED, ONE_NAME),
    Case("rotation/new", protected(RIGHT), GRANTED, "During a rotation the new secret is accepted.", "rotation"),
    Case("rotation/old", protected(PREVIOUS), GRANTED, "During a rotation so is the previous one.", "rotation"),
    Case("rotation/other", protected(WRONG), INVALID, "During a rotation no other is.", "rotation"),
    Case("rotation/both", protected(RIGHT, PREVIOUS), INVALID, ALL_VALUES, "rotation"),
    Case("wire/byte-0xe9", protected(b"X-Shared-Secret: \xe9"), INVALID, BYTES),
    Case("wire/utf-8", protected("X-Shared-Secret: sécret".encode()), INVALID, BYTES),
    Case("wire/right-and-0xe9", protected(RIGHT + b"\xe9"), INVALID, BYTES),
    Case("wire/right-and-nul", protected(RIGHT + b"\0"), REJECTED_BY_SERVER, ROBUST),
    Case("wire/8-kb", protected(b"X-Shared-Secret: " + b"x" * 8000), INVALID, ROBUST),
    Case("wire/right-twice", protected(RIGHT, RIGHT), INVALID, ALL_VALUES),
    Case("wire/right-then-wrong", protected(RIGHT, WRONG), INVALID, ALL_VALUES),
    Case("wire/wrong-then-right", protected(WRONG, RIGHT), INVALID, ALL_VALUES),
    Case("wire/right-then-empty", protected(RIGHT, EMPTY), INVALID, ALL_VALUES),
    Case("wire/empty-then-right", protected(EMPTY, RIGHT), INVALID, ALL_VALUES),
    Case("wire/joined-by-comma", protected(b"X-Shared-Secret: <secret>, <secret>"), INVALID, ALL_VALUES),
    Case("wire/underscores", protected(b"X_Shared_Secret: <secret>"), NOT_PROVIDED, ONE_NAME),
    Case("wire/half-underscores", protected(b"X-Shared_Secret: <secret>"), NOT_PROVIDED, ONE_NAME),
    Case("wire/underscores-beside", protected(WRONG, b"X_Shared_Secret: <secret>"), INVALID, ONE_NAME),
    Case("wire/no-host", protected(host=None), REJECTED_BY_SERVER, ROBUST),
    Case("wire/no-host-right", protected(RIGHT, host=None), ANY_BUT_FAILURE, ROBUST),
    Case("wire/odd-host-right", request("/protected/", RIGHT, host=b"Host: [a:99999"), NO_FAILURE, ROBUST),
    Case("wire/odd-cookie-right", protected(RIGHT, b"Cookie: a[]=;=\xe9"), NO_FAILURE, ROBUST),
    Case("wire/bad-query-right", request("/protected?%ff=%ff", RIGHT), NO_FAILURE, ROBUST),
    Case("wire/odd-query-right", request("/protected?self=1&request=2", RIGHT), NO_FAILURE, ROBUST),
    Case("wire/odd-query-open", request("/healthz?self=1&request=2"), HEALTHY, ROBUST),
    Case("wire/bad-path-right", request("/%ff", RIGHT), REJECTED, ROBUST),
    Case("wire/virtual-root-right", protected(RIGHT, b"X-Vhm-Root: \xff"), GRANTED, ROBUST),
    Case("wire/virtual-root-open", request("/healthz", b"X-Vhm-Root: \xff"), HEALTHY, ROBUST),
    *(
        Case(f"wire/{name}-right", posted, REJECTED, ROBUST)
        for name, posted in (
            ("form-charset", post(b"application/x-www-form-urlencoded; charset=nope", b"a=b")),
            ("form-bytes", post(b"application/x-www-form-urlencoded", b"%ff=\xff&a")),
            ("no-boundary", post(b"multipart/form-data", b"--")),
            ("half-json", post(b"application/json", b"{")),
            ("odd-type", post(b"\xff;=", b"x")),
        )
    ),
    Case("wire/unknown-charset", protected(b"X-Other: =?nope?b?AAAA?="), NOT_PROVIDED, ROBUST),
    Case("wire/unknown-charset-right", protected(RIGHT, b"X-Other: =?nope?b?AAAA?="), NO_FAILURE, ROBUST),
    Case("wire/unknown-charset-open", request("/healthz", b"X-Other: =?nope?b?AAAA?="), NO_FAILURE, ROBUST),
    Case("wire/bad-base64-right", protected(RIGHT, b"X-Other: =?utf-8?b?A?="), NO_FAILURE, ROBUST),
    Case("wire/word-in-text-right", protected(RIGHT, b"X-Other: a =?utf-8?q?b?="), NO_FAILURE, ROBUST),
    *(Case(f"deny/{method}", protected(method=method), REFUSED, BEFORE_ROUTING) for method in METHODS),
    *(Case(f"deny/{method}-healthz", request("/healthz", method=method), REFUSED, EXACT) for method in METHODS),
    *(Case(f"deny/unknown {path}", request(path), NOT_PROVIDED, BEFORE_ROUTING) for path in UNKNOWN),
    *(Case(f"deny/near-open {path}", request(path), NOT_PROVIDED, EXACT) for path in NEAR_OPEN),
    Case("deny/wrong-secret-unknown", request("/nope", WRONG), INVALID, BEFORE_ROUTING),
    Case("deny/asterisk", request("*", method="OPTIONS"), NOT_PROVIDED, BEFORE_ROUTING),
    Case(
        "deny/preflight",
        protected(b"Origin: https://a.test", b"Access-Control-Request-Method: GET", method="OPTIONS"),
        NOT_PROVIDED,
        BEFORE_ROUTING,
    ),
    Case(
        "deny/websocket",
        protected(
            b"Upgrade: websocket",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            b"Sec-WebSocket-Version: 13",
            connection=b"Connection: Upgrade",
        ),
        NOT_PROVIDED,
        BEFORE_ROUTING,
    ),
    Case("deny/override", request("/healthz", b"X-HTTP-Method-Override: GET", method="POST"), NOT_PROVIDED, EXACT),
    Case("deny/original-url", protected(b"X-Original-URL: /healthz"), NOT_PROVIDED, EXACT),
    Case("deny/script-name", protected(b"SCRIPT_NAME: /protected"), NOT_PROVIDED, EXACT, "behind-proxy"),
    Case("deny/script-name-elsewhere", protected(b"SCRIPT_NAME: /x"), NOT_PROVIDED, EXACT, "behind-proxy"),
    Case("deny/path-info", protected(b"PATH_INFO: /healthz"), NOT_PROVIDED, EXACT, "behind-proxy"),
    Case("deny/body-not-sent", protected(b"Content-Length: 9999999", method="POST"), NOT_PROVIDED, BEFORE_ROUTING),
    Case("deny/chunks-not-sent", protected(b"Transfer-Encoding: chunked", method="POST"), NOT_PROVIDED, BEFORE_ROUTING),
    Case("errors/not-found", request("/nope", RIGHT, b"Accept: text/html"), NOT_FOUND, FRAMEWORK),
    Case("errors/method", protected(RIGHT, b"Accept: text/html", method="DELETE"), NO_METHOD, FRAMEWORK),
    Case("errors/accept", protected(b"Accept: text/html"), NOT_PROVIDED, "Errors are JSON, whatever Accept says."),
    *(
        Case(f"config/{state}-{name}", sent, answer, CONFIG_FIRST, state)
        for state in ("unset", "blank")
        for name, sent, answer in (
            ("missing", protected(), NOT_CONFIGURED),
            ("empty", protected(EMPTY), NOT_CONFIGURED),
            ("blank", protected(BLANK), NOT_CONFIGURED),
            ("wrong", protected(WRONG), NOT_CONFIGURED),
            ("previous", protected(PREVIOUS), NOT_CONFIGURED),
            ("byte-0xe9", protected(b"X-Shared-Secret: \xe9"), NOT_CONFIGURED),
            ("twice", protected(WRONG, WRONG), NOT_CONFIGURED),
            ("unknown", request("/nope"), NOT_CONFIGURED),
            ("method", protected(method="DELETE"), NOT_CONFIGURED),
            ("docs", request("/openapi.json"), NOT_CONFIGURED),
            ("near-open", request("/healthz/"), NOT_CONFIGURED),
            ("healthz", request("/healthz"), HEALTHY),
        )
    ),
]
