"""The apps that run: each is started once in each state that a test needs, and ended with the session; their report."""

import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.apps import APPS, ROOT
from tests.apps.documents import README, is_whole, quick_start, versions, with_answers, with_results
from tests.apps.running import SECRET, build, previous, set_up
from tests.contract.case import Exchange
from tests.contract.report import Results, write_report
from tests.contract.target import Target
from tests.processes import Service
from tests.selection import parameters, values

RESULTS = pytest.StashKey[Results]()
PATHS = (("GET", "/protected"), ("POST", "/protected"), ("GET", "/healthz"))  # routes of every app, and not one
Services = Callable[[str, str], Service]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let copies be tested instead of the apps, and a report be written."""
    parser.addoption("--copies", action="store_true", help="test copies of the apps, set up as their READMEs say")
    parser.addoption("--oldest", action="store_true", help="run the apps with the oldest versions that they allow")
    parser.addoption("--granian", action="store_true", help="run the apps on granian, as behind a gateway")
    parser.addoption("--report", type=Path, help="write how the contract went to this folder, as HTML and as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Begin without results."""
    config.stash[RESULTS] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report where one was asked for, and the documents if every case was run."""
    folder, results = session.config.getoption("--report"), session.config.stash[RESULTS]
    if folder:
        write_report(folder, results, versions())
        if is_whole(results):
            for path, text in with_results(results).items():
                path.write_text(text)
            with tempfile.TemporaryDirectory() as place:
                README.write_text(with_answers(quick_start(Path(place))))


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Results:
    """Give where the outcomes of the contract are kept, by app and name of the case, for the report."""
    return request.config.stash[RESULTS]


@pytest.fixture(scope="session")
def starters(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give the folder of each app's copy, outside the repository, with what its README says to install; or none."""
    marked = any(item.get_closest_marker("copies") for item in request.session.items)
    if not (marked or request.config.getoption("--copies")):
        return {}
    folder = tmp_path_factory.mktemp("starters")
    apps = [str(app) for app in values(request.session.items, "app")]
    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(apps, pool.map(lambda app: set_up(app, folder / app), apps), strict=True))


@pytest.fixture(scope="session")
def services(
    request: pytest.FixtureRequest, starters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    """Give the running service of an app in a state; what tests are known to need is started side by side, ahead."""
    other = next((name for name in ("oldest", "granian") if request.config.getoption(f"--{name}")), None)
    started: dict[tuple[str, str], Future[Service]] = {}
    lock = threading.Lock()
    with ThreadPoolExecutor(max_workers=4) as pool:

        def start(app: str, state: str) -> Future[Service]:
            with lock:
                if (app, state) not in started:
                    folder = tmp_path_factory.mktemp(f"{app}-{state}")
                    programs = ROOT / ".venv" / f"{other}-{app}" / "bin" if other else None
                    start = APPS[app].granian if other == "granian" else ""
                    service = build(app, state, starters.get(app), folder, programs, start)
                    started[app, state] = pool.submit(service.__enter__)
                return started[app, state]

        for wanted in map(parameters, request.session.items):
            case = wanted.get("case")
            state = case.state if isinstance(case, Exchange) else wanted.get("state")
            if "app" in wanted and state:
                start(str(wanted["app"]), str(state))
        try:
            yield lambda app, state: start(app, state).result()
        finally:
            for future in started.values():
                future.cancel()
            running = [future for future in started.values() if not future.cancelled()]
            list(pool.map(lambda future: future.exception() or future.result().stop(), running))


@pytest.fixture
def service(services: Services, app: str, state: str) -> Service:
    """Give the running service that a test is about."""
    return services(app, state)


@pytest.fixture(scope="session")
def targets(services: Services, pytestconfig: pytest.Config) -> dict[str, Target]:
    """Give every app as what the contract is run against."""
    granian = pytestconfig.getoption("granian")

    def target(app: str) -> Target:
        start = lambda state: services(app, state).instance()  # noqa: E731
        return Target(app, start, SECRET, previous(app, granian), paths=PATHS)

    return {app: target(app) for app in APPS}
