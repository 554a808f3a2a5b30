"""Start a service as a real server, wait until it is ready, read its log, end it."""

import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from shared.apps import ROOT
from tests.contract.http1 import NO_ANSWER, Address, exchange, request
from tests.contract.target import Instance

KEPT = ("LANG", "LC_ALL", "PATH", "TMPDIR")  # of the environment; the rest could change a service
spawned: list[subprocess.Popen[bytes]] | None = []  # None when no more are to be started
spawning = threading.Lock()
given_out: set[int] = set()  # two services that are started side by side must not get the same port
LOG_DEADLINE = 30.0  # seconds
START_DEADLINE = STOP_DEADLINE = 60.0  # seconds; generous, because nothing is measured here


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago, and that was not returned before."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port: int = server.getsockname()[1]
        if port not in given_out:
            given_out.add(port)
            return port


def spawn(
    command: list[str], folder: Path, environ: Mapping[str, str], out: Any, err: Any, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own; `end_all` ends it if nothing else does."""
    with spawning:
        if spawned is None:
            raise RuntimeError("No more processes are started: this is the end.")
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=stdin,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        spawned.append(process)
    return process


class PortTakenError(RuntimeError):
    """The port was free a moment ago; by now a connection or another server has it."""


class Service:
    """One service, run by a command in a folder, for as long as the `with` block lasts.

    `config` are the environment variables that configure it; programs come from the folder `programs`, by default that
    of the environment that `make` has set up for it, and from PATH.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        folder: Path,
        config: Mapping[str, str],
        log: Path,
        programs: Path | None = None,
    ) -> None:
        self.name = name
        self.command = command
        self.folder = folder
        self._log = log
        self.programs = programs or ROOT / ".venv" / name / "bin"
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.home = log.with_name("home")
        self.home.mkdir(exist_ok=True)
        self.environ = {
            **kept,
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "HOST": "127.0.0.1",
            **config,
        }
        self.listen_on(int(config["PORT"]) if "PORT" in config else free_port())

    def listen_on(self, port: int) -> None:
        """Let it listen on a port when it is started."""
        self.address = Address("127.0.0.1", port)
        self.url = f"http://{self.address}"
        self.environ["PORT"] = str(port)

    def instance(self) -> Instance:
        """Return the running service as an instance to check."""
        return Instance(self.address, self.log, self.process.pid, self.process, self.folder)

    def log(self) -> str:
        """Return all that the service has written to its standard output and standard error."""
        return self._log.read_text(errors="replace")

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process, in a group of its own, without waiting for anything."""
        with self._log.open("ab") as log:
            return spawn(self.command, self.folder, self.environ, log, log)

    def __enter__(self) -> Self:
        for last in (False, False, True):
            self.process = self.spawn()
            try:
                self._wait_until_ready()
            except BaseException as error:
                self.stop()
                if last or not isinstance(error, PortTakenError):
                    raise
                self._log.write_text("")
                self.listen_on(free_port())
            else:
                break
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _wait_until_ready(self) -> None:
        """Wait until this service's log shows a request that nobody else can make: then this process answers."""
        probe = f"/ready-{secrets.token_hex(8)}"
        deadline = time.monotonic() + START_DEADLINE
        while probe not in self.log():
            if self.process.poll() is not None:
                kind = PortTakenError if "already in use" in self.log() else RuntimeError
                raise kind(f"{self.name} ended with status {self.process.returncode} at its start:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} was not ready after {START_DEADLINE:.0f} s:\n{self.tail()}")
            if not self.asked(probe):
                time.sleep(0.1)

    def asked(self, path: str) -> bool:
        """Ask for a path; return whether there was an answer."""
        try:
            requests.get(self.url + path, timeout=5)
        except requests.RequestException:
            return False
        return True

    def wait_for_log(self, text: str) -> None:
        """Wait until the log contains a text: a line may be written after its answer was sent."""
        deadline = time.monotonic() + LOG_DEADLINE
        while text not in self.log():
            assert time.monotonic() < deadline, f"{self.name} did not log {text!r}:\n{self.tail()}"
            time.sleep(0.05)

    def tail(self) -> str:
        """Return the end of the log, for a message."""
        return "\n".join(self.log().splitlines()[-20:])

    def stop(self) -> None:
        """End the process and all that it started, at once: a graceful end is for the contract to check."""
        end(self.process)


class UnloggedService(Service):
    """A service that may have no access log: it is ready when it answers the open path."""

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_DEADLINE
        while not self._answers():
            if self.process.poll() is not None:
                kind = PortTakenError if "in use" in self.log() else RuntimeError
                raise kind(f"{self.name} ended with status {self.process.returncode} at its start:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} was not ready after {START_DEADLINE:.0f} s:\n{self.tail()}")
            time.sleep(0.002)

    def _answers(self) -> bool:
        """Return whether the open path is answered; the answer comes from this process, because it has not ended."""
        try:
            return exchange(self.address, request("/healthz").replace(b"<host>", b"a.test"), 5).status == 200
        except NO_ANSWER:
            return False


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with spawning:
        if spawned and process in spawned:
            spawned.remove(process)  # its number may be reused later


def end_all() -> None:
    """End every process that was started, and start no more."""
    global spawned
    with spawning:
        ended, spawned = spawned, None
    for process in ended or ():
        end(process)
