"""The README of the bench: it is made from the results that are kept, and from nothing else."""

import json
import re
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from shared.apps import APPS, ROOT
from shared.documents import with_part
from tests.bench import tables
from tests.bench.results import NEED_DOCKER, PARTS, AppRow, Kind, Measurements, ProfileRow, Spread, digest, from_json
from tests.bench.variants import PUBLISHED, SERVERS, WITHOUT, Server
from tests.contract.groups import CASES


@pytest.fixture
def kept() -> Measurements:
    """Give the results that are kept."""
    return Measurements.read(tables.KEPT)


@pytest.fixture
def readme() -> str:
    """Give the README."""
    return tables.README.read_text()


def test_readme_shows_what_is_kept(kept: Measurements, readme: str) -> None:
    """Its tables are those of the results, and its chart was drawn from them."""
    assert tables.filled(readme, kept) == readme, "Run `make sync`, and commit what it changes."
    first = tables.FIRST_README.read_text()
    assert with_part(first, "cost", tables.summary(kept)) == first, "Run `make sync`, and commit what it changes."
    assert f"]({tables.CHART.name})" in readme
    assert digest(json.loads(tables.KEPT.read_text())) in tables.CHART.read_text()


def test_what_is_kept_is_whole(kept: Measurements) -> None:
    """It is of a whole run: every part, the same apps in each; newer parts, apps, servers and groups may be missing."""
    data = json.loads(tables.KEPT.read_text())
    assert kept.finished() == [part for part in PARTS if part in data and (data[part] or part not in NEED_DOCKER)]
    assert set(kept.scale.groups) <= {case.group for case in CASES}
    apps = {row.app for row in kept.servers}
    assert {row.app for row in kept.growth} == {row.app for row in kept.apps} == {row.app for row in kept.sizes} == apps
    interfaces = {row.app: row.interface for row in kept.servers}
    servers = {(row.interface, row.server) for row in kept.servers}
    assert {(row.app, row.server) for row in kept.servers} == {
        (app, server) for app in apps for interface, server in servers if interface == interfaces[app]
    }
    assert kept.machine.cpu
    assert kept.machine.versions["Python"]


def test_what_is_shipped_fails_no_required_case(kept: Measurements) -> None:
    """As everywhere else in the documents."""
    shipped = {row.app: row for row in kept.servers if row.shipped}
    assert shipped.keys() == {row.app for row in kept.servers}
    assert not [row for row in shipped.values() if row.failed or row.not_checked]


@pytest.mark.parametrize("path", ["servers.speed.rps", "apps.speed.cpu", "rule.ns", "sizes.start"])
def test_another_number_is_another_readme(path: str, kept: Measurements, readme: str) -> None:
    """A number of every part is in a table."""
    part, *names = path.split(".")
    data = asdict(kept)
    number = data[part][0]
    for name in names:
        number = number[name]
    number["median"] *= 2
    assert tables.filled(readme, from_json(Measurements, data)) != tables.filled(readme, kept)


