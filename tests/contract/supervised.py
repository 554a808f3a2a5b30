"""A service with a supervisor, whose secrets are in files: its workers, and changing those files."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from .messages import protected
from .target import Instance, NotCheckedError, Target
from .waiting import wait_until


def write_secret(file: Path, text: str | None) -> None:
    """Change a secret's file all at once, by renaming a new one; None removes it."""
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
            sockets = child.net_connections("tcp")
            ports = {socket.laddr.port for socket in sockets if socket.status == psutil.CONN_LISTEN}
            if instance.address.port in ports:
                found.add(child.pid)
    return found


def supervised(target: Target) -> tuple[Instance, Path, set[int]]:
    """Return an instance whose secrets are files, with the folder that they are in and its workers."""
    instance = target.instance("files")
    if instance.folder is None or instance.pid is None:
        raise NotCheckedError("It needs the process and the secrets' files.")
    return instance, instance.folder, workers(instance)


def reloads(instance: Instance, deadline: float, meanwhile: Callable[[], object] = lambda: None) -> bool:
    """Send SIGHUP, and once more if the workers are not replaced within a deadline; return whether they are in the end.

    `meanwhile` is called again and again.
    """
    before = workers(instance)

    def replaced() -> bool:
        meanwhile()
        now = workers(instance)
        return len(now) >= len(before) and not now & before

    for _ in range(2):  # a supervisor may give up on a worker that starts slowly: uvicorn does after 5 s
        psutil.Process(instance.pid).send_signal(signal.SIGHUP)
        if wait_until(replaced, deadline):
            return True
    return False


def refusal(target: Target, secret: str) -> str | None:
    """Return why such an instance refuses a secret, or None where it accepts it."""
    got = target.send("files", protected(b"<header>: " + os.fsencode(secret)))
    if isinstance(got, str):
        return got
    return None if got.status == target.granted else str(got.status)
