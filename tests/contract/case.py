"""What a case of the contract is: a requirement, what is sent, and how a service is checked against it."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .http1 import NO_ANSWER
from .target import SECRET, NotCheckedError, Target, fill, names

USUAL = ("Host: <host>", "Connection: close")


def printable(text: str) -> str:
    """Return text with an escape for each character that is not printable ASCII."""
    return "".join(char if char == "\n" or " " <= char <= "~" else f"\\x{ord(char):02x}" for char in text)


@dataclass(frozen=True)
class Requirement:
    """What a service has to do, where that comes from, what to do where it does not, and how much it matters."""

    requirement: str
    source: str
    hint: str
    level: str = "required"


@dataclass(frozen=True)
class Expected:
    """What has to come back: one of these status codes, with a label for people, and words that the body should say."""

    label: str
    status: Container[int]
    words: str | None = None
    or_none: bool = False

    @property
    def is_open(self) -> bool:
        """Whether more than one status code will do."""
        return not self.label.isdigit()


class Finding(NamedTuple):
    """What a check found: every way in which the service is not as it has to be, and what was seen."""

    problems: list[str]
    seen: str


@dataclass(frozen=True)
class Result:
    """How a case went: passed, failed, known to fail or not checked; what was sent and what came back."""

    outcome: str
    problems: list[str]
    sent: str
    received: str
    reason: str = ""

    def describe(self, case: "Case") -> str:
        """Return how it went and what to do, for whoever has to fix the service."""
        lines = (
            f"{self.outcome}: {'; '.join(self.problems) or self.reason}",
            f"sent:     {self.sent.strip()[:500]}".replace("\n", "\n          "),
            f"received: {self.received.strip()[:500]}".replace("\n", "\n          "),
            f"required: {case.requirement.requirement} ({case.requirement.source})",
            f"fix:      {case.requirement.hint}",
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class Case:
    """One thing that is tried on a service; its name is `group/what`."""

    name: str
    requirement: Requirement

    @property
    def group(self) -> str:
        """The part of the contract that it belongs to."""
        return self.name.partition("/")[0]

    @property
    def sends(self) -> str:
        """What is sent, in one line."""
        raise NotImplementedError

    def text(self, target: Target) -> str:
        """What is sent to a target, with placeholders for the secrets."""
        return self.sends

    @property
    def expects(self) -> str:
        """What has to come back, in words, where that can be said so."""
        return ""

    def check(self, target: Target) -> Finding:
        """Look for problems; raises NotCheckedError where the target cannot be asked, one of NO_ANSWER for silence."""
        raise NotImplementedError

    def run(self, target: Target) -> Result:
        """Run the case against a target."""
        try:
            problems, seen = self.check(target)
        except NotCheckedError as error:
            return Result("not checked", [], self.text(target), "", str(error))
        except NO_ANSWER as error:
            problems, seen = [f"no answer: {error!r}"], ""
        # An answer may repeat what was sent.
        problems, seen = [text.replace(target.secret, SECRET) for text in problems], seen.replace(target.secret, SECRET)
        return Result("failed" if problems else "passed", problems, self.text(target), seen)


@dataclass(frozen=True)
class Exchange(Case):
    """A case of one request and its answer, on an instance in one of the STATES."""

    state: str
    sent: bytes
    expected: Expected

    @property
    def expects(self) -> str:
        """The status codes that will do."""
        return self.expected.label

    def text(self, target: Target) -> str:
        """The request, with placeholders for the secrets."""
        return printable(fill(self.sent, target.names()).decode("latin-1").replace("\r\n", "\n"))

    @property
    def sends(self) -> str:
        """What is not usual about the request, and about the service if it is in a special state."""
        head, _, body = fill(self.sent, names()).decode("latin-1").partition("\r\n\r\n")
        first, *fields = head.split("\r\n")
        parts = [first.removesuffix(" HTTP/1.1"), *(field for field in fields if field not in USUAL)]
        if not any(field.startswith("Host:") for field in fields):
            parts.append("no Host")
        if body:
            parts.append(f"body {body}")
        line = printable(", ".join(parts).replace("\n", "\\n"))
        return line if self.state == "configured" else f"{line} [state: {self.state}]"

    def check(self, target: Target) -> Finding:
        """Ask, and compare the status."""
        path = fill(self.sent, target.names()).split(b" ")[1].decode("latin-1")
        if path == target.open and b" <open> " not in self.sent:
            raise NotCheckedError("On this service, that is the open path.")
        got = target.ask(self.state, self.sent)
        if isinstance(got, str):
            return Finding([] if self.expected.or_none else [got], got)
        if got.status in self.expected.status:
            return Finding([], str(got))
        return Finding([f"the status is {got.status}, not {self.expected.label}"], str(got))


def exchanges(
    group: str, requirement: Requirement, expected: Expected, sent: Mapping[str, bytes], state: str = "configured"
) -> list[Exchange]:
    """Return the cases of a group that have one requirement and one expected answer: what is sent, by name."""
    return [Exchange(f"{group}/{name}", requirement, state, request, expected) for name, request in sent.items()]


@dataclass(frozen=True)
class Trial(Case):
    """A case that takes more than one request: what is done, in words, and the function that does it."""

    action: str
    function: Callable[[Target], Finding]

    @property
    def sends(self) -> str:
        """What is done."""
        return fill(self.action.encode(), names()).decode()

    def check(self, target: Target) -> Finding:
        """Do it."""
        return self.function(target)
