"""Start services on cores of their own, put load on them from another core, and read what that took."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
import requests

from shared.apps import ROOT
from tests.bench.results import Speed, Spread
from tests.bench.variants import BenchError
from tests.processes import UnloggedService, end, spawn

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
FIRST, OTHERS, LAST = CORES[:1], CORES[: max(2, len(CORES) - 1)], CORES[-1:]  # one worker, two workers, the load
LUA = Path(__file__).with_name("wrk.lua")


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Run what this thread starts on some cores only, where the system can do that."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Started(UnloggedService):
    """A service that runs on some cores, and knows how long its start took."""

    cores: Sequence[int] = FIRST  # it runs on these
    began: float
    seconds_to_start: float

    def spawn(self) -> subprocess.Popen[bytes]:
        self.began = time.monotonic()
        with pinned(self.cores):
            return super().spawn()

    def _wait_until_ready(self) -> None:
        super()._wait_until_ready()
        self.seconds_to_start = time.monotonic() - self.began

    def family(self) -> list[psutil.Process]:
        """Return the process and all below it."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def cpu(self) -> float:
        """Return the seconds of CPU time that they have used, in user and in kernel mode."""
        total = 0.0
        for process in self.family():
            with suppress(psutil.Error):  # it has ended
                times = process.cpu_times()
                total += times.user + times.system
        return total


class Round(NamedTuple):
    """One round of load; the fields are those of Speed, which explains them."""

    rps: float
    p50: float
    p99: float
    cpu: float
    unanswered: float


@dataclass(frozen=True)
class Load:
    """Requests to a service: GET for a URL with some fields, on so many connections; and the status they must get."""

    service: Started
    url: str
    fields: Sequence[str] = ()
    status: int = 200
    connections: int = 8

    def check(self) -> None:
        """Send one request and check its status, because wrk only counts statuses of 400 and more."""
        fields = dict(field.split(": ", 1) for field in self.fields)
        got = requests.get(self.url, headers=fields, timeout=30)
        if got.status_code != self.status:
            raise BenchError(f"{self.service.name}: GET {self.url} got {got.status_code}, not {self.status}")

    def round(self, seconds: float) -> Round:
        """Put load on the service for so many seconds, and return what that took; a wrong status is a BenchError."""
        command = ["wrk", "--threads=1", f"--connections={self.connections}", "--duration=1h", f"--script={LUA}"]
        command += [word for field in self.fields for word in ("--header", field)]
        before = self.service.cpu()
        with pinned(LAST):
            wrk = spawn([*command, self.url], ROOT, os.environ, subprocess.PIPE, subprocess.STDOUT)
        try:
            time.sleep(seconds)
            printed = interrupted(wrk)  # its own clock has whole seconds only
        finally:
            end(wrk)
        used = self.service.cpu() - before
        try:
            got = json.loads(printed.splitlines()[-1])
        except (ValueError, IndexError):
            raise BenchError(f"wrk printed no result:\n{printed}") from None
        wrong = got["status"] if self.status < 400 else got["requests"] - got["status"]
        if wrong or not got["requests"]:
            raise BenchError(
                f"{self.service.name}: {wrong} of {got['requests']} answers to GET {self.url} "
                f"on {self.connections} connections had another status than {self.status}.\n"
                f"{self.service.tail()}"
            )
        rps = got["requests"] / got["duration"] * 1e6
        return Round(rps, got["p50"] / 1e3, got["p99"] / 1e3, used / got["requests"] * 1e6, got["broken"])


def interrupted(wrk: subprocess.Popen[bytes]) -> str:
    """Interrupt wrk, and return what it prints then; it misses a signal that comes while it starts."""
    for _ in range(60):
        wrk.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return wrk.communicate(timeout=1)[0].decode()
    raise BenchError("wrk does not end when it is interrupted.")


def summary(rounds: Sequence[Round]) -> Speed:
    """Return the spreads of what rounds have measured."""
    return Speed(**{name: Spread.of(getattr(one, name) for one in rounds) for name in Round._fields})
