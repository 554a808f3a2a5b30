"""Everything else needs the secret."""

import re
from dataclasses import replace

from ..case import Case, Finding, Requirement, Trial, exchanges
from ..http1 import Response, conversation, request
from ..messages import (
    INVALID,
    NO_TUNNEL,
    NOT_PROVIDED,
    NOT_PROVIDED_OR_BAD,
    NOT_UNDERSTOOD,
    REFUSED,
    REJECTED,
    RIGHT,
    WRONG,
    healthz,
    protected,
)
from ..target import NotCheckedError, Target

BEFORE = Requirement(
    "Without the secret nothing but the open path is served: the check comes before paths, methods and bodies.",
    "ASVS 5.0 4.1.4, 8.2.1 and 13.4.5; CWE-306, CWE-425",
    "Put the check in front of routing: 401 comes before 404, 405, redirects, docs and the body.",
)
EXACT = Requirement(
    "The open path is one method and one path, and no other spelling of them.",
    "ASVS 5.0 8.2.1; CWE-41, CWE-289",
    "Compare method and path, exactly as received, with the open ones: no prefixes, no normalising.",
)
SAME = replace(
    EXACT,
    requirement="Spellings that a standard treats as equal to the open path should be refused too.",
    source="RFC 3986 section 6.2.2; RFC 9110 section 9.3.2; RFC 9112 section 3.2.2",
    level="recommended",
)
MOVED = Requirement(
    "No field can change a request's path or method.",
    "ASVS 5.0 4.1.3; CWE-807",
    "Turn off whatever takes a path or a method from a header, also for a trusted proxy.",
)
NEAR = Requirement(
    "No other field replaces the secret, not even one that claims a local client.",
    "ASVS 5.0 4.1.3 and 15.3.4; CWE-290, CWE-348",
    "Accept nobody because of an address or a host that a header names.",
)
ALONE = Requirement(
    "Every request on a connection is checked by itself.",
    "RFC 9112 sections 6.3 and 9.3.2; ASVS 5.0 4.2.1; CWE-444",
    "Keep no state between requests on a connection; read or discard each body before the next request.",
)

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
KEPT = b"Connection: keep-alive"


def moved(target: Target) -> Finding:
    """Ask for the open path, with every field that could lead from there to the protected one."""
    fields = [name + b": <protected>" for name in (b"X-Original-URL", b"X-Rewrite-URL", b"SCRIPT_NAME", b"PATH_INFO")]
    asked = [target.ask("behind-proxy", sent) for sent in (healthz(*fields), healthz(), protected(RIGHT))]
    got, healthy, granted = (answer.body if isinstance(answer, Response) else None for answer in asked)
    if healthy is None or healthy == granted:
        raise NotCheckedError("It needs an open path and a protected one that answer differently.")
    return Finding(["it answers as the protected path does"] if got == granted else [], str(asked[0]))


def statuses(target: Target, *sent: bytes) -> list[int]:
    """Return the status codes that come back for requests sent at once on one connection."""
    address = target.instance("configured").address
    try:
        received = conversation(address, target.fill(b"".join(sent), address), target.deadline)
    except OSError:
        return []
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


def pipelined(target: Target) -> Finding:
    """Send three requests at once, of which the second alone carries the secret."""
    without, right = request("<protected>", connection=KEPT), request("<protected>", RIGHT, connection=KEPT)
    received = statuses(target, without, right, request("<protected>"))
    problems = [] if received else ["there is no answer"]
    problems += [
        f"request {n} has no secret, and is answered {s}" for n, s in enumerate(received, 1) if n != 2 and s < 400
    ]
    return Finding(problems, f"status codes: {received}")


def body_is_no_request(target: Target) -> Finding:
    """Send a request that is refused, with a body that looks like a request with the secret."""
    body = target.fill(request("<protected>", RIGHT), target.instance("configured").address)
    length = f"Content-Length: {len(body)}".encode()
    refused = request("<protected>", length, method="POST", connection=KEPT, body=body)
    received = statuses(target, refused, request("<protected>"))
    problems = [] if received else ["there is no answer"]
    if 200 in received:
        problems.append("the body is treated as a request")
    return Finding(problems, f"status codes: {received}")


