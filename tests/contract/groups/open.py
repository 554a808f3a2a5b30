"""The one open path."""

import json
from collections.abc import Callable
from dataclasses import replace

from ..case import Case, Finding, Requirement, Trial, exchanges
from ..http1 import Response, request
from ..messages import NO_FAILURE, OK, WRONG, healthz
from ..target import Target

OPEN = Requirement(
    "The open path is answered without the secret, whatever else the request carries.",
    "RFC 9110 section 9.3.1; ASVS 5.0 13.4.5",
    "Let GET on the open path pass before the check, and look at no secret there.",
)
WITH_QUERY = replace(OPEN, requirement="A query does not close the open path.", level="recommended")
OLD_HTTP = Requirement(
    "HTTP/1.0 is served too.",
    "RFC 9110 section 2.5",
    "Answer it like HTTP/1.1, and close the connection: some health checks still use it.",
    "recommended",
)
ROBUST = Requirement(
    "Nothing in a request makes the service fail, with the secret or without it.",
    "RFC 9110 section 15.5.1; ASVS 5.0 16.5.3; CWE-248",
    "Find the code outside the check that parses the request, and turn its exceptions into a 4xx.",
)
BODY = Requirement(
    'An accepted request is answered `{"message": "Access granted"}`, the open path `{"status": "ok"}`.',
    "RFC 9110 section 15.3.1",
    "Ignore this if your service has other words in these bodies.",
    "recommended",
)


def has_body(sent: bytes, expected: dict[str, str]) -> Callable[[Target], Finding]:
    """Return the trial of what the body of an answer says."""

    def trial(target: Target) -> Finding:
        got = target.ask("configured", sent)
        body = got.json() if isinstance(got, Response) else got
        return Finding([] if body == expected else [f"the body is not {json.dumps(expected)}"], str(got))

    return trial


CASES: list[Case] = [
    *exchanges("open", OPEN, OK, {
        "alone": healthz(),
        "wrong-secret": healthz(WRONG),
    }),
    *exchanges("open", OLD_HTTP, OK, {"HTTP-1.0": healthz(version="HTTP/1.0")}),
    *exchanges("open", WITH_QUERY, OK, {
        "query": request("<open>?a=b"),
        "odd-query": request("<open>?self=1&request=2"),
    }),
    *exchanges("open", ROBUST, NO_FAILURE, {
        "absolute-form": request("http://<host><open>"),
        "unknown-charset": healthz(b"X-Other: =?nope?b?AAAA?="),
        "virtual-root": healthz(b"X-Vhm-Root: \xff"),
    }),
    Trial("open/body", BODY, "GET <open>", has_body(healthz(), {"status": "ok"})),
]  # fmt: skip
