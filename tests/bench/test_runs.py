"""The bench runs, and what it writes is whole; no time is asserted. Collected only by `make test-bench`."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest

from shared.apps import APPS, ROOT
from tests.apps.running import SECRET
from tests.bench import __main__ as bench
from tests.bench import charts, rule, tables
from tests.bench.measure import Load, Started, spread
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


def told(process: subprocess.Popen[str]) -> str:
    """Return all that it prints, when it has ended."""
    try:
        return process.communicate(timeout=15 * MINUTES)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give what a quick run writes."""
    build = tmp_path_factory.mktemp("build")
    process = make("bench", "QUICK=1", f"BUILD={build}", TMPDIR=str(tmp_path_factory.mktemp("tmp")))
    text = told(process)
    assert process.returncode == 0, text
    for app in APPS:
        assert f"\n{app} " in text
    return build / "bench"


@pytest.fixture(scope="module")
def data(folder: Path) -> Any:
    """Give the results."""
    return json.loads((folder / "results.json").read_text())


def has_numbers(row: dict[str, Any], *names: str) -> None:
    """Check that a row has a median between its quartiles, and that none of them is nothing."""
    for name in names:
        assert 0 < row[name]["low"] <= row[name]["median"] <= row[name]["high"], (name, row)


MEASURED = ("rps", "p50", "p99", "cpu")


def test_rule(data: Any) -> None:
    """A row for each call, and one for what they are compared with."""
    assert [row["what"] for row in data["rule"]] == [rule.BARE, *rule.CALLS]
    for row in data["rule"]:
        has_numbers(row, "ns")
    assert data["rule"][0]["times"] == 1


def test_apps(data: Any) -> None:
    """A row for each app and each kind of request."""
    kinds = ("unchecked", "protected", "pasted", "missing", "wrong", "open")
    assert [(row["app"], row["what"]) for row in data["apps"]] == [(app, kind) for app in APPS for kind in kinds]
    for row in data["apps"]:
        has_numbers(row, *MEASURED, "of unchecked")


def test_growth(data: Any) -> None:
    """A row for each app, number of workers, number of connections and way in."""
    expected = {
        (app, workers, connections, via)
        for app in APPS
        for workers, connections in bench.GROWTH
        for via in ("direct", "gateway")
    }
    assert {(row["app"], row["workers"], row["connections"], row["via"]) for row in data["growth"]} == expected
    assert len(data["growth"]) == len(expected)
    for row in data["growth"]:
        has_numbers(row, *MEASURED)


def test_sizes(data: Any) -> None:
    """A row for each app; a quick run builds no images."""
    assert [row["app"] for row in data["sizes"]] == list(APPS)
    for row in data["sizes"]:
        has_numbers(row, "start")
        assert row["worker"] > 1
        assert row["environment"] > 1
        assert row["image"] is None


def test_servers(data: Any) -> None:
    """A row for each app on each server that can carry it, to which every wire case was put; one is shipped."""
    expected = [(app, server.name) for app in APPS for server in servers(app)]
    assert [(row["app"], row["server"]) for row in data["servers"]] == expected
    assert [row["app"] for row in data["servers"] if row["shipped"]] == list(APPS)
    wire = sum(case.group == "wire" for case in CASES)
    for row in data["servers"]:
        has_numbers(row, *MEASURED)
        failed = [*row["failed"], *row["failed, recommended"]]
        assert row["wire"] == {"passed": row["passed"], "of": wire}
        assert row["passed"] + len(failed) + len(row["not checked"]) == wire
        if row["shipped"]:
            assert not failed, row


def test_machine(data: Any) -> None:
    """It says on what and with what it was measured."""
    assert data["cpu"]
    assert data["wrk"].startswith("wrk ")
    assert data["haproxy"][0].isdigit()
    assert data["versions"].keys() >= {"Python", *APPS, "gunicorn", "uvicorn", "granian"}
    assert data["pinned"] == hasattr(os, "sched_setaffinity")


@pytest.mark.parametrize("part", charts.CHARTS)
def test_chart(part: str, folder: Path, data: Any) -> None:
    """Each part is drawn, as SVG that says from which data; the same data makes the same file."""
    drawn = (folder / f"{part}.svg").read_text()
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert tables.digest(data) in drawn
    charts.draw(data, again := folder.parent)
    assert (again / f"{part}.svg").read_text() == drawn


