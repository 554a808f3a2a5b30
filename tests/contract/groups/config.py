"""No secret is configured."""

from ..case import Case, Requirement, exchanges
from ..http1 import request
from ..messages import BLANK, EMPTY, LATIN, NOT_CONFIGURED, OK, OLD, RIGHT, WRONG, healthz, post, protected
from ..target import UNCONFIGURED
from .open import OPEN

CONFIG = Requirement(
    "Without a configured secret every request except for the open path gets 500, whatever it contains.",
    "RFC 9110 section 15.6.1; ASVS 5.0 16.5.3; CWE-636, CWE-258",
    "Look at the configuration first, and treat an empty, blank or unreadable secret as missing.",
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
]  # fmt: skip
