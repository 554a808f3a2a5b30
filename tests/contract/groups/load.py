"""Endless requests and slow clients."""

import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace

import psutil

from ..case import Case, Finding, Requirement, Trial
from ..http1 import DEADLINE, Response, request
from ..target import NotCheckedError, Target

LIMIT = Requirement(
    "A header without end is cut off, and other clients are answered meanwhile.",
    "RFC 9110 section 5.4; RFC 9112 section 3; ASVS 5.0 15.2.2; CWE-770",
    "Limit the request line and the header section: some tens of kilobytes are plenty.",
    normalised=True,
)
MEMORY = replace(
    LIMIT,
    normalised=False,
    requirement="An endless header, or an endless body without the secret, uses less than 20 MB of memory.",
    hint="Limit the header section, and do not read the body of a request that is refused.",
)
PATIENT = Requirement(
    "A client that sends half a request and waits does not keep others waiting.",
    "ASVS 5.0 15.4.4; CWE-400",
    "Use a server that serves more than one connection at a time.",
)
VERY_PATIENT = replace(
    PATIENT,
    requirement="A hundred clients that have sent half a request do not keep others waiting.",
    hint="Use a server with an event loop, or let the gateway wait for slow clients.",
    level="recommended",
)

BODY = replace(
    LIMIT,
    requirement="An endless body without the secret is refused before much of it has come.",
    source="RFC 9110 section 15.5.14; CWE-770",
    hint="Do not read the body of a request that is refused; limit that of others.",
    level="recommended",
)

MEGABYTE = 1_000_000
SENT_AT_MOST, GROWN_AT_MOST = 64 * MEGABYTE, 20 * MEGABYTE
PATIENCE = 10.0  # seconds that a client waits behind slow ones
ENDLESS = {  # how each request begins, and the piece that then comes again and again
    "value": (request("<protected>")[:-4] + b"\r\nX-Endless: ", b"x" * 65_536),
    "lines": (request("<protected>")[:-2], b"X-Endless: x\r\n" * 5_000),
    "target": (b"GET /", b"x" * 65_536),
    "body": (request("<protected>", b"Content-Length: 99999999999", method="POST"), b"x" * 65_536),
}


def has_answered(connection: socket.socket, deadline: float) -> bool:
    """Return whether an answer has begun, or the connection has ended; the service may go on reading and dropping."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    finally:
        connection.settimeout(deadline)
    return True


def pour(target: Target, kind: str, between: Callable[[], None]) -> int:
    """Send something endless, 64 MB at most; return how many bytes were sent before the service ended it."""
    address = target.instance("crowded").address
    head, piece = ENDLESS[kind]
    sent = 0
    with address.connect(target.deadline) as connection:
        try:
            connection.sendall(target.fill(head, address))
            while sent < SENT_AT_MOST and not has_answered(connection, target.deadline):
                connection.sendall(piece)
                if sent // (8 * MEGABYTE) != (sent + len(piece)) // (8 * MEGABYTE):
                    between()
                sent += len(piece)
        except TimeoutError:
            raise
        except OSError:  # it has ended the connection, or TLS on it
            return sent
    return sent


def answers_others(target: Target, patience: float = DEADLINE) -> bool:
    """Return whether another client is answered, in as many seconds."""
    got = target.send("crowded", request("<protected>"), patience)
    return isinstance(got, Response) and got.status < 500


def endless(kind: str) -> Callable[[Target], Finding]:
    """Return the trial of a part of the header that does not end."""

    def trial(target: Target) -> Finding:
        others: list[bool] = []
        sent = pour(target, kind, lambda: others.append(answers_others(target)))
        others.append(answers_others(target))
        problems = []
        if sent >= SENT_AT_MOST:
            problems.append("it is not cut off")
        if not all(others):
            problems.append("another client is not answered")
        return Finding(problems, f"{sent} bytes were sent")

    return trial


def memory(pid: int) -> int:
    """Return the bytes of memory that a process and all below it have in use."""
    process = psutil.Process(pid)
    used = process.memory_info().rss
    for child in process.children(recursive=True):
        with suppress(psutil.Error):  # it may have ended meanwhile
            used += child.memory_info().rss
    return used


def memory_grows(target: Target) -> Finding:
    """Send everything that does not end, and look at the most memory in use meanwhile."""
    pid = target.instance("crowded").pid
    if pid is None:
        raise NotCheckedError("It needs the service's process (PID, --pid).")
    answers_others(target)
    try:
        return growth(target, pid)
    except psutil.Error as error:
        return Finding([f"the process is gone: {error}"], "")


def growth(target: Target, pid: int) -> Finding:
    """Send everything that does not end, and watch a process."""
    seen, problems = [], []
    for kind in ENDLESS:
        start = memory(pid)
        used = [start]
        with suppress(TimeoutError):  # who stops reading needs no memory
            pour(target, kind, lambda used=used: used.append(memory(pid)))  # type: ignore[misc]
        used.append(memory(pid))
        grown = max(used) - start
        seen.append(f"{kind}: {grown / MEGABYTE:.1f} MB more")
        if grown > GROWN_AT_MOST:
            problems.append(f"an endless {kind} takes {grown / MEGABYTE:.0f} MB")
    return Finding(problems, "\n".join(seen))


def slow(clients: int) -> Callable[[Target], Finding]:
    """Return the trial of clients that have sent half of a request and wait."""

    def trial(target: Target) -> Finding:
        address = target.instance("crowded").address
        with ExitStack() as stack:
            for _ in range(clients):
                connection = stack.enter_context(address.connect())
                connection.sendall(target.fill(request("<protected>")[:-4], address))
            served = answers_others(target, PATIENCE)
        return Finding([] if served else ["another client is not answered"], f"answered: {served}")

    return trial


CASES: list[Case] = [
    Trial("load/endless-value", LIMIT, "64 MB of one field value", endless("value")),
    Trial("load/endless-lines", LIMIT, "64 MB of header fields", endless("lines")),
    Trial("load/endless-target", LIMIT, "64 MB of request target", endless("target")),
    Trial("load/endless-body", BODY, "64 MB of a body without the secret", endless("body")),
    Trial("load/memory", MEMORY, "64 MB of each of these, and of a body without the secret", memory_grows),
    Trial("load/slow-client", PATIENT, "half a request on another connection", slow(1)),
    Trial("load/slow-clients", VERY_PATIENT, "half a request on each of 100 other connections", slow(100)),
]
