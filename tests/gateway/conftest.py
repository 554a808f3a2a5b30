"""What the tests of the gateway share: the gateways that they start, and how checks run with broken ones."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from shared.apps import APPS, ROOT
from tests.contract.case import Case, Result
from tests.contract.target import Target
from tests.gateway.checks import BROKEN_GATEWAYS, BrokenGateway, Running, Start, started
from tests.gateway.contract import checked
from tests.gateway.runner import HAPROXY, Edit, Gateway, System, as_it_is, waiting
from tests.processes import Service
from tests.selection import parameters, values

AT_ONCE = 3  # broken gateways
OUTCOMES = pytest.StashKey[Mapping[BrokenGateway, Future[None]]]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each check with the gateway as it is, and with the broken ones that have to fail it."""
    if broken := BROKEN_GATEWAYS.get(metafunc.function):
        ids = ["as it is", *(gateway.defect for gateway in broken)]
        metafunc.parametrize("broken_gateway", [None, *broken], ids=ids)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the tests that need haproxy where there is none: here, and not in a fixture, for one line in the summary."""
    if not HAPROXY and "haproxy" in getattr(item, "fixturenames", ()):
        pytest.skip("These need haproxy: `apt install haproxy` or `brew install haproxy`.")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Take the outcome of a check with a broken gateway from the background; pytest runs every other test."""
    broken = parameters(pyfuncitem).get("broken_gateway")
    if not isinstance(broken, BrokenGateway):
        return None
    pyfuncitem.session.stash[OUTCOMES][broken].result()
    return True


@pytest.fixture(scope="session")
def haproxy() -> str:
    """Give the path of haproxy; without one, the tests that need this are skipped."""
    assert HAPROXY
    return HAPROXY


@pytest.fixture(scope="session")
def ready(haproxy: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Give the gateway as it is, and its origin, for tests that leave both as they were."""
    with started(tmp_path_factory.mktemp("gateway"), as_it_is) as running:
        yield running


@pytest.fixture(scope="session")
def background(
    haproxy: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Run the selected checks with their broken gateways in the background, ahead of the tests that ask for them."""
    chosen = [value for value in values(request.session.items, "broken_gateway") if isinstance(value, BrokenGateway)]
    pool = ThreadPoolExecutor(AT_ONCE)
    request.session.stash[OUTCOMES] = {
        broken: pool.submit(broken.fail, tmp_path_factory.mktemp("broken")) for broken in chosen
    }
    try:
        yield
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def broken_gateway() -> None:
    """Give nothing to tests that are not checks."""


@pytest.fixture
def start(
    ready: Running,
    tmp_path: Path,
    broken_gateway: BrokenGateway | None,  # so that every test that takes `start` can have this parameter
    background: None,  # so that the checks with broken gateways begin with the first of them
) -> Start:
    """Give what starts a gateway; without an edit, settings and a certificate it gives the one that is shared."""

    @contextmanager
    def start(edit: Edit = as_it_is, config: Mapping[str, str] | None = None, cert: bytes = b"") -> Iterator[Running]:
        if edit is as_it_is and not config and not cert:
            ready[1].received.clear()
            yield ready
        else:
            with started(tmp_path, as_it_is, edit, config, cert) as running:
                yield running

    return start


@pytest.fixture(scope="session")
def system(haproxy: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Give a gateway with two real origins, which read the secret from its files; the other three are down."""
    folder = tmp_path_factory.mktemp("system")
    gateway = Gateway(folder, {}, waiting(2.0))
    files = {"SHARED_SECRET_FILE": "shared_secret", "SHARED_SECRET_PREVIOUS_FILE": "shared_secret_previous"}
    config = {name: str(gateway.file(file)) for name, file in files.items()}
    with ExitStack() as stack:
        origins = {}
        for app in ("falcon", "fastapi"):
            log = tmp_path_factory.mktemp(app) / "log"
            log.touch()
            home = ROOT / "apps" / app
            origins[app] = stack.enter_context(Service(app, APPS[app].command, home, config, log))
        gateway.command += [f"{app}={service.address.port}" for app, service in origins.items()]
        stack.enter_context(gateway)
        for app in origins:
            gateway.wait_for_origin(app)
        yield gateway, origins


@pytest.fixture
def case_result(case: Case, target: Target) -> Result:
    """Give the result of a case of the contract, run through the gateway; skip a case that cannot be checked there."""
    return checked(case, target)
