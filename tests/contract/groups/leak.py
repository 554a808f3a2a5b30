"""Secrets and forged lines in the log."""

import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache

from ..case import Case, Finding, Requirement, Trial
from ..http1 import request
from ..messages import WRONG, protected
from ..target import NotCheckedError, Target
from ..waiting import wait_until

QUIET = Requirement(
    "No log has a secret in it, neither the service's own nor what a client presents as one.",
    "ASVS 5.0 14.2.1 and 16.2.5; CWE-532",
    "Log method, path and status, and no header: Tomcat's `AccessLogValve` and Apache's `LogFormat` without `%{...}i`, "
    "aiohttp's `access_log_format` without `%{...}i`, Express's morgan `tiny`, no dump of a request or of its headers.",
)
AT_START = replace(
    QUIET,
    requirement="No secret is in what the service logs when it starts.",
    hint="Do not log the configuration or the environment; log that there is a secret, if anything.",
)
MALFORMED = replace(
    QUIET,
    requirement="No secret in a malformed request is in the log.",
    hint="Log that a request was malformed, and nothing of it; or drop the server's messages about that.",
    level="recommended",
    normalised=True,
)
QUERIES = replace(
    QUIET,
    requirement="A secret that a client puts into the query by mistake is not in the log.",
    hint="Log the path without its query: nginx `$uri` in place of `$request`, Apache `%U` in place of `%r`.",
    level="recommended",
)
LINES = Requirement(
    "A client cannot write lines of its own into a log.",
    "ASVS 5.0 16.4.1; CWE-117",
    "Log the path percent-encoded, as it came.",
)

CARELESSLY = "in its field, Referer, User-Agent"
FIRST_REQUEST = r"\b(GET|POST|HEAD|OPTIONS)\b|\bHTTP/1\.|/last-"  # in a line of the log


def last_request_shows(target: Target, log: Callable[[], str]) -> bool:
    """Make a request, and return whether the log shows it."""
    last = f"/last-{secrets.token_hex(8)}"
    target.send("configured", request(last, WRONG))  # some log only those that carry the field
    return wait_until(lambda: last in log(), target.deadline)


@cache
def find_log(target: Target) -> Callable[[], str] | None:
    """Return what reads the log, if it is this service's and has a line for each request."""
    log = target.instance("configured").log
    if log is None:
        raise NotCheckedError("It needs the service's log (LOG, --log).")
    return log if last_request_shows(target, log) else None


def log_after(target: Target, *sent: bytes) -> str:
    """Return what the log says of these requests, once it shows one that was made after them."""
    log = find_log(target)
    before = len(log()) if log else 0
    for one in sent if log else ():
        with suppress(NotCheckedError):  # a secret may have no letters, for one
            target.send("configured", one)
    if not log or not last_request_shows(target, log):
        raise NotCheckedError("It needs a log with a line for each request, and this one does not show the last.")
    now = log()
    return now[before:] if len(now) >= before else now


def other_logs(target: Target) -> str:
    """Return the logs of all other instances."""
    own = target.instance("configured").address
    return "\n".join(each.log() for each in target.instances.values() if each.log and each.address != own)


def careless(secret: bytes) -> list[bytes]:
    """Return requests that carry a secret where it belongs, and in fields that servers like to log."""
    field = b"<header>: " + secret
    return [
        *(protected(field, method=method) for method in ("<method>", "DELETE", "OPTIONS", "TRACE", "FOO")),
        *(request(path, field) for path in ("/nope", "/%ff", "<open>", "<protected>/", "<protected>?a=%ff")),
        protected(field, b"Content-Type: application/json", b"Content-Length: 1", method="POST", body=b"{"),
        protected(field, b"Cookie: a[]=;=\xe9"),
        protected(field, field),
        protected(field + b"\xe9"),
        protected(b"Referer: https://a.test/?" + secret, b"User-Agent: " + secret),
        protected(field, b"Referer: https://a.test/?" + secret, b"User-Agent: " + secret),
    ]