CASES: list[Case] = [
    *exchanges("deny", BEFORE, REFUSED, {
        "HEAD-protected": protected(method="HEAD"),
        **{f"{method}-protected": protected(method=method) for method in METHODS},
        **{f"{method}-open": healthz(method=method) for method in METHODS},
    }),
    *exchanges("deny", BEFORE, NOT_UNDERSTOOD, {
        **{f"{method}-protected": protected(method=method) for method in RARE_METHODS},
        **{f"{method}-open": healthz(method=method) for method in RARE_METHODS},
    }),
    *exchanges("deny", BEFORE, NO_TUNNEL, {
        "CONNECT-protected": protected(method="CONNECT"),
        "CONNECT-open": healthz(method="CONNECT"),
        "CONNECT-authority": request("<host>", method="CONNECT"),
    }),
    *exchanges("deny", BEFORE, REJECTED, {
        "body-not-sent": protected(b"Content-Length: 9999999", method="POST"),
        "chunks-not-sent": protected(b"Transfer-Encoding: chunked", method="POST"),
        "path-not-utf-8": request("/%ff"),
        "absolute-form": request("http://<host><protected>"),
        "absolute-form-other-host": request("http://other.test<protected>"),
        "websocket": protected(*WEBSOCKET, connection=b"Connection: Upgrade"),
    }),
    *exchanges("deny", BEFORE, NOT_PROVIDED, {
        **{f"path-{name}": request(path) for name, path in UNKNOWN.items()},
        "preflight": protected(b"Origin: https://a.test", b"Access-Control-Request-Method: GET", method="OPTIONS"),
        "bad-json": protected(b"Content-Type: application/json", b"Content-Length: 1", method="POST", body=b"{"),
    }),
    *exchanges("deny", BEFORE, INVALID, {"wrong-secret-unknown": request("/nope", WRONG)}),
    *exchanges("deny", EXACT, NOT_PROVIDED, {f"open-{name}": request(path) for name, path in NEAR_OPEN.items()}),
    *exchanges("deny", EXACT, NOT_PROVIDED_OR_BAD, {f"open-{name}": request(path) for name, path in ODD_OPEN.items()}),
    *exchanges("deny", SAME, REJECTED, {
        "asterisk-form": request("*", method="OPTIONS"),
        "open-dot": request("/.<open>"),
        "open-dots": request("<protected>/..<open>"),
        "HEAD-open": healthz(method="HEAD"),
    }),
    *exchanges("deny", MOVED, NOT_PROVIDED, {
        "method-override": healthz(b"X-HTTP-Method-Override: GET", method="POST"),
        "original-url": protected(b"X-Original-URL: <open>"),
        "rewrite-url": protected(b"X-Rewrite-URL: <open>"),
        "forwarded-prefix": protected(b"X-Forwarded-Prefix: <open>"),
    }),
    *exchanges("deny", NEAR, NOT_PROVIDED, {
        "forwarded-for": protected(b"X-Forwarded-For: 127.0.0.1"),
        "forwarded": protected(b"Forwarded: for=127.0.0.1;host=localhost;proto=https"),
        "forwarded-host": protected(b"X-Forwarded-Host: localhost"),
        "real-ip": protected(b"X-Real-IP: 127.0.0.1"),
    }, "behind-proxy"),
    *exchanges("deny", MOVED, NOT_PROVIDED_OR_BAD, {
        "script-name": protected(b"SCRIPT_NAME: <protected>"),
        "script-name-elsewhere": protected(b"SCRIPT_NAME: /x"),
        "path-info": protected(b"PATH_INFO: <open>"),
    }, "behind-proxy"),
    Trial("deny/moved-from-open", MOVED, "GET <open>, fields that name <protected>", moved),
    Trial("deny/pipelined", ALONE, "three requests at once, the second with the secret", pipelined),
    Trial("deny/body-is-no-request", ALONE, "POST, its body a request with the secret", body_is_no_request),
]  # fmt: skip
