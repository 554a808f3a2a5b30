"""Everything else needs the secret."""

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from urllib.parse import quote

from .. import tables
from ..case import ENOUGH, Case, Expected, Finding, Requirement, Trial, each, exchanges, more
from ..http1 import NO_ANSWER, Response, conversation, request, respond
from ..messages import (
    INVALID,
    NO_PROXY,
    NO_TUNNEL,
    NOT_PROVIDED,
    NOT_PROVIDED_OR_BAD,
    NOT_PROVIDED_OR_REJECTED,
    NOT_UNDERSTOOD,
    REFUSED,
    REJECTED,
    REJECTED_OR_NONE,
    RIGHT,
    WRONG,
    at_protected,
    healthz,
    protected,
)
from ..target import NotCheckedError, Target

BEFORE = Requirement(
    "Without the secret nothing but the open path is served: the check comes before paths, methods and bodies.",
    "ASVS 5.0 4.1.4, 8.2.1 and 13.4.5; CWE-306, CWE-425",
    "Put the check in front of routing: 401 comes before 404, 405, redirects, docs and the body.",
)
RARE = replace(
    BEFORE,
    requirement="A method or a form of target that hardly anyone uses opens nothing: TRACE, CONNECT, a whole URL ...",
    source="RFC 9110 sections 9.1, 9.3.6 and 9.3.8; RFC 9112 section 3.2; ASVS 5.0 4.1.4; CWE-650",
    hint="Check every method in the same way, also those that the framework or the server answers by itself.",
    normalised=True,
)
LETTERS = replace(
    RARE,
    requirement="A method in other letters is another method: `get` opens nothing.",
    source="RFC 9110 section 9.1",
    hint="Compare the method as it was sent; ASGI servers that turn it into capital letters first cannot.",
    level="recommended",
)
EARLY = replace(
    BEFORE,
    requirement="A request is refused before its body has come.",
    source="RFC 9110 section 10.1.1; CWE-400",
    hint="Answer as soon as the header section is there: put the check ahead of what reads, parses or spools bodies.",
    level="recommended",
)
SPELLED = replace(
    BEFORE,
    requirement="No other spelling of the protected path is served without the secret.",
    source="RFC 3986 section 6.2; ASVS 5.0 8.2.1 and 1.1.1; CWE-41, CWE-178, CWE-647",
    hint="Do not list what is protected: open the open path, by an exact comparison, and check all the rest.",
)
ODDLY_SPELLED = replace(
    SPELLED,
    requirement="No spelling of the protected path that a gateway would normalise or reject opens it.",
    normalised=True,
)
UNCONDITIONAL = replace(
    BEFORE,
    requirement="Preconditions, ranges and caching directives do not come before the check.",
    source="RFC 9110 sections 13.2.1 and 14.2; RFC 9111 section 3.5",
    hint="Put the check in front of whatever answers 304, 206 or 412, or answers from a cache.",
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
ODD = replace(
    EXACT, requirement="No spelling of the open path that a gateway would normalise or reject is open.", normalised=True
)
ASTERISK = Requirement(
    "`OPTIONS *`, which asks about the server itself, should be refused too.",
    "RFC 9110 section 9.3.7; RFC 9112 section 3.2.4",
    "Some servers answer it by themselves: in Go, set `DisableGeneralOptionsHandler` of http.Server to true.",
    "recommended",
    normalised=True,
)
MOVED = Requirement(
    "No field can change a request's path or method.",
    "ASVS 5.0 4.1.3; CWE-807",
    "Turn off whatever takes a path or a method from a header, a query or a form, also for a trusted proxy; if it"
    " answers so without these too, see deny/POST-open.",
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
PIPELINED = replace(
    ALONE,
    requirement="A request that is sent before the one in front of it is answered is checked by itself too.",
    normalised=True,
)
STATELESS = Requirement(
    "What was accepted or refused before changes nothing: every request is checked, by what it carries itself.",
    "RFC 9110 section 3.3; RFC 9111 section 3; ASVS 5.0 15.4.1; CWE-362, CWE-525",
    "Keep the secret that came in the request, not in a global variable, a session, a cookie or a cache.",
)

METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")
RARE_METHODS = ("TRACE", "FOO")
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
SIDE_BY_SIDE, TIMES, IN_A_ROW = 8, 67, 30  # clients; requests of each of three kinds; wrong ones


def fields(names: Iterable[str], value: str) -> list[bytes]:
    """Return fields that all have one value."""
    return [f"{name}: {value}".encode() for name in names]


def having(lines: Iterable[str]) -> dict[str, bytes]:
    """Return requests of the protected path with the fields of a line each, by that line; | is between them."""
    return {line: protected(*(field.encode() for field in line.split(" | "))) for line in lines}


def targets(*paths: str) -> dict[str, bytes]:
    """Return requests of GET, by their target."""
    return {path: request(path) for path in paths}


def letters(target: Target) -> Mapping[str, bytes]:
    """Return requests of the protected path with encoded letters, once and twice, and in other letters."""
    path = target.protected
    first, rest = path[1:2] or "x", path[2:]
    every = "".join(f"%{ord(letter):02X}" for letter in path[1:])
    spelled = {
        f"/%{ord(first):02x}{rest}", f"{path[:-1]}%{ord(path[-1]):02x}", f"/{every}", f"/{every.lower()}",
        f"/%25{ord(first):02x}{rest}", f"/{quote(every)}", f"/%u00{ord(first):02x}{rest}", f"/{first}%00{rest}",
        f"/{quote(chr(ord(first) + 0xFEE0))}{rest}", path.swapcase(), path.title(), path[:-1] + path[-1].swapcase(),
    }  # fmt: skip
    return targets(*sorted(spelled - {path}))


def slashes(target: Target) -> Mapping[str, bytes]:
    """Return requests of the protected path with other slashes, doubled ones and none."""
    rest = target.protected[1:]
    return targets(rest, *(f"{begun}{rest}" for begun in tables.BEGINNINGS))


def overridden() -> dict[str, bytes]:
    """Return requests of other methods for the open path, which name GET in a field, in the query or in a form."""
    kind = b"Content-Type: application/x-www-form-urlencoded"
    found = {}
    for name in tables.OVERRIDES:
        for method in ("POST", "DELETE"):
            found[f"{method}, {name}: GET"] = healthz(*fields([name], "GET"), method=method)
    for name in tables.METHOD_PARAMETERS:
        form = f"{name}=GET".encode()
        length = b"Content-Length: %d" % len(form)
        found[f"POST, {name} in the query"] = request(f"<open>?{name}=GET", method="POST")
        found[f"POST, {name} in a form"] = healthz(kind, length, method="POST", body=form)
    return found


def cannot_be_moved(target: Target) -> Finding:
    """Ask for the open path, with a field that could lead from there to the protected one, each in its turn."""
    healthy, granted = (target.ask("behind-proxy", sent) for sent in (healthz(), protected(RIGHT)))
    if not isinstance(healthy, Response) or not isinstance(granted, Response) or healthy.body == granted.body:
        raise NotCheckedError("It needs an open path and a protected one that answer differently.")
    problems: dict[bytes, str] = {}
    names = (*tables.REWRITES, "SCRIPT_NAME", "PATH_INFO")
    for name in names:
        got = target.send("behind-proxy", sent := healthz(*fields([name], "<protected>")))
        if isinstance(got, Response) and got.body == granted.body:
            problems[sent] = f"{name}: it answers as the protected path does"
    found = list(problems.values())
    return Finding(found[:ENOUGH] + more(found), f"{len(names)} requests were sent", next(iter(problems), b""))


def statuses(target: Target, *sent: bytes) -> list[int]:
    """Return the status codes that come back for requests sent at once on one connection."""
    address = target.instance("configured").address
    received = conversation(address, b"".join(target.fill(one, address) for one in sent), target.deadline)
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([2-5]\d\d)[ \r]", received)]


def elsewhere(sent: Mapping[str, bytes]) -> Callable[[Target], Finding]:
    """Return the trial of requests for other hosts: they are refused, or nothing is served there but a redirect."""

    def trial(target: Target) -> Finding:
        granted = target.ask("configured", protected(RIGHT))
        empty = isinstance(granted, Response) and not granted.body
        problems: dict[bytes, str] = {}
        for name, one in sent.items():
            got = target.send("configured", one)
            if isinstance(got, str):
                problems[one] = f"{name}: {got}"
            elif not 300 <= got.status < 500 and (got.body or empty or got.status >= 500):
                problems[one] = f"{name}: {got.status}, not 401 or another 4xx, a redirect, or nothing"
        found = list(problems.values())
        return Finding(found[:ENOUGH] + more(found), f"{len(sent)} requests were sent", next(iter(problems), b""))

    return trial


def pipelined(target: Target) -> Finding:
    """Send three requests at once, of which the second alone carries the secret."""
    received = statuses(target, protected(connection=KEPT), protected(RIGHT, connection=KEPT), protected())
    problems = [] if received else ["there is no answer"]
    problems += [
        f"request {n} has no secret, and is answered {s}" for n, s in enumerate(received, 1) if n != 2 and s < 400
    ]
    return Finding(problems, f"status codes: {received}")


def body_is_no_request(target: Target) -> Finding:
    """Send a request that is refused, with a body that looks like a request with the secret."""
    body = target.fill(protected(RIGHT), target.instance("configured").address)
    length = f"Content-Length: {len(body)}".encode()
    refused = request("<protected>", length, method="POST", connection=KEPT, body=body)
    received = statuses(target, refused, protected())
    problems = [] if received else ["there is no answer"]
    if target.granted in received:
        problems.append("the body is treated as a request")
    return Finding(problems, f"status codes: {received}")


def after_granted(target: Target) -> Finding:
    """Ask with the secret, and then without: on that connection, on others, and as a cache or a browser would."""
    address = target.instance("configured").address
    seen: dict[str, Response | str] = {}
    with address.connect(target.deadline) as connection:
        granted = respond(connection, target.fill(protected(RIGHT, connection=KEPT), address))
        with suppress(*NO_ANSWER):  # the service may close it
            seen["on the same connection"] = respond(connection, target.fill(protected(connection=KEPT), address))
    cookies = [value.partition(";")[0] for value in granted.headers.get_all("Set-Cookie", [])]
    remembered = {
        "If-None-Match": granted.headers.get("ETag", "*"),
        "If-Modified-Since": granted.headers.get("Last-Modified", ""),
        "Cookie": "; ".join(cookies),
        "Cache-Control": "only-if-cached, max-stale",
    }
    later = {
        "on another connection": protected(),
        "with HEAD": request("<protected>", method="HEAD"),
        "with a query": at_protected("<protected>?a=b"),
        "with a wrong secret": protected(WRONG),
        **{f"with {name}": protected(*fields([name], value)) for name, value in remembered.items() if value},
    }
    seen |= {name: target.send("configured", sent) for name, sent in later.items()}
    wanted = REFUSED.on(target)
    problems = [
        f"{name}: {got if isinstance(got, str) else got.status}, not {wanted.label}"
        for name, got in seen.items()
        if isinstance(got, str) or got.status not in wanted.status
    ]
    return Finding(problems[:ENOUGH] + more(problems), f"first {granted.status}, then without it, {', '.join(seen)}")


def side_by_side(target: Target) -> Finding:
    """Ask with the secret, with a wrong one and without any, all at the same time."""
    kinds = {"with the secret": (RIGHT,), "with a wrong one": (WRONG,), "without": ()}
    target.instance("configured")

    def ask(kind: str) -> str | None:
        got = target.send("configured", protected(*kinds[kind]))
        if isinstance(got, str):
            return f"{kind}: {got}"
        wanted = target.granted if kind == "with the secret" else target.denied
        return None if got.status == wanted else f"{kind}: {got.status}, not {wanted}"

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        found = list(pool.map(ask, [*kinds] * TIMES))
    problems = sorted({problem for problem in found if problem})
    lost = len([problem for problem in found if problem])
    return Finding(problems[:ENOUGH] + more(problems), f"{len(found)} requests were sent, {lost} were answered wrongly")


def trial(
    name: str,
    requirement: Requirement,
    action: str,
    expected: Expected,
    sent: Mapping[str, bytes] | Callable[[Target], Mapping[str, bytes]],
    state: str = "configured",
) -> Trial:
    """Return the case of many requests that have one requirement and one expected answer."""
    return Trial(f"deny/{name}", requirement, action, each(state, expected, sent))


CASES: list[Case] = [
    *exchanges("deny", BEFORE, REFUSED, {
        "HEAD-protected": protected(method="HEAD"),
        **{f"{method}-protected": protected(method=method) for method in METHODS},
    }),
    *exchanges("deny", EXACT, REFUSED, {f"{method}-open": healthz(method=method) for method in METHODS}),
    *exchanges("deny", RARE, NOT_UNDERSTOOD, {
        **{f"{method}-protected": protected(method=method) for method in (*RARE_METHODS, "get")},
        **{f"{method}-open": healthz(method=method) for method in RARE_METHODS},
    }),
    *exchanges("deny", LETTERS, NOT_UNDERSTOOD, {"get-open": healthz(method="get")}),
    trial("methods-protected", RARE, "PROPFIND, PURGE, GETX ... <protected>", NOT_UNDERSTOOD,
          {method: protected(method=method) for method in (*tables.OTHER_METHODS, "X" * 100)}),
    trial("methods-open", RARE, "PROPFIND, PURGE, GETX ... <open>", NOT_UNDERSTOOD,
          {method: healthz(method=method) for method in (*tables.OTHER_METHODS, "X" * 100)
           if method.upper() not in ("GET", "HEAD")}),
    *exchanges("deny", RARE, NO_TUNNEL, {
        "CONNECT-protected": protected(method="CONNECT"),
        "CONNECT-open": healthz(method="CONNECT"),
    }),
    *exchanges("deny", EARLY, REJECTED, {
        "body-not-sent": protected(b"Content-Length: 9999999", method="POST"),
        "chunks-not-sent": protected(b"Transfer-Encoding: chunked", method="POST"),
    }),
    *exchanges("deny", RARE, REJECTED, {"absolute-form": request("http://<host><protected>")}),
    Trial("deny/absolute-form-other-host", RARE, "GET http://other.test<protected>",
          elsewhere(targets("http://other.test<protected>"))),
    *exchanges("deny", BEFORE, REJECTED, {
        "path-not-utf-8": request("/%ff"),
        "websocket": protected(*WEBSOCKET, connection=b"Connection: Upgrade"),
    }),
    *exchanges("deny", BEFORE, NOT_PROVIDED, {
        **{f"path-{name}": request(path) for name, path in UNKNOWN.items()},
        "preflight": protected(b"Origin: https://a.test", b"Access-Control-Request-Method: GET", method="OPTIONS"),
        "bad-json": protected(b"Content-Type: application/json", b"Content-Length: 1", method="POST", body=b"{"),
    }),
    *exchanges("deny", BEFORE, INVALID, {"wrong-secret-unknown": request("/nope", WRONG)}),
    trial("conditions", UNCONDITIONAL, "GET <protected>, If-None-Match, Range ...", REFUSED, having(tables.CONDITIONS)),
    *exchanges("deny", RARE, NO_PROXY, {"CONNECT-authority": request("<host>", method="CONNECT")}),
    trial("preferences", BEFORE, "GET <protected>, Accept, Expect, Cookie ...",
          REJECTED_OR_NONE, having(tables.PREFERENCES)),
    trial("target-extension", SPELLED, "GET <protected>.css ...", REJECTED,
          targets(*(f"<protected>{part}{end}" for end in tables.EXTENSIONS for part in (".", "/x.", "/.")))),
    trial("target-query", SPELLED, "GET <protected>?.css ...", REJECTED,
          {query: at_protected(f"<protected>{query}") for query in tables.QUERIES}),
    trial("target-parameter", SPELLED, "GET <protected>;.css ...", REJECTED,
          targets(*(f"<protected>{parameter}" for parameter in tables.PARAMETERS))),
    trial("target-letters", SPELLED, "GET <protected>, letters encoded or of other case", REJECTED, letters),
    trial("target-end", ODDLY_SPELLED, "GET <protected>%20 ...", REJECTED,
          targets(*(f"<protected>{end}" for end in tables.ENDS))),
    trial("target-lines", ODDLY_SPELLED, "GET <open>%0a<protected> ...", REJECTED, targets(*tables.LINES)),
    trial("target-dots", ODDLY_SPELLED, "GET /static/..<protected> ...", REJECTED,
          targets(*(f"{public}{detour}<protected>" for public in ("", *tables.PUBLIC) for detour in tables.DETOURS))),
    trial("target-slashes", ODDLY_SPELLED, "GET /<protected> ...", REJECTED_OR_NONE, slashes),
    *exchanges("deny", EXACT, NOT_PROVIDED, {f"open-{name}": request(path) for name, path in NEAR_OPEN.items()}),
    *exchanges("deny", ODD, NOT_PROVIDED_OR_REJECTED, {
        f"open-{name}": request(path) for name, path in ODD_OPEN.items()
    }),
    *exchanges("deny", SAME, REJECTED, {
        "open-slash-before": request("/<open>"),
        "open-dot": request("/.<open>"),
        "open-dots": request("<protected>/..<open>"),
        "HEAD-open": healthz(method="HEAD"),
    }),
    *exchanges("deny", ASTERISK, REJECTED, {"asterisk-form": request("*", method="OPTIONS")}),
    *exchanges("deny", MOVED, NOT_PROVIDED, {
        "method-override": healthz(b"X-HTTP-Method-Override: GET", method="POST"),
        "original-url": protected(b"X-Original-URL: <open>"),
        "rewrite-url": protected(b"X-Rewrite-URL: <open>"),
        "forwarded-prefix": protected(b"X-Forwarded-Prefix: <open>"),
    }),
    trial("moved-method", MOVED, "POST <open>, fields, queries and forms that name GET", REFUSED, overridden()),
    trial("moved-path", MOVED, "GET <protected>, fields that name <open>", REFUSED, {
        f"{name}: {value}": ask(*fields([name], value))
        for value in ("<open>", "http://<host><open>") for name in tables.REWRITES
        for ask in (protected, partial(request, "/nope"))
    }, "behind-proxy"),
    *exchanges("deny", NEAR, NOT_PROVIDED, {
        "forwarded-for": protected(b"X-Forwarded-For: 127.0.0.1"),
        "forwarded": protected(b"Forwarded: for=127.0.0.1;host=localhost;proto=https"),
        "forwarded-host": protected(b"X-Forwarded-Host: localhost"),
        "real-ip": protected(b"X-Real-IP: 127.0.0.1"),
    }, "behind-proxy"),
    trial("client-address", NEAR, "X-Forwarded-For and all fields like it, with each kind of local address", REFUSED,
          {address: protected(*fields(tables.CLIENTS, address)) for address in ("", *tables.LOCAL)}, "behind-proxy"),
    trial("client-forwarded", NEAR, "Forwarded, with each kind of local address", REFUSED, {
        form % address: protected(b"Forwarded: " + (form % address).encode())
        for form in tables.FORWARDED for address in tables.LOCAL if "," not in address
    }, "behind-proxy"),
    Trial("deny/host", NEAR, "Host: localhost ...", elsewhere({
        name: protected(host=f"Host: {name}".encode()) for name in tables.HOSTS
    })),
    trial("host-field", NEAR, "X-Forwarded-Host: localhost ...", REJECTED,
          {name: protected(*fields(tables.HOST_FIELDS, name)) for name in tables.HOSTS}, "behind-proxy"),
    trial("origin", NEAR, "Origin and Referer: http://localhost ...", REJECTED, {
        f"{name}: {site}": protected(*fields([name], site)) for name in ("Origin", "Referer") for site in tables.SITES
    }),
    trial("user-agent", NEAR, "User-Agent: kube-probe ...", REJECTED,
          {agent: protected(*fields(["User-Agent"], agent)) for agent in ("", *tables.AGENTS)}),
    trial("claim", NEAR, "X-Internal: true, X-Admin: true, X-Skip-Auth: true ...", REFUSED,
          {value: protected(*fields(tables.CLAIMS, value)) for value in tables.CLAIMED}, "behind-proxy"),
    trial("circumstances", NEAR, "X-Forwarded-Proto, Sec-Fetch-Site, X-Requested-With ...", REFUSED,
          having(tables.CIRCUMSTANCES), "behind-proxy"),
    *exchanges("deny", MOVED, NOT_PROVIDED_OR_BAD, {
        "script-name": protected(b"SCRIPT_NAME: <protected>"),
        "script-name-elsewhere": protected(b"SCRIPT_NAME: /x"),
        "path-info": protected(b"PATH_INFO: <open>"),
    }, "behind-proxy"),
    Trial("deny/moved-from-open", MOVED, "GET <open>, fields that name <protected>", cannot_be_moved),
    Trial("deny/pipelined", PIPELINED, "three requests at once, the second with the secret", pipelined),
    Trial("deny/body-is-no-request", PIPELINED, "POST, its body a request with the secret", body_is_no_request),
    Trial("deny/after-granted", STATELESS, "the secret, and then requests without it", after_granted),
    trial("many-wrong", STATELESS, f"{IN_A_ROW} wrong secrets in a row", REFUSED, {
        f"number {number}": protected(b"<header>: presented-and-wrong-%d" % (number // 2))
        for number in range(1, IN_A_ROW + 1)
    }),
    Trial("deny/side-by-side", STATELESS,
          f"{3 * TIMES} requests by {SIDE_BY_SIDE} clients, right, wrong and without", side_by_side),
]  # fmt: skip
