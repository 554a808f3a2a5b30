"""The stack of `make up`, on a real Docker engine, in a copy of the repository: `make test-stack`."""

import json
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from shared.apps import APPS, ROOT
from tests.commands import ENVIRON
from tests.contract.case import Case, Result
from tests.contract.http1 import Address
from tests.contract.target import Instance, Target
from tests.gateway.contract import CHECKABLE, as_target
from tests.gateway.load import busy
from tests.processes import free_port

pytestmark = pytest.mark.stack
DEADLINE = 600.0  # seconds; for building images too
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 8000), 3)"
SERVE = "import socket; s = socket.create_server(('', 8000))\nwhile True: s.accept()"
LABEL = "label=com.docker.compose.project="


class Stack:
    """A copy of the repository, used as a person would use it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.project = folder, f"origin-guard-{secrets.token_hex(4)}"
        self.environ = {
            **ENVIRON,
            "COMPOSE_PROJECT_NAME": self.project,
            "GATEWAY_PORT": str(free_port()),
            "RATE": "1000000",
            "DOCKER_BUILDKIT": "1",
        }
        self.url = f"http://127.0.0.1:{self.environ['GATEWAY_PORT']}"
        self.last_line = self.key = ""

    def run(self, *command: str, fails: bool = False, **changes: Any) -> str:
        """Run a command, and return everything that it prints."""
        done = subprocess.run(
            command, cwd=self.folder, env={**self.environ, **changes}, timeout=DEADLINE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert bool(done.returncode) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def compose(self, *words: str) -> str:
        """Run a command of Compose, and return everything that it prints."""
        return self.run("docker", "compose", *words)

    def inspect(self) -> dict[str, dict[str, Any]]:
        """Return what `docker inspect` prints about each container, by the name of its service."""
        names = self.run("docker", "ps", "--quiet", "--filter", LABEL + self.project).split()
        containers = json.loads(self.run("docker", "inspect", *names))
        return {container["Config"]["Labels"]["com.docker.compose.service"]: container for container in containers}

    def log(self) -> str:
        """Return the log of the gateway."""
        return self.run("docker", "logs", self.compose("ps", "--quiet", "gateway").strip())

    def python(self, network: str, code: str, *words: str) -> int:
        """Run Python in a container of its own on a network, and return its exit status."""
        command = ["docker", "run", "--rm", "--network", network, "python:3.13-slim", "python3", "-c", code, *words]
        return subprocess.run(command, env=self.environ, timeout=DEADLINE, capture_output=True).returncode

    def status(self, app: str, key: str | None = None) -> int:
        """Return the status of an app's protected path, through the gateway."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return requests.get(f"{self.url}/{app}/protected", headers=headers, timeout=30).status_code

    def scale(self, app: str, count: int) -> None:
        """Run as many replicas of an app."""
        self.compose("up", "--detach", "--no-recreate", "--scale", f"{app}={count}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Give the stack that `make up` starts in a fresh copy, and remove it at the end."""
    folder = tmp_path_factory.mktemp("stack")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for path in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / path)
    stack = Stack(folder)
    message = stack.run("docker", "compose", "up", "--detach", fails=True)  # there is no secret yet
    assert "SHARED_SECRET" in message
    assert "run `make up`" in message
    try:
        stack.last_line = stack.run("make", "up").splitlines()[-1]
        found = re.search(r"ogk_[\w-]{43}", stack.last_line)
        assert found, stack.last_line
        stack.key = found[0]
        yield stack
    finally:
        stack.compose("down", "--rmi", "local")


def test_the_curl_line_works(stack: Stack) -> None:
    """The last line of `make up` can be pasted; the second time it has no key, because keys are not stored."""
    assert "Access granted" in stack.run("sh", "-c", stack.last_line)
    assert stack.key not in stack.run("make", "up")
    for app in APPS:
        assert stack.status(app) == 200


@pytest.fixture(scope="module")
def target(stack: Stack) -> Target:
    """Give the gateway as the target."""
    address = Address("127.0.0.1", int(stack.environ["GATEWAY_PORT"]))
    return as_target(Instance(address, stack.log), stack.key)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CHECKABLE])
def test_contract_through_the_gateway(case: Case, case_result: Result) -> None:
    """The gateway answers only clients with a key."""
    assert case_result.outcome == "passed", case_result.describe(case)


@pytest.fixture(scope="module")
def inside(stack: Stack) -> Iterator[dict[str, str]]:
    """Give the output of the contract's container for each app, run in the network of the origins."""
    tag = f"{stack.project}-contract"
    stack.run("docker", "build", "--tag", tag, "tests/contract")
    secret = (stack.folder / ".secrets" / "shared_secret").read_text().strip()

    def check(app: str) -> str:
        command = ["docker", "run", "--rm", "--network", f"{stack.project}_origins", "--env", "SHARED_SECRET"]
        return stack.run(*command, tag, "check", f"http://{app}:8000", SHARED_SECRET=secret)

    try:
        with ThreadPoolExecutor(2) as pool:
            yield dict(zip(APPS, pool.map(check, APPS), strict=True))
    finally:
        stack.run("docker", "image", "rm", "--force", tag)


def test_contract_inside_the_network(app: str, inside: dict[str, str]) -> None:
    """Each origin meets the contract at the address that the gateway uses."""
    assert "It meets the contract" in inside[app]


