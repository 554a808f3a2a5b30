"""FastAPI without a server: the functions that spend the time that its documented header costs, and their shares."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench.measure import FIRST, pinned
from tests.bench.results import ProfileRow, Scale
from tests.bench.run import CONFIGURED, Bench, Part
from tests.bench.variants import UNDOCUMENTED, BenchError, copy

APP = "fastapi"
SCRIPT = Path(__file__).parents[1] / "profile_requests.py"
REQUESTS = 2000
LEAST = 1.0  # percent: functions that spend less have no row
Found = dict[str, tuple[float, float]]  # µs and calls per request, by the function


def profiled(bench: Bench, edits: list[tuple[str, str]]) -> Found:
    """Return what each function spends in a copy of the app that is edited so."""
    home = copy(APP, Path(tempfile.mkdtemp(dir=bench.folder)), edits={"app.py": edits})
    with pinned(FIRST):
        done = subprocess.run(
            [sys.executable, "-P", SCRIPT, str(REQUESTS)],
            cwd=home,
            env={"PATH": os.environ["PATH"], **CONFIGURED, "PYTHONPATH": str(home)},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise BenchError(f"{APP} could not be profiled:\n{done.stderr}")
    found: Found = json.loads(done.stdout)
    return found


def measure(bench: Bench) -> Iterator[ProfileRow]:
    """Yield a row for each function that spends more with the header in the schema, the dearest first."""
    runs = []
    for _ in range(bench.scale.starts):
        runs.append((profiled(bench, []), profiled(bench, UNDOCUMENTED[APP])))
        bench.advance(2.0)
    more = {
        name: [
            median(shipped.get(name, (0, 0))[value] - without.get(name, (0, 0))[value] for shipped, without in runs)
            for value in (0, 1)
        ]
        for name in {name for run in runs for found in run for name in found}
    }
    whole = sum(spent for spent, _ in more.values())
    bench.print_row("function", "", "calls", "share, %")
    for name, (spent, calls) in sorted(more.items(), key=lambda item: -item[1][0]):
        row = ProfileRow(name, calls, share=100 * spent / whole)
        if row.share < LEAST:
            break
        bench.print_row(name, "", row.calls, row.share)
        yield row


def seconds(scale: Scale) -> float:
    """Return how long that takes, roughly."""
    return 2.0 * scale.starts


PART = Part("profile", measure, seconds)
