"""The life of a connection."""

import select
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from ..case import Case, Finding, Requirement, Trial
from ..http1 import NO_ANSWER, Address, respond
from ..messages import RIGHT, protected
from ..supervised import reloads, supervised
from ..target import NotCheckedError, Target
from ..waiting import pause, wait_until
from .stop import STOP

HALF_CLOSED = Requirement(
    "A client that closes its writing side after a request is answered.",
    "RFC 9293 section 3.6",
    "Take the end of what a client sends for nothing else: it still reads.",
    "recommended",
)
HALF_CLOSED_LONG = replace(
    HALF_CLOSED,
    requirement="A client that closes its writing side is answered even if the answer takes seconds.",
)
SILENT = replace(
    STOP,
    requirement="On SIGTERM a connection that is open without a request does not hold up the end of the process.",
    hint="Close the connections on which no request has begun.",
)
UPLOAD = Requirement(
    "A request that is refused before its body has come is answered, and not cut off: a proxy would lose the answer.",
    "RFC 9112 section 9.6",
    "Go on reading for a while after the answer, and discard what comes: what is not read resets the connection.",
    normalised=True,
)
RELOAD = Requirement(
    "During a reload a request on a kept connection is answered, or the connection is closed before it is sent.",
    "RFC 9112 sections 9.3.1 and 9.6",
    "Let a stopping worker close its idle connections at once, or answer what comes on them.",
    "recommended",
)

KEPT = b"Connection: keep-alive"
LOST_AT_MOST = 3  # uploads, of which each may take as long as an answer may
UPLOADS, PIECES, PIECE = 20, 20, b"x" * 15_000
CONNECTIONS = 4


def half_closed(state: str, times: int) -> Callable[[Target], Finding]:
    """Return the trial of a client that closes its writing side after its request."""

    def trial(target: Target) -> Finding:
        address = target.instance(state).address
        if address.tls:
            raise NotCheckedError("It needs a connection without TLS.")
        for _ in range(times):
            with address.connect(target.deadline) as connection:
                connection.sendall(target.fill(protected(RIGHT), address))
                connection.shutdown(socket.SHUT_WR)
                got = respond(connection, b"")
        return Finding([], str(got))

    return trial


def silent_on_stop(target: Target) -> Finding:
    """Send SIGTERM while one connection is open that was never used, and one that was."""
    instance = target.instance("silent")
    process = instance.process
    if process is None:
        raise NotCheckedError("It needs a process that it may stop.")
    with instance.address.connect(), instance.address.connect() as used:
        respond(used, target.fill(protected(connection=KEPT), instance.address))
        process.send_signal(signal.SIGTERM)
        ended = wait_until(lambda: process.poll() is not None, target.deadline / 3)  # of 30 s: Docker's 10
    return Finding([] if ended else ["the process does not end in time"], f"ended: {ended}")


def is_readable(connection: socket.socket) -> bool:
    """Return whether an answer has begun, or the connection has ended."""
    ready = select.poll()
    ready.register(connection, select.POLLIN)
    return bool(ready.poll(0))


def upload(address: Address, head: bytes, deadline: float) -> str | None:
    """Send a body in pieces, as a proxy does, which looks for the answer now and then; return why none was read."""
    try:
        with address.connect(deadline) as connection:
            connection.sendall(head)
            for number in range(PIECES):
                pause(0.001)
                connection.sendall(PIECE)
                if number % 3 == 2 and is_readable(connection):
                    break
            respond(connection, b"")
    except NO_ANSWER as error:
        return repr(error)
    return None


def refused_upload(target: Target) -> Finding:
    """Upload without the secret, again and again, on connections that would be kept."""
    address = target.instance("configured").address
    length = f"Content-Length: {PIECES * len(PIECE)}".encode()
    head = target.fill(protected(length, method="POST", connection=KEPT), address)
    lost: list[str] = []
    for _ in range(UPLOADS):
        if error := upload(address, head, target.deadline):
            lost.append(error)
        if len(lost) == LOST_AT_MOST:
            break
    problems = [f"{len(lost)} of at most {UPLOADS} answers are lost: {lost[0]}"] if lost else []
    return Finding(problems, f"{UPLOADS - len(lost)} of {UPLOADS} were answered")


def kept_on_reload(target: Target) -> Finding:
    """Go on using some connections, one after the other, until the reload has closed them all."""
    instance, _, before = supervised(target)
    if not before:
        raise NotCheckedError("It has no supervisor.")
    sent = target.fill(protected(connection=KEPT), instance.address)
    lost: list[str] = []
    answered = 0

    def use_next() -> bool:
        nonlocal answered
        if not kept:
            return True
        connection = kept.pop(0)
        if is_readable(connection):  # it is closed, because no answer is due
            return False
        try:
            if respond(connection, sent).headers.get("Connection", "").lower() != "close":
                kept.append(connection)
            answered += 1
        except NO_ANSWER as error:
            lost.append(repr(error))
        return False

    with ExitStack() as stack:
        kept = [stack.enter_context(instance.address.connect(target.deadline)) for _ in range(CONNECTIONS)]
        for connection in kept:
            respond(connection, sent)
        replaced = reloads(instance, target.deadline, use_next)
        wait_until(use_next, target.deadline)
    problems = [] if replaced else ["SIGHUP does not replace the workers"]
    if len(lost) > 1:  # one may cross with the close
        problems.append(f"{len(lost)} requests on kept connections are not answered: {lost[0]}")
    return Finding(problems, f"{answered} requests were answered, {len(lost)} were not")


CASES: list[Case] = [
    Trial("life/half-closed", HALF_CLOSED, "the secret, and the end of what is sent", half_closed("configured", 5)),
    Trial("life/half-closed-in-flight", HALF_CLOSED_LONG, "the same, while it is answered", half_closed("slow", 1)),
    Trial("life/silent-on-stop", SILENT, "SIGTERM, one connection unused and one kept", silent_on_stop),
    Trial("life/refused-upload", UPLOAD, "POST without the secret, 300 KB piece by piece, 20 times", refused_upload),
    Trial("life/kept-on-reload", RELOAD, "SIGHUP, then requests on kept connections until they close", kept_on_reload),
]
