"""What every answer must and must not contain."""

import base64
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from urllib.parse import quote

from .. import groups
from ..case import ENOUGH, Case, Exchange, Finding, Requirement, Trial, exchanges
from ..http1 import Response, request
from ..messages import NO_METHOD, NOT_FOUND, NOT_PROVIDED, RIGHT, at_protected, healthz, post, protected
from ..target import NotCheckedError, Target
from ..values import BODIES, NEAR, TELLING
from ..waiting import pause
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
    "Turn off debug pages, and answer errors with words of your own: Flask and Django `DEBUG = False`, Express "
    "`NODE_ENV=production`, Spring `server.error.include-stacktrace=never`, PHP `display_errors = Off`.",
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
SECRET_UNTOLD = replace(
    SECRET_KEPT,
    requirement="No answer repeats the secret to whoever has sent it: a client behind the gateway would have it.",
    source="RFC 9110 section 9.3.8; ASVS 5.0 13.4.2, 13.4.4 and 14.2.6; CWE-200",
    hint="Take out what shows a request, its fields or the environment, and refuse TRACE: Apache `TraceEnable off`, "
    "Spring `management.endpoint.env.show-values=never`.",
)
NO_HELP = Requirement(
    "Every wrong secret gets the same answer, however near it is to the right one.",
    "ASVS 5.0 16.5.1; CWE-204",
    "Answer in the same words whatever is wrong: say nothing of lengths, letters or names.",
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
    "Take versions out of error pages and of fields like X-Powered-By: nginx `server_tokens off`, Apache "
    "`ServerTokens Prod`, Express `app.disable('x-powered-by')`, PHP `expose_php = Off`, Tomcat's `ErrorReportValve` "
    '`showServerInfo="false"`.',
    "recommended",
)

WITHHELD = Requirement(
    "A refusal has nothing of what it refuses.",
    "ASVS 5.0 8.2.1; CWE-698",
    "Return after the refusal: a handler that goes on appends its answer.",
)

SHOWS = 8  # bytes of a body that cannot be in another one by chance
ALL = "all requests of the contract"
TRACE = (  # also as JSON has it, with \n and \t
    r"Traceback \(most|\bFile \"|((?m:^)|\\[nrt])\s*at \S+ ?\(|\b[\w$]+\.(py|js|ts|rb|go|php|java|kt|cs):\d+\b"
)
PATH = r"(/[\w.-]+)+\.(py|js|ts|rb|go|php|java)\b|/(usr|home|root|opt|srv|var|tmp)/\w+|\b[A-Z]:\\\w+"
CHANGING = ("date", "content-length")  # fields; the length is that of the presented value too, which some repeat
ATTEMPTS = 5
HTML = b"Accept: text/html"
TELLTALE = (
    *(protected(RIGHT, method=method) for method in ("TRACE", "OPTIONS", "POST", "PUT", "FOO")),
    *(request(path.decode(), RIGHT, HTML) for path in TELLING),
    *(at_protected(f"<protected>{more}", RIGHT, HTML) for more in ("?debug=1", "?%ff=%ff", "/", "/x", ".json")),
    *(protected(RIGHT, field) for field in (HTML, b"X-Debug: 1", b"Expect: nothing", b"Cookie: a[]=;=\xe9")),
    *(healthz(RIGHT), healthz(RIGHT, HTML)),
    *(post(*typed) for typed in BODIES),
)
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
            if isinstance(got, Response) and got.status == target.denied and look is not no_challenge:
                got = replace(got, status=401)
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


def tells(target: Target, got: Response) -> bool:
    """Return whether an answer has the secret in it, as it is, in Base64 or in hexadecimal digits."""
    secret = target.secret.encode("utf-8", "surrogateescape")
    answer = str(got.headers).encode("utf-8", "surrogateescape") + got.body
    return any(form in answer for form in (secret, base64.b64encode(secret), secret.hex().encode()))


def no_secret(target: Target) -> Finding:
    """Look for the secret in answers to those who did not send it, or sent it in its own field alone."""

    def look(case: Exchange, got: Response) -> str | None:
        if b"<secret>" in case.sent and case.requirement.normalised:
            return None  # an answer may repeat what is malformed, and what a client put into a path, a query or a body
        lines = [line for line in case.sent.split(b"\r\n") if line != RIGHT]
        if re.search(rb"<[\w ]*(secret|credentials)[\w -]*>", b"\n".join(lines)):
            return None
        return "it reveals the secret" if tells(target, got) else ""

    return every(look)(target)


def no_content(target: Target) -> Finding:
    """Look for what the protected path answers in answers to those who are refused."""
    granted = target.ask("configured", protected(RIGHT))
    content = granted.body.strip() if isinstance(granted, Response) else b""
    if len(content) < SHOWS:
        raise NotCheckedError("It needs a protected path that answers with more than a few bytes.")

    def look(case: Exchange, got: Response) -> str | None:
        if got.status < 300:
            return None
        return "it has what the protected path answers" if content in got.body else ""

    return every(look)(target)