def test_a_quick_run_is_not_for_the_readme(folder: Path) -> None:
    """It has not put the whole contract."""
    before = tables.KEPT.read_bytes()
    process = make("bench-readme", f"BUILD={folder.parent}")
    assert "a quick run" in told(process)
    assert process.returncode
    assert tables.KEPT.read_bytes() == before


@pytest.mark.parametrize("missing", ["wrk", "haproxy"])
def test_without_a_program(missing: str, tmp_path: Path) -> None:
    """It says which one, and how to get it."""
    for name in ("wrk", "haproxy"):
        if name != missing:
            (tmp_path / name).write_text("")
            (tmp_path / name).chmod(0o755)
    code = "import gateway; gateway.HAPROXY = None; " * (missing == "haproxy") + "import bench; bench.main()"
    done = subprocess.run(
        [bench.HERE / "python", "-c", code, "--output", str(tmp_path / "out")],
        env={"PATH": str(tmp_path), "PYTHONPATH": f"{ROOT}/tests:{ROOT}/shared:{ROOT}/tests/bench"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert f"needs {missing}" in done.stderr
    assert f"apt install {missing}" in done.stderr
    assert not (tmp_path / "out").exists()


def test_unknown_part(tmp_path: Path) -> None:
    """It says which there are."""
    process = make("bench", "PARTS=rule nonsense", f"BUILD={tmp_path}")
    text = told(process)
    assert process.returncode
    assert "nonsense" in text
    assert "growth" in text


@pytest.mark.parametrize(("part", "head"), [("apps", "p50 ms"), ("servers", "wire cases")])
def test_interrupted(part: str, head: str, tmp_path: Path) -> None:
    """Ctrl-C ends it soon, with all that it has started, and leaves no file behind but what was finished."""
    process = make("bench", "QUICK=1", f"PARTS=sizes {part}", f"BUILD={tmp_path}", TMPDIR=str(tmp_path))
    assert process.stdout
    for line in process.stdout:
        if head in line:
            break
    time.sleep(3)
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) > 3
    os.killpg(process.pid, signal.SIGINT)
    text = told(process)
    assert process.returncode
    assert "Interrupted" in text
    assert "Traceback" not in text
    assert not psutil.wait_procs(started, timeout=10)[1]
    assert [path.name for path in tmp_path.iterdir()] == ["bench"]
    assert "sizes" in json.loads((tmp_path / "bench" / "results.json").read_text())


@pytest.mark.parametrize("edits", [WITHOUT, PASTED])
def test_what_the_bench_changes_is_there(edits: dict[str, Any], app: str, tmp_path: Path) -> None:
    """A change of an app that makes the bench measure something else is an error."""
    home = copy(app, tmp_path, edits={"app.py": edits[app]})
    assert (home / "app.py").read_text() != (ROOT / "apps" / app / "app.py").read_text()
    with pytest.raises(BenchError, match="does not have this once"):
        copy(app, tmp_path / "again", edits={"app.py": [("nothing of the kind", "")]})


def test_a_wrong_answer_is_an_error(tmp_path: Path) -> None:
    """Neither before the load nor under it is a 200 taken for a 401, or a 401 for a 200."""
    (log := tmp_path / "log").touch()
    home = ROOT / "apps" / "falcon"
    with Started("falcon", APPS["falcon"].command, home, {"SHARED_SECRET": SECRET}, log) as service:
        for status, fields in ((200, []), (401, [f"X-Shared-Secret: {SECRET}"])):
            load = Load(service, service.url + "/protected", fields, status=status)
            with pytest.raises(BenchError, match=f"not {status}"):
                load.check()
            with pytest.raises(BenchError, match=f"another status than {status}"):
                load.round(0.1)


def test_every_part_is_kept_and_drawn() -> None:
    """A part that is added has its chart, and is asked for by the README."""
    assert tuple(bench.PARTS) == tables.PARTS
    assert charts.CHARTS.keys() == bench.PARTS.keys()


def test_spread() -> None:
    """The median and the quartiles, of one value too."""
    assert spread([4, 1, 3, 2, 5]) == {"median": 3, "low": 2, "high": 4}
    assert spread([7]) == {"median": 7, "low": 7, "high": 7}
