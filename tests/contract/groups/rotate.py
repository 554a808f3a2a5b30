"""Changing the secret."""

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from ..case import Case, Finding, Requirement, Trial, exchanges
from ..http1 import DEADLINE
from ..messages import GRANTED, INVALID, OLD, RIGHT, WRONG, protected
from ..supervised import refusal, reloads, supervised, write_secret
from ..target import Instance, NotCheckedError, Target
from ..waiting import pause, wait_until
from .auth import WHOLE
from .wire import TWICE

ROTATE = Requirement(
    "During a rotation a request with either the old or the new secret is accepted.",
    "ASVS 5.0 13.3.4",
    "Accept SHARED_SECRET and SHARED_SECRET_PREVIOUS, either of the two.",
)
LOSSLESS = Requirement(
    "A rotation under load loses no request.",
    "ASVS 5.0 13.3.4",
    "Read a changed secret file while running.",
)
RESTART = replace(
    LOSSLESS,
    requirement="A rotation that replaces the workers loses no request, if one without an answer is sent once more.",
    hint="Let a stopping worker finish the requests that it has accepted.",
)

UNDER_LOAD = "under constant load"
CLIENTS = 4
SETTLED = 2.0  # seconds after which a changed file takes effect everywhere: twice what is promised


class SteadyClients:
    """Clients that send request after request, each on a connection of its own, with the secret of the moment.

    With `again`, a request without an answer is sent once more, as gateways do.
    """

    def __init__(self, target: Target, secret: str, again: bool) -> None:
        self.target, self.secret, self.again = target, secret, again
        self.sent = [0] * CLIENTS
        self.lost: list[str] = []
        self.ended = threading.Event()

    def client(self, number: int) -> None:
        """Send requests until the end."""
        while not self.ended.wait(0.05):
            lost = refusal(self.target, self.secret)
            if lost and lost.startswith("no answer") and self.again:
                lost = refusal(self.target, self.secret)
            if lost:
                self.lost.append(lost)
            self.sent[number] += 1

    def switch(self, secret: str) -> None:
        """Send another secret from now on; return when no request with the one before is under way."""
        self.secret = secret
        before = list(self.sent)
        wait_until(lambda: all(now > then + 1 for now, then in zip(self.sent, before, strict=True)), DEADLINE)


@contextmanager
def steady_clients(target: Target, secret: str, again: bool) -> Iterator[SteadyClients]:
    """Keep a target busy for as long as the block lasts."""
    busy = SteadyClients(target, secret, again)
    with ThreadPoolExecutor() as pool:
        clients = [pool.submit(busy.client, number) for number in range(CLIENTS)]
        try:
            yield busy
        finally:
            busy.ended.set()
    for client in clients:
        client.result()


def rotate(target: Target, take_effect: Callable[[Instance], None], again: bool = False) -> Finding:
    """Go from an old secret, through both, to a new one; `take_effect` waits until the files have taken effect."""
    instance, folder, _ = supervised(target)
    current, previous = folder / "current", folder / "previous"
    old, new = (f"{target.secret}-{secrets.token_urlsafe(8)}" for _ in range(2))
    write_secret(previous, None)
    write_secret(current, old)
    pause(SETTLED)
    with steady_clients(target, old, again) as busy:
        write_secret(previous, old)
        write_secret(current, new)
        take_effect(instance)
        busy.switch(new)
        write_secret(previous, None)
        take_effect(instance)
        busy.switch(new)
    problems = []
    if busy.lost:
        problems.append(f"{len(busy.lost)} of {sum(busy.sent)} requests are lost: {busy.lost[:3]}")
    if not wait_until(lambda: refusal(target, old) is not None, target.deadline):
        problems.append("the old secret is still accepted")
    return Finding(problems, f"{sum(busy.sent)} requests were sent, {len(busy.lost)} were lost")


def rotate_files(target: Target) -> Finding:
    """Restart nothing."""
    return rotate(target, lambda instance: pause(SETTLED))


def rotate_workers(target: Target) -> Finding:
    """Replace the workers, one by one, at every step."""

    def restart(instance: Instance) -> None:
        if not reloads(instance, target.deadline):
            missing.append("SIGHUP does not replace the workers")

    missing: list[str] = []
    if not supervised(target)[2]:
        raise NotCheckedError("It has no supervisor.")
    found = rotate(target, restart, again=True)
    return Finding(missing + found.problems, found.seen)


CASES: list[Case] = [
    *exchanges("rotate", ROTATE, GRANTED, {"new": protected(RIGHT), "old": protected(OLD)}, "rotation"),
    *exchanges("rotate", WHOLE, INVALID, {"other": protected(WRONG)}, "rotation"),
    *exchanges("rotate", TWICE, INVALID, {"both": protected(RIGHT, OLD), "twice": protected(OLD, OLD)}, "rotation"),
    Trial("rotate/files", LOSSLESS, f"old, both, new in the secrets' files, {UNDER_LOAD}", rotate_files),
    Trial("rotate/workers", RESTART, f"the same, SIGHUP at each step, {UNDER_LOAD}", rotate_workers),
]
