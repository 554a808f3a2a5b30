"""Right and wrong secrets."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ..case import Case, Finding, Requirement, Trial, each, exchanges
from ..changes import BODY as BODY_SIZE
from ..changes import NAMES
from ..http1 import Response, request
from ..messages import (
    BLANK,
    EMPTY,
    GRANTED,
    INVALID,
    NOT_PROVIDED,
    NOT_PROVIDED_OR_BAD,
    NOT_PROVIDED_OR_REJECTED,
    OLD,
    REJECTED,
    REJECTED_OR_NONE,
    RIGHT,
    WRONG,
    at_protected,
    carrying,
    protected,
)
from ..target import Target
from ..values import (
    AFTER_NAME,
    AS_LONG,
    AUTHORIZATION,
    BEFORE_NAME,
    CONTROLLED,
    DEFAULTS,
    ENCODED,
    FIELDS,
    FOLDED,
    NOT_ASCII,
    NUMBERS,
    PARTS,
    PATHS,
    PATTERNS,
    REARRANGED,
    SCHEMES,
    SPACED,
    WITH_MORE,
    WORDS,
)
from .open import BODY, OLD_HTTP, has_body

GRANT = Requirement(
    "The right secret is accepted.",
    "RFC 9110 sections 5.1, 5.5 and 15.3.1",
    "Compare the value without the white space around it; the field's name is the same in any letter case.",
)
TAB = replace(
    GRANT,
    requirement="A tab around the value is no part of it.",
    source="RFC 9110 section 5.5",
    level="recommended",
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
TRIMMED = replace(
    WHOLE,
    requirement="Space and tab around the value are no part of it, and everything else is.",
    source="RFC 9110 section 5.5",
    hint="Take off space and tab alone, from bytes: `strip()` and `trim()` of text take off much more.",
    level="recommended",
)
SERVER_TRIMS = replace(
    TRIMMED,
    requirement="Control characters and Latin-1 space around the value are a part of it, or make it malformed.",
    hint="Use a server that takes off space and tab alone: that of the JDK and Python's wsgiref take off more.",
    level="recommended",
    normalised=True,
)
LOOSE = replace(
    WHOLE,
    requirement="No word opens the door, whatever a language makes of it.",
    source="RFC 9110 section 15.5.2; ASVS 5.0 15.3.5; CWE-697, CWE-1321",
    hint="Compare bytes with bytes: no `==` of PHP and JavaScript, no pattern, no LIKE, no member of an object.",
)
GUESSED = replace(
    WHOLE,
    requirement="The usual words for a secret that nobody has set are wrong.",
    source="ASVS 5.0 13.2.3; CWE-798, CWE-1392",
    hint="Take the secret from the configuration alone, without a default; make it of 32 random bytes.",
)
PLACE = Requirement(
    "The secret is accepted in its own field only.",
    "RFC 9110 section 6.5.1; ASVS 5.0 14.2.1, 15.3.7",
    "Read the one header field by its name, from the header section and from nowhere else.",
)

LENGTH = b"Content-Length: %d" % BODY_SIZE
form = partial(protected, b"Content-Type: application/x-www-form-urlencoded", LENGTH, body=b"<form with the secret>")
json = partial(protected, b"Content-Type: application/json", LENGTH, body=b"<JSON with the secret>")


def parameters(*names: str) -> dict[str, bytes]:
    """Return the requests that carry the secret in the query, under each of these names."""
    asked = [f"{name}=<secret percent encoded>" for name in names] + ["<secret percent encoded>"]
    return {f"?{query}": at_protected(f"<protected>?{query}") for query in asked}


def with_fields(*lines: bytes) -> dict[str, bytes]:
    """Return a request for each of these fields; its name is the field."""
    return {line.decode(): protected(line) for line in lines}


def same_field(line: bytes, target: Target) -> bool:
    """Return whether a field is the one that carries the secret of a target."""
    return line.partition(b":")[0].decode().lower() == target.header.lower()


def others(*lines: bytes) -> Callable[[Target], dict[str, bytes]]:
    """Return what gives the same for a target, without the field that the secret is in there."""
    return lambda target: with_fields(*(line for line in lines if not same_field(line, target)))


def near_names(target: Target) -> dict[str, bytes]:
    """Return the requests that carry the secret in a field whose name is nearly that of its own."""
    own = target.header
    names = [own.replace("-", ""), own.removeprefix("X-"), own[:-1], own[1:], own.rpartition("-")[2]]
    names += [before + own for before in BEFORE_NAME] + [own + after for after in AFTER_NAME]
    names += [f"HTTP_{own.upper().replace('-', '_')}"]
    return with_fields(*(f"{name}: <secret>".encode() for name in names if name and name.lower() != own.lower()))


def cookie_of_accepted(target: Target) -> Finding:
    """Bring back the cookies of an accepted answer, without the secret."""
    found: list[bytes] = []
    for sent in (protected(RIGHT), request("/", RIGHT), protected()):
        got = target.send("configured", sent)
        cookies = got.headers.get_all("Set-Cookie", []) if isinstance(got, Response) else []
        found += [cookie.partition(";")[0].encode("latin-1", "replace") for cookie in cookies]
    if not found:
        return Finding([], "no answer sets a cookie")
    secret = target.secret.encode("utf-8", "surrogateescape")
    sent = protected(b"Cookie: " + b"; ".join(found).replace(secret, b"<secret>"))
    return each("configured", REJECTED, {"the cookie alone": sent})(target)


def chunked(*trailer: bytes, method: str = "GET") -> bytes:
    """Return a request with a chunked body of one byte, and trailer fields after it."""
    body = b"1\r\nx\r\n0\r\n" + b"".join(line + b"\r\n" for line in trailer) + b"\r\n"
    return protected(b"Transfer-Encoding: chunked", method=method, body=body)


CASES: list[Case] = [
    *exchanges("auth", GRANT, GRANTED, {
        "right": protected(RIGHT),
        "right-and-query": at_protected("<protected>?a=b", RIGHT),
        "right-and-odd-query": at_protected("<protected>?self=1&request=2", RIGHT),
        "name-in-lower-case": protected(b"<header in lower case>: <secret>"),
        "space-around": protected(b"<header>:   <secret>  "),
    }),
    *exchanges("auth", TAB, GRANTED, {"tab-around": protected(b"<header>: \t <secret> \t")}),
    *exchanges("auth", PROVIDE, NOT_PROVIDED, {
        "missing": protected(),
        "empty": protected(EMPTY),
        "blank": protected(BLANK),
    }),
    *exchanges("auth", OLD_HTTP, GRANTED, {"right-HTTP-1.0": protected(RIGHT, version="HTTP/1.0")}),
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
    *(Trial(f"auth/{name}", requirement, action, each("configured", expected, carrying(*values)))
      for name, requirement, expected, action, values in (
        ("as-long", WHOLE, INVALID, "other texts as long as the secret", AS_LONG),
        ("part", WHOLE, INVALID, "a part of the secret, alone and with other letters", PARTS),
        ("encoded", WHOLE, INVALID, "the secret percent-encoded, in Base64, in hexadecimal digits, hashed", ENCODED),
        ("rearranged", WHOLE, INVALID, "the secret backwards, twice, with a letter more or less inside", REARRANGED),
        ("folded", WHOLE, REJECTED, "the secret in full-width letters, with invisible ones inside", FOLDED),
        ("with-more", WHOLE, INVALID, "the secret with more before or after it", WITH_MORE),
        ("scheme", WHOLE, INVALID, "the secret after the name of a scheme or of a parameter", SCHEMES),
        ("number", WHOLE, INVALID, "the secret as another spelling of the same number", NUMBERS),
        ("words", LOOSE, INVALID, "words like null, true, 0 and __proto__", WORDS),
        ("patterns", LOOSE, INVALID, "patterns, formats and parts of SQL, like .* and %", PATTERNS),
        ("default-words", GUESSED, INVALID, "words like changeme, secret and test", DEFAULTS),
    )),
    Trial("auth/as-long-not-ascii", WHOLE, "as many bytes or letters as the secret, not ASCII, and one more request",
          each("configured", REJECTED, {**carrying(*NOT_ASCII), "the request after them": protected()})),
    Trial("auth/other-space-around", TRIMMED, "the secret with Unicode's other space around it, in UTF-8",
          each("configured", REJECTED, carrying(*SPACED))),
    Trial("auth/controls-around", SERVER_TRIMS, "the secret with a form feed or another control character around it",
          each("configured", REJECTED, carrying(*CONTROLLED))),
    *exchanges("auth", PLACE, NOT_PROVIDED, {
        "in-query": at_protected("<protected>?<header>=<secret percent encoded>"),
        "in-cookie": protected(b"Cookie: <header>=<secret>"),
        "in-authorization": protected(b"Authorization: Bearer <secret>"),
    }),
    *exchanges("auth", PLACE, NOT_PROVIDED_OR_REJECTED, {
        "in-trailer": chunked(RIGHT),
        "in-trailer-of-post": chunked(RIGHT, method="POST"),
    }),
    Trial("auth/in-parameters", PLACE, "the secret in the query, under usual names", each("configured", NOT_PROVIDED,
          parameters("<header with underscores>", "<header in lower case>", "<header>[]", *NAMES))),
    Trial("auth/in-cookies", PLACE, "the secret in a cookie, under usual names", each("configured", NOT_PROVIDED,
          with_fields(*(f"Cookie: {name}=<secret>".encode()
                        for name in ("<header in lower case>", "<header with underscores>", "session", *NAMES))))),
    Trial("auth/in-schemes", PLACE, "Authorization with the secret, in usual schemes", each("configured", NOT_PROVIDED,
          others(*(b"Authorization: " + value for value in AUTHORIZATION)))),
    Trial("auth/in-other-fields", PLACE, "the secret in other fields, such as X-Api-Key and User-Agent",
          each("configured", NOT_PROVIDED, others(*FIELDS))),
    Trial("auth/in-near-fields", PLACE, "the secret in fields with nearly the same name, such as <header>-Previous",
          each("configured", REJECTED_OR_NONE, near_names)),
    Trial("auth/in-body", PLACE, "POST, the secret in a form and in JSON, under usual names",
          each("configured", NOT_PROVIDED_OR_BAD, {"form": form(method="POST"), "JSON": json(method="POST")})),
    Trial("auth/in-body-of-get", PLACE, "GET <protected>, the secret in a form and in JSON",
          each("configured", NOT_PROVIDED_OR_REJECTED, {"form": form(), "JSON": json()})),
    Trial("auth/in-path", PLACE, "the secret in the path, or as a user before the host",
          each("configured", REJECTED_OR_NONE, {path: at_protected(path) for path in PATHS})),
    Trial("auth/cookie-of-accepted", PLACE, "the cookies that an accepted answer sets, without the secret",
          cookie_of_accepted),
    Trial("auth/right-body", BODY, "GET <protected>, the secret",
          has_body(protected(RIGHT), {"message": "Access granted"})),
]  # fmt: skip
