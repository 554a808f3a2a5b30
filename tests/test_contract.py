"""The contract, case by case, on every app."""

import json
from dataclasses import replace

import pytest
from case import Case, Exchange
from conftest import SECRET, Put
from contract import CASES, EXCHANGES
from known import BASELINE, SEEN
from report import Results, as_data, is_whole, with_tables
from service import APPS, ROOT
from target import Target
from wire import Response


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_case(
    app: str,
    case: Case,
    put: Put,
    results: Results,
) -> None:
    """A failure names the app, the case and what was sent, and says what a service should do instead."""
    result = put(app, case)
    known = BASELINE.get((case.name, app))
    if known and result.outcome == "failed":
        result = replace(result, outcome="known", reason=known)
    results.setdefault(app, {})[case.name] = result
    if result.outcome == "known":
        pytest.xfail(f"{'; '.join(result.problems)}. {known}")
    assert not known, f"{case.name} is in BASELINE, and {app} passes now: take it out"
    if result.outcome != "passed":
        pytest.fail(f"{app}, {case.name}: {result.told(case)}", pytrace=False)


@pytest.mark.parametrize("case", [case for case in EXCHANGES if case.answer.is_open], ids=lambda case: case.name)
def test_differences_are_those_that_are_known(app: str, case: Exchange, targets: dict[str, Target]) -> None:
    """Where the contract leaves the answer open, each app answers as it did before."""
    got = targets[app].ask(case.state, case.sent)
    assert isinstance(got, Response), got
    assert got.status == (SEEN[case.name][APPS.index(app)] if case.name in SEEN else 401)


def test_what_is_known_is_about_cases_that_exist() -> None:
    """Nothing is listed for a case or an app that is gone, and a case is known by its name."""
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)
    assert SEEN.keys() <= {case.name for case in EXCHANGES if case.answer.is_open}
    assert {name for name, app in BASELINE} <= set(names)
    assert {len(row) for row in SEEN.values()} == {len(APPS)}


def test_readme_shows_the_contract_and_what_was_measured(results: Results) -> None:
    """Its tables are what `make report` would write."""
    if not is_whole(results):
        pytest.skip("the README's tables are about all cases on all apps, and not all were run")
    readme, data = (ROOT / "README.md").read_text(), as_data(results)
    assert SECRET not in json.dumps(data)
    assert with_tables(readme, data) == readme, "Run `make report`, and commit the README."
