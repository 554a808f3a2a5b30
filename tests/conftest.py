"""Options, signals, the order of the tests, and what runs cases; other fixtures are in tests/*/."""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from enum import IntEnum

import pytest

from shared.apps import APPS
from tests.background import SLOW_GROUPS, Background, RunCase
from tests.commands import NO_PROXY
from tests.contract import waiting
from tests.contract.case import Case, Result
from tests.contract.target import Target
from tests.processes import end_all
from tests.selection import parameters

pytest_plugins = ["tests.apps.fixtures", "tests.broken.fixtures"]
FILES = 4096  # that may be open at once: hundreds of clients


class Phase(IntEnum):
    """When a test runs."""

    FIRST = 0
    BACKGROUND = 1  # its case has been running since the first one was asked for
    LOGS = 2  # it looks at what all others have left in the logs
    RESULTS = 3  # it looks at the results of all others


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests be narrowed to one app."""
    parser.addoption("--app", choices=list(APPS), help="leave out the tests of the other apps")


def pytest_configure() -> None:
    """End on SIGTERM and SIGHUP as on Ctrl-C, so that no server is left running; ask no proxy for what runs here."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    os.environ.update(NO_PROXY)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def pytest_keyboard_interrupt() -> None:
    """End at once what runs, so that nothing has to be waited for."""
    waiting.interrupted.set()
    end_all()


def pytest_unconfigure() -> None:
    """Leave no process running, however the session has ended."""
    end_all()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes an app on every app, unless it says on which."""
    named = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "app" in metafunc.fixturenames and not any("app" in (names, *names) for names in named):
        metafunc.parametrize("app", list(APPS))


def phase(item: pytest.Item) -> Phase:
    """Return when a test runs."""
    case = parameters(item).get("case")
    if not isinstance(case, Case):
        return Phase.RESULTS if "results" in getattr(item, "fixturenames", ()) else Phase.FIRST
    if case.group == "leak":
        return Phase.LOGS
    return Phase.BACKGROUND if case.group in SLOW_GROUPS else Phase.FIRST


def is_wanted(item: pytest.Item) -> bool:
    """Return whether a test is about the app, and what is required of the server, that were asked for."""
    app, case = (parameters(item).get(name) for name in ("app", "case"))
    if app and item.config.getoption("app") not in (None, app):
        return False
    if not item.config.getoption("granian") or not isinstance(case, Case):
        return True
    required = case.requirement.level_at("gateway") == "required"
    return APPS[str(app)].on_granian and required and case.group != "leak"  # it keeps no log of requests


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not asked for, and put the tests in their order."""
    others = [item for item in items if not is_wanted(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = sorted((item for item in items if item not in others), key=phase)


@pytest.fixture(scope="session")
def run_case(
    request: pytest.FixtureRequest,
    targets: dict[str, Target],
    careful_target: Target,
    broken_target: Callable[[Case], AbstractContextManager[Target]],
) -> Iterator[RunCase]:
    """Give what runs a case against an app by its name, against the careful service, or against the broken one."""
    lasting = {**targets, "careful": careful_target}

    def run(name: str, case: Case) -> Result:
        if name in lasting:
            return case.run(lasting[name])
        with broken_target(case) as target:
            return case.run(target)

    background = Background(run, lasting)
    for item in request.session.items:
        case, name = parameters(item).get("case"), parameters(item).get("app") or parameters(item).get("kind")
        if isinstance(case, Case) and isinstance(name, str):
            background.begin(name, case)
    try:
        yield background.result
    finally:
        background.stop()
