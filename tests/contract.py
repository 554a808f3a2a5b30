"""The contract of a service that answers only its gateway: one table of cases, for a service in any language.

A case has a name that is stable, what it sends, and a requirement with its source, its level and a hint. In what is
sent, `<secret>` stands for the secret that the service was given, `<header>` for the name of the field that carries it,
`<protected>` for a path that needs it and `<open>` for the one that does not.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import trials
from case import Answer, Case, Exchange, Requirement, Trial
from target import NotCheckedError, Target
from trials import RIGHT, Finding
from wire import Response, request

# What is answered

REFUSED = Answer("401", {401})
NOT_PROVIDED = Answer("401", {401}, "No secret provided")
INVALID = Answer("401", {401}, "Invalid secret")
# Where a careful server may refuse by itself, in its own words, before the check is asked.
NOT_PROVIDED_OR_BAD = Answer("401 or 400", {400, 401}, "No secret provided")
INVALID_OR_BAD = Answer("401 or 400", {400, 401}, "Invalid secret")
NOT_PROVIDED_OR_REJECTED = Answer("401 or another 4xx", range(400, 500), "No secret provided")
NOT_CONFIGURED = Answer("500", {500}, "Server configuration error")
OK = Answer("200", {200})
NOT_FOUND = Answer("404", {404})
NO_METHOD = Answer("404 or 405", {404, 405})
REJECTED = Answer("401 or another 4xx", range(400, 500))
NOT_UNDERSTOOD = Answer("401, another 4xx, 501 or 505", {*range(400, 500), 501, 505})  # RFC 9110 section 15.6
NO_TUNNEL = replace(NOT_UNDERSTOOD, told=f"{NOT_UNDERSTOOD.told}, or the end of the connection", or_none=True)
NO_FAILURE = Answer("2xx, 3xx or 4xx", range(200, 500))
OK_OR_REJECTED = Answer("200 or 4xx", {200, *range(400, 500)})

# What is required

OPEN = Requirement(
    "The open path is answered without the secret, whatever else the request carries.",
    "RFC 9110 section 9.3.1; ASVS 5.0 13.4.5",
    "Let GET on the open path by before the check, and look at no secret there.",
)
OPEN_WITH_QUERY = replace(OPEN, requirement="A query does not close the open path.", level="recommended")
CONFIG = Requirement(
    "Without a configured secret everything but the open path is a 500, before anything in the request is looked at.",
    "RFC 9110 section 15.6.1; ASVS 5.0 16.5.3; CWE-636, CWE-258",
    "Look at the configuration first, and take an empty, blank or unreadable secret for none.",
)
GRANT = Requirement(
    "The right secret is let in.",
    "RFC 9110 sections 5.1, 5.5 and 15.3.1",
    "Compare the value without the white space around it; field names have no letter case.",
)
BODY = replace(
    GRANT,
    requirement='What is let in is answered `{"message": "Access granted"}`, the open path `{"status": "ok"}`.',
    source="RFC 9110 section 15.3.1",
    hint="A service with other words in these bodies is none the worse.",
    level="recommended",
)
OLD_HTTP = Requirement(
    "HTTP/1.0 is served too.",
    "RFC 9110 section 2.5",
    "Answer it as HTTP/1.1, and end the connection: some health checks still speak it.",
    "recommended",
)
PROVIDE = Requirement(
    "Without a secret the answer is 401; a blank one is none.",
    "RFC 9110 section 15.5.2; CWE-306",
    "Refuse a request whose header is missing, empty or blank before anything is compared.",
)
WHOLE = Requirement(
    "Only the whole secret is let in, byte for byte.",
    "RFC 9110 section 15.5.2; ASVS 5.0 15.3.5; CWE-187, CWE-178",
    "Compare whole values with a comparison in constant time; decode, unquote and fold nothing.",
)
PLACE = Requirement(
    "The secret counts in its own field alone.",
    "RFC 9110 section 6.5.1; ASVS 5.0 14.2.1, 15.3.7",
    "Read the one header field by its name, from the header section and from nowhere else.",
)
BEFORE = Requirement(
    "Without the secret nothing but the open path is served: the check comes before paths, methods and bodies.",
    "ASVS 5.0 4.1.4, 8.2.1 and 13.4.5; CWE-306, CWE-425",
    "Put the check in front of routing: 401 comes before 404, 405, redirects, docs and the body.",
)
EXACT = Requirement(
    "The open path is one method and one path, and no other spelling of them.",
    "ASVS 5.0 8.2.1; CWE-41, CWE-289",
    "Compare method and path as they came with the one open door; no prefixes, no tidying of paths.",
)
SAME = replace(
    EXACT,
    requirement="Other spellings that a standard makes equal to the open path are best refused too.",
    source="RFC 3986 section 6.2.2; RFC 9110 section 9.3.2; RFC 9112 section 3.2.2",
    level="recommended",
)
MOVED = Requirement(
    "No field of a request moves it to another path or method.",
    "ASVS 5.0 4.1.3; CWE-807",
    "Turn off what takes a path or a method from a header, also for a proxy that is trusted.",
)
NEAR = Requirement(
    "No field of a request stands for the secret, also where it says that the client is near.",
    "ASVS 5.0 4.1.3 and 15.3.4; CWE-290, CWE-348",
    "Let nobody in for an address or a host that a header names.",
)
ALONE = Requirement(
    "Every request on a connection is looked at for itself.",
    "RFC 9112 sections 6.3 and 9.3.2; ASVS 5.0 4.2.1; CWE-444",
    "Keep nothing of one request for the next, and read or drop a body before what follows it.",
)
TWICE = Requirement(
    "More than one secret is refused, whatever they are and however they are put together.",
    "RFC 9110 section 5.3; ASVS 5.0 15.3.7; CWE-235",
    "Look at every value of the field, and refuse more than one.",
)
UNDERSCORE = Requirement(
    "A name with an underscore is another name.",
    "RFC 9110 section 5.1; RFC 3875 section 4.1.18; CVE-2015-0219",
    "Use a server that does not fold `_` into `-`, or make it drop such fields.",
)
BYTES = Requirement(
    "A value of any bytes is compared, and refused.",
    "RFC 9110 section 5.5; CWE-248",
    "Compare bytes: text that is not ASCII makes many comparisons raise.",
)
MALFORMED = Requirement(
    "What is malformed or too much is a 401 or another 4xx: never let in, never a 5xx, never silence.",
    "RFC 9110 sections 5.5 and 15.5; RFC 9112 sections 2.2, 3.2, 5.1, 5.2, 6.1 and 6.3; RFC 6585 section 5",
    "Leave parsing to a server that follows RFC 9112, and answer all that it lets by from the check.",
)
NO_VERSION = replace(
    MALFORMED,
    requirement="A request without a version is a 4xx too.",
    source="RFC 9112 section 3",
    level="recommended",
)
ROBUST = Requirement(
    "With the secret or without, nothing in a request makes the service fail.",
    "RFC 9110 section 15.5.1; ASVS 5.0 16.5.3; CWE-248",
    "Find what parses the request beside the check, and answer what it raises with a 4xx.",
)
CHALLENGE = Requirement(
    "Every 401 has a challenge: WWW-Authenticate, with a scheme.",
    "RFC 9110 sections 11.6.1 and 15.5.2",
    'Send `WWW-Authenticate: SharedSecret realm="origin"` with every 401.',
)
SILENT = Requirement(
    "No answer shows a traceback or a path of the machine.",
    "ASVS 5.0 13.4.2 and 16.5.1; CWE-209",
    "Turn off debug pages, and answer errors with words of your own.",
)
JSON = Requirement(
    "Denials and errors are JSON, whatever Accept says.",
    "RFC 9110 section 12.5.1; ASVS 5.0 4.1.1",
    "Answer errors with a JSON object and `Content-Type: application/json`.",
    "recommended",
)
WORDS = replace(
    JSON, requirement="A denial says in a member of the object what is missing.", source="RFC 9110 section 15.5"
)
SECRET_KEPT = Requirement(
    "No answer tells the secret to who does not have it.",
    "ASVS 5.0 16.5.1; CWE-200, CWE-209",
    "Say that the secret is wrong, and nothing about the right one.",
)
NO_STORE = Requirement(
    "A denial is not stored by a cache.",
    "RFC 9111 section 5.2.2.5; ASVS 5.0 14.3.2",
    "Send `Cache-Control: no-store` with every denial.",
    "recommended",
)
VERSIONS = Requirement(
    "No answer names a version beyond what the server says in `Server`.",
    "RFC 9110 section 10.2.4; ASVS 5.0 13.4.6",
    "Take versions out of error pages and of fields like X-Powered-By.",
    "recommended",
)
FRAMEWORK = Requirement(
    "With the secret an unknown path is a 404, and a method that the path has not a 405 or 404.",
    "RFC 9110 sections 15.5.5 and 15.5.6",
    "Let the framework answer what was let in.",
    "recommended",
)
QUIET = Requirement(
    "No log has a secret in it, neither the service's own nor what a client presents as one.",
    "ASVS 5.0 14.2.1 and 16.2.5; CWE-532",
    "Log the path without its query, no header, and no line that was refused.",
)
LINES = Requirement(
    "A client cannot write lines of its own into a log.",
    "ASVS 5.0 16.4.1; CWE-117",
    "Log the path percent-encoded, as it came.",
)
LIMIT = Requirement(
    "A header without end is cut off, and others are answered meanwhile.",
    "RFC 9110 section 5.4; RFC 9112 section 3; ASVS 5.0 15.2.2; CWE-770",
    "Limit the request line and the header section: some tens of kilobytes are plenty.",
)
MEMORY = replace(
    LIMIT,
    requirement="What does not end takes less than 20 MB of memory: neither a header, nor a body without the secret.",
    hint="Limit the header section, and do not read the body of a request that is refused.",
)
PATIENT = Requirement(
    "A client that sends half a request and waits does not keep others waiting.",
    "ASVS 5.0 15.4.4; CWE-400",
    "Use a server that serves more than one connection at a time.",
)
VERY_PATIENT = replace(
    PATIENT,
    requirement="A hundred such clients do not either.",
    hint="Use a server with an event loop, or let the gateway wait for slow clients.",
    level="recommended",
)
ROTATE = Requirement(
    "While the secret is rotated the old and the new one are let in, and each alone.",
    "ASVS 5.0 13.3.4",
    "Accept SHARED_SECRET and SHARED_SECRET_PREVIOUS, whichever fits.",
)
LOSSLESS = Requirement(
    "A rotation under load loses not one request.",
    "ASVS 5.0 13.3.4",
    "Take up a changed file while running; let a worker that stops answer what it has accepted.",
)
STOP = Requirement(
    "On SIGTERM a request in flight or on its way is answered, no new one is, and the process ends.",
    "POSIX.1-2024, kill(); RFC 9112 section 9.6",
    "Use a server that stops in order, and let the signal reach it.",
)
REPLACE = Requirement(
    "A worker that dies is replaced.",
    "ASVS 5.0 16.5.4",
    "Let the supervisor watch its workers.",
)

# What is sent

WRONG = b"<header>: presented-and-wrong"
EMPTY = b"<header>:"
BLANK = b"<header>: \t "
OLD = b"<header>: <previous>"
LATIN = b"<header>: \xe9"
UNDERSCORES = b"<header with underscores>: <secret>"
HALF_UNDERSCORES = b"<header with one underscore>: <secret>"

protected = partial(request, "<protected>")
healthz = partial(request, "<open>")


def post(kind: bytes, body: bytes) -> bytes:
    """Return a request with the secret and a body of some media type, to a path that takes none."""
    length = f"Content-Length: {len(body)}".encode()
    return request("/nope", RIGHT, b"Content-Type: " + kind, length, method="POST", body=body)


def chunked(*trailer: bytes, method: str = "GET") -> bytes:
    """Return a request with a chunked body of one byte, and trailer fields after it."""
    body = b"1\r\nx\r\n0\r\n" + b"".join(line + b"\r\n" for line in trailer) + b"\r\n"
    return protected(b"Transfer-Encoding: chunked", method=method, body=body)


METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")
RARE_METHODS = ("TRACE", "FOO", "get")
UNKNOWN = {
    "root": "/",
    "unknown": "/nope",
    "docs": "/docs",
    "redoc": "/redoc",
    "openapi": "/openapi.json",
    "schema": "/schema",
    "schema-openapi": "/schema/openapi.json",
    "favicon": "/favicon.ico",
    "protected-slash": "<protected>/",
}
NEAR_OPEN = {
    "slash-after": "<open>/",
    "suffix": "<open>.json",
    "letter-case": "<open in other letter case>",
    "below": "<open>/x",
    "above": "/x<open>",
}
ODD_OPEN = {
    "slash-before": "/<open>",
    "space": "<open>%20",
    "nul": "<open>%00",
    "not-utf-8": "<open>%ff",
    "parameter": "<open>;a=b",
    "encoded-query": "<open>%3Fa",
    "dots-to-protected": "<open>/..<protected>",
    "encoded-dots-to-protected": "<open>/%2e%2e<protected>",
}
WEBSOCKET = (b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13")
ALL = "all requests of the table"
ENOUGH = 5  # problems of one kind
UNDER_LOAD = "under constant load"
CARELESSLY = "in its field, Referer, User-Agent, malformed lines"
UNCONFIGURED = ("unset", "empty", "blank", "newline", "file-missing", "previous-only")


def each(
    group: str, requirement: Requirement, answer: Answer, sent: dict[str, bytes], state: str = "configured"
) -> list[Exchange]:
    """Return the cases of a group that one requirement and one answer are about, by name."""
    return [Exchange(f"{group}/{name}", requirement, state, request, answer) for name, request in sent.items()]


EXCHANGES = [
    *each("open", OPEN, OK, {
        "alone": healthz(),
        "wrong-secret": healthz(WRONG),
    }),
    *each("open", OLD_HTTP, OK, {"HTTP-1.0": healthz(version="HTTP/1.0")}),
    *each("open", OPEN_WITH_QUERY, OK, {
        "query": request("<open>?a=b"),
        "odd-query": request("<open>?self=1&request=2"),
    }),
    *each("open", ROBUST, NO_FAILURE, {
        "absolute-form": request("http://<host><open>"),
        "unknown-charset": healthz(b"X-Other: =?nope?b?AAAA?="),
        "virtual-root": healthz(b"X-Vhm-Root: \xff"),
    }),
    *(case for state in UNCONFIGURED for case in each("config", OPEN, OK, {f"{state}-open": healthz()}, state)),
    *(case for state in UNCONFIGURED for case in each("config", CONFIG, NOT_CONFIGURED, {
        f"{state}-missing": protected(),
        f"{state}-empty": protected(EMPTY),
        f"{state}-secret": protected(RIGHT),
        f"{state}-previous": protected(OLD),
    }, state)),
    *each("config", CONFIG, NOT_CONFIGURED, {
        "first-blank": protected(BLANK),
        "first-wrong": protected(WRONG),
        "first-byte-0xe9": protected(LATIN),
        "first-twice": protected(WRONG, WRONG),
        "first-unknown": request("/nope"),
        "first-method": protected(method="DELETE"),
        "first-docs": request("/openapi.json"),
        "first-near-open": request("<open>/"),
        "first-body": post(b"application/json", b"{"),
    }, "unset"),
    *each("auth", GRANT, OK, {
        "right": protected(RIGHT),
        "right-and-query": request("<protected>?a=b", RIGHT),
        "right-and-odd-query": request("<protected>?self=1&request=2", RIGHT),
        "name-in-lower-case": protected(b"<header in lower case>: <secret>"),
        "space-around": protected(b"<header>: \t <secret> \t"),
    }),
    *each("auth", PROVIDE, NOT_PROVIDED, {
        "missing": protected(),
        "empty": protected(EMPTY),
        "blank": protected(BLANK),
    }),
    *each("auth", OLD_HTTP, OK, {"right-HTTP-1.0": protected(RIGHT, version="HTTP/1.0")}),
    *each("auth", PROVIDE, NOT_PROVIDED_OR_REJECTED, {"missing-HTTP-1.0": protected(version="HTTP/1.0")}),
    *each("auth", WHOLE, INVALID, {
        "wrong": protected(WRONG),
        "secret-less-a-byte": protected(b"<header>: <secret less a byte>"),
        "secret-less-its-first-byte": protected(b"<header>: <secret less its first byte>"),
        "secret-plus-a-byte": protected(b"<header>: <secret>x"),
        "letter-case": protected(b"<header>: <secret in other letter case>"),
        "quoted": protected(b'<header>: "<secret>"'),
        "bearer": protected(b"<header>: Bearer <secret>"),
        "rfc-2047-word": protected(b"<header>: =?utf-8?q?<secret>?="),
        "previous": protected(OLD),
    }),
    *each("auth", PLACE, NOT_PROVIDED, {
        "in-query": request("<protected>?<header>=<secret percent encoded>"),
        "in-cookie": protected(b"Cookie: <header>=<secret>"),
        "in-authorization": protected(b"Authorization: Bearer <secret>"),
    }),
    *each("auth", PLACE, NOT_PROVIDED_OR_REJECTED, {
        "in-trailer": chunked(RIGHT),
        "in-trailer-of-post": chunked(RIGHT, method="POST"),
    }),
    *each("deny", BEFORE, REFUSED, {
        "HEAD-protected": protected(method="HEAD"),
        **{f"{method}-protected": protected(method=method) for method in METHODS},
        **{f"{method}-open": healthz(method=method) for method in METHODS},
    }),
    *each("deny", BEFORE, NOT_UNDERSTOOD, {
        **{f"{method}-protected": protected(method=method) for method in RARE_METHODS},
        **{f"{method}-open": healthz(method=method) for method in RARE_METHODS},
    }),
    *each("deny", BEFORE, NO_TUNNEL, {
        "CONNECT-protected": protected(method="CONNECT"),
        "CONNECT-open": healthz(method="CONNECT"),
        "CONNECT-authority": request("<host>", method="CONNECT"),
    }),
    *each("deny", BEFORE, REJECTED, {
        "body-not-sent": protected(b"Content-Length: 9999999", method="POST"),
        "chunks-not-sent": protected(b"Transfer-Encoding: chunked", method="POST"),
        "path-not-utf-8": request("/%ff"),
        "absolute-form": request("http://<host><protected>"),
        "absolute-form-other-host": request("http://other.test<protected>"),
        "websocket": protected(*WEBSOCKET, connection=b"Connection: Upgrade"),
    }),
    *each("deny", BEFORE, NOT_PROVIDED, {
        **{f"path-{name}": request(path) for name, path in UNKNOWN.items()},
        "preflight": protected(b"Origin: https://a.test", b"Access-Control-Request-Method: GET", method="OPTIONS"),
        "bad-json": protected(b"Content-Type: application/json", b"Content-Length: 1", method="POST", body=b"{"),
    }),
    *each("deny", BEFORE, INVALID, {"wrong-secret-unknown": request("/nope", WRONG)}),
    *each("deny", EXACT, NOT_PROVIDED, {f"open-{name}": request(path) for name, path in NEAR_OPEN.items()}),
    *each("deny", EXACT, NOT_PROVIDED_OR_BAD, {f"open-{name}": request(path) for name, path in ODD_OPEN.items()}),
    *each("deny", SAME, REJECTED, {
        "asterisk-form": request("*", method="OPTIONS"),
        "open-dot": request("/.<open>"),
        "open-dots": request("<protected>/..<open>"),
        "HEAD-open": healthz(method="HEAD"),
    }),
    *each("deny", MOVED, NOT_PROVIDED, {
        "method-override": healthz(b"X-HTTP-Method-Override: GET", method="POST"),
        "original-url": protected(b"X-Original-URL: <open>"),
        "rewrite-url": protected(b"X-Rewrite-URL: <open>"),
        "forwarded-prefix": protected(b"X-Forwarded-Prefix: <open>"),
    }),
    *each("deny", NEAR, NOT_PROVIDED, {
        "forwarded-for": protected(b"X-Forwarded-For: 127.0.0.1"),
        "forwarded": protected(b"Forwarded: for=127.0.0.1;host=localhost;proto=https"),
        "forwarded-host": protected(b"X-Forwarded-Host: localhost"),
        "real-ip": protected(b"X-Real-IP: 127.0.0.1"),
    }, "behind-proxy"),
    *each("deny", MOVED, NOT_PROVIDED_OR_BAD, {
        "script-name": protected(b"SCRIPT_NAME: <protected>"),
        "script-name-elsewhere": protected(b"SCRIPT_NAME: /x"),
        "path-info": protected(b"PATH_INFO: <open>"),
    }, "behind-proxy"),
    *each("wire", TWICE, INVALID_OR_BAD, {
        "right-twice": protected(RIGHT, RIGHT),
        "right-then-wrong": protected(RIGHT, WRONG),
        "wrong-then-right": protected(WRONG, RIGHT),
        "right-then-empty": protected(RIGHT, EMPTY),
        "empty-then-right": protected(EMPTY, RIGHT),
        "joined-right-twice": protected(b"<header>: <secret>,<secret>"),
        "joined-right-then-wrong": protected(b"<header>: <secret>, presented-and-wrong"),
        "joined-wrong-then-right": protected(b"<header>: presented-and-wrong, <secret>"),
    }),
    *each("wire", UNDERSCORE, NOT_PROVIDED_OR_BAD, {
        "underscores": protected(UNDERSCORES),
        "half-underscores": protected(HALF_UNDERSCORES),
    }),
    *each("wire", UNDERSCORE, INVALID_OR_BAD, {
        "underscores-after-wrong": protected(WRONG, UNDERSCORES),
        "underscores-before-wrong": protected(UNDERSCORES, WRONG),
        "half-underscores-after-wrong": protected(WRONG, HALF_UNDERSCORES),
    }),
    *each("wire", UNDERSCORE, OK_OR_REJECTED, {
        "wrong-underscores-after-right": protected(RIGHT, b"<header with underscores>: presented-and-wrong"),
    }),
    *each("wire", BYTES, INVALID_OR_BAD, {
        "byte-0xe9": protected(LATIN),
        "right-and-0xe9": protected(RIGHT + b"\xe9"),
        "utf-8": protected("<header>: sécret".encode()),
        "not-utf-8": protected(b"<header>: \xff\xfe\x80"),
    }),
    *each("wire", MALFORMED, REJECTED, {
        "nul": protected(RIGHT + b"\0"),
        "folded": protected(RIGHT, b" x"),
        "space-before-colon": protected(b"<header> : <secret>"),
        "no-colon": protected(b"<header> <secret>"),
        "bare-lf": protected(WRONG + b"\n" + RIGHT),
        "bare-cr": protected(WRONG + b"\r" + RIGHT),
        "8-KB": protected(b"<header>: <8 KB>"),
        "64-KB": protected(b"<header>: <64 KB>"),
        "1-MB": protected(b"<header>: <1 MB>"),
        "200-fields": protected(b"<200 fields>"),
        "no-host": protected(host=None),
        "two-hosts": protected(b"Host: <host>"),
        "length-twice": protected(b"Content-Length: 1", b"Content-Length: 2", method="POST", body=b"x"),
        "length-not-a-number": protected(b"Content-Length: x", method="POST"),
        "length-and-chunks": protected(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    }),
    *each("wire", MALFORMED, NOT_UNDERSTOOD, {
        "version": protected(version="HTTP/9.9"),
        "unknown-transfer-encoding": protected(b"Transfer-Encoding: odd"),
    }),
    *each("wire", NO_VERSION, REJECTED, {"no-version": b"GET <protected>\r\n\r\n"}),
    *each("wire", ROBUST, REFUSED, {
        "unknown-charset": protected(b"X-Other: =?nope?b?AAAA?="),
    }),
    *each("wire", ROBUST, NO_FAILURE, {
        "bad-path-right": request("/%ff", RIGHT),
        "form-charset-right": post(b"application/x-www-form-urlencoded; charset=nope", b"a=b"),
        "form-bytes-right": post(b"application/x-www-form-urlencoded", b"%ff=\xff&a"),
        "no-boundary-right": post(b"multipart/form-data", b"--"),
        "half-json-right": post(b"application/json", b"{"),
        "odd-type-right": post(b"\xff;=", b"x"),
        "no-host-right": protected(RIGHT, host=None),
        "odd-host-right": request("<protected>/", RIGHT, host=b"Host: [a:99999"),
        "odd-cookie-right": protected(RIGHT, b"Cookie: a[]=;=\xe9"),
        "bad-query-right": request("<protected>?%ff=%ff", RIGHT),
        "unknown-charset-right": protected(RIGHT, b"X-Other: =?nope?b?AAAA?="),
        "bad-base64-right": protected(RIGHT, b"X-Other: =?utf-8?b?A?="),
        "word-in-text-right": protected(RIGHT, b"X-Other: a =?utf-8?q?b?="),
        "virtual-root-right": protected(RIGHT, b"X-Vhm-Root: \xff"),
        "HEAD-right": protected(RIGHT, method="HEAD"),
        "OPTIONS-right": protected(RIGHT, method="OPTIONS"),
        "slash-right": request("<protected>/", RIGHT),
        "200-fields-right": protected(RIGHT, b"<200 fields>"),
    }),
    *each("errors", FRAMEWORK, NOT_FOUND, {"not-found": request("/nope", RIGHT, b"Accept: text/html")}),
    *each("errors", FRAMEWORK, NO_METHOD, {"no-method": protected(RIGHT, b"Accept: text/html", method="DELETE")}),
    *each("errors", PROVIDE, NOT_PROVIDED, {"accept-html": protected(b"Accept: text/html")}),
    *each("rotate", ROTATE, OK, {"new": protected(RIGHT), "old": protected(OLD)}, "rotation"),
    *each("rotate", WHOLE, INVALID, {"other": protected(WRONG)}, "rotation"),
    *each("rotate", TWICE, INVALID, {"both": protected(RIGHT, OLD), "twice": protected(OLD, OLD)}, "rotation"),
]  # fmt: skip

# What every answer has to be, whatever case it belongs to


Look = Callable[[Exchange, Response], str | None]  # a problem, "" for none, or None where there is nothing to look at


def every(look: Look) -> Callable[[Target], Finding]:
    """Make the trial that looks at the answers to all the requests above, until it has found enough."""

    def trial(target: Target) -> Finding:
        problems, looked_at = [], 0
        for case in EXCHANGES:
            got = None
            with suppress(NotCheckedError):
                got = target.ask(case.state, case.sent)
            problem = look(case, got) if isinstance(got, Response) else None
            looked_at += problem is not None
            problems += [f"{case.name}: {problem}"] * bool(problem)
            if len(problems) == ENOUGH:
                break
        if not looked_at:
            raise NotCheckedError("It needs answers to look at.")
        return Finding(problems, f"{looked_at} answers were looked at")

    return trial


def no_challenge(case: Exchange, got: Response) -> str | None:
    """A 401 needs the name of a scheme, and may have parameters."""
    if got.status != 401:
        return None
    challenge = got.headers["WWW-Authenticate"]
    return "" if re.match(r"[\w!#$%&'*+.^`|~-]+( |$)", challenge or "") else f"WWW-Authenticate is {challenge!r}"


def stored(case: Exchange, got: Response) -> str | None:
    """A 401 or a 500 says that it is not to be stored."""
    if got.status not in (401, 500):
        return None
    control = got.headers["Cache-Control"]
    return "" if "no-store" in (control or "") else f"Cache-Control is {control!r}"


def not_json(case: Exchange, got: Response) -> str | None:
    """What the service refuses or does not have is a JSON object, and says so."""
    if not got.body or (got.status not in (401, 500) and case.answer not in (NOT_FOUND, NO_METHOD)):
        return None
    kind = got.headers.get_content_type()
    if kind != "application/json" and not kind.endswith("+json"):
        return f"Content-Type is {kind}"
    return "" if isinstance(got.json(), dict) else "the body is no JSON object"


def no_words(case: Exchange, got: Response) -> str | None:
    """A denial says what the table says."""
    if not case.answer.words or not got.body or got.status not in (401, 500):
        return None
    body = got.json()
    said = list(body.values()) if isinstance(body, dict) else []
    return "" if case.answer.words in said else f"the body does not say {case.answer.words!r}"


def found(pattern: str) -> Look:
    """Make the look for a pattern in what is refused: in bodies, and in header fields but `Server`."""

    def look(case: Exchange, got: Response) -> str | None:
        fields = "\n".join(value for name, value in got.headers.items() if name.lower() != "server")
        seen = re.search(pattern, f"{fields}\n{got.body.decode(errors='replace')}")
        return f"it says {seen[0]!r}" if seen else ""

    return lambda case, got: look(case, got) if got.status >= 400 else None


def no_secret(target: Target) -> Finding:
    """Look for the secret in answers to those who did not send it."""

    def look(case: Exchange, got: Response) -> str | None:
        if b"<secret>" in case.sent:
            return None
        return "it tells the secret" if target.secret in f"{got.headers}{got.body.decode(errors='replace')}" else ""

    return every(look)(target)


def body(sent: bytes, expected: dict[str, str]) -> Callable[[Target], Finding]:
    """Make the trial of what the body of an answer says."""

    def trial(target: Target) -> Finding:
        got = target.ask("configured", sent)
        said = got.json() if isinstance(got, Response) else got
        return Finding([f"the body is not {json.dumps(expected)}"] * (said != expected), str(got))

    return trial


def moved(target: Target) -> Finding:
    """The open path, with every field that could lead from there to the protected one."""
    fields = [name + b": <protected>" for name in (b"X-Original-URL", b"X-Rewrite-URL", b"SCRIPT_NAME", b"PATH_INFO")]
    asked = [target.ask("behind-proxy", sent) for sent in (healthz(*fields), healthz(), protected(RIGHT))]
    got, well, granted = (each.body if isinstance(each, Response) else None for each in asked)
    if well is None or well == granted:
        raise NotCheckedError("It needs an open path and a protected one that answer differently.")
    return Finding(["it answers as the protected path does"] * (got == granted), str(asked[0]))


GRANTED, HEALTHY = {"message": "Access granted"}, {"status": "ok"}
TRACE = r"Traceback \(most|\bFile \"|(?m:^\s+at \S+ ?\()"
PATH = r"(/[\w.-]+)+\.(py|js|ts|rb|go|php|java)\b|/(usr|home|root|opt|srv|var|tmp)/\w+|\b[A-Z]:\\\w+"
VERSION = r"\b(?!HTTP/|section )[A-Za-z][\w.-]*[/ ]v?\d+\.\d+"
TRIALS = [
    Trial("open/body", BODY, "GET <open>", body(healthz(), HEALTHY)),
    Trial("auth/right-body", BODY, "GET <protected>, the secret", body(protected(RIGHT), GRANTED)),
    Trial("deny/moved-from-open", MOVED, "GET <open>, fields that name <protected>", moved),
    Trial("deny/pipelined", ALONE, "three requests at once, the second with the secret", trials.pipelined),
    Trial("deny/body-is-no-request", ALONE, "POST, its body a request with the secret", trials.body_is_no_request),
    Trial("errors/challenge", CHALLENGE, ALL, every(no_challenge)),
    Trial("errors/no-secret", SECRET_KEPT, ALL, no_secret),
    Trial("errors/no-traceback", SILENT, ALL, every(found(TRACE))),
    Trial("errors/no-file-path", SILENT, ALL, every(found(PATH))),
    Trial("errors/no-version", VERSIONS, ALL, every(found(VERSION))),
    Trial("errors/json", JSON, ALL, every(not_json)),
    Trial("errors/words", WORDS, ALL, every(no_words)),
    Trial("errors/no-store", NO_STORE, ALL, every(stored)),
    Trial("load/endless-value", LIMIT, "64 MB of one field value", trials.endless("value")),
    Trial("load/endless-lines", LIMIT, "64 MB of header fields", trials.endless("lines")),
    Trial("load/endless-target", LIMIT, "64 MB of request target", trials.endless("target")),
    Trial("load/memory", MEMORY, "64 MB of each of these, and of a body without the secret", trials.memory_grows),
    Trial("load/slow-client", PATIENT, "half a request on another connection", trials.slow(1)),
    Trial("load/slow-clients", VERY_PATIENT, "half a request on each of 100 other connections", trials.slow(100)),
    Trial("rotate/files", LOSSLESS, f"old, both, new in the secrets' files, {UNDER_LOAD}", trials.rotate_files),
    Trial("rotate/workers", LOSSLESS, f"the same, SIGHUP at each step, {UNDER_LOAD}", trials.rotate_workers),
    Trial("stop/in-flight", STOP, "SIGTERM while a request with the secret is in flight", trials.stop_in_flight),
    Trial("stop/on-its-way", STOP, "the last line of another request just after SIGTERM", trials.stop_on_its_way),
    Trial("stop/port-closed", STOP, "requests after SIGTERM, while that one is in flight", trials.stop_port),
    Trial("stop/exit-status", STOP, "SIGTERM; an exit status of 0 or the signal's", trials.stop_exit),
    Trial("stop/worker-killed", REPLACE, "SIGKILL to one of two workers", trials.worker_killed),
    Trial("leak/own-secret", QUIET, f"the secret, {CARELESSLY}", trials.own_secret_in_log),
    Trial("leak/presented-secret", QUIET, f"a wrong secret, {CARELESSLY}", trials.presented_secret_in_log),
    Trial("leak/query", QUIET, "a secret in the query", trials.query_in_log),
    Trial("leak/forged-line", LINES, "GET /a%0d%0aFORGED", trials.forged_line_in_log),
]

GROUPS = {
    "open": "the one open path",
    "config": "no secret is configured",
    "auth": "the secret, and what is not it",
    "deny": "everything else needs it",
    "wire": "odd and hostile bytes",
    "errors": "every answer to all of these",
    "load": "more than anybody needs",
    "rotate": "changing the secret",
    "stop": "the end of a process",
    "leak": "the log, after all of these",
}
CASES: list[Case] = sorted([*EXCHANGES, *TRIALS], key=lambda case: list(GROUPS).index(case.group))


def by_requirement(group: str) -> dict[Requirement, list[Case]]:
    """Return the cases of a group under what they require, in the order of the table."""
    found: dict[Requirement, list[Case]] = {}
    for case in CASES:
        if case.group == group:
            found.setdefault(case.requirement, []).append(case)
    return found
