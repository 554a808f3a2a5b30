"""What people do with the servers, each on a copy of an app: other options, addresses, upgrades, reloads.

Each way to run an app is a function that takes the app's name and a new folder; several are tried at once.
"""

import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

from shared.app.shared_secret import HEADER
from shared.apps import APPS, ROOT
from tests.apps.running import SECRET
from tests.contract import http1
from tests.contract.waiting import pause, wait_until
from tests.processes import START_DEADLINE, STOP_DEADLINE, Service, end
from tests.selection import parameters

DEADLINE = 30.0  # seconds for a request
AT_ONCE = 4
BENCH = ROOT / ".venv" / "bench" / "bin"  # where httptools is installed
ACTIVATE = """
import os, socket
server = socket.create_server((os.environ["HOST"], int(os.environ["PORT"])))
server.fileno() == 3 or os.dup2(server.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), PORT=os.environ["TAKEN"])
os.execlp("gunicorn", "gunicorn")
"""
Way = Callable[[str, Path], None]


def copy(app: str, folder: Path, line: str, programs: Path | None = None, **config: str) -> Service:
    """Return a copy of an app as a service, not started; a person types the line in its folder.

    It has to listen on `$HOST` and `$PORT`; `$TAKEN` is a port that another server has.
    """
    home = Path(shutil.copytree(APPS[app].folder, folder / app, ignore=shutil.ignore_patterns("__pycache__")))
    (log := folder / "log").touch()
    return Service(app, ["sh", "-c", line], home, {"SHARED_SECRET": SECRET, **config}, log, programs)


@contextmanager
def port_of_another() -> Iterator[str]:
    """Give a port that another server has."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield str(other.getsockname()[1])


def serves_its_gateway(service: Service) -> None:
    """Check that the secret is needed, and enough."""
    for headers, expected in (({HEADER: SECRET}, 200), ({}, 401)):
        assert requests.get(f"{service.url}/protected", headers=headers, timeout=DEADLINE).status_code == expected


def fails_to_start(service: Service) -> list[str]:
    """Check that a service ends by itself, with a status that is not 0; return the lines that it has logged."""
    process = service.spawn()
    try:
        assert process.wait(STOP_DEADLINE) != 0
    finally:
        end(process)
    return service.log().splitlines()


def options(app: str, folder: Path) -> None:
    """The command line counts more than the configuration file: workers, address, access log."""
    line = "exec env PORT=$TAKEN gunicorn app:app -w 4 --bind $HOST:$PORT --access-logformat '%(m)s %(U)s: %(s)s.'"
    with port_of_another() as port, copy(app, folder, line, TAKEN=port) as service:
        serves_its_gateway(service)
        service.wait_for_log("\nGET /protected: 401.")
        assert "\nGET /protected: 200." in service.log()
        assert wait_until(lambda: service.log().count("Booting worker") == 4, START_DEADLINE), service.tail()


def other_folder(app: str, folder: Path) -> None:
    """The service is started from another folder."""
    line = "cd / && exec gunicorn --chdir $OLDPWD -c $OLDPWD/gunicorn.conf.py"
    with copy(app, folder, line) as service:
        serves_its_gateway(service)


def upgrade(app: str, folder: Path) -> None:
    """SIGUSR2 starts a second server on the same socket; while the first one ends, every request is answered."""
    with copy(app, folder, "exec gunicorn") as service:
        service.process.send_signal(signal.SIGUSR2)
        assert wait_until(lambda: service.log().count("Booting worker") == 2, START_DEADLINE), service.tail()
        service.process.terminate()
        while service.process.poll() is None:
            serves_its_gateway(service)
        serves_its_gateway(service)


def socket_activation(app: str, folder: Path) -> None:
    """The service manager listens, and hands its socket over: LISTEN_FDS."""
    with port_of_another() as port, copy(app, folder, f"exec python -c '{ACTIVATE}'", TAKEN=port) as service:
        serves_its_gateway(service)


def uvicorn(app: str, folder: Path) -> None:
    """The server's own command."""
    with copy(app, folder, "exec uvicorn app:app --host $HOST --port $PORT") as service:
        serves_its_gateway(service)


