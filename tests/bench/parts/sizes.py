"""Every app: seconds from its start to the first 200, and MB of a worker, of its environment and of its image."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psutil

from shared.apps import APPS, ROOT
from tests.bench.measure import Load, Started
from tests.bench.results import Scale, SizeRow, Spread
from tests.bench.run import CONFIGURED, PROTECTED, RIGHT, Bench, Part
from tests.bench.variants import BenchError
from tests.contract import supervised


def folder_size(folder: Path) -> float:
    """Return how many MB of files are in a folder, except what Python compiles."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and path.suffix != ".pyc")
    return sum(path.stat().st_size for path in paths) / 1e6


def worker_size(service: Started) -> float:
    """Return how many MB of memory a worker takes; of what it shares with other processes, its share."""
    pids = supervised.workers(service.instance()) or {service.process.pid}
    used = psutil.Process(pids.pop()).memory_full_info()
    return float(getattr(used, "pss", used.uss)) / 1e6


def docker(*words: str) -> str:
    """Return what docker prints, or raise a BenchError."""
    try:
        return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        raise BenchError("There is no docker.") from None
    except subprocess.CalledProcessError as error:
        raise BenchError(f"docker {' '.join(words)} failed:\n{error.stderr}") from None


def image_size(app: str) -> tuple[float | None, str]:
    """Build an app's image without Docker's cache; return how many MB it adds to the one it is built on, and that one.

    The base is its name and what Docker knows it by: its digest, or its id if it was not pulled. Without a Docker
    engine there is None, and no base.
    """
    try:
        docker("info")
    except BenchError:
        return None, ""
    base = re.findall(r"^FROM (\S+)", (APPS[app].folder / "Dockerfile").read_text(), re.MULTILINE)[0]
    if not docker("image", "ls", "--quiet", base):
        docker("pull", "--quiet", base)
    tag = f"origin-guard-bench-{app}"
    docker("build", "--quiet", "--no-cache", "--tag", tag, str(APPS[app].folder))
    whole, under = (int(docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (tag, base))
    known_by = docker("image", "inspect", "--format", "{{range .RepoDigests}}{{.}} {{end}}{{.Id}}", base).split()[0]
    docker("image", "rm", tag)
    return (whole - under) / 1e6, f"{base} ({known_by})"


def measure(bench: Bench) -> Iterator[SizeRow]:
    """Yield a row for each app."""
    bench.print_row("app", "", "start s", "worker MB", "env MB", "image MB")
    starts: dict[str, list[float]] = {app: [] for app in APPS}
    memory: dict[str, list[float]] = {app: [] for app in APPS}
    for _ in range(bench.scale.starts):
        for app in APPS:
            with bench.service(app, APPS[app].command, CONFIGURED) as service:
                starts[app].append(service.seconds_to_start)
                Load(service, service.url + PROTECTED, [RIGHT]).round(bench.scale.seconds)
                memory[app].append(worker_size(service))
            bench.advance(bench.scale.seconds + 1)
    for app in APPS:
        image, base = image_size(app) if bench.scale.images else (None, "")
        row = SizeRow(
            app,
            start=Spread.of(starts[app]),
            worker=median(memory[app]),
            environment=folder_size(ROOT / ".venv" / app),
            image=image,
            base=base,
        )
        bench.print_row(app, "", row.start.median, row.worker, row.environment, row.image or "not built")
        yield row


def seconds(scale: Scale) -> float:
    """Return how long that takes, roughly; building images is not in it."""
    return len(APPS) * scale.starts * (scale.seconds + 1)


PART = Part("sizes", measure, seconds)
