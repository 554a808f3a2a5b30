"""The bench runs, and its results are whole; no time is asserted. Collected only by `make test-bench`."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest

from shared.app.shared_secret import HEADER
from shared.apps import APPS, ROOT
from tests.apps.running import SECRET
from tests.bench import charts, tables, time_rule
from tests.bench.measure import Load, Started
from tests.bench.parts import MODULES, growth
from tests.bench.results import FILE, PARTS, Kind, Measurements, Speed, Spread, Via
from tests.bench.run import PROGRAMS
from tests.bench.variants import PASTED, WITHOUT, BenchError, copy, servers
from tests.commands import ENVIRON
from tests.contract.groups import CASES

pytestmark = pytest.mark.bench
MINUTES = 60.0


def make(*words: str, **environ: str) -> subprocess.Popen[str]:
    """Start make, in a group of its own."""
    return subprocess.Popen(
        ["make", *words],
        cwd=ROOT,
        env={**ENVIRON, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    """Return all that it prints, when it has ended."""
    try:
        return process.communicate(timeout=15 * MINUTES)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder that a quick run has written to."""
    build = tmp_path_factory.mktemp("build")
    process = make("bench", "QUICK=1", f"BUILD={build}", TMPDIR=str(tmp_path_factory.mktemp("tmp")))
    text = output(process)
    assert process.returncode == 0, text
    for app in APPS:
        assert f"\n{app} " in text
    return build / "bench"


@pytest.fixture(scope="module")
def measured(folder: Path) -> Measurements:
    """Give the results of the quick run."""
    return Measurements.read(folder / FILE)


def is_spread(spread: Spread) -> bool:
    """Return whether a median is between its quartiles, and none of them is nothing."""
    return 0 < spread.low <= spread.median <= spread.high


def is_measured(speed: Speed) -> bool:
    """Return whether everything about a load was measured."""
    return all(is_spread(spread) for spread in (speed.rps, speed.p50, speed.p99, speed.cpu))


def test_rule(measured: Measurements) -> None:
    """A row for each call, and one for what they are compared with."""
    assert [row.call for row in measured.rule] == [time_rule.BARE, *time_rule.CALLS]
    for row in measured.rule:
        assert is_spread(row.ns), row
    assert measured.rule[0].times_bare == 1


def test_apps(measured: Measurements) -> None:
    """A row for each app and each kind of request."""
    kinds = ("unchecked", "protected", "pasted", "missing", "wrong", "open")
    assert tuple(Kind) == kinds
    assert [(row.app, row.kind) for row in measured.apps] == [(app, kind) for app in APPS for kind in kinds]
    for row in measured.apps:
        assert is_measured(row.speed), row
        assert is_spread(row.of_unchecked), row


def test_growth(measured: Measurements) -> None:
    """A row for each app, number of workers, number of connections and way in."""
    expected = {
        (app, workers, connections, via)
        for app in APPS
        for workers in (1, 2)
        for connections in growth.CONNECTIONS
        for via in Via
    }
    assert {(row.app, row.workers, row.connections, row.via) for row in measured.growth} == expected
    assert len(measured.growth) == len(expected)
    for row in measured.growth:
        assert is_measured(row.speed), row


def test_sizes(measured: Measurements) -> None:
    """A row for each app; a quick run builds no images."""
    assert [row.app for row in measured.sizes] == list(APPS)
    for row in measured.sizes:
        assert is_spread(row.start), row
        assert row.worker > 1
        assert row.environment > 1
        assert row.image is None


def test_servers(measured: Measurements) -> None:
    """A row for each app on each server that can run it, with every wire case run there; one server is shipped."""
    expected = [(app, server.name) for app in APPS for server in servers(app)]
    assert [(row.app, row.server) for row in measured.servers] == expected
    assert [row.app for row in measured.servers if row.shipped] == list(APPS)
    wire = sum(case.group == "wire" for case in CASES)
    for row in measured.servers:
        assert is_measured(row.speed), row
        failed = [*row.failed, *row.failed_recommended]
        assert (row.wire_passed, row.wire_cases) == (row.passed, wire)
        assert row.passed + len(failed) + len(row.not_checked) == wire
        if row.shipped:
            assert not failed, row


def test_machine(measured: Measurements) -> None:
    """The results say on which machine and with which versions they were measured."""
    machine = measured.machine
    assert machine.cpu
    assert machine.wrk.startswith("wrk ")
    assert machine.haproxy[0].isdigit()
    assert machine.versions.keys() >= {"Python", *APPS, "gunicorn", "uvicorn", "granian"}
    assert machine.pinned == hasattr(os, "sched_setaffinity")


