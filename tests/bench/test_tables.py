"""The README of the bench: it is made from the results that are kept, and from nothing else."""

import json
import re
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from shared.apps import APPS, ROOT
from tests.bench import tables
from tests.bench.results import PARTS, Measurements, Spread, from_json
from tests.bench.variants import PASTED, SERVERS, WITHOUT, Server
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
    assert f"]({tables.CHART.name})" in readme
    assert kept.digest() in tables.CHART.read_text()


def test_what_is_kept_is_whole(kept: Measurements) -> None:
    """It is of a whole run: every part, the same apps in each; newer apps, servers and groups may be missing."""
    assert kept.finished() == list(PARTS)
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
    """The same dataclasses, and the same file byte for byte."""
    kept.write(tmp_path / "results.json")
    assert Measurements.read(tmp_path / "results.json") == kept
    assert (tmp_path / "results.json").read_bytes() == tables.KEPT.read_bytes()
    assert json.loads(tables.KEPT.read_text()) == asdict(kept)
    assert isinstance(kept.servers[0].speed.rps, Spread)


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
    """Without the check, and with the pasted one."""
    assert WITHOUT.keys() == PASTED.keys() == APPS.keys()
