"""The cases of the contract that one request and its answer cannot show: each tries a target, and returns a Finding."""

import os
import re
import secrets
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import psutil
from target import Instance, NotCheckedError, Target
from wire import DEADLINE, NO_ANSWER, Response, conversation, exchange, request, respond

RIGHT = b"<header>: <secret>"
MEGABYTE = 1_000_000
SENT_AT_MOST, GROWN_AT_MOST = 64 * MEGABYTE, 20 * MEGABYTE
PATIENCE = 10.0  # seconds that a client waits behind slow ones
CLIENTS = 4
SETTLED = 2.0  # seconds after which a changed file counts everywhere: twice what is promised


class Finding(NamedTuple):
    """What a trial found: every way in which the service is not as it has to be, and what was seen."""

    problems: list[str]
    seen: str


abandoned = threading.Event()  # set when nobody waits for findings any more


def pause(seconds: float) -> None:
    """Sleep, but not for nobody."""
    if abandoned.wait(seconds):
        raise NotCheckedError("It was interrupted.")


def wait_until(condition: Callable[[], bool], deadline: float) -> bool:
    """Return whether a condition came true before the deadline."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            return False
        pause(0.05)
    return True


# Several requests on one connection


def statuses(target: Target, *sent: bytes) -> list[int]:
    """Return the status codes that come back for requests sent at once on one connection."""
    address = target.find("configured").address
    try:
        came = conversation(address, target.fill(b"".join(sent), address), target.deadline)
    except OSError:
        return []
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", came)]


def pipelined(target: Target) -> Finding:
    """Only the second of three requests carries the secret."""
    kept = b"Connection: keep-alive"
    without, right = request("<protected>", connection=kept), request("<protected>", RIGHT, connection=kept)
    came = statuses(target, without, right, request("<protected>"))
    problems = [] if came else ["there is no answer"]
    problems += [f"request {n} has no secret, and is answered {s}" for n, s in enumerate(came, 1) if n != 2 and s < 400]
    return Finding(problems, f"status codes: {came}")


def body_is_no_request(target: Target) -> Finding:
    """A refused request has a body that looks like a request with the secret."""
    body = target.fill(request("<protected>", RIGHT), target.find("configured").address)
    length = f"Content-Length: {len(body)}".encode()
    kept = b"Connection: keep-alive"
    refused = request("<protected>", length, method="POST", connection=kept, body=body)
    came = statuses(target, refused, request("<protected>"))
    problems = [] if came else ["there is no answer"]
    if 200 in came:
        problems.append("the body is taken for a request")
    return Finding(problems, f"status codes: {came}")


# The log


def last_request_shows(target: Target, log: Callable[[], str]) -> bool:
    """Make a request, and return whether the log shows it."""
    last = f"/last-{secrets.token_hex(8)}"
    target.send("configured", request(last))
    return wait_until(lambda: last in log(), target.deadline)


@cache
def find_log(target: Target) -> Callable[[], str] | None:
    """Return what reads the log, if it is this service's and has a line for each request."""
    log = target.find("configured").log
    if log is None:
        raise NotCheckedError("It needs the log.")
    return log if last_request_shows(target, log) else None


def log_after(target: Target, *sent: bytes) -> str:
    """Return the logs, once one of them shows a request that was made after these."""
    log = find_log(target)
    for one in sent:
        target.send("configured", one)
    if not log or not last_request_shows(target, log):
        raise NotCheckedError("It needs a log with a line for each request, and this one does not show the last.")
    return target.logs()


def careless(secret: bytes) -> list[bytes]:
    """Return requests that carry a secret where it belongs, and where a server may mention it."""
    return [
        request("<protected>", b"<header>: " + secret),
        request("<protected>", b"Referer: https://a.test/?" + secret, b"User-Agent: " + secret),
        request("<protected>", b"<header>: " + secret + b"\0"),
        request("<protected>", b"<header> : " + secret),
        request("<protected>", b"<header>=" + secret),
        request("<protected>", secret + b" : x"),
        request("<protected>", version="HTTP/1.1 <secret>").replace(b"<secret>", secret),
        secret + b"\r\n\r\n",
    ]


