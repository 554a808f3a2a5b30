"""Odd and hostile bytes."""

from dataclasses import replace

from ..case import Case, Requirement, Trial, each, exchanges
from ..http1 import request
from ..messages import (
    EMPTY,
    GRANTED_OR_REJECTED,
    INVALID_OR_BAD,
    LATIN,
    NO_FAILURE,
    NOT_PROVIDED_OR_BAD,
    NOT_UNDERSTOOD,
    REFUSED,
    REJECTED,
    RIGHT,
    WRONG,
    carrying,
    post,
    protected,
)
from .open import ROBUST

TWICE = Requirement(
    "More than one secret is refused, whatever they are and however they are joined.",
    "RFC 9110 section 5.3; ASVS 5.0 15.3.7; CWE-235",
    "Look at every value of the field, and refuse more than one.",
)
UNDERSCORE = Requirement(
    "A field whose name has an underscore instead of a dash is another field.",
    "RFC 9110 section 5.1; RFC 3875 section 4.1.18; CVE-2015-0219",
    "Use a server that does not fold `_` into `-`, or make it drop such fields: nginx `underscores_in_headers off`, "
    "gunicorn `header_map = 'drop'`.",
    normalised=True,
)
ALONE = replace(
    UNDERSCORE,
    requirement="A field whose name has an underscore instead of a dash is another field, also where it stands alone.",
    level="recommended",
)
BYTES = Requirement(
    "A wrong value of any bytes is refused, and makes nothing fail.",
    "RFC 9110 section 5.5; CWE-248",
    "Compare bytes: Python's `hmac.compare_digest` raises at text that is not ASCII, "
    "Node's `crypto.timingSafeEqual` at bytes of another length.",
)
MALFORMED = Requirement(
    "A malformed or oversized request gets 401 or another 4xx: it is never accepted, a 5xx, or left unanswered.",
    "RFC 9110 sections 5.5 and 15.5; RFC 9112 sections 2.2, 3.2, 5.1, 5.2, 6.1 and 6.3; RFC 6585 section 5",
    "Leave parsing to a server that follows RFC 9112, and let the check answer all that it passes on. Never turn on "
    "Node's `insecureHTTPParser`, Apache's `HttpProtocolOptions Unsafe` or gunicorn's `permit_obsolete_folding`.",
    normalised=True,
)
NO_VERSION = replace(
    MALFORMED,
    requirement="A request without a version, or with an unknown one, is a 4xx or 505 too.",
    source="RFC 9112 section 3; RFC 9110 section 15.6.6",
    level="recommended",
)

UNDERSCORES = b"<header with underscores>: <secret>"
CONTROLS = [b"<first half of the secret>%c<second half of the secret>" % byte for byte in (0, 1, 8, 0x1B, 0x7F)]
HALF_UNDERSCORES = b"<header with one underscore>: <secret>"

CASES: list[Case] = [
    *exchanges("wire", TWICE, INVALID_OR_BAD, {
        "right-twice": protected(RIGHT, RIGHT),
        "right-then-wrong": protected(RIGHT, WRONG),
        "wrong-then-right": protected(WRONG, RIGHT),
        "right-then-empty": protected(RIGHT, EMPTY),
        "empty-then-right": protected(EMPTY, RIGHT),
        "joined-right-twice": protected(b"<header>: <secret>,<secret>"),
        "joined-right-then-wrong": protected(b"<header>: <secret>, presented-and-wrong"),
        "joined-wrong-then-right": protected(b"<header>: presented-and-wrong, <secret>"),
    }),
    *exchanges("wire", ALONE, NOT_PROVIDED_OR_BAD, {
        "underscores": protected(UNDERSCORES),
        "half-underscores": protected(HALF_UNDERSCORES),
    }),
    *exchanges("wire", UNDERSCORE, INVALID_OR_BAD, {
        "underscores-after-wrong": protected(WRONG, UNDERSCORES),
        "underscores-before-wrong": protected(UNDERSCORES, WRONG),
        "half-underscores-after-wrong": protected(WRONG, HALF_UNDERSCORES),
    }),
    *exchanges("wire", UNDERSCORE, GRANTED_OR_REJECTED, {
        "wrong-underscores-after-right": protected(RIGHT, b"<header with underscores>: presented-and-wrong"),
    }),
    *exchanges("wire", BYTES, INVALID_OR_BAD, {
        "byte-0xe9": protected(LATIN),
        "right-and-0xe9": protected(RIGHT + b"\xe9"),
        "utf-8": protected("<header>: sécret".encode()),
        "not-utf-8": protected(b"<header>: \xff\xfe\x80"),
    }),
    *exchanges("wire", BYTES, REJECTED, {"8-KB": protected(b"<header>: <8 KB>")}),
    *exchanges("wire", MALFORMED, REJECTED, {
        "nul": protected(RIGHT + b"\0x"),
        "folded": protected(RIGHT, b" x"),
        "space-before-colon": protected(b"<header> : <secret>"),
        "no-colon": protected(b"<header> <secret>"),
        "bare-lf": protected(WRONG + b"\n" + RIGHT),
        "bare-cr": protected(WRONG + b"\r" + RIGHT),
        "64-KB": protected(b"<header>: <64 KB>"),
        "1-MB": protected(b"<header>: <1 MB>"),
        "200-fields": protected(b"<200 fields>"),
        "no-host": protected(host=None),
        "two-hosts": protected(b"Host: <host>"),
        "length-twice": protected(b"Content-Length: 1", b"Content-Length: 2", method="POST", body=b"x"),
        "length-not-a-number": protected(b"Content-Length: x", method="POST"),
        "length-and-chunks": protected(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    }),
    Trial("wire/controls-inside", MALFORMED, "the secret with NUL and other control characters inside",
          each("configured", REJECTED, carrying(*CONTROLS))),
    *exchanges("wire", NO_VERSION, NOT_UNDERSTOOD, {"version": protected(version="HTTP/9.9")}),
    *exchanges("wire", MALFORMED, NOT_UNDERSTOOD, {
        "unknown-transfer-encoding": protected(b"Transfer-Encoding: odd"),
    }),
    *exchanges("wire", NO_VERSION, REJECTED, {"no-version": b"GET <protected>\r\n\r\n"}),
    *exchanges("wire", ROBUST, REFUSED, {
        "unknown-charset": protected(b"X-Other: =?nope?b?AAAA?="),
    }),
    *exchanges("wire", ROBUST, NO_FAILURE, {
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
]  # fmt: skip
