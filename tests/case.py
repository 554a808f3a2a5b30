"""What a case of the contract is: a requirement, what is sent, and how that is put to a service."""

from collections.abc import Callable, Container
from dataclasses import dataclass

from target import SECRET, NotCheckedError, Target, fill, names
from trials import Finding
from wire import NO_ANSWER

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
class Answer:
    """What has to come back: one of these status codes, as it is told, and words that the body should say."""

    told: str
    status: Container[int]
    words: str | None = None
    or_none: bool = False

    @property
    def is_open(self) -> bool:
        """Whether there is more than one status code that will do."""
        return not self.told.isdigit()


@dataclass(frozen=True)
class Result:
    """How a case went: passed, failed, known to fail or not checked; what was sent and what came back."""

    outcome: str
    problems: list[str]
    sent: str
    received: str
    reason: str = ""

    def told(self, case: "Case") -> str:
        """Tell how it went, for whoever has to mend the service."""
        lines = (
            f"{self.outcome}: {'; '.join(self.problems) or self.reason}",
            f"sent:     {self.sent.strip()[:500]}".replace("\n", "\n          "),
            f"received: {self.received.strip()[:500]}".replace("\n", "\n          "),
            f"required: {case.requirement.requirement} ({case.requirement.source})",
            f"mend:     {case.requirement.hint}",
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

    def find(self, target: Target) -> Finding:
        """Try it; raises NotCheckedError where the target cannot be asked."""
        raise NotImplementedError

    def put(self, target: Target) -> Result:
        """Put the case to a target."""
        try:
            problems, seen = self.find(target)
        except NotCheckedError as error:
            return Result("not checked", [], self.text(target), "", str(error))
        except NO_ANSWER as error:
            problems, seen = [f"no answer: {error!r}"], ""
        # An answer may repeat what was sent.
        problems, seen = [each.replace(target.secret, SECRET) for each in problems], seen.replace(target.secret, SECRET)
        return Result("failed" if problems else "passed", problems, self.text(target), seen)


@dataclass(frozen=True)
class Exchange(Case):
    """A case of one request and its answer, on a service in one of the STATES."""

    state: str
    sent: bytes
    answer: Answer

    @property
    def expects(self) -> str:
        """The status codes that will do."""
        return self.answer.told

    def text(self, target: Target) -> str:
        """The request, with placeholders for the secrets."""
        return printable(fill(self.sent, target.names()).decode("latin-1").replace("\r\n", "\n"))

    @property
    def sends(self) -> str:
        """What is not usual about the request, and about the service if it is in a special state."""
        head, _, body = fill(self.sent, names()).decode("latin-1").partition("\r\n\r\n")
        first, *fields = head.split("\r\n")
        told = [first.removesuffix(" HTTP/1.1"), *(each for each in fields if each not in USUAL)]
        told += ["no Host"] * (not any(each.startswith("Host:") for each in fields)) + [f"body {body}"] * bool(body)
        line = printable(", ".join(told).replace("\n", "\\n"))
        return line if self.state == "configured" else f"{line} [state: {self.state}]"

    def find(self, target: Target) -> Finding:
        """Ask, and compare the status."""
        path = fill(self.sent, target.names()).split(b" ")[1].decode("latin-1")
        if path == target.open and b" <open> " not in self.sent:
            raise NotCheckedError("Here that is the open path.")
        got = target.ask(self.state, self.sent)
        if isinstance(got, str):
            return Finding([] if self.answer.or_none else [got], got)
        wrong = got.status not in self.answer.status
        return Finding([f"the status is {got.status}, not {self.answer.told}"] * wrong, str(got))


@dataclass(frozen=True)
class Trial(Case):
    """A case that takes more than one request."""

    told: str
    trial: Callable[[Target], Finding]

    @property
    def sends(self) -> str:
        """What is tried."""
        return fill(self.told.encode(), names()).decode()

    def find(self, target: Target) -> Finding:
        """Try it."""
        return self.trial(target)
