"""The contract, case by case, on every app."""

import json
from dataclasses import replace

import pytest

from shared.apps import APPS
from tests.apps.documents import is_whole, versions, with_results
from tests.apps.known import BASELINE, KNOWN, known_status
from tests.apps.running import SECRET
from tests.background import RunCase
from tests.contract.case import Case, Exchange
from tests.contract.groups import CASES, EXCHANGES
from tests.contract.http1 import Response
from tests.contract.report import Results, as_data
from tests.contract.target import Target

OPEN_EXCHANGES = [case for case in EXCHANGES if case.expected.is_open]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_case(app: str, case: Case, run_case: RunCase, results: Results, pytestconfig: pytest.Config) -> None:
    """A failure names the app, the case and what was sent, and says what a service should do instead."""
    result = run_case(app, case)
    known = None if pytestconfig.getoption("granian") else BASELINE.get((case.name, app))
    if known and result.outcome == "failed":
        result = replace(result, outcome="known", reason=known)
    results.setdefault(app, {})[case.name] = result
    if result.outcome == "known":
        pytest.xfail(f"{'; '.join(result.problems)}. {known}")
    assert not known, f"{case.name} is in BASELINE, and {app} passes now: take it out"
    if result.outcome == "not checked" and case.group == "http2":
        pytest.skip(result.reason)
    if result.outcome != "passed":
        pytest.fail(f"{app}, {case.name}: {result.describe(case)}", pytrace=False)


@pytest.mark.parametrize("case", OPEN_EXCHANGES, ids=lambda case: case.name)
def test_answers_are_those_that_are_known(app: str, case: Exchange, targets: dict[str, Target]) -> None:
    """Where the contract leaves the answer open, each app answers as it did before."""
    got = targets[app].ask(case.state, case.sent)
    assert isinstance(got, Response), got
    assert got.status == known_status(case.name, app)


def test_what_is_known_is_about_cases_that_exist() -> None:
    """Nothing is listed for a case or an app that is gone, and a case is known by its name."""
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)
    assert KNOWN.keys() <= {case.name for case in OPEN_EXCHANGES}
    differing = {app for known in KNOWN.values() if not isinstance(known, int) for app in known}
    assert differing <= {"default", *APPS}
    assert BASELINE.keys() <= {(name, app) for name in names for app in APPS}


def test_documents_show_the_contract_and_what_was_measured(results: Results) -> None:
    """Their tables are what `make report` would write."""
    if not is_whole(results):
        pytest.skip("the tables are about all cases on all apps, and not all were run")
    assert SECRET not in json.dumps(as_data(results, versions()))
    for path, text in with_results(results).items():
        assert path.read_text() == text, f"Run `make report`, and commit {path.name}."
