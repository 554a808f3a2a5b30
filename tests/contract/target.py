"""A service to check: its running instances, and as much of each as can be reached."""

import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .changes import CHANGES, SIZES
from .http1 import DEADLINE, NO_ANSWER, Address, Response, exchange

HEADER = "X-Shared-Secret"  # unless a target has another
LIMITED_AT_MOST = 3  # answers 429 to one request
SECRET, PREVIOUS = "<secret>", "<previous>"
UNCONFIGURED = {  # the environments in which there is no secret
    "unset": {},
    "empty": {"SHARED_SECRET": ""},
    "blank": {"SHARED_SECRET": " \t"},
    "newline": {"SHARED_SECRET": "\n"},
    "file-missing": {"SHARED_SECRET": SECRET, "SHARED_SECRET_FILE": "nowhere"},
    "previous-only": {"SHARED_SECRET_PREVIOUS": PREVIOUS},
}
STATES = {  # the environment that a service is started with
    "configured": {"SHARED_SECRET": SECRET},
    **UNCONFIGURED,
    "rotation": {"SHARED_SECRET": f" {SECRET}\n", "SHARED_SECRET_PREVIOUS": PREVIOUS, "WEB_CONCURRENCY": "2"},
    "behind-proxy": {"SHARED_SECRET": SECRET, "FORWARDED_ALLOW_IPS": "127.0.0.1"},
    "files": {
        "SHARED_SECRET": SECRET,
        "SHARED_SECRET_FILE": "current",
        "SHARED_SECRET_PREVIOUS_FILE": "previous",
        "WEB_CONCURRENCY": "2",
    },
    "crowded": {"SHARED_SECRET": SECRET},  # alone with the cases that would keep others waiting
    "slow": {"SHARED_SECRET": SECRET},  # the protected path writes "in flight" to the log, and takes seconds
    "silent": {"SHARED_SECRET": SECRET},  # stopped while nothing comes on its connections
}


def environ(state: Mapping[str, str], secret: str, previous: str) -> dict[str, str]:
    """Return the environment of a state, with the secrets in it."""
    return {name: value.replace(SECRET, secret).replace(PREVIOUS, previous) for name, value in state.items()}


class NotCheckedError(Exception):
    """A case cannot be run against a target; the text says what it would need."""


class LimitedError(Exception):
    """A service answers 429 again and again: it limits requests, so what it answers says nothing."""


@dataclass
class Instance:
    """One running service: where it listens, its log, its process, and the folder that its secrets' files are in."""

    address: Address
    log: Callable[[], str] | None = None
    pid: int | None = None
    process: subprocess.Popen[bytes] | None = None
    folder: Path | None = None
    whole_log: Callable[[], str] | None = None  # also what was written before the check, where `log` leaves it out


