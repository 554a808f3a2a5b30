"""The cluster of `make cluster-up` in a copy of the repository, used as a person would use it."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from shared.gateway.cluster import NAMESPACE, local_command
from tests.checkout import DEADLINE, Checkout
from tests.contract.http1 import Address
from tests.contract.waiting import wait_until

KEY = re.compile(r"ogk_[\w-]{43}")
PROBE = "origin-guard-contract:probe"  # an image with Python and the contract
LOCKED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
ORDINARY = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}


class Cluster(Checkout):
    """A copy of the repository, and what runs from it in the cluster of CONTEXT, or the one that kubectl reaches."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        settings = folder / "shared" / "kubernetes" / "base" / "kustomization.yaml"
        settings.write_text(settings.read_text().replace("RATE=100", "RATE=1000000"))
        self.environ["PATH"] += f"{os.pathsep}{Path(sys.executable).parent}"  # where kubectl is, if it is not installed
        named = self.environ.get("CONTEXT", "")
        self.context = named or self.run("kubectl", "config", "current-context").strip()
        if not named and local_command(self.context) is None:
            pytest.exit(
                f"These tests are for a cluster of your own. If it is meant, name it: CONTEXT={self.context}", 1
            )
        self.key, self.consumer = "", "first"
        self.printed: list[str] = []  # by `make cluster-up`

    def kubectl(self, *words: str, given: Any = None, fails: bool = False) -> str:
        """Run a command of kubectl, with an object on its standard input, and return what it prints."""
        command = ["kubectl", "--context", self.context, "--namespace", NAMESPACE, *words]
        text = None if given is None else json.dumps(given)
        done = subprocess.run(command, env=self.environ, timeout=DEADLINE, input=text, capture_output=True, text=True)
        assert bool(done.returncode) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout + (done.stderr if fails else "")

    def items(self, kind: str, *words: str) -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "--output", "json", *words))["items"]
        return found

    def pods(self, name: str) -> list[str]:
        """Return the names of the pods of a Deployment that are not about to end."""
        found = self.items("pods", "--selector", f"app.kubernetes.io/name={name}")
        return [item["metadata"]["name"] for item in found if "deletionTimestamp" not in item["metadata"]]

    def settled(self, name: str, count: int) -> None:
        """Wait until a Deployment has so many pods, and others have ended; they may be listed for a minute."""
        self.kubectl("rollout", "status", f"deployment/{name}", "--timeout=300s")

        def is_settled() -> bool:
            found = self.items("pods", "--selector", f"app.kubernetes.io/name={name}")
            going = [item for item in found if "deletionTimestamp" in item["metadata"]]
            states = [state["state"] for item in going for state in item["status"].get("containerStatuses", [])]
            return len(found) - len(going) == count and not any("running" in state for state in states)

        assert wait_until(is_settled, 180), self.kubectl("get", "pods")

    def secret(self, name: str, file: str) -> str:
        """Return the text of a file of a Secret."""
        item = json.loads(self.kubectl("get", "secret", name, "--output", "json"))
        return base64.b64decode(item["data"].get(file, "")).decode().strip()

    def expose(self) -> list[Address]:
        """Open a port for the gateway at every node, and return where that may be reached from this machine."""
        self.apply(
            "v1",
            "Service",
            "outside",
            type="NodePort",
            selector={"app.kubernetes.io/name": "gateway"},
            ports=[{"port": 8080, "protocol": "TCP"}],
        )
        (port,) = json.loads(self.kubectl("get", "service", "outside", "--output", "json"))["spec"]["ports"]
        addresses = self.items("nodes")[0]["status"]["addresses"]
        hosts = [one["address"] for one in addresses if one["type"] == "InternalIP" and ":" not in one["address"]]
        return [Address(host, port["nodePort"]) for host in ("127.0.0.1", *hosts)]

    def apply(self, version: str, kind: str, name: str, **spec: Any) -> None:
        """Apply an object."""
        item = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "--filename", "-", given=item)

    def build_probe(self) -> None:
        """Build the image for what runs beside the apps, and give it to the nodes."""
        self.run("docker", "build", "--quiet", "--tag", PROBE, str(self.folder / "tests" / "contract"))
        if command := local_command(self.context):
            self.run(*command.split(), PROBE)

    @contextmanager
    def beside(self, name: str, words: list[str], labels: dict[str, str], **spec: Any) -> Iterator[None]:
        """Run Python in a pod for as long as the block lasts; `words` are its arguments, or the contract's."""
        container = {"name": "probe", "image": PROBE, "securityContext": LOCKED, "args": words, **spec}
        item = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {"restartPolicy": "Never", "securityContext": ORDINARY, "containers": [container]},
        }
        self.kubectl("create", "--filename", "-", given=item)
        try:
            yield
        finally:
            self.kubectl("delete", "pod", name, "--grace-period=1")

    def phase(self, pod: str) -> str:
        """Return what Kubernetes says that a pod does."""
        return self.kubectl("get", "pod", pod, "--output", "jsonpath={.status.phase}")

    def output(self, name: str, words: list[str], labels: dict[str, str], **spec: Any) -> str:
        """Run Python in a pod, and return what it prints."""
        with self.beside(name, words, labels, **spec):
            assert wait_until(lambda: self.phase(name) in ("Succeeded", "Failed"), DEADLINE), self.phase(name)
            return self.kubectl("logs", name)

    def make_key(self, name: str) -> str:
        """Make a key for a consumer, and return it."""
        found = KEY.search(self.make("cluster-key", f"NAME={name}"))
        assert found
        return found[0]

    def statuses(self, url: str, key: str = "", count: int = 20) -> set[int]:
        """Return the status codes of the answers to requests on connections of their own, which reach every gateway."""
        fields = {"Authorization": f"Bearer {key or self.key}", "Connection": "close"}
        return {requests.get(url, headers=fields, timeout=30).status_code for _ in range(count)}
