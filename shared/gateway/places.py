"""Where a gateway runs: on this machine, by `make gateway`, or in Docker, by `make up`; cluster.py has Kubernetes."""

import hashlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from shared.apps import APPS, ROOT
from shared.gateway.files import CERT, CURRENT, KEYS, PREVIOUS, SENT

SOCKET, PID = "admin.sock", "gateway.pid"
ARRIVAL = 10.0  # seconds that a changed file may need until every container sees it
PATIENCE = 60.0  # seconds to wait for the answer to a command
STARTED = 300.0  # seconds to wait for containers
MOUNTED = "/run/secrets"  # where a container has the files
OF_ORIGINS, OF_GATEWAY = (CURRENT, PREVIOUS), (KEYS, SENT, CERT)  # which of them
THROUGH_BASH = 'address=${ADMIN#*@}; exec 3<>"/dev/tcp/${address%:*}/${address#*:}"; cat >&3; cat <&3'


class Place(Protocol):
    """Where one gateway and its origins run."""

    @property
    def arrival(self) -> float:
        """Seconds that a changed file may need until everybody sees it."""

    def send(self, commands: str) -> str:
        """Send commands to the gateway's admin socket, and return its answer (HAProxy management guide, 9.3)."""

    def unseen(self) -> dict[str, list[str]]:
        """Return the files that the gateway or an origin sees otherwise than they are here, by its name."""

    def origins_say(self, seconds: float) -> str | None:
        """Return what the origins have logged within the last seconds, or None where that cannot be read."""