@dataclass(eq=False)
class Target:
    """A service; `start` gives an instance of it in one of the STATES, or raises NotCheckedError."""

    name: str
    start: Callable[[str], Instance]
    secret: str
    previous: str = "the-secret-before"
    header: str = HEADER
    protected: str = "/protected"
    open: str | None = "/healthz"
    also_open: tuple[str, ...] = ()
    method: str = "GET"  # of the protected path, and the body that it takes
    body: bytes = b""
    denied: int = 401  # the status code of what it refuses, and of what it grants
    granted: int = 200
    paths: tuple[tuple[str, str], ...] = ()  # its routes: method and path
    deadline: float = DEADLINE  # seconds that it has for an answer, and for what it does by itself
    instances: dict[str, Instance] = field(default_factory=dict)
    answers: dict[tuple[str, bytes], Response | str] = field(default_factory=dict)

    def instance(self, state: str) -> Instance:
        """Return the instance in a state, which is started once and kept."""
        if state not in self.instances:
            self.instances[state] = self.start(state)
        return self.instances[state]

    def logs(self) -> str:
        """Return the logs of all instances that were started."""
        return "\n".join(instance.log() for instance in self.instances.values() if instance.log)

    def ask(self, state: str, sent: bytes) -> Response | str:
        """Return an instance's answer to a request, or why there is none; it is sent once, and the answer kept."""
        if (state, sent) not in self.answers:
            self.answers[state, sent] = self.send(state, sent)
        return self.answers[state, sent]

    def send(self, state: str, sent: bytes, patience: float = DEADLINE) -> Response | str:
        """Send a request now, and return the answer, or why there is none within `patience` seconds."""
        address = self.instance(state).address
        filled = self.fill(sent, address)
        try:
            for _ in range(LIMITED_AT_MOST):
                got = exchange(address, filled, min(patience, self.deadline))
                if got.status != 429:
                    return got
                after = got.headers.get("Retry-After", "")
                time.sleep(min(int(after) if after.isdigit() else 1, self.deadline))
        except NO_ANSWER as error:
            return f"no answer: {error!r}"
        raise LimitedError(f"{address} limits requests, with 429: exempt the client that runs the check.")

    def is_open(self, sent: bytes) -> bool:
        """Return whether a request is one that this service answers without the secret."""
        method, path, *_ = fill(sent, self.names()).split(b" ", 2)
        return method == b"GET" and path.partition(b"?")[0].decode("latin-1") in self.opens

    @property
    def opens(self) -> tuple[str, ...]:
        """All open paths."""
        return (self.open, *self.also_open) if self.open else self.also_open

    def fill(self, sent: bytes, address: Address) -> bytes:
        """Return what a case sends, with this target's names and secrets in it."""
        if self.open is None and b"<open" in sent:
            raise NotCheckedError("It needs an open path.")
        if b"underscore" in sent and "-" not in self.header:
            raise NotCheckedError("It needs a field whose name has a dash.")
        changed = changed_secrets(self.secret, sent)
        values = {"previous": self.previous, "secret": self.secret, **SIZES}
        return fill(self.named(sent, address), values | changed)

    def named(self, sent: bytes, address: Address) -> bytes:
        """Return what a case sends, with this target's names in it, and the body that its protected path takes."""
        if self.body and sent.startswith(b"<method> "):
            sent = with_body(sent, self.body)
        return fill(sent, {"host": str(address), **self.names()})

    def names(self) -> dict[str, str]:
        """Return the values of the placeholders for this service's names."""
        return names(self.header, self.protected, self.open or "", self.method)


def names(
    header: str = HEADER, protected: str = "/protected", path: str = "/healthz", method: str = "GET"
) -> dict[str, str]:
    """Return the values of the placeholders for a service's names; `path` is the open path."""
    first, dash, rest = header.partition("-")
    return {
        "header": header,
        "header in lower case": header.lower(),
        "header with underscores": header.replace("-", "_"),
        "header with one underscore": first + dash + rest.replace("-", "_") if "-" in rest else f"{first}_{rest}",
        "protected": protected,
        "method": method,
        "open": path,
        "open in other letter case": path.swapcase(),
    }


def with_body(sent: bytes, body: bytes) -> bytes:
    """Return a request with a body, unless it has one of its own."""
    head, end, own = sent.partition(b"\r\n\r\n")
    if own or re.search(rb"(?i)\r\n(content-length|transfer-encoding):", head):
        return sent
    return head + b"\r\nContent-Type: application/json\r\nContent-Length: %d" % len(body) + end + body


def changed_secrets(secret: str, sent: bytes) -> dict[str, str | bytes]:
    """Return the values of those placeholders for a changed secret that a request has."""
    found: dict[str, str | bytes] = {}
    for name, change in CHANGES.items():
        if f"<{name}>".encode() in sent:
            found[name] = change.make(as_sent := secret.encode("utf-8", "surrogateescape"))
            if change.differs and found[name] == as_sent:
                raise NotCheckedError("It needs another secret: this one does not differ from what would be sent.")
    return found


def fill(sent: bytes, values: Mapping[str, str | bytes]) -> bytes:
    """Replace the placeholders that have a value; others stay as they are."""

    def value(found: re.Match[bytes]) -> bytes:
        name = found[1].decode()
        filled = values.get(name, found[0])
        return filled if isinstance(filled, bytes) else filled.encode("utf-8", "surrogateescape")

    return re.sub(rb"<([a-z0-9A-Z -]+)>", value, sent)
