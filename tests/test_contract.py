"""The contract, case by case, on every app."""

from http.client import HTTPException

import pytest
from conftest import PREVIOUS, SECRET
from contract import CASES, ERROR_FIELD, Case, fill
from service import Service
from wire import exchange


@pytest.mark.parametrize(("case", "state"), [pytest.param(case, case.state, id=case.name) for case in CASES])
def test_case(app: str, case: Case, service: Service) -> None:
    """A failure names the app, the case and what was sent, and says what a service should do instead."""
    try:
        got = exchange(service.port, fill(case.sent, SECRET, PREVIOUS))
    except (OSError, HTTPException) as error:
        wrong, came = [f"there was no answer: {error!r}"], "nothing"
    else:
        wrong, came = case.answer.mismatches(got, ERROR_FIELD[app]), f"{got.status} {got.body[:300]!r}"
    if wrong:
        report = [
            f"{app}, {case.state}, {case.name}: {'; '.join(wrong)}",
            f"sent:     {case.sent[:300]!r}",
            f"expected: {case.answer}",
            f"got:      {came}",
            f"mend:     {case.hint}",
        ]
        pytest.fail("\n".join(report), pytrace=False)


def test_names_are_stable_and_single() -> None:
    """A case is known by its name."""
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)
