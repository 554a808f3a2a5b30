"""What `make up` starts, on a real Docker engine, in a copy of the repository: `make test-stack`."""

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
from tests.contract.case import Case
from tests.contract.http1 import Address
from tests.contract.target import Instance, Target
from tests.gateway.runner import CHECKABLE, as_target, busy, put_through
from tests.processes import free_port

pytestmark = pytest.mark.stack
DEADLINE = 600.0  # seconds; for building images too
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 8000), 3)"
SERVE = "import socket; s = socket.create_server(('', 8000))\nwhile True: s.accept()"
LABEL = "label=com.docker.compose.project="


class Stack:
    """A copy of the repository, in which things are done as a user does them."""

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
        """Run a command, and return all that it prints."""
        done = subprocess.run(
            command, cwd=self.folder, env={**self.environ, **changes}, timeout=DEADLINE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert bool(done.returncode) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def compose(self, *words: str) -> str:
        """Run a command of Compose, and return all that it prints."""
        return self.run("docker", "compose", *words)

    def inspect(self) -> dict[str, dict[str, Any]]:
        """Return what Docker tells of every container, by the name of its service."""
        names = self.run("docker", "ps", "--quiet", "--filter", LABEL + self.project).split()
        told = json.loads(self.run("docker", "inspect", *names))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in told}

    def log(self) -> str:
        """Return what the gateway has logged."""
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
        """Let an app have so many replicas."""
        self.compose("up", "--detach", "--no-recreate", "--scale", f"{app}={count}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Give the stack as `make up` brings it up in a fresh copy, and take it down at the end."""
    folder = tmp_path_factory.mktemp("stack")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for path in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / path)
    stack = Stack(folder)
    told = stack.run("docker", "compose", "up", "--detach", fails=True)  # there is no secret yet
    assert "SHARED_SECRET" in told
    assert "run `make up`" in told
    try:
        stack.last_line = stack.run("make", "up").splitlines()[-1]
        found = re.search(r"ogk_[\w-]{43}", stack.last_line)
        assert found, stack.last_line
        stack.key = found[0]
        yield stack
    finally:
        stack.compose("down", "--rmi", "local")


def test_the_curl_line_works(stack: Stack) -> None:
    """What `make up` prints last can be pasted; the second time it has no key, which is stored nowhere."""
    assert "Access granted" in stack.run("sh", "-c", stack.last_line)
    assert stack.key not in stack.run("make", "up")
    for app in APPS:
        assert stack.status(app) == 200


@pytest.fixture(scope="module")
def target(stack: Stack) -> Target:
    """Give the gateway as what the contract can be put to."""
    address = Address("127.0.0.1", int(stack.environ["GATEWAY_PORT"]))
    return as_target(Instance(address, stack.log), stack.key)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CHECKABLE])
def test_contract_through_the_gateway(case: Case, target: Target) -> None:
    """The gateway answers only who has a key."""
    put_through(case, target)


@pytest.fixture(scope="module")
def inside(stack: Stack) -> Iterator[dict[str, str]]:
    """Give what the contract by URL says of each app, from a container in the network of the origins."""
    tag = f"{stack.project}-contract"
    stack.run("docker", "build", "--tag", tag, "tests/contract")
    secret = (stack.folder / ".secrets" / "shared_secret").read_text().strip()

    def check(app: str) -> str:
        command = ["docker", "run", "--rm", "--network", f"{stack.project}_origins", "--env", "SHARED_SECRET"]
        return stack.run(*command, tag, "--url", f"http://{app}:8000", SHARED_SECRET=secret)

    try:
        with ThreadPoolExecutor(2) as pool:
            yield dict(zip(APPS, pool.map(check, APPS), strict=True))
    finally:
        stack.run("docker", "image", "rm", "--force", tag)


def test_contract_inside_the_network(app: str, inside: dict[str, str]) -> None:
    """Each origin keeps the contract where the gateway reaches it."""
    assert "It meets the contract" in inside[app]


