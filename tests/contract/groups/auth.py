"""Right and wrong secrets."""

from ..case import Case, Requirement, Trial, exchanges
from ..http1 import request
from ..messages import (
    BLANK,
    EMPTY,
    INVALID,
    NOT_PROVIDED,
    NOT_PROVIDED_OR_REJECTED,
    OK,
    OLD,
    RIGHT,
    WRONG,
    protected,
)
from .open import BODY, OLD_HTTP, has_body

GRANT = Requirement(
    "The right secret is accepted.",
    "RFC 9110 sections 5.1, 5.5 and 15.3.1",
    "Compare the value without the white space around it; the field's name is the same in any letter case.",
)
PROVIDE = Requirement(
    "Without a secret, or with a blank one, the answer is 401.",
    "RFC 9110 section 15.5.2; CWE-306",
    "Refuse a request whose header is missing, empty or blank before anything is compared.",
)
WHOLE = Requirement(
    "Only the whole secret is accepted, byte for byte.",
    "RFC 9110 section 15.5.2; ASVS 5.0 15.3.5; CWE-187, CWE-178",
    "Compare whole values with a comparison in constant time; decode, unquote and fold nothing.",
)
PLACE = Requirement(
    "The secret is accepted in its own field only.",
    "RFC 9110 section 6.5.1; ASVS 5.0 14.2.1, 15.3.7",
    "Read the one header field by its name, from the header section and from nowhere else.",
)


def chunked(*trailer: bytes, method: str = "GET") -> bytes:
    """Return a request with a chunked body of one byte, and trailer fields after it."""
    body = b"1\r\nx\r\n0\r\n" + b"".join(line + b"\r\n" for line in trailer) + b"\r\n"
    return protected(b"Transfer-Encoding: chunked", method=method, body=body)


CASES: list[Case] = [
    *exchanges("auth", GRANT, OK, {
        "right": protected(RIGHT),
        "right-and-query": request("<protected>?a=b", RIGHT),
        "right-and-odd-query": request("<protected>?self=1&request=2", RIGHT),
        "name-in-lower-case": protected(b"<header in lower case>: <secret>"),
        "space-around": protected(b"<header>: \t <secret> \t"),
    }),
    *exchanges("auth", PROVIDE, NOT_PROVIDED, {
        "missing": protected(),
        "empty": protected(EMPTY),
        "blank": protected(BLANK),
    }),
    *exchanges("auth", OLD_HTTP, OK, {"right-HTTP-1.0": protected(RIGHT, version="HTTP/1.0")}),
    *exchanges("auth", PROVIDE, NOT_PROVIDED_OR_REJECTED, {"missing-HTTP-1.0": protected(version="HTTP/1.0")}),
    *exchanges("auth", WHOLE, INVALID, {
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
    *exchanges("auth", PLACE, NOT_PROVIDED, {
        "in-query": request("<protected>?<header>=<secret percent encoded>"),
        "in-cookie": protected(b"Cookie: <header>=<secret>"),
        "in-authorization": protected(b"Authorization: Bearer <secret>"),
    }),
    *exchanges("auth", PLACE, NOT_PROVIDED_OR_REJECTED, {
        "in-trailer": chunked(RIGHT),
        "in-trailer-of-post": chunked(RIGHT, method="POST"),
    }),
    Trial("auth/right-body", BODY, "GET <protected>, the secret",
          has_body(protected(RIGHT), {"message": "Access granted"})),
]  # fmt: skip
