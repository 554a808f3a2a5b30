"""The bench runs, and its results are whole; no time is asserted. Collected only by `make test-bench`."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest
import requests

from shared.app.shared_secret import HEADER
from shared.apps import APPS, ROOT
from tests.apps.running import SECRET
from tests.bench import charts, tables, time_rule
from tests.bench.__main__ import folder_for
from tests.bench.measure import Load, Round, Started
from tests.bench.parts import MODULES, gateway, growth, profile, replicas, sizes
from tests.bench.parts.servers import as_row
from tests.bench.results import FILE, NEED_DOCKER, PARTS, Front, Kind, Measurements, ReplicaRow, Speed, Spread, Via
from tests.bench.run import PROGRAMS, commit
from tests.bench.variants import PUBLISHED, UNDOCUMENTED, WITHOUT, BenchError, copy, servers
from tests.commands import ENVIRON
from tests.contract.case import Result
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
    (whole := build / "bench" / FILE).parent.mkdir()
    whole.write_text("of a whole run")
    process = make("bench", "QUICK=1", f"BUILD={build}", TMPDIR=str(tmp_path_factory.mktemp("tmp")))
    text = output(process)
    assert process.returncode == 0, text
    for app in APPS:
        assert f"\n{app} " in text
    assert f"Written to {build}/bench/quick/" in text.splitlines()[-1]
    assert whole.read_text() == "of a whole run"
    return build / "bench" / "quick"


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
    """A row for each app and each kind of request that there is to it."""
    expected = [(app, kind) for app in APPS for kind in Kind if kind != Kind.UNDOCUMENTED or app in UNDOCUMENTED]
    assert sorted((row.app, row.kind) for row in measured.apps) == sorted(expected)
    for row in measured.apps:
        assert is_measured(row.speed), row
        assert is_spread(row.of_unchecked), row
        assert row.of_published is not None, row
        assert is_spread(row.of_published), row
        base = {Kind.UNCHECKED: row.of_unchecked, Kind.PUBLISHED: row.of_published}.get(row.kind)
        assert base in (None, Spread(1, 1, 1))


def test_profile(measured: Measurements) -> None:
    """The dearest function comes first; what resolves the dependency is among them, and is called once more."""
    shares = [row.share for row in measured.profile]
    assert shares == sorted(shares, reverse=True)
    assert profile.LEAST <= shares[-1]
    assert ("fastapi/dependencies/utils.py: solve_dependencies", 1) in [
        (row.function, row.calls) for row in measured.profile
    ]


PROFILED = """
import sys
sys.modules["app"] = sys.modules["shared_secret"] = type(sys)("app")
sys.modules["app"].app = sys.modules["app"].HEADER = None
from tests.bench import profile_requests
stats = type("Stats", (), {"stats": {
    ("/x/site-packages/pack/a.py", 1, "f"): (1, 3, 2.0, 9.0, {}),
    ("~", 0, "<built-in len>"): (5, 5, 0.5, 0.5, {("/x/site-packages/pack/a.py", 1, "f"): (5, 5, 0.5, 0.5)}),
}})
print(profile_requests.functions(stats))
"""


def test_what_a_function_spends() -> None:
    """Its own time and that of the built-in functions it calls, and all of its calls."""
    done = subprocess.run([PROGRAMS / "python", "-c", PROFILED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str({"pack/a.py: f": (2.5, 3)})


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


def test_gateway(measured: Measurements) -> None:
    """A row for each gateway that is installed, and number of connections; the table has a line for each gateway."""
    expected = [point for point in gateway.POINTS if gateway.NGINX or point[0] != Front.NGINX]
    assert [(row.front, row.connections) for row in measured.gateway] == expected
    for row in measured.gateway:
        assert is_measured(row.speed), row
        assert row.program[-1].isdigit()
        if row.front == Front.DIRECT:
            assert row.added_p50 == row.added_p99 == Spread(0, 0, 0)
    for front, *cells in table_lines(tables.gateway(measured)):
        assert (tables.NOT_MEASURED in cells) == (front == Front.NGINX and not gateway.NGINX)
    measured = replace(measured, gateway=[row for row in measured.gateway if row.front != Front.NGINX])
    assert set(table_lines(tables.gateway(measured))[-1]) == {Front.NGINX, tables.NOT_MEASURED}


def table_lines(made: str) -> list[list[str]]:
    """Return the cells of each line of a table in Markdown, without its head."""
    return [line.strip("| ").split(" | ") for line in made.splitlines() if line.startswith("|")][2:]


def test_replicas(measured: Measurements) -> None:
    """A row for each app and number of replicas, where there is Docker."""
    expected = [(app, count) for app in replicas.MEASURED for count in replicas.REPLICAS if replicas.has_docker()]
    assert [(row.app, row.replicas) for row in measured.replicas] == expected
    for row in measured.replicas:
        assert is_measured(row.speed), row
    assert {cells[0] for cells in table_lines(tables.replicas(measured))} == {
        app for app, _ in expected or [(tables.NOT_MEASURED, 0)]
    }


def test_what_limits_replicas(measured: Measurements) -> None:
    """The cores, from the first number of replicas on that keeps them busy; or something else."""

    def row(app: str, count: int, share: float) -> ReplicaRow:
        cpu = 1e6 * share * (measured.machine.cores or 1) / 1000
        one = measured.gateway[0].speed
        return ReplicaRow(app, count, replace(one, rps=Spread(1000, 900, 1100), cpu=Spread(cpu, cpu, cpu)))

    rows = [row("falcon", 1, 0.5), row("falcon", 2, 0.93), row("falcon", 3, 0.94), row("fastapi", 1, 0.6)]
    made = tables.replicas(replace(measured, replicas=rows))
    assert [line[-1] for line in table_lines(made)] == ["50 %", "93 %", "94 %", "60 %"]
    assert "from 2 of falcon on" in made
    assert "With fastapi they are not" in made


def test_sizes(measured: Measurements) -> None:
    """A row for each app; a quick run builds no images."""
    assert [row.app for row in measured.sizes] == list(APPS)
    for row in measured.sizes:
        assert is_spread(row.start), row
        assert row.worker > 1
        assert row.environment > 1
        assert (row.image, row.base) == (None, "")


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
        assert not row.life_cases
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
    assert bool(machine.commit) == bool(commit())  # by now there may be another


@pytest.mark.parametrize("part", charts.CHARTS)
def test_chart(part: str, folder: Path, measured: Measurements) -> None:
    """Each part is drawn, as SVG that names its data; the same data makes the same file."""
    if part in NEED_DOCKER and not replicas.has_docker():
        assert not (folder / f"{part}.svg").exists()
        return
    drawn = (folder / f"{part}.svg").read_text()
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert measured.digest() in drawn
    (again := folder / "again").mkdir(exist_ok=True)
    charts.draw(measured, again)
    assert (again / f"{part}.svg").read_text() == drawn


def test_a_quick_run_is_not_for_the_readme(folder: Path) -> None:
    """It has not run the whole contract, and is not where a whole one would be."""
    before = tables.KEPT.read_bytes()
    (folder.parent / FILE).unlink()
    process = make("bench-readme", f"BUILD={folder.parents[1]}")
    assert "run `make bench` without QUICK and PARTS" in output(process)
    assert process.returncode
    with pytest.raises(SystemExit, match="a quick run"):
        tables.keep(folder)
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
    assert Measurements.read(tmp_path / "bench" / "quick" / FILE).finished() == ["sizes"]


def test_without_docker_and_nginx(tmp_path: Path) -> None:
    """What needs them is left out, with a sentence for each; the rest is measured."""
    code = "from tests.bench.parts import gateway; gateway.NGINX = None; from tests.bench import __main__ as bench"
    done = subprocess.run(
        [
            PROGRAMS / "python",
            "-c",
            f"{code}; bench.main()",
            "--quick",
            "--output",
            tmp_path,
            "--parts",
            "gateway replicas",
        ],
        cwd=ROOT,
        env={**ENVIRON, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"},
        capture_output=True,
        text=True,
        timeout=15 * MINUTES,
    )
    assert done.returncode == 0, done.stderr
    assert "nginx is not installed" in done.stdout
    assert "No Docker engine" in done.stdout
    measured = Measurements.read(tmp_path / "quick" / FILE)
    assert measured.finished() == ["gateway"]
    assert Front.NGINX not in {row.front for row in measured.gateway}


@pytest.mark.skipif(not replicas.has_docker(), reason="no Docker engine answers")
@pytest.mark.parametrize("begun", [1, 6], ids=["while it starts", "when all runs"])
def test_interrupted_with_docker(begun: int, tmp_path: Path) -> None:
    """Ctrl-C ends it with all that runs in Docker, of which nothing is left; a second one changes nothing."""
    process = make("bench", "QUICK=1", "PARTS=replicas", f"BUILD={tmp_path}", TMPDIR=str(tmp_path))
    deadline = time.monotonic() + 10 * MINUTES
    label = ""
    while not label or len(sizes.docker("ps", "--quiet", "--filter", label).split()) < begun:
        assert time.monotonic() < deadline
        assert process.poll() is None
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if project := child.environ().get("COMPOSE_PROJECT_NAME"):
                    label = f"label=com.docker.compose.project={project}"
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    text = output(process)
    assert process.returncode
    assert "Traceback" not in text
    for kind in (["ps", "--all"], ["network", "ls"], ["image", "ls", "--all"], ["volume", "ls"]):
        assert not sizes.docker(*kind, "--quiet", "--filter", label), kind


def test_only_a_whole_run_replaces_a_whole_one(tmp_path: Path) -> None:
    """A quick one and one of some parts have folders of their own."""
    whole, some = list(MODULES), list(MODULES)[:-1]
    assert folder_for(tmp_path, False, whole) == folder_for(tmp_path, False, whole[::-1]) == tmp_path
    others = {folder_for(tmp_path, True, whole), folder_for(tmp_path, True, some), folder_for(tmp_path, False, some)}
    assert others == {tmp_path / "quick", tmp_path / "parts"}


@pytest.mark.parametrize(("status", "expected"), [("", "abc1234"), (" M a.py\n", "abc1234 and changes"), (None, "")])
def test_commit(status: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the commit, and whether there are changes; nothing where git has none, or is not there."""
    if status is not None:
        (git := tmp_path / "git").write_text(f"#!/bin/sh\n[ $1 = status ] && printf '{status}' || echo abc1234\n")
        git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}" if status is None else f"{tmp_path}:/usr/bin:/bin")
    assert commit() == expected


