"""The suite itself: it passes a service that is right, and rejects every service that is broken in one way."""

import pytest
from broken import BROKEN
from case import Case
from conftest import Put
from contract import CASES


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
@pytest.mark.parametrize(("member", "outcome"), [("right", "passed"), ("broken", "failed")])
def test_right_passes_and_broken_fails(case: Case, member: str, outcome: str, put: Put) -> None:
    """The contract can be met, and each case fails on the service that is broken in just that way."""
    result = put(member, case)
    assert result.outcome == outcome, f"the {member} service: {result.told(case)}"


def test_every_case_has_a_broken_service() -> None:
    """And no service is there for nothing."""
    assert BROKEN.keys() == {case.name for case in CASES}
