"""The contract itself: a careful service passes it, and each case fails on the service broken in just that way."""

import pytest

from tests.background import RunCase
from tests.broken.table import BROKEN
from tests.contract.case import Case
from tests.contract.groups import CASES


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
@pytest.mark.parametrize(("kind", "outcome"), [("careful", "passed"), ("broken", "failed")])
def test_careful_passes_and_broken_fails(case: Case, kind: str, outcome: str, run_case: RunCase) -> None:
    """The contract can be met, and it can fail."""
    result = run_case(kind, case)
    assert result.outcome == outcome, f"the {kind} service: {result.describe(case)}"


def test_every_case_has_a_broken_service() -> None:
    """And every broken service is that of a case."""
    assert BROKEN.keys() == {case.name for case in CASES}
