"""The rule alone: nanoseconds of a call, and how many times as long it takes as one bare compare_digest."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pyperf

from shared.apps import ROOT
from tests.bench import time_rule
from tests.bench.measure import FIRST, pinned
from tests.bench.results import RuleRow, Scale, Spread
from tests.bench.run import Bench, Part
from tests.bench.variants import BenchError
from tests.processes import end, spawn


def timings(scale: Scale, output: Path) -> dict[str, list[float]]:
    """Run pyperf, which writes to a file; return the seconds that each call took, by its name."""
    command = [sys.executable, "-m", time_rule.MODULE, "--quiet", f"--output={output}", "--warmups=1"]
    command += [f"--processes={scale.processes}", f"--values={scale.values}"]
    command += [f"--affinity={core}" for core in FIRST]
    with pinned(FIRST):
        process = spawn(command, ROOT, os.environ, subprocess.PIPE, subprocess.STDOUT)
    try:
        printed = process.communicate()[0].decode()
    finally:
        end(process)
    if process.returncode:
        raise BenchError(f"The rule could not be timed:\n{printed}")
    found = pyperf.BenchmarkSuite.load(str(output)).get_benchmarks()
    return {benchmark.get_name(): benchmark.get_values() for benchmark in found}


def measure(bench: Bench) -> Iterator[RuleRow]:
    """Yield a row for each call, the bare compare_digest first."""
    found = timings(bench.scale, bench.folder / "rule.json")
    bench.advance(seconds(bench.scale))
    bare = median(found[time_rule.BARE])
    bench.print_row("rule", "", "ns", "times bare")
    for call, values in found.items():
        row = RuleRow(call, Spread.of(value * 1e9 for value in values), median(values) / bare)
        bench.print_row("", call, row.ns.median, row.times_bare)
        yield row


def seconds(scale: Scale) -> float:
    """Return how long that takes, roughly."""
    return 0.5 * len(time_rule.CALLS) * scale.processes * (scale.values + 2) / 3


PART = Part("rule", measure, seconds)
