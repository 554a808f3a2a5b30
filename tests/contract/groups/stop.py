"""The end of a process."""

import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import psutil

from ..case import Case, Finding, Requirement, Trial
from ..http1 import DEADLINE, NO_ANSWER, Response, exchange, request, respond
from ..messages import RIGHT, protected
from ..supervised import refusal, supervised, workers, write_secret
from ..target import NotCheckedError, Target
from ..waiting import pause, wait_until

STOP = Requirement(
    "On SIGTERM requests that have begun are answered, new ones are refused, and the process ends.",
    "POSIX.1-2024, kill(); RFC 9112 section 9.6",
    "Use a server that stops gracefully, and let the signal reach it.",
)
HALF_SENT = replace(
    STOP, requirement="A request whose last line comes after SIGTERM is answered too.", level="recommended"
)
REPLACE = Requirement(
    "A worker that dies is replaced.",
    "ASVS 5.0 16.5.4",
    "Let the supervisor watch its workers.",
)


class Stopped(NamedTuple):
    """What a service did on SIGTERM."""

    in_flight: Response | str
    on_its_way: Response | str
    refused_meanwhile: bool
    closed_at_the_end: bool
    exit_status: int | None


def finish(connection: socket.socket, rest: bytes) -> Response | str:
    """Send the rest of a request, and return what is answered."""
    with connection:
        try:
            return respond(connection, rest)
        except NO_ANSWER as error:
            return f"no answer: {error!r}"


@cache
def stop(target: Target) -> Stopped:
    """Send SIGTERM while a request is in flight; this happens once, however many cases look at it."""
    instance = target.instance("slow")
    log = instance.log
    if instance.process is None or log is None:
        raise NotCheckedError("It needs a process that it may stop.")
    address, before = instance.address, log().count("in flight")

    def ask(*fields: bytes) -> Response | str:
        try:
            return exchange(address, target.fill(protected(*fields), address))
        except NO_ANSWER as error:
            return f"no answer: {error!r}"

    with ThreadPoolExecutor() as pool:
        in_flight = pool.submit(ask, RIGHT)
        wait_until(lambda: log().count("in flight") > before, DEADLINE)
        connection = address.connect()
        sent = target.fill(request("<protected>"), address)
        connection.sendall(sent[:-2])
        pause(0.3)  # until it is accepted
        instance.process.send_signal(signal.SIGTERM)
        pause(0.3)  # until that has come
        on_its_way = pool.submit(finish, connection, sent[-2:])
        meanwhile = False
        while not (meanwhile or in_flight.done()):
            meanwhile = isinstance(ask(), str)
        answer, late = in_flight.result(), on_its_way.result()
    status = None
    with suppress(subprocess.TimeoutExpired):
        status = instance.process.wait(target.deadline)
    try:
        address.connect().close()
    except OSError:
        return Stopped(answer, late, meanwhile, True, status)
    return Stopped(answer, late, meanwhile, False, status)


def in_flight(target: Target) -> Finding:
    """Look at the answer to the request in flight."""
    answer = stop(target).in_flight
    granted = isinstance(answer, Response) and answer.status == target.granted
    return Finding([] if granted else [f"the request in flight is not answered {target.granted}"], str(answer))


def on_its_way(target: Target) -> Finding:
    """Look at the answer to a request whose last line came after the signal."""
    answer = stop(target).on_its_way
    return Finding([] if isinstance(answer, Response) else ["the request on its way is not answered"], str(answer))


def port_closed(target: Target) -> Finding:
    """Look whether new requests are refused."""
    stopped = stop(target)
    problems = []
    if not stopped.refused_meanwhile:
        problems.append("a new request is answered while the one in flight goes on")
    if not stopped.closed_at_the_end:
        problems.append("the port is open at the end")
    return Finding(problems, f"refused: {stopped.refused_meanwhile}, closed: {stopped.closed_at_the_end}")


def exit_status(target: Target) -> Finding:
    """Look how the process ends."""
    status = stop(target).exit_status
    ended = {None: ["it does not end"], 0: [], -signal.SIGTERM: [], 128 + signal.SIGTERM: []}
    return Finding(ended.get(status, [f"its exit status is {status}"]), f"exit status {status}")


def worker_killed(target: Target) -> Finding:
    """Kill one of the workers."""
    instance, folder, before = supervised(target)
    if not before:
        raise NotCheckedError("It has no supervisor.")
    write_secret(folder / "current", target.secret)
    psutil.Process(min(before)).kill()
    problems = []
    patience = 3 * target.deadline  # a supervisor that was just asking it waits for the answer first
    if not wait_until(lambda: len(now := workers(instance)) >= len(before) and now != before, patience):
        problems.append("it is not replaced")
    if not wait_until(lambda: refusal(target, target.secret) is None, target.deadline):
        problems.append("the service does not answer")
    return Finding(problems, f"workers before {sorted(before)}, after {sorted(workers(instance))}")


CASES: list[Case] = [
    Trial("stop/in-flight", STOP, "SIGTERM while a request with the secret is in flight", in_flight),
    Trial("stop/on-its-way", HALF_SENT, "the last line of another request just after SIGTERM", on_its_way),
    Trial("stop/port-closed", STOP, "requests after SIGTERM, while that one is in flight", port_closed),
    Trial("stop/exit-status", STOP, "SIGTERM; an exit status of 0 or the signal's", exit_status),
    Trial("stop/worker-killed", REPLACE, "SIGKILL to one of two workers", worker_killed),
]
