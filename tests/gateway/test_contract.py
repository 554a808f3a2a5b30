"""The contract, run through the gateway, with a client's key as the secret."""

import pytest

from tests.contract.case import Case, Result
from tests.contract.target import Target
from tests.gateway.contract import CHECKABLE, as_target
from tests.gateway.runner import System


@pytest.fixture(scope="session")
def target(system: System) -> Target:
    """Give the gateway as the target."""
    return as_target(system[0].instance(), system[0].key())


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CHECKABLE])
def test_contract_through_the_gateway(case: Case, case_result: Result) -> None:
    """The gateway is a service that answers only clients with a key, which is what the contract requires."""
    assert case_result.outcome == "passed", case_result.describe(case)
