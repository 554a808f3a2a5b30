"""The gateways and the origins on Kubernetes, reached by kubectl; their keys and secrets are in two Secrets there."""

import base64
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from shared.apps import APPS, ROOT
from shared.gateway.files import CURRENT, KEYS, PREVIOUS, SENT, fill, write
from shared.gateway.places import MOUNTED, PATIENCE, STARTED, THROUGH_BASH, differing, docker, has_built

NAMESPACE, PART_OF = "origin-guard", "app.kubernetes.io/part-of=origin-guard"
MANIFESTS = ROOT / "shared" / "kubernetes"
SECRETS = {"origin": (CURRENT, PREVIOUS), "gateway": (KEYS, SENT)}  # by name, with their files
LOCAL = {  # the contexts of clusters on this machine, and the command that gives those an image of its Docker engine
    r"kind-(.+)": r"kind load docker-image --name \1",
    r"minikube": "minikube --profile minikube image load",
    r"docker-desktop|orbstack|rancher-desktop": "",  # they have it
}


class Pod(NamedTuple):
    """A pod: its name, and the Secret that it has."""

    name: str
    secret: str


class Cluster:
    """What runs in the namespace of one cluster; the current folder has the files of its Secrets."""

    make, start, where = "make cluster-", "`make cluster-up`", "the Secret's "
    nobody = "No gateway is running."

    def __init__(self, context: str) -> None:
        self.context = context
        self.command = f"kubectl --context {context} --namespace {NAMESPACE}"
        self.repair = f"Its node has not brought it there: `{self.command} get events` may say why."
        self.secrets: dict[str, dict[str, Any]] = {}

    def kubectl(self, *words: str, timeout: float = PATIENCE, **how: Any) -> str:
        """Run a command of kubectl, and return what it prints; raises CalledProcessError."""
        command = [*self.command.split(), *words]
        how = how if "input" in how else {**how, "stdin": subprocess.DEVNULL}  # what is there may be for others
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=timeout, **how)
        return str(done.stdout)

    def missing(self) -> list[str]:
        """Return the names of the Secrets that are not there."""
        return [name for name in SECRETS if name not in self.secrets]

    def pull(self) -> None:
        """Write the files of the Secrets that there are into the current folder."""
        for name, files in SECRETS.items():
            if found := self.kubectl("get", "secret", name, "--ignore-not-found", "--output", "json"):
                self.secrets[name] = json.loads(found)
                for file in files:
                    Path(file).write_bytes(base64.b64decode(self.secrets[name].get("data", {}).get(file, "")))

    def push(self, name: str) -> None:
        """Put the files into their Secret; one that somebody else has changed since `pull` is an error."""
        known = self.secrets.get(name, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}})
        data = {file: base64.b64encode(Path(file).read_bytes()).decode() for file in SECRETS[name]}
        if all(known.get("data", {}).get(file) == text for file, text in data.items()):
            return
        self.refuse_kept(name)
        changed = json.dumps({**known, "data": {**known.get("data", {}), **data}})
        verb = "replace" if name in self.secrets else "create"
        try:
            self.secrets[name] = json.loads(self.kubectl(verb, "--filename", "-", "--output", "json", input=changed))
        except subprocess.CalledProcessError as error:
            if "(Conflict)" not in error.stderr:
                raise
            sys.exit(f"Somebody else has just changed the Secret {name}. Run the command again.")
        version = self.secrets[name]["metadata"]["resourceVersion"]
        # A kubelet looks at a pod that has changed at once, and at the others once a minute.
        with suppress(subprocess.SubprocessError):  # a pod may have ended meanwhile
            self.kubectl("annotate", "pods", "--all", "--overwrite", f"{NAMESPACE}/{name}={version}")

    def write(self, name: str, text: str) -> None:
        """Change a file, here and in its Secret."""
        write(name, text)
        self.push(next(secret for secret, files in SECRETS.items() if name in files))

    def probe(self, *names: str) -> None:
        """A folder that Kubernetes mounts sees every change, but it has to be possible to make one."""
        for name in self.secrets:
            self.refuse_kept(name)

    def refuse_kept(self, name: str) -> None:
        """Exit with a message if another object keeps a Secret as it is."""
        if owners := self.secrets.get(name, {}).get("metadata", {}).get("ownerReferences"):
            sys.exit(f"{owners[0]['kind']} {owners[0]['name']} keeps the Secret {name}: change it there.")

    def refuse_others(self) -> None:
        """Exit with a message if what runs there is not from images that were built here."""
        form = "jsonpath={.items[*].spec.template.spec.containers[*].image}"
        words = ["get", "deployments", "--selector", PART_OF, "--output", form]
        others = [image for image in self.kubectl(*words).split() if not image.startswith((NAMESPACE, "haproxy:"))]
        if others:
            sys.exit(f"{others[0]} runs there, which was not built here: apply shared/kubernetes/overlays/production.")

    def create(self) -> None:
        """Create the namespace and the Secrets that are missing, with a new secret."""
        self.kubectl("apply", "--filename", str(MANIFESTS / "base" / "namespace.yaml"))
        if fill():
            print(f"Made a new secret, in the namespace {NAMESPACE}.")
        for name in SECRETS:
            self.push(name)

    def manifests(self) -> str:
        """Build the images, and return the manifests of `local` with their names."""
        if local_command(self.context) is None:
            print("Its nodes need the images that are built here; nothing brings them there.", flush=True)
        manifests = self.kubectl("kustomize", str(MANIFESTS / "overlays" / "local"))
        for app in APPS:
            manifests = manifests.replace(f"{NAMESPACE}-{app}:local", self.image(app))
        return manifests

    def apply(self, manifests: str) -> None:
        """Apply manifests, and wait until everything runs as they say."""
        self.kubectl("apply", "--filename", "-", input=manifests)
        for name in ("gateway", *APPS):
            try:
                self.kubectl(
                    "rollout", "status", f"deployment/{name}", f"--timeout={STARTED:.0f}s", timeout=2 * STARTED
                )
            except subprocess.CalledProcessError as error:
                its_own = ["--selector", f"app.kubernetes.io/name={name}"]
                print(self.kubectl("get", "pods", *its_own), file=sys.stderr)
                with suppress(subprocess.CalledProcessError):  # one has no log yet
                    print(self.kubectl("logs", *its_own, "--tail=20", "--prefix"), file=sys.stderr)
                sys.exit(
                    f"{name} is not what the manifests say: {error.stderr.strip()}\nWhat ran before goes on. The lines"
                    f" above, or `{self.command} describe pods`, say why. Mend it, and run {self.start} again."
                )
            print(f"{name} runs", flush=True)

    def image(self, app: str) -> str:
        """Build the image of an app, give it to the nodes, and return its name, which says what is in it."""
        name = f"{NAMESPACE}-{app}"
        if not has_built("build", "--tag", f"{name}:local", str(APPS[app].folder)):
            sys.exit(f"{app} cannot be built: the lines above say why. Nothing was changed.")
        found = docker("image", "inspect", "--format", "{{.Id}}", f"{name}:local").strip()
        tagged = f"{name}:{found.removeprefix('sha256:')[:12]}"
        docker("tag", f"{name}:local", tagged)
        if command := local_command(self.context):
            subprocess.run([*command.split(), tagged], capture_output=True, text=True, check=True, timeout=STARTED)
        return tagged

    def delete(self) -> None:
        """Remove everything but the namespace and the Secrets, and wait until it has ended."""
        kinds = "deployments,services,networkpolicies,configmaps,horizontalpodautoscalers,poddisruptionbudgets"
        words = ["--selector", PART_OF, "--cascade=foreground"]
        self.kubectl("delete", kinds, *words, timeout=STARTED)

    def pods(self) -> list[Pod]:
        """Return the pods of the gateway and of the origins that run, and are not about to end."""
        found = []
        for item in json.loads(self.kubectl("get", "pods", "--output", "json"))["items"]:
            labels, metadata = item["metadata"].get("labels", {}), item["metadata"]
            name, part = (labels.get(f"app.kubernetes.io/{label}") for label in ("name", "component"))
            secret = "gateway" if name == "gateway" else part
            states = item["status"].get("containerStatuses", [])
            if (
                secret in SECRETS
                and "deletionTimestamp" not in metadata
                and any(s["state"].get("running") for s in states)
            ):
                found.append(Pod(metadata["name"], secret))
        return found

    def running(self, all_of_them: bool = False) -> list["Gateway"]:
        """Return the gateways that run; one that is not ready may get requests soon, with what it has read."""
        return [Gateway(self, pod) for pod in self.pods() if pod.secret == "gateway"]

    def curl_line(self, key: str) -> str:
        """Return commands for a request through the gateway."""
        return (
            f"{self.command} port-forward service/gateway 8080:8080 &\n"
            f"curl -i --retry 9 --retry-connrefused http://127.0.0.1:8080/falcon/protected"
            f" -H 'Authorization: Bearer {key}'"
        )


