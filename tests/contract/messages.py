"""The requests that cases send, with placeholders for names and secrets (target.py), and the answers they expect."""

from dataclasses import replace
from functools import partial

from .case import Expected, printable
from .http1 import request

# What is sent

RIGHT = b"<header>: <secret>"
WRONG = b"<header>: presented-and-wrong"
EMPTY = b"<header>:"
BLANK = b"<header>: \t "
OLD = b"<header>: <previous>"
LATIN = b"<header>: \xe9"

at_protected = partial(request, method="<method>")  # what the protected path is asked with
protected = partial(at_protected, "<protected>")
healthz = partial(request, "<open>")


def carrying(*values: bytes) -> dict[str, bytes]:
    """Return for each of these values a request that has it in the secret's field; its name is the value."""
    return {printable(value.decode("latin-1")): protected(b"<header>: " + value) for value in values}


def post(kind: bytes, body: bytes) -> bytes:
    """Return a request with the secret and a body of some media type, to a path that takes none."""
    length = f"Content-Length: {len(body)}".encode()
    return request("/nope", RIGHT, b"Content-Type: " + kind, length, method="POST", body=body)


# What is expected

REFUSED = Expected("401", {401})
NOT_PROVIDED = Expected("401", {401}, "No secret provided")
INVALID = Expected("401", {401}, "Invalid secret")
# Where a careful server may refuse by itself, in its own words, before the check is asked.
NOT_PROVIDED_OR_BAD = Expected("401 or 400", {400, 401}, "No secret provided")
INVALID_OR_BAD = Expected("401 or 400", {400, 401}, "Invalid secret")
NOT_PROVIDED_OR_REJECTED = Expected("401 or another 4xx", range(400, 500), "No secret provided")
NOT_CONFIGURED = Expected("500", {500}, "Server configuration error")
OK = Expected("200", {200})
GRANTED = Expected("200", {200}, grants=True)
NOT_FOUND = Expected("404", {404})
NO_METHOD = Expected("404 or 405", {404, 405})
REJECTED = Expected("401 or another 4xx", range(400, 500))
NOT_UNDERSTOOD = Expected("401, another 4xx, 501 or 505", {*range(400, 500), 501, 505})  # RFC 9110 section 15.6
NO_TUNNEL = replace(NOT_UNDERSTOOD, label=f"{NOT_UNDERSTOOD.label}, or the end of the connection", or_none=True)
NO_PROXY = Expected("4xx, 5xx, or the end of the connection", range(400, 600), or_none=True)
REJECTED_OR_NONE = replace(REJECTED, label=f"{REJECTED.label}, or the end of the connection", or_none=True)
NO_FAILURE = Expected("2xx, 3xx or 4xx", range(200, 500))
GRANTED_OR_REJECTED = Expected("200 or 4xx", {200, *range(400, 500)}, grants=True)
