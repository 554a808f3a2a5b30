"""What a case of the contract is: a requirement, what is sent, and how a service is checked against it."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from .http1 import NO_ANSWER, Response
from .repeat import command
from .target import SECRET, NotCheckedError, Target, fill, names

USUAL = ("Host: <host>", "Connection: close")


def printable(text: str) -> str:
    """Return text with an escape for each character that is not printable ASCII."""
    return "".join(char if char == "\n" or " " <= char <= "~" else f"\\x{ord(char):02x}" for char in text)


@dataclass(frozen=True)
class Requirement:
    """What a service has to do, where that comes from, what to do where it does not, and how much it matters.

    Behind a gateway that `normalises` requests, what it keeps away is only recommended.
    """

    requirement: str
    source: str
    hint: str
    level: str = "required"
    normalised: bool = False

    def level_at(self, level: str) -> str:
        """Return how much it matters to a service on the internet, or behind such a gateway: "internet", "gateway"."""
        return "recommended" if self.normalised and level == "gateway" else self.level


@dataclass(frozen=True)
class Expected:
    """What has to come back: one of these status codes, with a label for people, and words that the body should say."""

    label: str
    status: Container[int]
    words: str | None = None
    or_none: bool = False
    grants: bool = False  # it is the answer of the protected path to the right secret

    @property
    def is_open(self) -> bool:
        """Whether more than one status code will do."""
        return not self.label.isdigit()

    def on(self, target: Target) -> "Expected":
        """Return what is expected of a target, which may have another status code for what it refuses, or grants."""
        usual, own = (200, target.granted) if self.grants else (401, target.denied)
        if own == usual or usual not in self.status:
            return self
        status = {code for code in range(100, 600) if code in self.status} | {own}
        if self.status == {usual}:
            status = {own}
        return replace(self, label=self.label.replace(str(usual), str(own)), status=status)


class Finding(NamedTuple):
    """What a check found: every way in which the service is not as it has to be, what was seen, and what repeats it.

    `repeat` is the request that shows the first problem, with placeholders, or a line for a shell.
    """

    problems: list[str]
    seen: str
    repeat: bytes | str = b""


@dataclass(frozen=True)
class Result:
    """How a case went: passed, failed, known to fail or not checked; what was sent and what came back."""

    outcome: str
    problems: list[str]
    sent: str
    received: str
    reason: str = ""
    repeat: str = ""  # a line for a shell that sends it again

    def describe(self, case: "Case") -> str:
        """Return how it went and what to do, for whoever has to fix the service."""
        lines = [
            f"{self.outcome}: {'; '.join(self.problems) or self.reason}",
            f"sent:     {self.sent.strip()[:500]}".replace("\n", "\n          "),
            f"received: {self.received.strip()[:500]}".replace("\n", "\n          "),
            f"required: {case.requirement.requirement} ({case.requirement.source})",
            f"fix:      {case.requirement.hint}",
        ]
        if self.repeat:
            lines.append(f"repeat:   {self.repeat}")
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
        repeat: bytes | str = b""
        try:
            problems, seen, repeat = self.check(target)
        except NotCheckedError as error:
            return Result("not checked", [], self.text(target), "", str(error))
        except NO_ANSWER as error:
            problems, seen = [f"no answer: {error!r}"], ""
        # An answer may repeat what was sent.
        problems, seen = [text.replace(target.secret, SECRET) for text in problems], seen.replace(target.secret, SECRET)
        if not problems:
            return Result("passed", [], self.text(target), seen)
        line = repeat if isinstance(repeat, str) else command(target, repeat)
        return Result("failed", problems, self.text(target), seen, repeat=line)


def is_elsewhere_open(target: Target, sent: bytes) -> bool:
    """Return whether a request that is not made for the open path is for a path that this service has open."""
    return b" <open>" not in sent and target.is_open(sent)


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
        if is_elsewhere_open(target, self.sent):
            raise NotCheckedError("On this service, that is an open path.")
        expected, got = self.expected.on(target), target.ask(self.state, self.sent)
        if isinstance(got, str):
            problems = [] if expected.or_none else [got]
        else:
            problems = [] if got.status in expected.status else [f"the status is {got.status}, not {expected.label}"]
        return Finding(problems, str(got), command(target, self.sent, self.state) if problems else "")


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


@dataclass(frozen=True, eq=False)
class Each:
    """The trial of many requests that all have one expected answer: what is sent, by what it is to be called."""

    state: str
    expected: Expected
    sent: Mapping[str, bytes] | Callable[[Target], Mapping[str, bytes]]

    def requests(self, target: Target) -> Mapping[str, bytes]:
        """Return what is sent to a target."""
        return self.sent(target) if callable(self.sent) else self.sent

    def __call__(self, target: Target) -> Finding:
        """Ask for each, and compare the statuses."""
        target.instance(self.state)  # which says what it would need
        problems: list[str] = []
        repeat, reason = "", "On this service, there is nothing of that kind to ask for."
        wanted, asked, silent = self.expected.on(target), 0, 0
        for name, request in self.requests(target).items():
            if is_elsewhere_open(target, request):
                continue
            try:
                got = target.send(self.state, request)
            except NotCheckedError as error:
                reason = str(error)
                continue
            asked += 1
            silent = silent + 1 if isinstance(got, str) else 0
            if isinstance(got, Response) and got.status in wanted.status:
                continue
            if isinstance(got, str) and wanted.or_none:
                continue
            repeat = repeat or command(target, request, self.state)
            problems.append(f"{name}: {got if isinstance(got, str) else got.status}, not {wanted.label}")
            if silent == SILENT_AT_MOST:
                break
        if not asked:
            raise NotCheckedError(reason)
        return Finding(problems[:ENOUGH] + more(problems), f"{asked} requests were sent", repeat)


each = Each
ENOUGH = 5  # problems of one kind
SILENT_AT_MOST = 3  # requests in a row without an answer


def more(problems: list[str]) -> list[str]:
    """Return how many problems are not named."""
    return [f"and {len(problems) - ENOUGH} more"] if len(problems) > ENOUGH else []