def lines_with(words: list[str], log: str) -> Finding:
    """Find the lines of a log that have any of some words in them, and tell them without the words."""
    secret = re.compile("|".join(map(re.escape, words)))
    lines = [secret.sub("<secret>", line) for line in log.splitlines() if secret.search(line)]
    return Finding([f"the log has it: {line}" for line in lines[:3]], f"{len(log.splitlines())} lines of log")


def own_secret_in_log(target: Target) -> Finding:
    """The secrets that the service has, and what is nearly one of them."""
    words = [target.secret, target.secret[:-1], target.secret.swapcase(), target.previous]
    return lines_with(words, log_after(target, *careless(b"<secret>")))


def presented_secret_in_log(target: Target) -> Finding:
    """What a client presents as the secret, wrong as it may be."""
    return lines_with(["presented-"], log_after(target, *careless(b"presented-and-wrong")))


def query_in_log(target: Target) -> Finding:
    """A secret that a client put into the query by mistake."""
    sent = request("<protected>?<header>=mistaken-for-a-parameter")
    return lines_with(["mistaken-for-a-parameter"], log_after(target, sent))


def forged_line_in_log(target: Target) -> Finding:
    """A path with the end of a line in it."""
    log = log_after(target, request("/a%0d%0aFORGED"))
    forged = [line for line in log.splitlines() if line.startswith("FORGED")]
    return Finding(["a client can write lines of its own"] * bool(forged), "\n".join(log.splitlines()[-3:]))


# Load


def memory(pid: int) -> int:
    """Return the bytes of memory that a process and all below it have in use."""
    process = psutil.Process(pid)
    used = process.memory_info().rss
    for child in process.children(recursive=True):
        with suppress(psutil.Error):  # it may have ended meanwhile
            used += child.memory_info().rss
    return used


ENDLESS = {
    "value": (request("<protected>")[:-4] + b"\r\nX-Endless: ", b"x" * 65_536),
    "lines": (request("<protected>")[:-2], b"X-Endless: x\r\n" * 5_000),
    "target": (b"GET /", b"x" * 65_536),
    "body": (request("<protected>", b"Content-Length: 99999999999", method="POST"), b"x" * 65_536),
}


def has_answered(connection: socket.socket, deadline: float) -> bool:
    """Return whether something has come back, or the end; it may be that the rest is read and dropped."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    finally:
        connection.settimeout(deadline)
    return True


def pour(target: Target, kind: str, between: Callable[[], None]) -> int:
    """Send something endless, 64 MB of it at most; return how many bytes were sent before the service ended it."""
    address = target.find("crowded").address
    head, piece = ENDLESS[kind]
    sent = 0
    with address.connect(target.deadline) as connection, suppress(ConnectionError):
        connection.sendall(target.fill(head, address))
        while sent < SENT_AT_MOST and not has_answered(connection, target.deadline):
            connection.sendall(piece)
            if sent // (8 * MEGABYTE) != (sent + len(piece)) // (8 * MEGABYTE):
                between()
            sent += len(piece)
    return sent


def answered(target: Target, patience: float = DEADLINE) -> bool:
    """Return whether another client is answered, in as many seconds."""
    got = target.send("crowded", request("<protected>"), patience)
    return isinstance(got, Response) and got.status < 500


def endless(kind: str) -> Callable[[Target], Finding]:
    """Make the trial of a part of the header that does not end."""

    def trial(target: Target) -> Finding:
        others: list[bool] = []
        sent = pour(target, kind, lambda: others.append(answered(target)))
        others.append(answered(target))
        problems = ["it is not cut off"] * (sent >= SENT_AT_MOST)
        problems += ["another client is not answered"] * (not all(others))
        return Finding(problems, f"{sent} bytes were sent")

    return trial


def memory_grows(target: Target) -> Finding:
    """Everything that does not end, and the most memory in use meanwhile."""
    pid = target.find("crowded").pid
    if pid is None:
        raise NotCheckedError("It needs the process.")
    answered(target)
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
        problems += [f"an endless {kind} takes {grown / MEGABYTE:.0f} MB"] * (grown > GROWN_AT_MOST)
    return Finding(problems, "\n".join(seen))


def slow(clients: int) -> Callable[[Target], Finding]:
    """Make the trial of clients that have sent half of a request and wait."""

    def trial(target: Target) -> Finding:
        address = target.find("crowded").address
        with ExitStack() as stack:
            for _ in range(clients):
                connection = stack.enter_context(address.connect())
                connection.sendall(target.fill(request("<protected>")[:-4], address))
            served = answered(target, PATIENCE)
        return Finding(["another client is not answered"] * (not served), f"answered: {served}")

    return trial


# Rotation


def put(file: Path, text: str | None) -> None:
    """Change a secret's file the way that rotation does: whole at once."""
    if text is None:
        file.unlink(missing_ok=True)
    else:
        new = file.with_suffix(".new")
        new.write_text(text)
        new.replace(file)


