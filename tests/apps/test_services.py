"""What an app does as a whole: over time, in its log, at its start, and when its own code fails."""

import json
import re
import secrets
import subprocess
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests

from shared.app.shared_secret import HEADER
from shared.apps import APPS
from tests.apps.running import PREVIOUS, SECRET
from tests.contract.http1 import NO_ANSWER, exchange
from tests.contract.supervised import write_secret
from tests.processes import Service

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
    service.wait_for_log("GET /protected")
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
            service.wait_for_log(mark.decode())
    if mark.decode() in service.log():
        assert re.search(rf"GET /[\w%]+{mark.decode()}\b.* 401\b", service.log())
    service.log().encode("ascii")
    assert "Traceback" not in service.log()


@pytest.mark.parametrize("state", ["configured", "rotation"])
def test_leaves_no_files(service: Service) -> None:
    """Nothing is written to the home directory."""
    assert status(service, SECRET) == 200
    assert list(service.home.iterdir()) == []


@pytest.mark.parametrize("state", ["crash"])
def test_unhandled_error(app: str, service: Service) -> None:
    """A handler that raises is a 500 without a traceback for the client, and one traceback in the log."""
    headers = {HEADER: SECRET, "Accept": "text/html", "Referer": SECRET, "User-Agent": SECRET, "Cookie": f"a={SECRET}"}
    asgi = APPS[app].interface == "ASGI"  # its server answers, and logs the query of every request
    path = "/protected" if asgi else f"/protected?a={SECRET}"
    response = requests.get(service.url + path, headers=headers, timeout=DEADLINE)
    assert response.status_code == 500
    if asgi:
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    else:
        assert response.headers["Content-Type"] == "application/json"
        assert isinstance(response.json(), dict)
    assert "KeyError" not in response.text
    service.wait_for_log("KeyError: 0")
    assert status(service) == 401
    service.wait_for_log(" 401")
    assert service.log().count("Traceback") == 1
    assert SECRET not in service.log()


@pytest.mark.parametrize("state", ["configured"])
def test_health_check(service: Service) -> None:
    """The command in the Dockerfile tells a service that works from one that does not, also where asserts are off."""
    found = re.search(r"(?m)^HEALTHCHECK .* CMD (.+)", (service.folder / "Dockerfile").read_text())
    assert found
    command = [str(service.programs / "python"), *json.loads(found[1])[1:]]
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as broken:  # it answers 501
        thread = threading.Thread(target=broken.handle_request)
        thread.start()
        for port, healthy in ((service.address.port, True), (broken.server_port, False)):
            done = subprocess.run(
                command, env={"PORT": str(port), "PYTHONOPTIMIZE": "1"}, timeout=DEADLINE, check=False
            )
            assert (done.returncode == 0) == healthy
        thread.join()


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
@pytest.mark.parametrize("state", ["redirect", "redirect-behind-proxy"])
class TestHttpsRedirect:
    """HTTPS_REDIRECT=1, behind the check."""

    @pytest.mark.parametrize("scheme", [None, "http", "https"])
    def test_without_the_secret(self, service: Service, scheme: str | None) -> None:
        """It is a 401 over any scheme, because the redirect would tell others that there is a service."""
        got = self.get(service, scheme)
        assert got.status_code == 401

    @pytest.mark.parametrize("scheme", [None, "http"])
    def test_plain_http(self, service: Service, scheme: str | None) -> None:
        """With the secret, plain HTTP is redirected."""
        got = self.get(service, scheme, SECRET)
        assert got.status_code == 307
        assert got.headers["Location"] == f"https://127.0.0.1:{service.address.port}/protected"

    def test_forwarded_proto(self, service: Service) -> None:
        """X-Forwarded-Proto is believed, because only the gateway can have sent it."""
        assert self.get(service, "https", SECRET).status_code == 200

    def get(self, service: Service, scheme: str | None, secret: str | None = None) -> requests.Response:
        """Send GET /protected, and follow no redirect."""
        headers = {HEADER: secret, "X-Forwarded-Proto": scheme}
        return requests.get(f"{service.url}/protected", headers=headers, timeout=DEADLINE, allow_redirects=False)

    @pytest.mark.parametrize("host", [b"[", b"a:99999", b"a:b", b"", b"\xe9", b"a b", b"u@h:80"])
    def test_odd_host(self, service: Service, host: bytes) -> None:
        """No Host field makes it fail."""
        fields = b"\r\n".join([b"Host: " + host, f"{HEADER}: {SECRET}".encode(), b"Connection: close"])
        got = exchange(service.address, b"GET /protected HTTP/1.1\r\n" + fields + b"\r\n\r\n")
        assert 300 <= got.status < 500
