"""The stack of `make up` in a copy of the repository, used as a person would use it, on a real Docker engine."""

import json
import os
import secrets
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.checkout import DEADLINE, Checkout
from tests.contract.http1 import Address
from tests.processes import end, free_port, spawn

LABEL = "label=com.docker.compose."


class Stack(Checkout):
    """A copy of the repository, and what runs from it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.project = self.environ["COMPOSE_PROJECT_NAME"] = f"origin-guard-{secrets.token_hex(4)}"
        self.address = Address("127.0.0.1", free_port())
        self.url = f"http://{self.address}"
        self.default, self.origins = f"{self.project}_default", f"{self.project}_origins"  # its networks
        self.last_line = self.key = ""

    def interrupt(self, event: str, container: str, *words: str) -> str:
        """Run `make`, press Ctrl-C at the first event of a container, and return everything that `make` prints."""
        filters = ["--filter", f"event={event}", "--filter", f"container={container}"]
        events = spawn(["docker", "events", *filters], self.folder, self.environ, subprocess.PIPE, subprocess.DEVNULL)
        command = spawn(["make", *words], self.folder, self.environ, subprocess.PIPE, subprocess.STDOUT)
        try:
            assert events.stdout
            with events.stdout as found:
                assert select.select([found], [], [], DEADLINE)[0], f"{container} has no event {event}"
            os.killpg(command.pid, signal.SIGINT)
            printed = command.communicate(timeout=DEADLINE)[0].decode()
        finally:
            end(events)
            end(command)
        assert command.returncode, f"{' '.join(words)} was not interrupted:\n{printed}"
        return printed

    def compose(self, *words: str) -> str:
        """Run a command of Compose, and return everything that it prints."""
        return self.run("docker", "compose", *words)

    def ids(self, service: str = "") -> list[str]:
        """Return the ids of the containers of one service, or of all, also of those that do not run."""
        label = f"{LABEL}service={service}" if service else f"{LABEL}service"
        found = self.run(
            "docker", "ps", "--all", "--quiet", "--filter", LABEL + f"project={self.project}", "--filter", label
        )
        return sorted(found.split())

    def names(self) -> list[str]:
        """Return the names of all containers, also of those that do not run."""
        label = LABEL + f"project={self.project}"
        return self.run("docker", "ps", "--all", "--format", "{{.Names}}", "--filter", label).split()

    def image(self, app: str) -> str:
        """Return the identifier of an app's newest image."""
        return self.run("docker", "image", "inspect", "--format", "{{.Id}}", f"{self.project}-{app}").strip()

    def inspect(self, service: str = "") -> list[dict[str, Any]]:
        """Return what `docker inspect` prints about each container of one service, or of all."""
        found: list[dict[str, Any]] = json.loads(self.run("docker", "inspect", *self.ids(service)))
        return found

    def log(self) -> str:
        """Return the log of the gateway."""
        return self.run("docker", "logs", *self.ids("gateway"))

    def access_log(self, app: str) -> list[dict[str, Any]]:
        """Return the lines of the access log about requests to an app."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["origin"] == app]

    def python(self, network: str, code: str, *words: str) -> str:
        """Run Python in a container of its own on a network, and return what it prints."""
        command = ["docker", "run", "--rm", "--network", network, "python:3.13-slim", "python3", "-c", code, *words]
        return self.run(*command)

    @contextmanager
    def beside(self, network: str, code: str, *words: str) -> Iterator[str]:
        """Run Python in a container beside the stack for as long as the block lasts; give its id."""
        command = ["docker", "run", "--detach", "--rm", "--network", network, "python:3.13-slim", "python3", "-c", code]
        name = self.run(*command, *words).strip()
        try:
            yield name
        finally:
            self.run("docker", "rm", "--force", name)

    def get(self, path: str, key: str = "", **how: Any) -> requests.Response:
        """Return the answer to a GET through the gateway."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return requests.get(self.url + path, headers=headers, **{"timeout": 30, **how})

    def status(self, app: str, key: str = "") -> int:
        """Return the status of an app's protected path, through the gateway."""
        return self.get(f"/{app}/protected", key).status_code

    def answers(self, app: str) -> bool:
        """Return whether an app answers through the gateway."""
        try:
            return self.status(app) == 200
        except requests.RequestException:
            return False

    def scale(self, app: str, count: int) -> None:
        """Run as many replicas of an app."""
        self.compose("up", "--detach", "--no-recreate", "--scale", f"{app}={count}")

    def file(self, name: str) -> Path:
        """Return the path of a file with the gateway's keys or secrets."""
        return self.folder / ".secrets" / name

    def replace_file(self, name: str) -> None:
        """Put another file with the same text in the place of one, as an editor may."""
        new = self.file("new")
        shutil.copy2(self.file(name), new)
        new.replace(self.file(name))

    def remove(self) -> None:
        """Remove all that was made for it in Docker."""
        command = ("docker", "compose", "down", "--remove-orphans", "--rmi", "local")
        try:
            self.run(*command)
        except AssertionError:  # a network may count what has just ended
            self.run(*command)
        self.run("docker", "image", "prune", "--force", "--filter", LABEL + f"project={self.project}")
