"""What an app does as a whole: over time, in its log, at its start, and when its own code fails."""

import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from shared.app.shared_secret import HEADER
from tests.apps.running import PREVIOUS, SECRET
from tests.contract.http1 import NO_ANSWER, exchange
from tests.contract.supervised import write_secret
from tests.processes import STOP_DEADLINE, Service

DEADLINE = 30.0  # seconds; a changed file takes effect within one, and a busy machine is slower than that


def status(service: Service, secret: str | None = None) -> int:
    """Return the status of GET /protected."""
    headers = {} if secret is None else {HEADER: secret.encode()}
    return requests.get(f"{service.url}/protected", headers=headers, timeout=DEADLINE).status_code


@pytest.mark.parametrize("state", ["configured"])
def test_granted_and_refused(service: Service) -> None:
    """An ordinary client gets 200 with the secret and 401 without."""
    assert status(service, SECRET) == 200
    assert status(service) == 401
    assert status(service, "wrong") == 401


@pytest.mark.parametrize("state", ["unset"])
def test_not_configured_says_so_in_the_log(service: Service) -> None:
    """A service without a secret answers 500, and its log names what to set."""
    assert status(service, SECRET) == 500
    assert "SHARED_SECRET" in service.log()
    assert "SHARED_SECRET_FILE" in service.log()


@pytest.mark.parametrize("state", ["changing-files"])
def test_secret_files_change_under_a_running_server(service: Service) -> None:
    """From not configured to a secret and back, without a restart; the file wins over the variable."""
    current, previous = service.folder / "current", service.folder / "previous"
    steps: list[tuple[str | None, str | None, dict[str, int]]] = [
        (None, None, {"old": 500, SECRET: 500, "": 500}),
        ("old\n", None, {"old": 200, "new": 401, SECRET: 401}),
        (None, PREVIOUS, {"old": 500, "new": 500, PREVIOUS: 500}),
    ]
    for number, (new_current, new_previous, expected) in enumerate(steps):
        write_secret(previous, new_previous)
        write_secret(current, new_current)
        deadline = time.monotonic() + DEADLINE
        while (got := {secret: status(service, secret) for secret in expected}) != expected:
            assert time.monotonic() < deadline, f"step {number}: {got} instead of {expected}"
            time.sleep(0.1)
    assert "SHARED_SECRET_FILE" in service.log()


@pytest.mark.parametrize("state", ["configured"])
def test_access_log(service: Service) -> None:
    """It names method, path and status."""
    requests.get(f"{service.url}/seen", timeout=DEADLINE)
    assert status(service, SECRET) == 200
    service.wait_for_log("GET /seen")
    assert re.search(r"GET /seen\b.* 401\b", service.log())
    assert re.search(r"GET /protected\b.* 200\b", service.log())


@pytest.mark.parametrize("state", ["configured"])
@pytest.mark.parametrize("path", [b"/%ff", b"/%E2%82%AC", b"/caf\xc3\xa9", b"/%0d%0a"])
def test_access_log_of_an_odd_path(path: bytes, service: Service) -> None:
    """It is logged on one line, in ASCII, and without a traceback."""
    mark = secrets.token_hex(8).encode()
    with suppress(*NO_ANSWER):  # a server may refuse it
        exchange(service.address, b"GET " + path + mark + b" HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        if b"%" in path:
            service.wait_for_log(f"GET {path.decode()}{mark.decode()} ")
    service.log().encode("ascii")
    assert "Traceback" not in service.log()


@pytest.mark.parametrize("state", ["configured", "rotation"])
def test_leaves_no_files(service: Service) -> None:
    """Nothing is written to the home directory."""
    assert status(service, SECRET) == 200
    assert list(service.home.iterdir()) == []


@pytest.mark.parametrize("state", ["crash"])
def test_unhandled_error(service: Service) -> None:
    """A handler that raises is a JSON 500 without a traceback for the client, and a traceback in the log."""
    headers = {HEADER: SECRET, "Accept": "text/html", "Referer": SECRET, "User-Agent": SECRET, "Cookie": f"a={SECRET}"}
    response = requests.get(f"{service.url}/protected?a={SECRET}", headers=headers, timeout=DEADLINE)
    assert response.status_code == 500
    assert response.headers["Content-Type"] == "application/json"
    assert isinstance(response.json(), dict)
    assert "KeyError" not in response.text
    service.wait_for_log("KeyError: 0")
    assert "Traceback" in service.log()
    assert SECRET not in service.log()
    assert status(service) == 401


@pytest.mark.parametrize("state", ["configured"])
def test_port_taken(app: str, service: Service, tmp_path: Path) -> None:
    """One clear line and a status that is not 0."""
    log, port = tmp_path / "log", str(service.address.port)
    second = Service(
        app, service.command, service.folder, {"SHARED_SECRET": SECRET, "PORT": port}, log, service.programs
    )
    process = second.spawn()
    try:
        assert process.wait(STOP_DEADLINE) != 0
    finally:
        process.kill()
    errors = [line for line in log.read_text().splitlines() if port in line]
    assert len(errors) == 1, log.read_text()
    assert "Traceback" not in log.read_text()
    assert "in use" in errors[0]


@pytest.mark.parametrize(("app", "document"), [("fastapi", "/openapi.json"), ("litestar", "/schema/openapi.json")])
@pytest.mark.parametrize("state", ["configured"])
def test_openapi_describes_the_header(document: str, service: Service) -> None:
    """The OpenAPI document has a security scheme for the header, and the protected path asks for it."""
    described = requests.get(service.url + document, headers={HEADER: SECRET}, timeout=DEADLINE).json()
    schemes = described["components"]["securitySchemes"]
    wanted = {"type": "apiKey", "in": "header", "name": HEADER}
    names = {name for name, scheme in schemes.items() if wanted.items() <= scheme.items()}
    asked = [*described.get("security", []), *described["paths"]["/protected"]["get"].get("security", [])]
    assert names & {name for requirement in asked for name in requirement}


@pytest.mark.parametrize("app", ["fastapi"])
class TestHttpsRedirect:
    """HTTPS_REDIRECT=1, in front of the check."""

    @pytest.mark.parametrize("state", ["redirect", "redirect-behind-proxy"])
    @pytest.mark.parametrize("headers", [{}, {HEADER: SECRET}, {"X-Forwarded-Proto": "http"}])
    def test_plain_http(self, service: Service, headers: dict[str, str]) -> None:
        """Plain HTTP is redirected, with the secret or without."""
        got = requests.get(f"{service.url}/protected", headers=headers, timeout=DEADLINE, allow_redirects=False)
        assert got.status_code in (301, 307, 308)
        assert got.headers["Location"] == f"https://127.0.0.1:{service.address.port}/protected"

    @pytest.mark.parametrize(("state", "expected"), [("redirect", 307), ("redirect-behind-proxy", 200)])
    def test_forwarded_proto(self, service: Service, expected: int) -> None:
        """X-Forwarded-Proto is believed only when it comes from a proxy that the server was given."""
        headers = {HEADER: SECRET, "X-Forwarded-Proto": "https"}
        got = requests.get(f"{service.url}/protected", headers=headers, timeout=DEADLINE, allow_redirects=False)
        assert got.status_code == expected

    @pytest.mark.parametrize("state", ["redirect"])
    @pytest.mark.parametrize("host", [b"[", b"a:99999", b"a:b", b"", b"\xe9", b"a b", b"u@h:80"])
    def test_odd_host(self, service: Service, host: bytes) -> None:
        """No Host field makes it fail."""
        got = exchange(service.address, b"GET /protected HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
        assert 300 <= got.status < 500
