"""The gateway as a target of the contract: a service that answers only clients with a key."""

import pytest

from tests.contract.case import Case, Result
from tests.contract.groups import CASES
from tests.contract.target import Instance, NotCheckedError, Target

OTHER_STATES = ("config", "rotate", "stop")  # these groups need a service that is started in other ways
NOT_MET = (
    "errors/words",  # the gateway's errors are for clients, and have other words than an origin's
    "life/refused-upload",  # HAProxy closes the connection at once when it refuses a request whose body still comes
)
CHECKABLE = [case for case in CASES if case.group not in OTHER_STATES and case.name not in NOT_MET]
UNANSWERED = "wire/length-twice"  # HAProxy 3.2 fails this case: it closes the connection without an answer


def as_target(gateway: Instance, key: str) -> Target:
    """Return a gateway as a target of the contract, with a client's key as the secret."""

    def find(state: str) -> Instance:
        if state in ("configured", "behind-proxy", "crowded"):
            return gateway
        raise NotCheckedError(f"The gateway has no state {state}.")

    return Target("gateway", find, f"Bearer {key}", header="Authorization", protected="/falcon/protected")


def checked(case: Case, target: Target) -> Result:
    """Return the result of a case that is run through a gateway; skip one that cannot be checked there."""
    result = case.run(target)
    if result.outcome == "not checked":
        pytest.skip(result.reason)
    if case.name == UNANSWERED and result.outcome == "failed":
        pytest.xfail("HAProxy 3.2 closes the connection without an answer")
    return result