def test_no_origin_is_reached_past_the_gateway(stack: Stack) -> None:
    """Only the gateway's port is published, on loopback; other networks cannot reach an origin, nor it them."""
    containers = stack.inspect()
    assert set(containers) == {"gateway", *APPS}
    published = {name: container["HostConfig"]["PortBindings"] for name, container in containers.items()}
    own = {"HostIp": "127.0.0.1", "HostPort": stack.environ["GATEWAY_PORT"]}
    assert published.pop("gateway") == {"8080/tcp": [own]}
    assert not any(published.values())

    origins = f"{stack.project}_origins"
    assert stack.run("docker", "network", "inspect", "--format", "{{.Internal}}", origins).strip() == "true"
    outsider = stack.run("docker", "run", "--detach", "--rm", "python:3.13-slim", "python3", "-c", SERVE).strip()
    try:
        (outside,) = json.loads(stack.run("docker", "inspect", outsider))
        elsewhere = outside["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        addresses = {
            name: container["NetworkSettings"]["Networks"][origins]["IPAddress"]
            for name, container in containers.items()
        }
        assert stack.python("bridge", CONNECT, elsewhere) == 0  # it can be reached
        assert stack.python(origins, CONNECT, elsewhere) != 0  # but not from there
        for app in APPS:
            assert set(containers[app]["NetworkSettings"]["Networks"]) == {origins}
            assert stack.python(origins, CONNECT, addresses[app]) == 0
            assert stack.python("bridge", CONNECT, addresses[app]) != 0
            assert stack.python("bridge", CONNECT, app) != 0
    finally:
        stack.run("docker", "kill", outsider)


def test_containers_can_do_little(stack: Stack) -> None:
    """No root, no writable files, no capabilities, no shell as a parent, and limited memory."""
    for name, container in stack.inspect().items():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
        assert host["Init"], name
        assert 0 < host["Memory"] < 2**30, name
        assert container["Config"]["User"] not in ("", "0", "root"), name
        assert container["State"]["Health"]["Status"] == "healthy", name
        command = {*(container["Config"]["Cmd"] or ()), *(container["Config"]["Entrypoint"] or ())}
        assert not {"sh", "bash", "-c"} & command, name
        assert stack.compose("exec", "--no-TTY", name, "id", "-u").strip() != "0"


def test_secrets_do_not_leak(stack: Stack) -> None:
    """Neither into `docker inspect`, nor into the images, nor into a log."""
    secret = (stack.folder / ".secrets" / "shared_secret").read_text().strip()
    containers = stack.inspect()
    images = {container["Image"] for container in containers.values()}
    history = "".join(stack.run("docker", "history", "--no-trunc", image) for image in images)
    logs = stack.compose("logs")  # without targets: the contract sends the secret in paths and queries too
    logs = re.sub(r"(\"[A-Za-z-]+) \S+ (?=HTTP/)", r"\1 ", logs)
    for word in (secret, stack.key):
        assert word not in json.dumps(containers)
        assert word not in history
        assert word not in logs
    assert secret in stack.compose("exec", "--no-TTY", "falcon", "cat", "/run/secrets/shared_secret")


@pytest.mark.parametrize("app", ["fastapi", "falcon"])
def test_replicas_come_and_go_under_load(app: str, stack: Stack) -> None:
    """The gateway finds three replicas, uses them all, and loses no request when some are removed."""
    with busy(f"{stack.url}/{app}/protected", stack.key) as load:
        before = len(replicas(stack, app))
        stack.scale(app, 3)
        end = time.monotonic() + 60
        while len(used := set(replicas(stack, app)[before:])) < 3:
            assert time.monotonic() < end, f"only {used} are used"
            time.sleep(0.5)
        stack.scale(app, 2)
        time.sleep(3)
        stack.scale(app, 1)
        time.sleep(3)
    assert load.lost == []
    assert load.sent > 20
    assert stack.status(app) == 200


def replicas(stack: Stack, app: str) -> list[str]:
    """Return the replica that has answered each request, from the gateway's log."""
    lines = [json.loads(line) for line in stack.log().splitlines() if line.startswith("{")]
    return [line["server"] for line in lines if line["origin"] == app and line["status"] == 200]


def test_reloads_under_load_lose_nothing(stack: Stack) -> None:
    """The new process knows the addresses of the origins from its start."""
    with busy(f"{stack.url}/falcon/protected", stack.key) as load:
        for _ in range(3):
            stack.compose("kill", "--signal", "USR2", "gateway")
            time.sleep(2)
    assert load.lost == []


def test_keys_come_and_go(stack: Stack) -> None:
    """A change is live when the command returns."""
    found = re.search(r"ogk_[\w-]{43}", stack.run("make", "key", "NAME=acme"))
    assert found
    assert stack.status("falcon", found[0]) == 200
    stack.run("make", "revoke", "NAME=acme")
    assert stack.status("falcon", found[0]) == 401
    assert stack.status("falcon") == 200


def test_rotation_loses_nothing(stack: Stack) -> None:
    """The files of the secret change while everything runs."""
    before = (stack.folder / ".secrets" / "shared_secret").read_text()
    with busy(f"{stack.url}/pyramid/protected", stack.key) as load:
        stack.run("make", "rotate")
        time.sleep(2)
    assert load.lost == []
    assert stack.compose("exec", "--no-TTY", "litestar", "cat", "/run/secrets/shared_secret") != before
    for app in APPS:
        assert stack.status(app) == 200


def test_it_goes_down(stack: Stack) -> None:
    """`make down` leaves nothing running, and keeps the keys and the secret."""
    stack.run("make", "down")
    for kind in ("container", "network"):
        words = ["--all"] if kind == "container" else []
        assert stack.run("docker", kind, "ls", *words, "--quiet", "--filter", LABEL + stack.project) == ""
    stack.run("docker", "compose", "up", "--detach", "--wait")
    assert stack.status("falcon") == 200
