"""What the README tells of the bench: made from the results that are kept, and from nothing else."""

import json
import re
from typing import Any

import pytest

from shared.apps import APPS, ROOT
from tests.bench import tables
from tests.bench.variants import servers
from tests.contract.groups import CASES


@pytest.fixture
def kept() -> Any:
    """Give the results that are kept."""
    return json.loads(tables.KEPT.read_text())


def test_readme_shows_what_is_kept(kept: Any) -> None:
    """Its tables are those of the results, and its chart was drawn from them."""
    readme = (ROOT / "README.md").read_text()
    assert tables.filled(readme, kept) == readme, "Run `make bench-readme`, and commit what it changes."
    assert f"]({tables.CHART.relative_to(ROOT)})" in readme
    assert tables.digest(kept) in tables.CHART.read_text()


def test_what_is_kept_is_whole(kept: Any) -> None:
    """It is of a whole run, and says where it was made."""
    assert all(kept[part] for part in tables.PARTS)
    assert set(kept["scale"]["groups"]) == {case.group for case in CASES}
    assert {row["app"] for row in kept["growth"]} == {row["app"] for row in kept["apps"]} == set(APPS)
    assert {(row["app"], row["server"]) for row in kept["servers"]} == {
        (app, server.name) for app in APPS for server in servers(app)
    }
    assert kept["cpu"]
    assert kept["versions"]["Python"]


def test_what_is_shipped_fails_no_required_case(kept: Any) -> None:
    """As everywhere else in the README."""
    shipped = {row["app"]: row for row in kept["servers"] if row["shipped"]}
    assert sorted(shipped) == sorted(APPS)
    assert not [row for row in shipped.values() if row["failed"] or row["not checked"]]


@pytest.mark.parametrize("change", [("servers", "rps"), ("apps", "cpu"), ("rule", "ns"), ("sizes", "start")])
def test_another_number_is_another_readme(change: tuple[str, str], kept: Any) -> None:
    """A number of every part is in a table."""
    part, name = change
    readme = tables.filled((ROOT / "README.md").read_text(), kept)
    kept[part][0][name]["median"] *= 2
    assert tables.filled(readme, kept) != readme


def pins(path: str) -> dict[str, str]:
    """Return the versions that a file pins."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / path).read_text(), re.MULTILINE))


def test_the_bench_has_the_versions_of_the_apps(app: str) -> None:
    """What is measured is what is shipped."""
    named = re.findall(r'^    "([\w-]+)', (ROOT / "apps" / app / "pyproject.toml").read_text(), re.MULTILINE)
    of_app, of_bench = pins(f"apps/{app}/requirements.txt"), pins("tests/bench/requirements.txt")
    assert {name: of_bench[name] for name in named} == {name: of_app[name] for name in named}, "Run `make lock`."
