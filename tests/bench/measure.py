"""Start what is measured on cores of its own, put load on it from another, and read what that took."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import psutil
import requests

from shared.apps import ROOT
from tests.bench.variants import BenchError
from tests.contract.http1 import NO_ANSWER, exchange, request
from tests.processes import START_DEADLINE, PortTakenError, Service, end, spawn

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
FIRST, OTHERS, LAST = CORES[:1], CORES[: max(2, len(CORES) - 1)], CORES[-1:]  # one worker, two workers, the load
LUA = Path(__file__).with_name("wrk.lua")


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Let what this thread starts run on some cores only, where the system can do that."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Started(Service):
    """A service that need not have an access log: it is ready when the open path is answered."""

    cores: Sequence[int] = FIRST  # that it runs on
    began: float
    seconds_to_start: float

    def spawn(self) -> subprocess.Popen[bytes]:
        self.began = time.monotonic()
        with pinned(self.cores):
            return super().spawn()

    def _wait_until_ready(self) -> None:
        while not self._answers():
            if self.process.poll() is not None:
                kind = PortTakenError if "in use" in self.log() else RuntimeError
                raise kind(f"{self.name} ended with status {self.process.returncode} at its start:\n{self.tail()}")
            if time.monotonic() > self.began + START_DEADLINE:
                raise RuntimeError(f"{self.name} was not ready after {START_DEADLINE:.0f} s:\n{self.tail()}")
            time.sleep(0.002)
        self.seconds_to_start = time.monotonic() - self.began

    def _answers(self) -> bool:
        """Return whether the open path is answered; the answer has to come from this process, which is still there."""
        try:
            return exchange(self.address, request("/healthz").replace(b"<host>", b"a.test"), 5).status == 200
        except NO_ANSWER:
            return False

    def family(self) -> list[psutil.Process]:
        """Return the process and all below it."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def cpu(self) -> float:
        """Return the seconds of CPU time that they have taken, in user and in kernel mode."""
        total = 0.0
        for each in self.family():
            with suppress(psutil.Error):  # it has ended
                times = each.cpu_times()
                total += times.user + times.system
        return total


class Round(NamedTuple):
    """One round of load: requests a second, latencies in ms, CPU time of a request in µs, how many had no answer.

    Every client sends its next request when it has the answer to the last: the latencies are those of a full service,
    and corrected by wrk for the requests that it would have sent meanwhile.
    """

    rps: float
    p50: float
    p99: float
    cpu: float
    unanswered: float


@dataclass(frozen=True)
class Load:
    """What is sent to a service: GET for a URL with some fields, on so many connections; the status that comes back."""

    service: Started
    url: str
    fields: Sequence[str] = ()
    status: int = 200
    connections: int = 8

    def check(self) -> None:
        """Send one request and look at the answer, because wrk tells no status from another."""
        fields = dict(field.split(": ", 1) for field in self.fields)
        got = requests.get(self.url, headers=fields, timeout=30)
        if got.status_code != self.status:
            raise BenchError(f"{self.service.name}: GET {self.url} is answered {got.status_code}, not {self.status}")

    def round(self, seconds: float) -> Round:
        """Put load on the service for so long, and return what that took; another answer is an error."""
        command = ["wrk", "--threads=1", f"--connections={self.connections}", "--duration=1h", f"--script={LUA}"]
        command += [word for field in self.fields for word in ("--header", field)]
        before = self.service.cpu()
        with pinned(LAST):
            wrk = spawn([*command, self.url], ROOT, os.environ, subprocess.PIPE, subprocess.STDOUT)
        try:
            time.sleep(seconds)
            told = interrupted(wrk)  # its own clock has whole seconds only
        finally:
            end(wrk)
        used = self.service.cpu() - before
        try:
            got = json.loads(told.splitlines()[-1])
        except (ValueError, IndexError):
            raise BenchError(f"wrk did not tell what it has measured:\n{told}") from None
        wrong = got["status"] if self.status < 400 else got["requests"] - got["status"]
        if wrong or not got["requests"]:
            raise BenchError(
                f"{self.service.name}: of {got['requests']} answers to GET {self.url} "
                f"on {self.connections} connections {wrong} had another status than {self.status}.\n"
                f"{self.service.tail()}"
            )
        rps = got["requests"] / got["duration"] * 1e6
        return Round(rps, got["p50"] / 1e3, got["p99"] / 1e3, used / got["requests"] * 1e6, got["broken"])


def interrupted(wrk: subprocess.Popen[bytes]) -> str:
    """Interrupt wrk, and return what it then tells; it does not hear a signal that comes while it starts."""
    for _ in range(60):
        wrk.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return wrk.communicate(timeout=1)[0].decode()
    raise BenchError("wrk does not end when it is interrupted.")


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return the median of some values, and the quartiles below and above it."""
    values = sorted(values)
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {name: float(f"{value:.4g}") for name, value in (("median", median(values)), ("low", low), ("high", high))}


def summary(rounds: Sequence[Round]) -> dict[str, dict[str, float]]:
    """Return the spread of everything that rounds have measured."""
    return {name: spread(getattr(each, name) for each in rounds) for name in Round._fields}