class Gateway:
    """One pod of the gateway, and all origins."""

    arrival = 180.0  # a kubelet looks once a minute, if nothing tells it

    def __init__(self, cluster: Cluster, pod: Pod) -> None:
        self.cluster, self.pod = cluster, pod

    def send(self, commands: str) -> str:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.run(self.pod, "bash", "-c", THROUGH_BASH, input=commands)
            except subprocess.CalledProcessError as error:
                if "Connection refused" not in error.stderr or time.monotonic() > end:  # it has just started
                    raise
            time.sleep(0.5)

    def run(self, pod: Pod, *words: str, **how: Any) -> str:
        """Run a command in a pod, and return what it prints; raises CalledProcessError."""
        return self.cluster.kubectl("exec", "--stdin", pod.name, "--", *words, **how)

    def unseen(self) -> dict[str, list[str]]:
        with ThreadPoolExecutor(4) as pool:
            pods = [self.pod, *(pod for pod in self.cluster.pods() if pod.secret == "origin")]
            found = zip(pods, pool.map(self.unseen_by, pods), strict=True)
            return {pod.name: names for pod, names in found if names}

    def unseen_by(self, pod: Pod) -> list[str]:
        """Return the files that a pod sees otherwise."""
        try:
            folder = f"{MOUNTED}/{pod.secret}"  # the Secret is a folder there, not the file
            return differing(folder, SECRETS[pod.secret], lambda *words: self.run(pod, *words))
        except subprocess.CalledProcessError:
            if pod.name in {other.name for other in self.cluster.pods()}:
                raise
            return []  # it has ended meanwhile

    def origins_say(self, seconds: float) -> str:
        words = [
            "--selector",
            "app.kubernetes.io/component=origin",
            "--prefix",
            "--tail=-1",
            "--max-log-requests=100",
            "--ignore-errors",
        ]
        log = self.cluster.kubectl("logs", *words, f"--since={math.ceil(seconds)}s")
        return re.sub(r"(?m)^\[pod/([^/]+)/[^\]]+\]", r"\1", log)


def local_command(context: str) -> str | None:
    """Return what gives an image to a cluster on this machine, or None if it is not known to be on this machine."""
    for pattern, command in LOCAL.items():
        if found := re.fullmatch(pattern, context):
            return found.expand(command)
    return None


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Give the cluster of CONTEXT, or the one that kubectl reaches if it is on this machine."""
    if not shutil.which("kubectl"):
        sys.exit("This needs kubectl (https://kubernetes.io/docs/tasks/tools).")
    named = os.environ.get("CONTEXT", "")
    lines = subprocess.run(["kubectl", "config", "get-contexts", "--output", "name"], capture_output=True, text=True)
    known = lines.stdout.split()
    words = ["kubectl", "config", "current-context"]
    context = named or subprocess.run(words, capture_output=True, text=True).stdout.strip()
    if context not in known:
        sys.exit(f"kubectl has no context {context!r}. CONTEXT= may name one of: {' '.join(known) or 'none'}")
    if not named and local_command(context) is None:
        sys.exit(f"The current context may be a cluster that others use. If it is meant, name it: CONTEXT={context}")
    print(f"The cluster is {context}.", flush=True)
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        found = Cluster(context)
        found.pull()
        yield found
