"""The contract by URL against services in other languages: the right ones pass, those with a fault are rejected.

The many with a fault take more than a minute: `make test-copies`.
"""

import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from shared.docs.render import SERVICES
from tests.broken.languages import FAULTS
from tests.languages import Checked, check, missing
from tests.selection import parameters

AT_ONCE = 2  # services
SECRET = secrets.token_urlsafe(32)
RIGHT = "right"
VARIANTS = [(language, what) for language in FAULTS for what in (RIGHT, *FAULTS[language])]

Checks = dict[tuple[object, object], Future[Checked]]


@pytest.fixture(scope="module")
def checks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checks]:
    """Give the checks of the services that were selected, by language and fault; two run at a time."""
    folder = tmp_path_factory.mktemp("languages")
    begun: Checks = {}
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for number, (language, what) in enumerate(VARIANTS):
            service = SERVICES[language]
            if not missing(service) and any(
                (found.get("language"), found.get("what")) == (language, what)
                for found in map(parameters, request.session.items)
            ):
                fault = FAULTS[language].get(what)
                code = fault.made_in(service.code) if fault else service.code
                place = folder / language / str(number)
                begun[language, what] = pool.submit(check, service, code, place, SECRET, bool(fault and fault.logs))
        yield begun
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(
    ("language", "what"),
    [pytest.param(*names, marks=() if names[1] == RIGHT else pytest.mark.copies) for names in VARIANTS],
)
def test_service(language: str, what: str, checks: Checks) -> None:
    """The exit status is 0 for the right service, and 1 for each that has a fault."""
    if programs := missing(SERVICES[language]):
        pytest.skip(f"There is no {' and no '.join(programs)}.")
    checked = checks[language, what].result()
    assert checked.status == (what != RIGHT), checked.output
