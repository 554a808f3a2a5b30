"""Measure what the check costs and how every server copes with the contract: `make bench`."""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tests.bench import charts
from tests.bench.measure import CORES
from tests.bench.parts import MODULES
from tests.bench.results import FILE, Measurements
from tests.bench.run import FULL, QUICK, Bench, machine
from tests.bench.variants import BenchError
from tests.gateway.runner import HAPROXY
from tests.processes import end_all

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    TaskProgressColumn(),
    TimeRemainingColumn(elapsed_when_finished=True),
)


def options() -> argparse.Namespace:
    """Return what the command line asks for; one that makes no sense ends the program."""
    names = " ".join(MODULES)
    parser = argparse.ArgumentParser(prog="make bench", usage=f"make bench [QUICK=1] [PARTS='{names}']")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", type=str.split, default=list(MODULES))
    chosen = parser.parse_args()
    unknown = " ".join(part for part in chosen.parts if part not in MODULES)
    if unknown or not chosen.parts:
        parser.error(f"PARTS is a choice of {names}, not {unknown or 'empty'}")
    return chosen


def folder_for(output: Path, quick: bool, parts: Sequence[str]) -> Path:
    """Return the folder for the results of a run, so that only a whole one replaces the last whole one."""
    if quick:
        return output / "quick"
    return output if set(parts) == set(MODULES) else output / "parts"


def check_machine() -> None:
    """End the program where something is missing that the bench needs."""
    missing = [name for name, found in (("wrk", shutil.which("wrk")), ("haproxy", HAPROXY)) if not found]
    if missing:
        names = " ".join(missing)
        sys.exit(f"`make bench` needs {' and '.join(missing)}: `apt install {names}`, or `brew install {names}`.")
    if len(CORES) == 1:
        sys.exit("`make bench` needs two cores, one for the service and one for the load, and there is only one.")


def main() -> None:
    """Run the bench as the command line says; exit with a message and a non-zero status where that fails."""
    chosen = options()
    check_machine()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    scale = QUICK if chosen.quick else FULL
    parts = [MODULES[name] for name in chosen.parts]
    results = Measurements(datetime.now(UTC).isoformat(timespec="seconds"), scale, machine())
    output = folder_for(chosen.output, chosen.quick, chosen.parts)
    output.mkdir(parents=True, exist_ok=True)
    file = output / FILE
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Progress(*COLUMNS) as progress:
            bench = Bench(scale, Path(folder), progress, parts)
            for part in parts:
                progress.update(bench.task, description=part.name)
                setattr(results, part.name, list(part.measure(bench)))
                results.write(file)
    except (BenchError, AssertionError, OSError, RuntimeError, subprocess.SubprocessError, psutil.Error) as error:
        sys.exit(f"{error}\nThe bench stopped there.")
    except KeyboardInterrupt:
        finished = ", ".join(results.finished())
        kept = f"{file} has the parts that were finished: {finished}." if finished else "Nothing was written."
        sys.exit(f"\nInterrupted. {kept}")
    finally:
        end_all()
    charts.draw(results, output)
    print(f"Written to {output}/: {FILE} and a chart for each part.")


if __name__ == "__main__":
    main()