def malformed_with(secret: bytes) -> list[bytes]:
    """Return requests that carry a secret where a server may mention it when it says what is malformed."""
    return [
        request("<protected>", b"<header>: " + secret + b"\0"),
        request("<protected>", b"<header> : " + secret),
        request("<protected>", b"<header>=" + secret),
        request("<protected>", secret + b" : x"),
        request("<protected>", b"X-Other: x", b" " + secret),
        request("<protected>", version="HTTP/1.1 <secret>").replace(b"<secret>", secret),
        secret + b"\r\n\r\n",
    ]


def lines_with(words: Sequence[str], log: str) -> Finding:
    """Find the lines of a log that contain any of some words, and show them without the words."""
    secret = re.compile("|".join(map(re.escape, words)))
    lines = [secret.sub("<secret>", line) for line in log.splitlines() if secret.search(line)]
    return Finding([f"the log has it: {line}" for line in lines[:3]], f"{len(log.splitlines())} lines of log")


def own_secret(target: Target) -> Finding:
    """Look for the secrets that the service has, and for what is nearly one of them."""
    words = [target.secret, target.secret[:-1], target.secret.swapcase(), target.previous]
    presented = (b"<secret>", b"<secret less a byte>", b"<secret in other letter case>", b"<previous>")
    log = log_after(target, *(sent for secret in presented for sent in careless(secret))) + other_logs(target)
    # Elsewhere other cases put it into a path or a query, and leak/query is about that.
    return lines_with(words, re.sub(r"(?<![\w:/])/[^\s\"']*", "/", log))


def presented_secret(target: Target) -> Finding:
    """Look for what a client presents as the secret, wrong as it may be."""
    return lines_with(["presented-"], log_after(target, *careless(b"presented-and-wrong")) + other_logs(target))


def at_start(target: Target) -> Finding:
    """Look for the secrets in what each log says before the first request."""
    log_after(target)
    instances = target.instances.values()
    logs = [read() for instance in instances if (read := instance.whole_log or instance.log)]
    begun = [re.split(FIRST_REQUEST, log, maxsplit=1)[0].rpartition("\n")[0] for log in logs]
    if any(instance.whole_log for instance in instances) and not any(begun):
        raise NotCheckedError("It needs a log that begins before the first request.")
    return lines_with([target.secret, target.previous], "\n".join(begun))


def malformed(target: Target) -> Finding:
    """Look for secrets, right and wrong, that came in malformed requests."""
    sent = [*malformed_with(b"<secret>"), *malformed_with(b"mistaken-for-a-line")]
    return lines_with([target.secret, "mistaken-for-a-line"], log_after(target, *sent))


def query(target: Target) -> Finding:
    """Look for a secret that a client put into the query by mistake."""
    sent = request("<protected>?<header>=mistaken-for-a-parameter")
    return lines_with(["mistaken-for-a-parameter"], log_after(target, sent))


def forged_line(target: Target) -> Finding:
    """Ask for a path with the end of a line in it."""
    log = log_after(target, request("/a%0d%0aFORGED"))
    forged = any(line.startswith("FORGED") for line in log.splitlines())
    return Finding(["a client can write lines of its own"] if forged else [], "\n".join(log.splitlines()[-3:]))


CASES: list[Case] = [
    Trial("leak/own-secret", QUIET, f"the secret, {CARELESSLY}", own_secret),
    Trial("leak/presented-secret", QUIET, f"a wrong secret, {CARELESSLY}", presented_secret),
    Trial("leak/at-start", AT_START, "nothing: what is logged before the first request", at_start),
    Trial("leak/malformed", MALFORMED, "secrets in malformed requests", malformed),
    Trial("leak/query", QUERIES, "a secret in the query", query),
    Trial("leak/forged-line", LINES, "GET /a%0d%0aFORGED", forged_line),
]
