"""One run of the bench: how much is done, on which machine, and what every part of it uses."""

import os
import platform
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.progress import Progress

from shared.app.shared_secret import HEADER
from shared.apps import APPS, ROOT
from tests.bench.measure import CORES, FIRST, Load, Round, Started
from tests.bench.results import Machine, Scale
from tests.bench.variants import Edits, copy
from tests.contract.groups import GROUPS
from tests.gateway.runner import HAPROXY

PROGRAMS = Path(sys.executable).parent  # every framework and every server is installed there
SECRET, PREVIOUS = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
RIGHT, WRONG = (f"{HEADER}: {value}" for value in (SECRET, secrets.token_urlsafe(32)))
CONFIGURED = {"SHARED_SECRET": SECRET}
PROTECTED, OPEN = "/protected", "/healthz"
PACKAGES = (
    *APPS,
    *("gunicorn", "gevent", "uvicorn", "uvloop", "httptools", "zttp", "granian", "hypercorn", "waitress", "cheroot"),
)
FULL = Scale(
    seconds=1.0, rounds=3, starts=4, groups=list(GROUPS), processes=15, values=3, images=True, contract_seconds=14.0
)
QUICK = Scale(
    seconds=0.5, rounds=1, starts=1, groups=["wire"], processes=2, values=1, images=False, contract_seconds=1.0
)
Key = TypeVar("Key")


class Bench:
    """A run in progress: its scale, a folder for what it starts, and its progress bar."""

    def __init__(self, scale: Scale, folder: Path, progress: Progress, parts: Sequence["Part"]) -> None:
        self.scale, self.folder, self.progress = scale, folder, progress
        self.task = progress.add_task("", total=sum(part.seconds(scale) for part in parts))

    def print_row(self, *cells: object) -> None:
        """Print a row of a table."""
        texts = [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells]
        line = "".join(f"{text:<22}" if number < 2 else f"{text:>13}" for number, text in enumerate(texts))
        self.progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def advance(self, seconds: float) -> None:
        """Move the progress bar on by so many of the seconds that the parts take, roughly."""
        self.progress.advance(self.task, seconds)

    def service(
        self,
        app: str,
        command: list[str],
        config: Mapping[str, str],
        edits: Edits | None = None,
        *,
        quiet: bool = False,
        state: str = "",
        programs: Path | None = None,
        cores: Sequence[int] = FIRST,
    ) -> Started:
        """Return a copy of an app in a folder of its own, not started yet."""
        folder = Path(tempfile.mkdtemp(prefix=f"{app}-", dir=self.folder))
        (folder / "log").touch()
        home = copy(app, folder, edits=edits or {}, quiet=quiet, state=state)
        service = Started(app, command, home, config, folder / "log", programs)
        service.cores = cores
        return service

    def rounds(self, loads: Mapping[Key, Load], rounds: int) -> dict[Key, list[Round]]:
        """Measure some loads in turn, and again in the next round, so that noise hits all of them equally."""
        found: dict[Key, list[Round]] = {name: [] for name in loads}
        for load in loads.values():
            load.check()
            load.round(0.3)  # the first requests take longer
        for _ in range(rounds):
            for name, load in loads.items():
                found[name].append(load.round(self.scale.seconds))
                self.advance(self.scale.seconds)
        return found


class Part(NamedTuple):
    """A part of the bench: a field of Measurements, what yields its rows, and how many seconds that takes, roughly."""

    name: str
    measure: Callable[[Bench], Iterator[Any]]
    seconds: Callable[[Scale], float]


def first_line(*command: str) -> str:
    """Return the first line that a command prints."""
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).partition("\n")[0].strip()


def commit() -> str:
    """Return the commit that is checked out, "and changes" where files differ from it; without git nothing."""
    try:
        name, changes = (
            subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
            for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{name} and changes" if changes else name


def machine() -> Machine:
    """Return this machine, the versions that are installed on it, and the commit."""
    cpus = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.+)", cpus.read_text(), re.MULTILINE) if cpus.exists() else None
    return Machine(
        cpu=model[1] if model else platform.processor() or platform.machine(),
        cores=os.cpu_count(),
        pinned=bool(CORES),
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        wrk=re.sub(r" \[.*| Copyright.*", "", first_line("wrk", "--version")),
        haproxy=re.sub(r" .*", "", first_line(str(HAPROXY), "-v").removeprefix("HAProxy version ")),
        versions={"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        commit=commit(),
    )