def secret_untold(target: Target) -> Finding:
    """Ask for what often shows a request or the environment, with the secret."""
    problems: list[str] = []
    first = b""
    for sent in TELLTALE:
        with suppress(NotCheckedError):
            got = target.send("configured", sent)
            if isinstance(got, Response) and tells(target, got):
                first = first or sent
                problems.append(f"{sent.partition(b' HTTP/')[0].decode()}: the answer has the secret in it")
    return Finding(problems[:ENOUGH], f"{len(TELLTALE)} requests were sent", first)


def in_parts(got: Response, presented: str) -> list[str]:
    """Return an answer in parts that can be compared with those of another, without the value that was presented."""
    fields = sorted((name.lower(), value) for name, value in got.headers.items())
    lines = [f"{name} {value if name not in CHANGING else ''}" for name, value in fields]
    text = "\n".join([str(got.status), *lines, got.body.decode("utf-8", "replace")])
    for form in (presented, json.dumps(presented)[1:-1], quote(presented, errors="replace")):
        text = text.replace(form, "")
    return re.split(r'[\s"]+', text)


def told_apart(one: Sequence[str], others: Sequence[Sequence[str]]) -> list[str]:
    """Return the parts of an answer that none of the others has at the same place; parts that vary count for none."""
    if len({len(other) for other in others}) > 1:  # there is no such place: what comes first is the status
        return [one[0]] if one[0] not in {other[0] for other in others} else []
    if len(one) != len(others[0]):
        return [f"{len(one)} words, not {len(others[0])}"]
    places = zip(one, *others, strict=True)
    return [part for part, *same in places if len(set(same)) == 1 and part != same[0]]


def no_help(target: Target) -> Finding:
    """Compare the answers to values near the secret with those to values of other lengths that have nothing of it."""
    length = len(target.secret.encode("utf-8", "surrogateescape"))
    wrong: list[list[str]] = []

    def ask(value: bytes) -> list[str]:
        sent = protected(b"<header>: " + value)
        got = target.send("configured", sent)
        if isinstance(got, str):
            raise NotCheckedError(f"It needs answers: {got}")
        filled = target.fill(value, target.instance("configured").address)
        return in_parts(got, filled.decode("utf-8", "surrogateescape"))

    def compare(value: bytes) -> list[str]:
        found: list[str] = []
        for attempt in range(ATTEMPTS):
            if attempt or not wrong:  # what varies by itself, such as a date, shows sooner or later
                wrong.extend(ask(b"~" * (length + more)) for more in (-2, -1, 1, 2, 3, 4))
            if not (found := told_apart(ask(value), wrong)):
                break
            pause(0.1)
        return found

    problems: list[str] = []
    first = b""
    for value in NEAR:
        try:
            found = compare(value)
        except NotCheckedError:
            continue
        if found:
            first = first or protected(b"<header>: " + value)
            problems.append(f"{value.decode()}: another answer than to other wrong values: {' '.join(found)}")
    if not wrong:
        raise NotCheckedError("It needs answers to compare.")
    return Finding(problems[:ENOUGH], "\n".join(wrong[0]), first)


CASES: list[Case] = [
    *exchanges("errors", FRAMEWORK, NOT_FOUND, {"not-found": request("/nope", RIGHT, b"Accept: text/html")}),
    *exchanges("errors", FRAMEWORK, NO_METHOD, {"no-method": protected(RIGHT, b"Accept: text/html", method="DELETE")}),
    *exchanges("errors", PROVIDE, NOT_PROVIDED, {"accept-html": protected(b"Accept: text/html")}),
    Trial("errors/challenge", CHALLENGE, ALL, every(no_challenge)),
    Trial("errors/no-secret", SECRET_KEPT, ALL, no_secret),
    Trial("errors/secret-untold", SECRET_UNTOLD, "the secret, and paths, methods and bodies that often show a request",
          secret_untold),
    Trial("errors/no-help", NO_HELP, "values near the secret, and others", no_help),
    Trial("errors/no-content", WITHHELD, ALL, no_content),
    Trial("errors/no-traceback", SILENT, ALL, every(found(TRACE))),
    Trial("errors/no-file-path", SILENT, ALL, every(found(PATH))),
    Trial("errors/no-version", VERSIONS, ALL, every(found(VERSION))),
    Trial("errors/json", JSON, ALL, every(not_json)),
    Trial("errors/words", WORDS, ALL, every(no_words)),
    Trial("errors/no-store", NO_STORE, ALL, every(stored)),
]  # fmt: skip
