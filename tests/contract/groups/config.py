"""No secret is configured."""

from dataclasses import replace

from ..case import Case, Requirement, Trial, each, exchanges
from ..changes import NAMES
from ..http1 import request
from ..messages import BLANK, EMPTY, LATIN, NOT_CONFIGURED, OK, OLD, RIGHT, WRONG, carrying, healthz, post, protected
from ..target import UNCONFIGURED
from ..values import AUTHORIZATION, DEFAULTS, FIELDS, OF_NOTHING, WORDS
from .auth import parameters, with_fields
from .open import OPEN

CONFIG = Requirement(
    "Without a configured secret every request except for the open path gets 500, whatever it contains.",
    "RFC 9110 section 15.6.1; ASVS 5.0 16.5.3; CWE-636, CWE-258",
    "Look at the configuration first, and treat an empty, blank or unreadable secret as missing.",
)
NO_DEFAULT = replace(
    CONFIG,
    requirement="No secret stands in for one that is not configured.",
    source="ASVS 5.0 13.2.3; CWE-798, CWE-1392",
    hint="Give the variable no default in the code, and compare with nothing while it is not set.",
)

CASES: list[Case] = [
    *(case for state in UNCONFIGURED for case in exchanges("config", OPEN, OK, {f"{state}-open": healthz()}, state)),
    *(case for state in UNCONFIGURED for case in exchanges("config", CONFIG, NOT_CONFIGURED, {
        f"{state}-missing": protected(),
        f"{state}-empty": protected(EMPTY),
        f"{state}-secret": protected(RIGHT),
        f"{state}-previous": protected(OLD),
    }, state)),
    *exchanges("config", CONFIG, NOT_CONFIGURED, {
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
    Trial("config/default-words", NO_DEFAULT, "words like changeme, secret and test [state: unset]",
          each("unset", NOT_CONFIGURED, carrying(*DEFAULTS))),
    Trial("config/words-for-nothing", NO_DEFAULT, "words like undefined and null, and hashes of nothing [state: unset]",
          each("unset", NOT_CONFIGURED, carrying(*WORDS, *OF_NOTHING))),
    Trial("config/elsewhere", CONFIG, "a secret in the query, in cookies and other fields [state: unset]",
          each("unset", NOT_CONFIGURED, {
              **parameters(*NAMES),
              **with_fields(*(f"Cookie: {name}=<secret>".encode() for name in NAMES)),
              **with_fields(*FIELDS, *(b"Authorization: " + value for value in AUTHORIZATION)),
          })),
]  # fmt: skip