def test_cases_are_counted_by_group() -> None:
    """Those of wire and those of life, passed or not; where HTTP/2 is not spoken, nothing is left unchecked."""
    outcomes = {"wire/a": "passed", "wire/b": "failed", "life/a": "passed", "life/b": "not checked", "auth/a": "passed"}
    outcomes |= {"http2/auth": "not checked", "auth/missing": "not checked"}
    results = {name: Result(outcome, [], "", "") for name, outcome in outcomes.items()}
    row = as_row("falcon", servers("falcon")[0], [Round(1, 1, 1, 1, 0)], results)
    assert (row.passed, row.wire_passed, row.wire_cases, row.life_passed, row.life_cases) == (3, 1, 2, 1, 2)
    assert row.not_checked == ["auth/missing"]


DOCKER = """#!/bin/sh
echo "$@" >> "$0.log"
case "$*" in
    *"{{.Size}} python"*) echo 100000000 ;;
    *"{{.Size}}"*) echo 130000000 ;;
    *RepoDigests*) echo "DIGESTS" ;;
    "image ls"*) echo abc ;;
esac
"""


@pytest.mark.parametrize("digests", ["python@sha256:1 sha256:2", "sha256:2"])
def test_image_size(digests: str, app: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is built without the cache and removed; its base is named with its digest, or its id without one."""
    (docker := tmp_path / "docker").write_text(DOCKER.replace("DIGESTS", digests))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert sizes.image_size(app) == (30.0, f"python:3.13-slim ({digests.split()[0]})")
    asked = (tmp_path / "docker.log").read_text().splitlines()
    assert f"build --quiet --no-cache --tag origin-guard-bench-{app} {APPS[app].folder}" in asked
    assert asked[-1] == f"image rm origin-guard-bench-{app}"
    docker.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sizes.image_size(app) == (None, "")


@pytest.mark.parametrize("edits", [WITHOUT, PUBLISHED])
def test_edits_change_the_app(edits: dict[str, Any], app: str, tmp_path: Path) -> None:
    """Text to edit that an app no longer has is an error, so that the bench measures nothing else."""
    home = copy(app, tmp_path, edits={"app.py": edits[app]})
    assert (home / "app.py").read_text() != (APPS[app].folder / "app.py").read_text()
    with pytest.raises(BenchError, match="should contain this exactly once"):
        copy(app, tmp_path / "again", edits={"app.py": [("nothing of the kind", "")]})


def test_what_the_variants_let_in(app: str, tmp_path: Path) -> None:
    """Without the check every request gets in; with the published one only those with the right secret."""
    expected = {
        "without": {SECRET: True, "wrong": True, "": True},
        "published": {SECRET: True, "wrong": False, "": False},
    }
    edits = {"without": WITHOUT[app], "published": WITHOUT[app] + PUBLISHED[app]}
    for name, let_in in expected.items():
        (folder := tmp_path / name).mkdir()
        (log := folder / "log").touch()
        home = copy(app, folder, edits={"app.py": edits[name]})
        with Started(app, APPS[app].command, home, {"SHARED_SECRET": SECRET}, log) as service:
            for secret in let_in:
                fields = {HEADER: secret} if secret else {}
                got = requests.get(service.url + "/protected", headers=fields, timeout=30)
                assert (got.status_code == 200) == let_in[secret], f"{name}, {secret}: {got.status_code}"
                assert got.status_code in (200, 401, 422)


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
    assert tables.TWO_SECRETS in time_rule.CALLS
