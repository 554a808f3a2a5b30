"""What every answer must and must not contain."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from .. import groups
from ..case import Case, Exchange, Finding, Requirement, Trial, exchanges
from ..http1 import Response, request
from ..messages import NO_METHOD, NOT_FOUND, NOT_PROVIDED, RIGHT, protected
from ..target import NotCheckedError, Target
from .auth import PROVIDE

FRAMEWORK = Requirement(
    "With the secret an unknown path is a 404, and a method that the path does not have a 405 or 404.",
    "RFC 9110 sections 15.5.5 and 15.5.6",
    "Let the framework answer what was accepted.",
    "recommended",
)
CHALLENGE = Requirement(
    "Every 401 has a challenge: WWW-Authenticate, with a scheme.",
    "RFC 9110 sections 11.6.1 and 15.5.2",
    'Send `WWW-Authenticate: SharedSecret realm="origin"` with every 401.',
)
SILENT = Requirement(
    "No answer shows a traceback or a file path.",
    "ASVS 5.0 13.4.2 and 16.5.1; CWE-209",
    "Turn off debug pages, and answer errors with words of your own.",
)
JSON = Requirement(
    "Denials and errors are JSON, whatever Accept says.",
    "RFC 9110 section 12.5.1; ASVS 5.0 4.1.1",
    "Answer errors with a JSON object and `Content-Type: application/json`.",
    "recommended",
)
WORDS = replace(
    JSON, requirement="A denial says what is missing, in a member of the JSON object.", source="RFC 9110 section 15.5"
)
SECRET_KEPT = Requirement(
    "No answer reveals the secret to a client that did not send it.",
    "ASVS 5.0 16.5.1; CWE-200, CWE-209",
    "Say that the secret is wrong, and nothing about the right one.",
)
NO_STORE = Requirement(
    "A denial is not stored by a cache.",
    "RFC 9111 section 5.2.2.5; ASVS 5.0 14.3.2",
    "Send `Cache-Control: no-store` with every denial.",
    "recommended",
)
VERSIONS = Requirement(
    "Apart from the `Server` field, no answer reveals a software version.",
    "RFC 9110 section 10.2.4; ASVS 5.0 13.4.6",
    "Take versions out of error pages and of fields like X-Powered-By.",
    "recommended",
)

ALL = "all requests of the contract"
ENOUGH = 5  # problems of one kind
TRACE = r"Traceback \(most|\bFile \"|(?m:^\s+at \S+ ?\()"
PATH = r"(/[\w.-]+)+\.(py|js|ts|rb|go|php|java)\b|/(usr|home|root|opt|srv|var|tmp)/\w+|\b[A-Z]:\\\w+"
VERSION = r"\b(?!HTTP/|section )[A-Za-z][\w.-]*[/ ]v?\d+\.\d+"

Look = Callable[[Exchange, Response], str | None]  # a problem, "" for none, or None where there is nothing to look at


def every(look: Look) -> Callable[[Target], Finding]:
    """Return the trial that looks at the answers to all exchanges of the contract, until it has found enough."""

    def trial(target: Target) -> Finding:
        problems, looked_at = [], 0
        for case in groups.EXCHANGES:  # of every group, which is why this is read when the case runs
            got = None
            with suppress(NotCheckedError):
                got = target.ask(case.state, case.sent)
            problem = look(case, got) if isinstance(got, Response) else None
            looked_at += problem is not None
            if problem:
                problems.append(f"{case.name}: {problem}")
            if len(problems) == ENOUGH:
                break
        if not looked_at:
            raise NotCheckedError("It needs answers to look at.")
        return Finding(problems, f"{looked_at} answers were looked at")

    return trial


def no_challenge(case: Exchange, got: Response) -> str | None:
    """A 401 needs the name of a scheme, and may have parameters."""
    if got.status != 401:
        return None
    challenge = got.headers["WWW-Authenticate"]
    return "" if re.match(r"[\w!#$%&'*+.^`|~-]+( |$)", challenge or "") else f"WWW-Authenticate is {challenge!r}"


def stored(case: Exchange, got: Response) -> str | None:
    """A 401 or a 500 says that it is not to be stored."""
    if got.status not in (401, 500):
        return None
    control = got.headers["Cache-Control"]
    return "" if "no-store" in (control or "") else f"Cache-Control is {control!r}"


def not_json(case: Exchange, got: Response) -> str | None:
    """What the service refuses or does not have is a JSON object, and says so."""
    if not got.body or (got.status not in (401, 500) and case.expected not in (NOT_FOUND, NO_METHOD)):
        return None
    kind = got.headers.get_content_type()
    if kind != "application/json" and not kind.endswith("+json"):
        return f"Content-Type is {kind}"
    return "" if isinstance(got.json(), dict) else "the body is no JSON object"


def no_words(case: Exchange, got: Response) -> str | None:
    """A denial says what the table says."""
    if not case.expected.words or not got.body or got.status not in (401, 500):
        return None
    body = got.json()
    words = list(body.values()) if isinstance(body, dict) else []
    return "" if case.expected.words in words else f"the body does not say {case.expected.words!r}"


def found(pattern: str) -> Look:
    """Return the look for a pattern in refusals: in their bodies, and in header fields other than `Server`."""

    def look(case: Exchange, got: Response) -> str | None:
        fields = "\n".join(value for name, value in got.headers.items() if name.lower() != "server")
        seen = re.search(pattern, f"{fields}\n{got.body.decode(errors='replace')}")
        return f"it says {seen[0]!r}" if seen else ""

    return lambda case, got: look(case, got) if got.status >= 400 else None


def no_secret(target: Target) -> Finding:
    """Look for the secret in answers to those who did not send it."""

    def look(case: Exchange, got: Response) -> str | None:
        if b"<secret>" in case.sent:
            return None
        return "it reveals the secret" if target.secret in f"{got.headers}{got.body.decode(errors='replace')}" else ""

    return every(look)(target)


CASES: list[Case] = [
    *exchanges("errors", FRAMEWORK, NOT_FOUND, {"not-found": request("/nope", RIGHT, b"Accept: text/html")}),
    *exchanges("errors", FRAMEWORK, NO_METHOD, {"no-method": protected(RIGHT, b"Accept: text/html", method="DELETE")}),
    *exchanges("errors", PROVIDE, NOT_PROVIDED, {"accept-html": protected(b"Accept: text/html")}),
    Trial("errors/challenge", CHALLENGE, ALL, every(no_challenge)),
    Trial("errors/no-secret", SECRET_KEPT, ALL, no_secret),
    Trial("errors/no-traceback", SILENT, ALL, every(found(TRACE))),
    Trial("errors/no-file-path", SILENT, ALL, every(found(PATH))),
    Trial("errors/no-version", VERSIONS, ALL, every(found(VERSION))),
    Trial("errors/json", JSON, ALL, every(not_json)),
    Trial("errors/words", WORDS, ALL, every(no_words)),
    Trial("errors/no-store", NO_STORE, ALL, every(stored)),
]  # fmt: skip