class Local:
    """The gateway of `make gateway`, and the origins of `make run`, which read the files here themselves."""

    arrival = 0.0

    def send(self, commands: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(SOCKET)
            connection.sendall(commands.encode())
            return b"".join(iter(lambda: connection.recv(4096), b"")).decode()

    def runs(self) -> bool:
        """Return whether it runs."""
        try:
            self.send("show version\n")
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def reload(self) -> None:
        """Make the gateway read its files again."""
        os.kill(int(Path(PID).read_text()), signal.SIGUSR2)

    def unseen(self) -> dict[str, list[str]]:
        return {}

    def origins_say(self, seconds: float) -> None:
        return None  # it is on the terminals of `make run`


class Container(NamedTuple):
    """A container: its name, its service, the image that it was made from, and what Docker says that it does."""

    name: str
    service: str
    image: str
    status: str


class Docker:
    """The gateway and the origins of `make up`."""

    arrival = ARRIVAL

    def compose(self, *words: str, **how: Any) -> str:
        """Run a command of Docker Compose, and return what it prints; raises CalledProcessError."""
        return docker("compose", *words, **how)

    def containers(self, *services: str) -> list[Container]:
        """Return the containers of services that run, oldest first."""
        return [container for container in self.all(*services) if container.status == "running"]

    def all(self, *services: str) -> list[Container]:
        """Return the containers of services, oldest first, without those of `docker compose run`."""
        found = self.compose("ps", "--all", "--quiet", *services).split()
        if not found:
            return []
        labels = " ".join(f'{{{{index .Config.Labels "com.docker.compose.{name}"}}}}' for name in ("oneoff", "service"))
        form = f"{{{{.Created}}}} {labels} {{{{.Name}}}} {{{{.Image}}}} {{{{.State.Status}}}}"
        lines = sorted(line.split() for line in docker("inspect", "--format", form, *found).splitlines())
        return [
            Container(name.removeprefix("/"), service, image, status)
            for _, oneoff, service, name, image, status in lines
            if oneoff != "True"
        ]

    def send(self, commands: str) -> str:
        """Its admin socket can be reached only from inside the container."""
        return self.compose("exec", "-T", "gateway", "bash", "-c", THROUGH_BASH, input=commands)

    def reload(self) -> None:
        """Make the gateway read its files again."""
        self.compose("kill", "--signal", "USR2", "gateway")

    def unseen(self) -> dict[str, list[str]]:
        with ThreadPoolExecutor() as pool:
            containers = self.containers("gateway", *APPS)
            found = zip(containers, pool.map(self.unseen_by, containers), strict=True)
            return {container.name: names for container, names in found if names}

    def unseen_by(self, container: Container) -> list[str]:
        """Return the files that a container sees otherwise."""
        names = OF_GATEWAY if container.service == "gateway" else OF_ORIGINS
        try:
            return differing(MOUNTED, names, lambda *words: docker("exec", container.name, *words))
        except subprocess.CalledProcessError:
            if container in self.containers(container.service):
                raise
            return []  # it has ended meanwhile

    def origins_say(self, seconds: float) -> str:
        log = self.compose("logs", "--no-color", "--since", f"{math.ceil(seconds)}s", *APPS)
        return log.replace("\x1b[2K", "")  # which some versions of Compose put before every line

    def try_out(self, service: str) -> None:
        """Start a container of a service that gets no requests, and see whether it becomes healthy."""
        name = self.try_out_name(service)
        try:
            self.compose("run", "--detach", "--no-deps", "--name", name, service, timeout=STARTED)
            self.wait_until_healthy(name)
        finally:
            docker("rm", "--force", name)

    def try_out_name(self, service: str) -> str:
        """Return the name of the container in which a service is tried out."""
        return f"{project()}-{service}-try-out"

    def image_name(self, service: str) -> str:
        """Return the name of the image that Compose builds for a service."""
        return f"{project()}-{service}:latest"

    def image(self, service: str) -> str:
        """Return the identifier of the image of that name, or an empty text if there is none."""
        return docker("image", "ls", "--quiet", "--no-trunc", self.image_name(service)).strip()

    def remove_leftovers(self, service: str) -> None:
        """Remove what an interruption has left of a service; Compose would start it again."""
        docker("rm", "--force", self.try_out_name(service))
        for container in self.all(service):
            if container.status in ("created", "exited", "dead"):
                docker("rm", container.name)

    def wait_until_healthy(self, name: str) -> None:
        """Wait until a container passes its health check; raises SubprocessError with its log if it does not."""
        kind, *check = json.loads(docker("inspect", "--format", "{{json .Config.Healthcheck}}", name))["Test"]
        check = ["sh", "-c", *check] if kind == "CMD-SHELL" else check
        end = time.monotonic() + PATIENCE
        while subprocess.run(["docker", "exec", name, *check], capture_output=True).returncode:
            state = docker("inspect", "--format", "{{.State.Status}} {{.RestartCount}}", name).strip()
            if time.monotonic() > end or state != "running 0":  # it has ended, or begun again
                log = subprocess.run(["docker", "logs", "--tail", "20", name], capture_output=True, text=True)
                raise subprocess.SubprocessError(f"It answers no GET /healthz. Its log:\n{log.stdout}{log.stderr}")
            time.sleep(0.2)

    def replace(self, old: Container) -> None:
        """Put a new replica in the place of one; it gets requests before the old one goes."""
        before = self.names(old.service)
        try:
            self.scale(old.service, len(before) + 1)
            for new in self.names(old.service) - before:
                self.wait_until_healthy(new)
                self.wait_for_requests(old.service, new)
        except BaseException:
            for new in self.names(old.service) - before:
                docker("rm", "--force", new)
            raise
        try:
            docker("stop", old.name, timeout=STARTED)  # it has its stop_grace_period
        except KeyboardInterrupt:
            docker("stop", old.name, timeout=STARTED)  # the next command would find one replica too many
            raise
        finally:
            docker("rm", "--force", old.name)

    def names(self, service: str) -> set[str]:
        """Return the names of all containers of a service, also of those that do not run."""
        return {container.name for container in self.all(service)}

    def scale(self, service: str, count: int) -> None:
        """Run as many replicas of a service, without touching those that are there."""
        words = ["--detach", "--no-deps", "--no-recreate", "--scale", f"{service}={count}", service]
        self.compose("up", *words, timeout=STARTED)

    def wait_for_requests(self, service: str, name: str) -> None:
        """Wait until the gateway sends requests to a container."""
        networks = json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", name))
        addresses = {network["IPAddress"] for network in networks.values()}
        end = time.monotonic() + PATIENCE
        while not any(
            server[4] in addresses and server[5] == "2"  # of `show servers state`: address, and that it is up
            for line in self.send(f"show servers state {service}\n").splitlines()
            if len(server := line.split()) > 5
        ):
            if time.monotonic() > end:
                raise subprocess.SubprocessError(f"The gateway does not find {name}.")
            time.sleep(0.2)


def differing(folder: str, names: Sequence[str], run: Callable[..., str]) -> list[str]:
    """Return the files that are not in a container's folder as they are here; `run` runs a command there."""
    try:
        lines = run("sha256sum", *(f"{folder}/{name}" for name in names)).splitlines()
    except subprocess.CalledProcessError as error:
        if "sha256sum:" not in error.stderr:
            raise
        lines = error.stdout.splitlines()  # those of the files that it has
    there = {Path(path).name: digest for digest, path in (line.split() for line in lines)}
    return [name for name in names if hashlib.sha256(Path(name).read_bytes()).hexdigest() != there.get(name)]


def has_built(*words: str) -> bool:
    """Run a command of Docker that builds images, and shows how; return whether it has."""
    environ = {**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}  # they would make each image a new one
    return subprocess.run(["docker", *words], cwd=ROOT, env=environ).returncode == 0


def docker(*words: str, timeout: float = PATIENCE, **how: Any) -> str:
    """Run a command of Docker, and return what it prints; raises CalledProcessError."""
    command = ["docker", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=timeout, **how)
    return str(done.stdout)


@cache
def project() -> str:
    """Return the name of the project in Docker Compose; it stays the same while a command runs."""
    return str(json.loads(docker("compose", "config", "--format", "json"))["name"])


def in_docker() -> list[Docker]:
    """Return the gateway in Docker, if one is running there; raises CalledProcessError if Docker does not say."""
    if not shutil.which("docker"):
        return []
    try:
        docker("compose", "version")
    except subprocess.CalledProcessError:
        if started_here():
            raise
        return []
    return [Docker()] if Docker().containers("gateway") else []


def started_here() -> bool:
    """Return whether Docker runs a gateway of this folder, also where Compose is missing."""
    labels = [f"label=com.docker.compose.{label}" for label in ("service=gateway", f"project.working_dir={ROOT}")]
    try:
        return bool(docker("ps", "--quiet", "--filter", labels[0], "--filter", labels[1]).strip())
    except subprocess.CalledProcessError:
        return False


def running(all_of_them: bool = False) -> list[Local | Docker]:
    """Return where each gateway runs; exit with a message if Docker does not say, and no other is known."""
    found: list[Local | Docker] = [place for place in [Local()] if place.runs()]
    try:
        found += in_docker()
    except subprocess.CalledProcessError as error:
        problem = f"Docker does not say whether a gateway is running there: {error.stderr.strip()}"
        if all_of_them or not found:
            sys.exit(f"{problem}\nNothing was changed.")
        print(f"{problem}\nIf one is running, run this again when Docker responds.", file=sys.stderr)
    return found


def described(unseen: Mapping[str, Iterable[str]], where: str) -> str:
    """Return in words who sees which files otherwise; `where` is what stands before their names."""
    return "\n".join(
        f"{name} does not see what is in {' and '.join(f'{where}{file}' for file in files)}."
        for name, files in sorted(unseen.items())
    )