@pytest.mark.parametrize("part", charts.CHARTS)
def test_chart(part: str, folder: Path, measured: Measurements) -> None:
    """Each part is drawn, as SVG that names its data; the same data makes the same file."""
    drawn = (folder / f"{part}.svg").read_text()
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert measured.digest() in drawn
    charts.draw(measured, again := folder.parent)
    assert (again / f"{part}.svg").read_text() == drawn


def test_a_quick_run_is_not_for_the_readme(folder: Path) -> None:
    """It has not run the whole contract."""
    before = tables.KEPT.read_bytes()
    process = make("bench-readme", f"BUILD={folder.parent}")
    assert "a quick run" in output(process)
    assert process.returncode
    assert tables.KEPT.read_bytes() == before


@pytest.mark.parametrize("missing", ["wrk", "haproxy"])
def test_without_a_program(missing: str, tmp_path: Path) -> None:
    """The message names it, and how to install it."""
    for name in ("wrk", "haproxy"):
        if name != missing:
            (tmp_path / name).write_text("")
            (tmp_path / name).chmod(0o755)
    code = "from tests.bench import __main__ as bench; bench.main()"
    if missing == "haproxy":  # there may be one in /usr/sbin, which PATH does not hide
        code = f"from tests.gateway import runner; runner.HAPROXY = None; {code}"
    done = subprocess.run(
        [PROGRAMS / "python", "-c", code, "--output", str(tmp_path / "out")],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert f"needs {missing}" in done.stderr
    assert f"apt install {missing}" in done.stderr
    assert not (tmp_path / "out").exists()


def test_unknown_part(tmp_path: Path) -> None:
    """The message names the parts there are."""
    process = make("bench", "PARTS=rule nonsense", f"BUILD={tmp_path}")
    text = output(process)
    assert process.returncode
    assert "nonsense" in text
    assert "growth" in text


@pytest.mark.parametrize(("part", "head"), [("apps", "p50 ms"), ("servers", "wire cases")])
def test_interrupted(part: str, head: str, tmp_path: Path) -> None:
    """Ctrl-C ends it soon, with all that it has started, and leaves no file behind but the finished results."""
    process = make("bench", "QUICK=1", f"PARTS=sizes {part}", f"BUILD={tmp_path}", TMPDIR=str(tmp_path))
    assert process.stdout
    for line in process.stdout:
        if head in line:
            break
    time.sleep(3)
    deadline = time.monotonic() + MINUTES
    while len(started := psutil.Process(process.pid).children(recursive=True)) <= 3 and time.monotonic() < deadline:
        time.sleep(0.01)  # one service has just ended, and the next has not begun
    os.killpg(process.pid, signal.SIGINT)
    text = output(process)
    assert len(started) > 3
    assert process.returncode
    assert "Interrupted" in text
    assert "Traceback" not in text
    assert not psutil.wait_procs(started, timeout=10)[1]
    assert [path.name for path in tmp_path.iterdir()] == ["bench"]
    assert Measurements.read(tmp_path / "bench" / FILE).finished() == ["sizes"]


@pytest.mark.parametrize("edits", [WITHOUT, PASTED])
def test_edits_change_the_app(edits: dict[str, Any], app: str, tmp_path: Path) -> None:
    """Text to edit that an app no longer has is an error, so that the bench measures nothing else."""
    home = copy(app, tmp_path, edits={"app.py": edits[app]})
    assert (home / "app.py").read_text() != (APPS[app].folder / "app.py").read_text()
    with pytest.raises(BenchError, match="should contain this exactly once"):
        copy(app, tmp_path / "again", edits={"app.py": [("nothing of the kind", "")]})


def test_a_wrong_answer_is_an_error(tmp_path: Path) -> None:
    """A 200 is not taken for a 401, nor a 401 for a 200, before the load or under it."""
    (log := tmp_path / "log").touch()
    app = APPS["falcon"]
    with Started(app.name, app.command, app.folder, {"SHARED_SECRET": SECRET}, log) as service:
        for status, fields in ((200, []), (401, [f"{HEADER}: {SECRET}"])):
            load = Load(service, service.url + "/protected", fields, status=status)
            with pytest.raises(BenchError, match=f"not {status}"):
                load.check()
            with pytest.raises(BenchError, match=f"another status than {status}"):
                load.round(0.1)


def test_every_part_is_kept_and_drawn() -> None:
    """A new part has its chart, and the README needs its results."""
    assert tuple(MODULES) == PARTS
    assert charts.CHARTS.keys() == MODULES.keys()