def lines(table: str) -> dict[str, list[str]]:
    """Return the cells of a table in Markdown by the first of their line."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return {first: rest for first, *rest in rows}


def test_an_app_that_was_not_measured(app: str, kept: Measurements, readme: str) -> None:
    """The tables say so in its place; what they say of the others stays."""
    for part in ("apps", "growth", "sizes", "servers"):
        setattr(kept, part, [row for row in getattr(kept, part) if row.app != app])
    tables.filled(readme, kept)
    for make in (tables.choices, tables.cost, tables.sizes):
        before, after = lines(make(Measurements.read(tables.KEPT))), lines(make(kept))
        assert set(after.pop(app)) == {tables.NOT_MEASURED}
        before.pop(app)
        assert after == before
    column = list(APPS).index(app)
    for server in SERVERS:
        cell = tables.speed(app, server, None)
        assert cell == (tables.NOT_MEASURED if server.interface == APPS[app].interface else "–")
        assert lines(tables.servers(kept))[tables.label(server)][column] == cell


@pytest.mark.parametrize("server", SERVERS, ids=tables.label)
def test_a_server_that_was_not_measured(server: Server, kept: Measurements, readme: str) -> None:
    """The table of servers says so in its place; its other lines stay, and the fastest are chosen from the others."""
    before = lines(tables.servers(kept))
    this = (server.interface, server.name)
    kept.servers = [row for row in kept.servers if (row.interface, row.server) != this]
    tables.filled(readme, kept)
    after = lines(tables.servers(kept))
    assert set(after.pop(tables.label(server))) <= {tables.NOT_MEASURED, tables.IMPOSSIBLE}
    assert tables.NOT_MEASURED in tables.servers(kept)
    before.pop(tables.label(server))
    assert after == before
    for app, (direct, behind, shipped) in list(lines(tables.choices(kept)).items())[2:]:
        if APPS[app].interface == server.interface:
            assert server.name not in {*direct.split(" or "), *behind.split(" or "), shipped}


def test_apps_and_servers_that_are_gone_are_left_out(kept: Measurements, readme: str) -> None:
    """Rows of an app or a server that no longer exists change no table."""
    before = tables.filled(readme, kept)
    kept.servers += [replace(kept.servers[0], app="gone"), replace(kept.servers[0], server="gone")]
    kept.apps.append(replace(kept.apps[0], app="gone"))
    kept.sizes.append(replace(kept.sizes[0], app="gone"))
    assert tables.filled(readme, kept) == before


def test_results_are_read_as_they_were_written(kept: Measurements, tmp_path: Path) -> None:
    """The same dataclasses, and the same JSON; older results lack some of its fields."""
    kept.apps[0] = replace(kept.apps[0], of_published=Spread(1, 1, 1))
    kept.write(tmp_path / "results.json")
    assert Measurements.read(tmp_path / "results.json") == kept
    assert json.loads((tmp_path / "results.json").read_text()) == asdict(kept)
    assert kept.digest() == digest(asdict(kept))
    assert isinstance(kept.servers[0].speed.rps, Spread)


def test_older_results_are_read(tmp_path: Path) -> None:
    """What was not measured then is shown so, and a kind of request that is gone is left out."""
    data = json.loads(tables.KEPT.read_text())
    data["machine"].pop("commit", None)
    data["apps"] = [row | {"kind": "pasted"} if row["kind"] == Kind.PUBLISHED else row for row in data["apps"]]
    new = {"apps": ("of_published",), "sizes": ("base",), "servers": ("life_passed", "life_cases")}
    for part, names in new.items():
        for row in data[part]:
            for name in names:
                row.pop(name, None)
    (tmp_path / "results.json").write_text(json.dumps(data))
    old = Measurements.read(tmp_path / "results.json")
    assert tables.NOT_MEASURED in lines(tables.cost(old))["falcon"]
    assert tables.NOT_MEASURED in lines(tables.targets(old))["falcon"]
    assert tables.NOT_MEASURED in lines(tables.servers(old))["gunicorn, gevent"]
    assert "not recorded" in tables.images(old)
    assert "commit" not in tables.machine(old)


def test_the_commit_and_the_base_image_are_named(kept: Measurements) -> None:
    """The commit beside the machine, each base once; or that there is no image."""
    kept.machine = replace(kept.machine, commit="abc1234 and changes")
    assert ", commit abc1234 and changes," in tables.machine(kept)
    kept.sizes = [replace(row, image=9.0, base="python:3.13-slim (python@sha256:1)") for row in kept.sizes]
    assert tables.images(kept).count("python:3.13-slim (python@sha256:1)") == 1
    kept.sizes = [replace(row, image=None, base="") for row in kept.sizes]
    assert tables.images(kept) == "No image was built."


def test_cases_of_life(kept: Measurements) -> None:
    """They are counted beside those of wire, from the app with the fewest to the one with the most."""
    kept.servers = [
        replace(row, wire_passed=50, wire_cases=55, life_passed=4 if row.app == "falcon" else 5, life_cases=5)
        for row in kept.servers
    ]
    table = lines(tables.servers(kept))
    assert table["gunicorn, gevent"][len(APPS) : -1] == ["50 of 55", "4–5 of 5"]
    assert table["gunicorn, asgi"][len(APPS) : -1] == ["50 of 55", "5 of 5"]


REQUIRED = [case for case in CASES if case.requirement.level == "required"]
KEPT_AWAY = next(case.name for case in REQUIRED if case.requirement.level_at("gateway") != "required")
NOT_KEPT_AWAY = next(case.name for case in REQUIRED if case.requirement.level_at("gateway") == "required")


@pytest.mark.parametrize(
    ("failed", "direct", "behind"),
    [
        ([], True, True),
        ([KEPT_AWAY], False, True),
        ([KEPT_AWAY, NOT_KEPT_AWAY], False, False),
        (["gone/x"], False, False),
    ],
)
def test_what_a_gateway_keeps_away_does_not_count_behind_it(
    failed: list[str], direct: bool, behind: bool, kept: Measurements
) -> None:
    """The contract says which cases these are."""
    row = next(row for row in kept.servers if row.shipped and row.app == "falcon")
    kept.servers = [replace(row, failed={name: ["a problem"] for name in failed}, not_checked=[])]
    cells = lines(tables.choices(kept))["falcon"]
    assert cells == [row.server if good else "none" for good in (direct, behind)] + [row.server]


def flat(value: float) -> Spread:
    """Return a spread of one value."""
    return Spread(value, value, value)


def app_rows(app: str, cpu: dict[Kind, float], kept: Measurements) -> list[AppRow]:
    """Return the rows of an app whose requests take so many µs."""
    return [
        AppRow(
            app,
            kind,
            replace(kept.apps[0].speed, cpu=flat(used)),
            of_unchecked=flat(cpu[Kind.UNCHECKED] / used),
            of_published=flat(cpu[Kind.PUBLISHED] / used),
        )
        for kind, used in cpu.items()
    ]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ["0.970, met", "1.000, met", "1.300, met"]),
        ({Kind.UNCHECKED: 96.9}, ["0.969, **missed**", "1.000, met", "1.300, met"]),
        ({Kind.PUBLISHED: 99.0}, ["0.970, met", "0.990, **missed**", "1.300, met"]),
        ({Kind.MISSING: 131.0}, ["0.970, met", "1.000, met", "1.310, **missed**"]),
        ({Kind.WRONG: 131.0}, ["0.970, met", "1.000, met", "1.310, **missed**"]),
    ],
)
def test_targets_of_an_app(changed: dict[Kind, float], expected: list[str], kept: Measurements) -> None:
    """Each ratio is judged by its own bound; the dearer of the two refusals counts."""
    cpu = dict.fromkeys(Kind, 100.0) | {Kind.UNCHECKED: 97.0, Kind.WRONG: 130.0} | changed
    kept.apps = app_rows("falcon", cpu, kept)
    table = lines(tables.targets(kept))
    assert table["falcon"] == [*expected, tables.IMPOSSIBLE]
    assert table["litestar"] == [*[tables.NOT_MEASURED] * 3, tables.IMPOSSIBLE]


def test_fastapi_has_a_target_of_its_own(kept: Measurements) -> None:
    """The app does more than check: it describes the header."""
    kept.apps = [
        row for app in APPS for row in app_rows(app, dict.fromkeys(Kind, 100.0) | {Kind.UNCHECKED: 93.0}, kept)
    ]
    met = [app for app in APPS if lines(tables.targets(kept))[app][0] == "0.930, met"]
    assert met == ["fastapi"]


@pytest.mark.parametrize(("dearest", "expected"), [(6.0, "6.000, met"), (6.01, "6.010, **missed**")])
def test_target_of_the_rule(dearest: float, expected: str, kept: Measurements) -> None:
    """The dearest call counts, except that with two secrets."""
    kept.rule = [replace(row, times_bare=dearest if row.call == "wrong" else 1.0) for row in kept.rule]
    two = next(place for place, row in enumerate(kept.rule) if row.call == tables.TWO_SECRETS)
    kept.rule[two] = replace(kept.rule[two], times_bare=9.0)
    assert lines(tables.targets(kept))["the rule, with one secret"][-1] == expected
    kept.rule = []
    assert lines(tables.targets(kept))["the rule, with one secret"][-1] == tables.NOT_MEASURED


@pytest.mark.parametrize(
    ("words", "text"), [([], "not measured"), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_listed(words: list[str], text: str) -> None:
    """With commas, and "and" before the last."""
    assert tables.listed(words) == text


def test_summary(kept: Measurements) -> None:
    """The share of the check, and how many times as fast granian is as what is shipped, for apps that run there."""
    cpu = dict.fromkeys(Kind, 100.0) | {Kind.UNCHECKED: 95.0, Kind.UNDOCUMENTED: 97.0}
    kept.apps = app_rows("fastapi", cpu, kept)
    row = next(row for row in kept.servers if row.app == "falcon" and row.shipped)
    fast = replace(row, server="granian", shipped=False, speed=replace(row.speed, rps=flat(3 * row.speed.rps.median)))
    kept.servers = [row, fast, replace(row, app="cherrypy"), replace(fast, app="cherrypy")]
    text = " ".join(tables.summary(kept).split())
    assert "about 5 % in FastAPI (2 % without the header in its schema). " in text
    assert "by 3.0 in Falcon, measured" in text
    kept.apps, kept.servers = [], []
    assert tables.summary(kept).count(tables.NOT_MEASURED) == 2


def test_the_profile_adds_up(kept: Measurements) -> None:
    """What is not shown is in the last line; without rows, that is said."""
    kept.profile = [ProfileRow(f"f{number}", number, 10.0) for number in range(9)]
    assert lines(tables.profile(kept))["`f7`"] == ["7", "10 %"]
    assert lines(tables.profile(kept))["all others"] == [tables.IMPOSSIBLE, "20 %"]
    kept.profile = []
    assert tables.NOT_MEASURED in tables.profile(kept)


def test_every_part_has_a_field() -> None:
    """In the same order."""
    assert [field.name for field in fields(Measurements)][-len(PARTS) :] == list(PARTS)


def test_spread() -> None:
    """The median and the quartiles, of one value too."""
    assert Spread.of([4, 1, 3, 2, 5]) == Spread(3, 2, 4)
    assert Spread.of([7]) == Spread(7, 7, 7)


def pins(path: str) -> dict[str, str]:
    """Return the versions that a file pins."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / path).read_text(), re.MULTILINE))


def test_the_bench_has_the_versions_of_the_apps(app: str) -> None:
    """What is measured is what is shipped."""
    of_app, of_bench = APPS[app].packages(), pins("tests/bench/requirements.txt")
    assert {name: of_bench[name.partition("[")[0]] for name in of_app} == of_app, "Run `make lock`."


def test_every_app_has_its_variants() -> None:
    """Without the check, and with the published one."""
    assert WITHOUT.keys() == PUBLISHED.keys() == APPS.keys()
