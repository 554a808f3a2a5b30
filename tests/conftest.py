"""The services that the tests talk to: each started once in each state that a test needs, and stopped at the end."""

import os
import resource
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import broken
import document
import pytest
import trials
from broken import BROKEN, Origin, served
from case import Case, Exchange, Result
from contract import CASES
from report import Results, write_report
from service import APPS, FAULTS, ROOT, Service, end_all, start_command, with_fault
from target import STATES, Instance, Target, environ
from wire import DEADLINE, Address

SECRET = secrets.token_urlsafe(32)
PREVIOUS = 'any text: ünï "$(x)" \\ ;{}#%d <b>, a comma, voilà'  # the last byte is 0xA0, a space in Latin-1
OWN_STATES = STATES | {  # and those that only tests of these apps need
    "crash": STATES["configured"],
    "changing-files": STATES["files"],
    "redirect": {**STATES["configured"], "HTTPS_REDIRECT": "1"},
    "redirect-behind-proxy": {**STATES["behind-proxy"], "HTTPS_REDIRECT": "1"},
}
FILES = 4096  # that may be open at once
RESULTS = pytest.StashKey[Results]()
IN_THE_BACKGROUND = ("load", "rotate", "stop")  # groups of cases that take long, most of it waiting


def build(app: str, state: str, starter: Path | None, folder: Path) -> Service:
    """Return a service, not started, with its log in the folder; and a copy of the app, where it has to be another."""
    log, home = folder / "log", starter or ROOT / "apps" / app
    log.touch()
    if state in FAULTS or "SHARED_SECRET_PREVIOUS_FILE" in OWN_STATES[state]:
        home = Path(shutil.copytree(home, folder / app, ignore=shutil.ignore_patterns(".venv")))
        code = home / "app.py"
        code.write_text(with_fault(code.read_text(), state))
    programs = starter and starter / ".venv" / "bin"
    return Service(app, start_command(home), home, environ(OWN_STATES[state], SECRET, PREVIOUS), log, programs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests be narrowed to one app."""
    parser.addoption("--app", choices=APPS, help="leave out the tests of the other apps")
    parser.addoption("--copies", action="store_true", help="test copies of the apps, set up as their READMEs say")
    parser.addoption("--report", type=Path, help="write how the contract went to this folder, as HTML and as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """End on SIGTERM and SIGHUP as on Ctrl-C, so that no server is left running; ask no proxy for what runs here."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    os.environ.update(document.NO_PROXY)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < enough:  # hundreds of clients at once
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
    config.stash[RESULTS] = {}


def pytest_keyboard_interrupt() -> None:
    """End at once what runs, so that nothing has to be waited for."""
    trials.abandoned.set()
    end_all()


def pytest_unconfigure() -> None:
    """Leave no process running, however the session has ended."""
    end_all()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report where one was asked for."""
    if folder := session.config.getoption("--report"):
        write_report(folder, session.config.stash[RESULTS])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes an app on every app, unless it says on which."""
    named = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "app" in metafunc.fixturenames and not any("app" in (names, *names) for names in named):
        metafunc.parametrize("app", APPS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the apps that were not asked for; last comes what runs in the background, and then what looks back."""
    chosen = config.getoption("app")
    others = [item for item in items if chosen and parameters(item).get("app", chosen) != chosen]
    config.hook.pytest_deselected(items=others)

    def turn(item: pytest.Item) -> int:
        case = parameters(item).get("case")
        if not isinstance(case, Case):
            return 3 if "results" in getattr(item, "fixturenames", ()) else 0
        return 2 if case.group == "leak" else case.group in IN_THE_BACKGROUND

    items[:] = sorted((item for item in items if item not in others), key=turn)


def parameters(item: pytest.Item) -> dict[str, object]:
    """Return the parameters of a test."""
    return item.callspec.params if hasattr(item, "callspec") else {}


Services = Callable[[str, str], Service]
Family = Callable[[str, Case], AbstractContextManager[Target]]
Put = Callable[[str, Case], Result]


@pytest.fixture(scope="session")
def starters(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give the folder of each app's copy, outside the repository, with what its README says to install; or none."""
    if not request.config.getoption("--copies"):
        return {}
    folder = tmp_path_factory.mktemp("starters")
    apps = sorted({str(values["app"]) for values in map(parameters, request.session.items) if "app" in values})
    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(apps, pool.map(lambda app: set_up(app, folder / app), apps), strict=True))


def set_up(app: str, folder: Path) -> Path:
    """Copy an app to a folder that is not there yet, and do what its README says before the server is started."""
    document.run(f"cp -r apps/{app} {folder}; rm -rf {folder}/.env {folder}/.venv", ROOT)
    commands = document.readme_code(folder, "Run")[0].splitlines()
    document.run("\n".join(commands[:-1]), folder)
    return folder


@pytest.fixture(scope="session")
def services(
    request: pytest.FixtureRequest, starters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    """Give the running service of an app in a state; what tests are known to need is started side by side, ahead."""
    started: dict[tuple[str, str], Future[Service]] = {}
    lock = threading.Lock()
    with ThreadPoolExecutor(max_workers=4) as pool:

        def start(app: str, state: str) -> Future[Service]:
            with lock:
                if (app, state) not in started:
                    service = build(app, state, starters.get(app), tmp_path_factory.mktemp(f"{app}-{state}"))
                    started[app, state] = pool.submit(service.__enter__)
                return started[app, state]

        for values in map(parameters, request.session.items):
            case = values.get("case")
            state = case.state if isinstance(case, Exchange) else values.get("state")
            if "app" in values and state:
                start(str(values["app"]), str(state))
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
def targets(services: Services) -> dict[str, Target]:
    """Give every app as what the contract is put to."""
    return {
        app: Target(app, lambda state, app=app: services(app, state).instance(), SECRET, PREVIOUS)  # type: ignore[misc]
        for app in APPS
    }


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """Give the service that is right, or the one that is broken in the way that a case was made for."""
    folders = tmp_path_factory.mktemp("family")

    @contextmanager
    def target(member: str, case: Case) -> Iterator[Target]:
        kind = BROKEN[case.name] if member == "broken" else Origin
        with ExitStack() as running:

            def start(state: str) -> Instance:
                folder = Path(tempfile.mkdtemp(dir=folders))
                config = environ(STATES[state], SECRET, Target.previous)
                if state in ("crowded", "files", "slow"):  # these are measured, restarted, stopped
                    log = folder / "log"
                    log.touch()
                    command = [sys.executable, broken.__file__, member, case.name, state]
                    return running.enter_context(Service(member, command, folder, config, log)).instance()
                origin = kind(config)
                address = Address("127.0.0.1", running.enter_context(served(origin)))
                return Instance(address, lambda: "\n".join(origin.lines), os.getpid())

            yield Target(member, start, SECRET, deadline=DEADLINE if member == "right" else 2)

    return target


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Results:
    """Give where the outcomes of the contract are kept, by app and name of the case, for the report."""
    return request.config.stash[RESULTS]


@pytest.fixture(scope="session")
def put(request: pytest.FixtureRequest, targets: dict[str, Target], family: Family) -> Iterator[Put]:
    """Give what puts a case to a service, by its name; those that take long were begun when the first was asked for.

    Each service has them one after the other, so that they do not disturb each other.
    """
    pools = {name: ThreadPoolExecutor(max_workers=1) for name in (*APPS, "right")}
    pools["broken"] = ThreadPoolExecutor(max_workers=3)
    stack = ExitStack()
    asked = targets | {"right": stack.enter_context(family("right", CASES[0]))}

    def now(name: str, case: Case) -> Result:
        if name in asked:
            return case.put(asked[name])
        with family(name, case) as target:
            return case.put(target)

    begun = {
        (name, case.name): pools[name].submit(now, name, case)
        for values in map(parameters, request.session.items)
        if isinstance(case := values.get("case"), Case)
        if isinstance(name := values.get("app", values.get("member")), str)
        if case.group in IN_THE_BACKGROUND
    }
    try:
        yield lambda name, case: begun[name, case.name].result() if (name, case.name) in begun else now(name, case)
    finally:
        trials.abandoned.set()
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)
        stack.close()
