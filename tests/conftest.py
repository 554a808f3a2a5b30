"""The services that the tests talk to: started once for each state that a chosen test needs, stopped at the end."""

import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from service import APPS, ROOT, Service

SECRET = secrets.token_urlsafe(32)
PREVIOUS = 'any text: ünï "$(x)" \\ ;{}#%d <b>, a comma, voilà'  # the last byte is 0xA0, a space in Latin-1
STATES = {
    "configured": {"SHARED_SECRET": SECRET},
    "unset": {},
    "blank": {"SHARED_SECRET": " \t\n", "SHARED_SECRET_PREVIOUS": PREVIOUS},
    "rotation": {"SHARED_SECRET": f" {SECRET}\n", "SHARED_SECRET_PREVIOUS": PREVIOUS, "WEB_CONCURRENCY": "2"},
    "behind-proxy": {"SHARED_SECRET": SECRET, "FORWARDED_ALLOW_IPS": "127.0.0.1"},
    "files": {"SHARED_SECRET": SECRET, "SHARED_SECRET_FILE": "current", "SHARED_SECRET_PREVIOUS_FILE": "previous"},
    "crash": {"SHARED_SECRET": SECRET},
    "redirect": {"SHARED_SECRET": SECRET, "HTTPS_REDIRECT": "1"},
    "redirect-behind-proxy": {"SHARED_SECRET": SECRET, "HTTPS_REDIRECT": "1", "FORWARDED_ALLOW_IPS": "127.0.0.1"},
}
COPIED = ("files", "crash")  # run from a copy: the files lie in its folder, the fault in its code
WORKS = '{"message": "Access granted"}'


def build(app: str, state: str, folder: Path) -> Service:
    """Return a service, not started, with its log and its copy in the folder."""
    log = folder / "log"
    log.touch()
    if state not in COPIED:
        return Service(app, STATES[state], log)
    copy = folder / app
    shutil.copytree(ROOT / "apps" / app, copy)
    if state == "crash":
        code = (copy / "app.py").read_text()
        assert code.count(WORKS) == 1, f"apps/{app}/app.py has to say {WORKS} once, for a test to put a fault there"
        (copy / "app.py").write_text(code.replace(WORKS, "{}[0]"))
    return Service(app, STATES[state], log, copy)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests be narrowed to one app."""
    parser.addoption("--app", choices=APPS, help="leave out the tests of the other apps")


def pytest_configure() -> None:
    """End on SIGTERM and SIGHUP as on Ctrl-C, so that no server is left running; ask no proxy for what runs here."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    os.environ["NO_PROXY"] = "127.0.0.1"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes an app on every app, unless it says on which."""
    named = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "app" in metafunc.fixturenames and not any("app" in (names, *names) for names in named):
        metafunc.parametrize("app", APPS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of the apps that were not asked for."""
    chosen = config.getoption("app")
    others = [item for item in items if chosen and parameters(item).get("app", chosen) != chosen]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def parameters(item: pytest.Item) -> dict[str, object]:
    """Return the parameters of a test."""
    return item.callspec.params if hasattr(item, "callspec") else {}


@pytest.fixture(scope="session")
def services(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Service]]:
    """Give the running service of an app in a state; all that the chosen tests need are started side by side."""
    needed = {
        (str(values["app"]), str(values["state"])): None
        for values in map(parameters, request.session.items)
        if {"app", "state"} <= values.keys()
    }
    built = {(app, state): build(app, state, tmp_path_factory.mktemp(f"{app}-{state}")) for app, state in needed}
    with ThreadPoolExecutor(max_workers=4) as pool:
        started = {key: pool.submit(service.__enter__) for key, service in built.items()}
        try:
            yield lambda app, state: started[app, state].result()
        finally:
            for future in started.values():
                future.cancel()
            running = [future for future in started.values() if not future.cancelled()]
            list(pool.map(lambda future: future.exception() or future.result().stop(), running))


@pytest.fixture
def service(services: Callable[[str, str], Service], app: str, state: str) -> Service:
    """Give the running service that a test is about."""
    return services(app, state)