def workers(instance: Instance) -> set[int]:
    """Return the processes below a supervisor that listen on the service's port."""
    found = set()
    for child in psutil.Process(instance.pid).children(recursive=True):
        with suppress(psutil.Error):
            listening = [each for each in child.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
            if any(each.laddr.port == instance.address.port for each in listening):
                found.add(child.pid)
    return found


def supervised(target: Target) -> tuple[Instance, Path, set[int]]:
    """Return an instance whose secrets are files, with the folder that they are in and its workers."""
    instance = target.find("files")
    if instance.folder is None or instance.pid is None:
        raise NotCheckedError("It needs the process and the secrets' files.")
    return instance, instance.folder, workers(instance)


def refusal(target: Target, secret: str) -> str | None:
    """Return why a secret is not let in, or None where it is."""
    got = target.send("files", request("<protected>", b"<header>: " + os.fsencode(secret)))
    if isinstance(got, str):
        return got
    return None if got.status == 200 else str(got.status)


class Gateway:
    """Clients that send request after request, each on a connection of its own, with the secret of the moment."""

    def __init__(self, target: Target, secret: str) -> None:
        self.target, self.secret = target, secret
        self.sent = [0] * CLIENTS
        self.lost: list[str] = []
        self.ended = threading.Event()

    def client(self, number: int) -> None:
        """Send requests until the end."""
        while not self.ended.wait(0.05):
            lost = refusal(self.target, self.secret)
            self.lost += [lost] if lost else []
            self.sent[number] += 1

    def switch(self, secret: str) -> None:
        """Send another secret from now on; return when no request with the one before is under way."""
        self.secret = secret
        before = list(self.sent)
        wait_until(lambda: all(now > then + 1 for now, then in zip(self.sent, before, strict=True)), DEADLINE)


@contextmanager
def gateway(target: Target, secret: str) -> Iterator[Gateway]:
    """Keep a gateway busy for as long as the block lasts."""
    busy = Gateway(target, secret)
    with ThreadPoolExecutor() as pool:
        clients = [pool.submit(busy.client, number) for number in range(CLIENTS)]
        try:
            yield busy
        finally:
            busy.ended.set()
    for client in clients:
        client.result()


def rotate(target: Target, counts: Callable[[Instance], None]) -> Finding:
    """Go from an old secret over both to a new one; `counts` waits until what the files say counts everywhere."""
    instance, folder, _ = supervised(target)
    current, previous = folder / "current", folder / "previous"
    old, new = (f"{target.secret}-{secrets.token_urlsafe(8)}" for _ in range(2))
    put(previous, None)
    put(current, old)
    pause(SETTLED)
    with gateway(target, old) as busy:
        put(previous, old)
        put(current, new)
        counts(instance)
        busy.switch(new)
        put(previous, None)
        counts(instance)
        busy.switch(new)
    problems = [f"{len(busy.lost)} of {sum(busy.sent)} requests are lost: {busy.lost[:3]}"] * bool(busy.lost)
    if not wait_until(lambda: refusal(target, old) is not None, target.deadline):
        problems.append("the old secret is still accepted")
    return Finding(problems, f"{sum(busy.sent)} requests were sent, {len(busy.lost)} were lost")


def rotate_files(target: Target) -> Finding:
    """Nothing is restarted."""
    return rotate(target, lambda instance: pause(SETTLED))


def rotate_workers(target: Target) -> Finding:
    """The workers are replaced, one by one, at every step."""

    def restart(instance: Instance) -> None:
        before = workers(instance)
        psutil.Process(instance.pid).send_signal(signal.SIGHUP)
        if not wait_until(lambda: len(now := workers(instance)) >= len(before) and not now & before, target.deadline):
            missing.append("SIGHUP does not replace the workers")

    missing: list[str] = []
    if not supervised(target)[2]:
        raise NotCheckedError("It has no supervisor.")
    problems, seen = rotate(target, restart)
    return Finding(missing + problems, seen)


# Stopping


def worker_killed(target: Target) -> Finding:
    """One of the workers is killed."""
    instance, folder, before = supervised(target)
    if not before:
        raise NotCheckedError("It has no supervisor.")
    put(folder / "current", target.secret)
    psutil.Process(min(before)).kill()
    problems = []
    patience = 3 * target.deadline  # a supervisor that was just asking it waits for the answer first
    if not wait_until(lambda: len(now := workers(instance)) >= len(before) and now != before, patience):
        problems.append("it is not replaced")
    if not wait_until(lambda: refusal(target, target.secret) is None, target.deadline):
        problems.append("the service does not answer")
    return Finding(problems, f"workers before {sorted(before)}, after {sorted(workers(instance))}")


class Stop(NamedTuple):
    """What a service did when it was told to stop."""

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
def stop(target: Target) -> Stop:
    """Send SIGTERM while a request is in flight; this happens once, however many cases look at it."""
    instance = target.find("slow")
    log = instance.log
    if instance.process is None or log is None:
        raise NotCheckedError("It needs a process that it may stop.")
    address = instance.address

    def ask(*fields: bytes) -> Response | str:
        try:
            return exchange(address, target.fill(request("<protected>", *fields), address))
        except NO_ANSWER as error:
            return f"no answer: {error!r}"

    with ThreadPoolExecutor() as pool:
        in_flight = pool.submit(ask, RIGHT)
        wait_until(lambda: "in flight" in log(), DEADLINE)
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
        return Stop(answer, late, meanwhile, True, status)
    return Stop(answer, late, meanwhile, False, status)


def stop_in_flight(target: Target) -> Finding:
    """What the request in flight is answered."""
    answer = stop(target).in_flight
    status = answer.status if isinstance(answer, Response) else 0
    return Finding([] if status == 200 else ["the request in flight is not answered 200"], str(answer))


def stop_on_its_way(target: Target) -> Finding:
    """What a request is answered whose last line came after the signal."""
    answer = stop(target).on_its_way
    return Finding([] if isinstance(answer, Response) else ["the request on its way is not answered"], str(answer))


def stop_port(target: Target) -> Finding:
    """Whether new requests are refused."""
    seen = stop(target)
    problems = ["a new request is answered while the one in flight goes on"] * (not seen.refused_meanwhile)
    problems += ["the port is open at the end"] * (not seen.closed_at_the_end)
    return Finding(problems, str(seen[2:]))


def stop_exit(target: Target) -> Finding:
    """How the process ends."""
    status = stop(target).exit_status
    ended = {None: ["it does not end"], 0: [], -signal.SIGTERM: [], 128 + signal.SIGTERM: []}
    return Finding(ended.get(status, [f"its exit status is {status}"]), f"exit status {status}")
