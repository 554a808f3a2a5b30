"""A service to check: its running instances, and as much of each as can be reached."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from .http1 import DEADLINE, NO_ANSWER, Address, Response, exchange

HEADER = "X-Shared-Secret"  # unless a target has another
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


@dataclass
class Instance:
    """One running service: where it listens, its log, its process, and the folder that its secrets' files are in."""

    address: Address
    log: Callable[[], str] | None = None
    pid: int | None = None
    process: subprocess.Popen[bytes] | None = None
    folder: Path | None = None


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
        try:
            return exchange(address, self.fill(sent, address), min(patience, self.deadline))
        except NO_ANSWER as error:
            return f"no answer: {error!r}"

    def fill(self, sent: bytes, address: Address) -> bytes:
        """Return what a case sends, with this target's names and secrets in it."""
        if self.open is None and b"<open" in sent:
            raise NotCheckedError("It needs an open path.")
        if b"<secret in other letter case>" in sent and self.secret.swapcase() == self.secret:
            raise NotCheckedError("It needs a secret with letters.")
        if b"underscore" in sent and "-" not in self.header:
            raise NotCheckedError("It needs a field whose name has a dash.")
        values = {
            "host": str(address),
            "previous": self.previous,
            "secret": self.secret,
            "secret percent encoded": quote(os.fsencode(self.secret)),
            "secret less a byte": self.secret[:-1],
            "secret less its first byte": self.secret[1:],
            "secret in other letter case": self.secret.swapcase(),
            "8 KB": "x" * 8_000,
            "64 KB": "x" * 64_000,
            "1 MB": "x" * 1_000_000,
            "200 fields": "\r\n".join(f"X-Field-{number}: x" for number in range(200)),
        }
        return fill(sent, values | self.names())

    def names(self) -> dict[str, str]:
        """Return the values of the placeholders for this service's names."""
        return names(self.header, self.protected, self.open or "")


def names(header: str = HEADER, protected: str = "/protected", path: str = "/healthz") -> dict[str, str]:
    """Return the values of the placeholders for a service's names; `path` is the open path."""
    first, dash, rest = header.partition("-")
    return {
        "header": header,
        "header in lower case": header.lower(),
        "header with underscores": header.replace("-", "_"),
        "header with one underscore": first + dash + rest.replace("-", "_") if "-" in rest else f"{first}_{rest}",
        "protected": protected,
        "open": path,
        "open in other letter case": path.swapcase(),
    }


def fill(sent: bytes, values: Mapping[str, str]) -> bytes:
    """Replace the placeholders that have a value; others stay as they are."""

    def value(found: re.Match[bytes]) -> bytes:
        name = found[1].decode()
        return values[name].encode("utf-8", "surrogateescape") if name in values else found[0]

    return re.sub(rb"<([a-z0-9A-Z ]+)>", value, sent)
