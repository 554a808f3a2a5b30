"""Checks that the gateway has to pass and broken gateways have to fail, so that every check is known to work.

A check is a test that takes `start` and lists its defects with `fails_for`. It runs with the gateway as it is, and with
a broken gateway for each defect, which has to start and then to fail an assertion.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.contract.http1 import Response
from tests.gateway.origin import RecordingOrigin
from tests.gateway.runner import Edit, Gateway, as_it_is, gateway_before

OWN_GATEWAY = {"RATE": "100000"}  # with any setting, `start` does not give the gateway that checks share

Running = tuple[Gateway, RecordingOrigin]
Start = Callable[..., AbstractContextManager[Running]]  # takes an edit, settings and a certificate
Check = Callable[[Start], None]


@contextmanager
def started(
    folder: Path,
    breaking: Edit,
    edit: Edit = as_it_is,
    config: Mapping[str, str] | None = None,
    cert: bytes = b"",
) -> Iterator[Running]:
    """Run a gateway in front of a recording origin; `edit` is made first, and then the one that breaks it."""
    with (
        RecordingOrigin() as origin,
        gateway_before(origin, folder, lambda name, text: breaking(name, edit(name, text)), config, cert) as gateway,
    ):
        gateway.wait_for_origin("falcon")
        origin.received.clear()
        yield gateway, origin


@dataclass(frozen=True)
class BrokenGateway:
    """A gateway with one defect, the edit that makes it, and the check that it has to fail."""

    check: Check
    defect: str
    edit: Edit

    def fail(self, folder: Path) -> None:
        """Run the check with this gateway; raises AssertionError if it passes or does not start."""
        has_started = False

        @contextmanager
        def start(
            edit: Edit = as_it_is, config: Mapping[str, str] | None = None, cert: bytes = b""
        ) -> Iterator[Running]:
            nonlocal has_started
            with started(folder, self.edit, edit, config, cert) as running:
                has_started = True
                yield running

        try:
            self.check(start)
        except AssertionError as error:
            if not has_started:
                raise AssertionError(f"The broken gateway did not start: {error}") from error
        else:
            raise AssertionError("The broken gateway passes the check.")


BROKEN_GATEWAYS: dict[Check, list[BrokenGateway]] = {}


def fails_for(**defects: Edit) -> Callable[[Check], Check]:
    """Register a check with the defects that it has to find, and the edits that make them."""

    def register(check: Check) -> Check:
        BROKEN_GATEWAYS[check] = [BrokenGateway(check, defect, edit) for defect, edit in defects.items()]
        return check

    return register


def assert_problem(got: Response | None, status: int) -> None:
    """Check that an answer is an error in the form of RFC 9457 that may not be stored."""
    assert got
    assert (got.status, got.headers["Content-Type"]) == (status, "application/problem+json"), got
    assert got.json()["status"] == status
    assert got.json()["title"]
    assert got.headers["Cache-Control"] == "no-store"
