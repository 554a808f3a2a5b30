"""Services in other languages: how each is built and started, and the contract by URL against it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.apps import ROOT
from shared.docs.render import Service
from tests.contract.http1 import Address
from tests.processes import end, free_port, spawn

PATIENCE = 120.0  # seconds for a build, a start or a check
ANSWER_WITHIN = "3"  # seconds
QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # for Java: each service runs for seconds only


@dataclass(frozen=True)
class Checked:
    """What the check of a service gave: its exit status and its output."""

    status: int
    output: str

    @property
    def summary(self) -> str:
        """The last lines: how many cases passed, and failed."""
        return self.output[self.output.rindex("The contract, version") :].strip()


def missing(service: Service) -> list[str]:
    """Return the programs that a service needs and that are not here."""
    return [program for program in service.programs if not shutil.which(program)]


def build(service: Service, code: str, folder: Path) -> None:
    """Write a service's code to a new folder, and compile it there; AssertionError if it does not compile."""
    folder.mkdir(parents=True)
    (folder / service.file).write_text(code)
    if service.build:
        environ = {**os.environ, "GOCACHE": str(folder.parent / "cache"), "JAVA_TOOL_OPTIONS": QUICK_START}
        command, pipe = service.build.split(), subprocess.PIPE
        done = subprocess.run(command, cwd=folder, env=environ, stderr=pipe, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr


def listens(address: Address) -> bool:
    """Return whether somebody takes connections there."""
    try:
        socket.create_connection(address[:2], timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def running(service: Service, folder: Path, secret: str) -> Iterator[Address]:
    """Start the service in a folder with a secret, and give its address as long as it runs."""
    address = Address("127.0.0.1", free_port())
    environ = {"PATH": os.environ["PATH"], "PORT": str(address.port), "SHARED_SECRET": secret}
    environ["JAVA_TOOL_OPTIONS"] = QUICK_START
    with (folder / ("log" if secret else "log-without")).open("wb") as log:
        process = spawn(service.start.split(), folder, environ, log, log)
    try:
        deadline = time.monotonic() + PATIENCE
        while not listens(address):
            assert process.poll() is None, f"{service.title} ended at its start, with status {process.returncode}"
            assert time.monotonic() < deadline, f"{service.title} does not listen"
            time.sleep(0.02)
        yield address
    finally:
        end(process)


def check(service: Service, code: str, folder: Path, secret: str, log: bool = False) -> Checked:
    """Build and start a service, with and without a secret, run the contract against it, with its log if asked to."""
    build(service, code, folder)
    with ExitStack() as stack:
        configured, unconfigured = (stack.enter_context(running(service, folder, value)) for value in (secret, ""))
        command = [sys.executable, "-m", "tests.contract", "check", f"http://{configured}", "--timeout", ANSWER_WITHIN]
        command += ["--unconfigured-url", f"http://{unconfigured}"]
        command += ["--log", str(folder / "log")] if log else []
        environ = {name: value for name, value in os.environ.items() if not re.match("MAKE|BY_MAKE|GITHUB_", name)}
        environ["SHARED_SECRET"] = secret
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    return Checked(done.returncode, done.stdout + done.stderr)
