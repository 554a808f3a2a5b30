"""Secrets and forged lines in the log."""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from ..case import Case, Finding, Requirement, Trial
from ..http1 import request
from ..target import NotCheckedError, Target
from ..waiting import wait_until

QUIET = Requirement(
    "No log has a secret in it, neither the service's own nor what a client presents as one.",
    "ASVS 5.0 14.2.1 and 16.2.5; CWE-532",
    "Log the path, no header, and no line that was refused.",
)
QUERIES = replace(
    QUIET,
    requirement="A secret that a client puts into the query by mistake is not in the log.",
    hint="Log the path without its query.",
    level="recommended",
)
LINES = Requirement(
    "A client cannot write lines of its own into a log.",
    "ASVS 5.0 16.4.1; CWE-117",
    "Log the path percent-encoded, as it came.",
)

CARELESSLY = "in its field, Referer, User-Agent, malformed lines"


def last_request_shows(target: Target, log: Callable[[], str]) -> bool:
    """Make a request, and return whether the log shows it."""
    last = f"/last-{secrets.token_hex(8)}"
    target.send("configured", request(last))
    return wait_until(lambda: last in log(), target.deadline)


@cache
def find_log(target: Target) -> Callable[[], str] | None:
    """Return what reads the log, if it is this service's and has a line for each request."""
    log = target.instance("configured").log
    if log is None:
        raise NotCheckedError("It needs the service's log: LOG=service.log.")
    return log if last_request_shows(target, log) else None


def log_after(target: Target, *sent: bytes) -> str:
    """Return the logs, once one of them shows a request that was made after these."""
    log = find_log(target)
    for one in sent:
        target.send("configured", one)
    if not log or not last_request_shows(target, log):
        raise NotCheckedError("It needs a log with a line for each request, and this one does not show the last.")
    return target.logs()


def careless(secret: bytes) -> list[bytes]:
    """Return requests that carry a secret where it belongs, and where a server may mention it."""
    return [
        request("<protected>", b"<header>: " + secret),
        request("<protected>", b"Referer: https://a.test/?" + secret, b"User-Agent: " + secret),
        request("<protected>", b"<header>: " + secret + b"\0"),
        request("<protected>", b"<header> : " + secret),
        request("<protected>", b"<header>=" + secret),
        request("<protected>", secret + b" : x"),
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
    log = log_after(target, *careless(b"<secret>"))
    asked = re.escape(target.protected) + r"\?[^\s\"']*"  # auth/in-query puts it there, and leak/query is about that
    return lines_with(words, re.sub(asked, target.protected, log))


def presented_secret(target: Target) -> Finding:
    """Look for what a client presents as the secret, wrong as it may be."""
    return lines_with(["presented-"], log_after(target, *careless(b"presented-and-wrong")))


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
    Trial("leak/query", QUERIES, "a secret in the query", query),
    Trial("leak/forged-line", LINES, "GET /a%0d%0aFORGED", forged_line),
]