def test_no_origin_is_reached_past_the_gateway(stack: Stack) -> None:
    """Only the gateway's port is published, and on loopback; another network reaches no origin, and no origin it."""
    told = stack.inspect()
    assert set(told) == {"gateway", *APPS}
    published = {name: each["HostConfig"]["PortBindings"] for name, each in told.items()}
    own = {"HostIp": "127.0.0.1", "HostPort": stack.environ["GATEWAY_PORT"]}
    assert published.pop("gateway") == {"8080/tcp": [own]}
    assert not any(published.values())

    origins = f"{stack.project}_origins"
    assert stack.run("docker", "network", "inspect", "--format", "{{.Internal}}", origins).strip() == "true"
    outsider = stack.run("docker", "run", "--detach", "--rm", "python:3.13-slim", "python3", "-c", SERVE).strip()
    try:
        (outside,) = json.loads(stack.run("docker", "inspect", outsider))
        elsewhere = outside["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        addresses = {name: each["NetworkSettings"]["Networks"][origins]["IPAddress"] for name, each in told.items()}
        assert stack.python("bridge", CONNECT, elsewhere) == 0  # it can be reached
        assert stack.python(origins, CONNECT, elsewhere) != 0  # but not from there
        for app in APPS:
            assert set(told[app]["NetworkSettings"]["Networks"]) == {origins}
            assert stack.python(origins, CONNECT, addresses[app]) == 0
            assert stack.python("bridge", CONNECT, addresses[app]) != 0
            assert stack.python("bridge", CONNECT, app) != 0
    finally:
        stack.run("docker", "kill", outsider)


def test_containers_can_do_little(stack: Stack) -> None:
    """No root, nothing to write on, no capabilities, no shell in between, and an end to their memory."""
    for name, told in stack.inspect().items():
        host = told["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
        assert host["Init"], name
        assert 0 < host["Memory"] < 2**30, name
        assert told["Config"]["User"] not in ("", "0", "root"), name
        assert told["State"]["Health"]["Status"] == "healthy", name
        assert not {"sh", "bash", "-c"} & {*(told["Config"]["Cmd"] or ()), *(told["Config"]["Entrypoint"] or ())}, name
        assert stack.compose("exec", "--no-TTY", name, "id", "-u").strip() != "0"


def test_secrets_are_not_told(stack: Stack) -> None:
    """Neither by `docker inspect`, nor in the images, nor in a log."""
    secret = (stack.folder / ".secrets" / "shared_secret").read_text().strip()
    told = stack.inspect()
    images = {each["Image"] for each in told.values()}
    history = "".join(stack.run("docker", "history", "--no-trunc", image) for image in images)
    for word in (secret, stack.key):
        assert word not in json.dumps(told)
        assert word not in history
        assert word not in stack.compose("logs")
    assert secret in stack.compose("exec", "--no-TTY", "falcon", "cat", "/run/secrets/shared_secret")


@pytest.mark.parametrize("app", ["fastapi", "falcon"])
def test_replicas_come_and_go_under_load(app: str, stack: Stack) -> None:
    """The gateway finds three, uses them all, and loses nothing when one goes."""
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
    """Return which replica has answered each request, as the gateway's log names them."""
    lines = [json.loads(line) for line in stack.log().splitlines() if line.startswith("{")]
    return [line["server"] for line in lines if line["origin"] == app and line["status"] == 200]


def test_reloads_under_load_lose_nothing(stack: Stack) -> None:
    """The new process knows at once where the origins are."""
    with busy(f"{stack.url}/falcon/protected", stack.key) as load:
        for _ in range(3):
            stack.compose("kill", "--signal", "USR2", "gateway")
            time.sleep(2)
    assert load.lost == []


def test_keys_come_and_go(stack: Stack) -> None:
    """They count when the command is over."""
    found = re.search(r"ogk_[\w-]{43}", stack.run("make", "key", "NAME=acme"))
    assert found
    assert stack.status("falcon", found[0]) == 200
    stack.run("make", "revoke", "NAME=acme")
    assert stack.status("falcon", found[0]) == 401
    assert stack.status("falcon") == 200


def test_rotation_loses_nothing(stack: Stack) -> None:
    """The secret's files change under all that runs."""
    before = (stack.folder / ".secrets" / "shared_secret").read_text()
    with busy(f"{stack.url}/pyramid/protected", stack.key) as load:
        stack.run("make", "rotate")
        time.sleep(2)
    assert load.lost == []
    assert stack.compose("exec", "--no-TTY", "litestar", "cat", "/run/secrets/shared_secret") != before
    for app in APPS:
        assert stack.status(app) == 200


def test_it_goes_down(stack: Stack) -> None:
    """Nothing is left running, and the keys and the secret outlive it."""
    stack.run("make", "down")
    for what in ("container", "network"):
        words = ["--all"] if what == "container" else []
        assert stack.run("docker", what, "ls", *words, "--quiet", "--filter", LABEL + stack.project) == ""
    stack.run("docker", "compose", "up", "--detach", "--wait")
    assert stack.status("falcon") == 200
