"""The careful service, and the broken one of each case, as targets that run while they are needed."""

import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from shared.apps import ROOT
from tests.broken.service import CarefulService
from tests.broken.supervisor import served
from tests.broken.table import BROKEN
from tests.contract.case import Case
from tests.contract.http1 import DEADLINE, Address
from tests.contract.target import STATES, Instance, Target, environ
from tests.processes import Service

SECRET = secrets.token_urlsafe(32)
SUPERVISED = ("crowded", "files", "slow", "silent")  # states of what is measured, restarted, stopped
PATHS = (("GET", "/protected"), ("POST", "/items"), ("GET", "/healthz"))  # as a document of the service lists them
BROKEN_DEADLINE = 2.0  # seconds; no answer is often the defect


@contextmanager
def as_target(service: type[CarefulService], words: list[str], folders: Path, deadline: float) -> Iterator[Target]:
    """Give a service as what the contract is run against; `words` name it for the supervisor."""
    with ExitStack() as running:

        def start(state: str) -> Instance:
            folder = Path(tempfile.mkdtemp(dir=folders))
            config = environ(STATES[state], SECRET, Target.previous)
            if state in SUPERVISED:
                log = folder / "log"
                log.touch()
                command = [sys.executable, "-m", "tests.broken.supervisor", *words, state]
                config["PYTHONPATH"] = str(ROOT)
                return running.enter_context(Service(words[0], command, folder, config, log)).instance()
            origin = service(config)
            address = Address("127.0.0.1", running.enter_context(served(origin)))
            return Instance(address, lambda: "\n".join(origin.lines), os.getpid())

        yield Target(words[0], start, SECRET, paths=PATHS, deadline=deadline)


@pytest.fixture(scope="session")
def careful_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Give the service that is correct."""
    with as_target(CarefulService, ["careful", "any case"], tmp_path_factory.mktemp("careful"), DEADLINE) as target:
        yield target


@pytest.fixture(scope="session")
def broken_target(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], AbstractContextManager[Target]]:
    """Give what runs the service that is broken in the way that a case was made for."""
    folders = tmp_path_factory.mktemp("broken")
    return lambda case: as_target(BROKEN[case.name], ["broken", case.name], folders, BROKEN_DEADLINE)