def reload(app: str, folder: Path) -> None:
    """While developing: the service comes back when what was wrong is fixed, and stays guarded."""
    with copy(app, folder, "exec uvicorn app:app --host $HOST --port $PORT --reload") as service:
        code = (file := service.folder / "app.py").read_text()
        file.write_text(code + "\n)\n")
        service.wait_for_log("SyntaxError")

        def comes_back() -> bool:
            pause(0.5)  # uvicorn does not see what is saved while it starts
            file.write_text(code.replace("Access granted", "Access granted again"))
            with suppress(requests.RequestException):
                got = requests.get(f"{service.url}/protected", headers={HEADER: SECRET}, timeout=10)
                return "Access granted again" in got.text
            return False

        assert wait_until(comes_back, START_DEADLINE), service.tail()
        serves_its_gateway(service)


def litestar_run(app: str, folder: Path) -> None:
    """The framework's own command."""
    with copy(app, folder, "exec litestar run --host $HOST --port $PORT") as service:
        serves_its_gateway(service)


def httptools(app: str, folder: Path) -> None:
    """A parser that takes trailers for header fields is not used, even when it is installed."""
    if not BENCH.exists():
        pytest.skip("needs .venv/bench, where httptools is installed: make lint")
    with copy(app, folder, f"python -c 'import httptools' && exec {APPS[app].start}", BENCH) as service:
        serves_its_gateway(service)
        trailer = f"0\r\n{HEADER}: {SECRET}\r\n\r\n".encode()
        sent = http1.request("/protected", b"Transfer-Encoding: chunked", host=b"Host: a.test", body=trailer)
        assert http1.exchange(service.address, sent).status == 401


def ipv6(app: str, folder: Path) -> None:
    """HOST may be an address of IPv6."""
    service = copy(app, folder, f"exec {APPS[app].start}", HOST="::1")
    service.address = http1.Address("::1", service.address.port)
    service.url = f"http://{service.address}"
    with service:
        serves_its_gateway(service)


def mapped_address(app: str, folder: Path) -> None:
    """A gateway that ends TLS is believed and not redirected forever, also when its address is ::ffff:127.0.0.1."""
    line = f"HTTPS_REDIRECT=1 WEB_CONCURRENCY=2 exec {APPS[app].start}"
    with copy(app, folder, line, HOST="::ffff:127.0.0.1") as service:
        service.wait_for_log("::ffff:127.0.0.1:")
        headers = {HEADER: SECRET, "X-Forwarded-Proto": "https"}
        assert requests.get(f"{service.url}/protected", headers=headers, timeout=DEADLINE).status_code == 200


def port_taken(app: str, folder: Path) -> None:
    """A line says which port is in use, without a traceback."""
    with port_of_another() as port:
        lines = fails_to_start(copy(app, folder, f"exec {APPS[app].start}", PORT=port))
    assert any(port in line and "in use" in line for line in lines), lines
    assert not any("Traceback" in line for line in lines), lines


def no_workers(app: str, folder: Path) -> None:
    """One line says what WEB_CONCURRENCY has to be."""
    (line,) = fails_to_start(copy(app, folder, f"exec {APPS[app].start}", WEB_CONCURRENCY="0"))
    assert "WEB_CONCURRENCY" in line


WAYS: dict[str, list[Way]] = {
    "WSGI": [port_taken, upgrade, options, other_folder, socket_activation, ipv6, no_workers],
    "ASGI": [reload, uvicorn, httptools, ipv6, port_taken],
}
TRIALS = [(app.name, way) for app in APPS.values() for way in WAYS[app.interface]]
TRIALS += [("litestar", litestar_run), ("fastapi", mapped_address)]


@pytest.fixture(scope="module")
def tried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, Way], Future[None]]]:
    """Give what comes of each way to run an app; all that are wanted are begun, some of them at once."""
    wanted = [(values["app"], values["way"]) for values in map(parameters, request.session.items) if "way" in values]
    trials = [(app, way, tmp_path_factory.mktemp(app)) for app, way in TRIALS if (app, way) in wanted]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {(app, way): pool.submit(way, app, folder) for app, way, folder in trials}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("app", "way"), TRIALS, ids=lambda value: getattr(value, "__name__", value))
def test_way(app: str, way: Way, tried: dict[tuple[str, Way], Future[None]]) -> None:
    """The app serves its gateway and nobody else, or says why it cannot start."""
    tried[app, way].result()
