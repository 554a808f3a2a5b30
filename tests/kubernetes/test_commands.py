"""The commands `make cluster-*`, with a program in the place of kubectl, docker, kind and minikube.

The program asks `Cluster`, below, which keeps what a cluster has, and notes when an origin would refuse what is sent.
"""

import base64
import hashlib
import json
import os
import re
import secrets
import signal
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial, reduce
from pathlib import Path
from typing import Any, Self

import pytest
from ruamel.yaml import YAML

from shared.apps import ROOT
from tests.gateway.runner import MANAGE, Edit, instead
from tests.kubernetes.manifests import FOLDER, KUBECTL
from tests.processes import STOP_DEADLINE

Data = dict[str, str]  # of a Secret
AWAY = "The connection to the server was refused"
LEFT_OUT, BUILT = "cherrypy|pyramid|litestar", ("falcon", "fastapi")  # of the apps, to save time
NEVER = 10**6
PROGRAM = r"""#!/bin/bash
PATH=/usr/bin:/bin
[ -r "${KUBECONFIG-.}" ] || { echo 'error: context was not found' >&2; exit 1; }
exec 3<>/dev/tcp/127.0.0.1/<port>
{
    printf '%s\0' "$PPID" "${0##*/}" "$@"
    printf '\1'
    case " $* " in *' - '* | *' --stdin '*) cat ;; esac
    printf '\1'
} >&3
read -r status <&3
[ "$status" != 0 ] || exec cat <&3
cat <&3 >&2
exit "$status"
"""


def encoded(text: str) -> str:
    """Return the Base64 of a text."""
    return base64.b64encode(text.encode()).decode()


def plain(data: Data, file: str) -> str:
    """Return the text of a file of a Secret, without the white space around it."""
    return base64.b64decode(data.get(file, "")).decode().strip()


@cache
def manifests() -> str:
    """Return what kustomize builds from the overlay `local`, without some of the apps."""
    command = [str(KUBECTL), "kustomize", str(FOLDER / "overlays" / "local")]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=STOP_DEADLINE).stdout
    return "---\n".join(item for item in text.split("---\n") if not re.search(rf"\n  name: ({LEFT_OUT})\n", item))


@dataclass
class Pod:
    """A pod, which sees a change after it was looked at `lag` times, and only the first `sees` changes."""

    app: str
    seen: Data
    state: str = "ready"  # or running, waiting, ending
    lag: int = 0
    sees: int = NEVER
    coming: Data | None = None
    wait: int = 0

    def __post_init__(self) -> None:
        self.secret = "gateway" if self.app == "gateway" else "origin"
        self.begin()

    def begin(self) -> None:
        """Let a gateway read its files."""
        self.keys = dict(line.split(" ", 1) for line in plain(self.seen, "keys.map").splitlines())
        self.sent = plain(self.seen, "sent.map").removeprefix("secret ")

    def look(self, wait: int) -> None:
        """See what has come, if it is time; it is after so many looks."""
        if self.coming is not None and wait <= 0:
            self.seen, self.coming = self.coming, None
        self.wait = wait

    def item(self, name: str) -> dict[str, Any]:
        """Return the pod as Kubernetes describes it."""
        labels = {"app.kubernetes.io/name": self.app}
        labels.update({"app.kubernetes.io/component": "origin"} if self.secret == "origin" else {})
        ending = {"deletionTimestamp": "now"} if self.state == "ending" else {}
        state = {"waiting" if self.state == "waiting" else "running": {"startedAt": "then"}}
        status = {"containerStatuses": [{"ready": self.state == "ready", "state": state}]}
        return {"metadata": {"name": name, "labels": labels, **ending}, "status": status}

    def run(self, words: list[str], text: str) -> str:
        """Return the answer to a command, of which one is for the admin socket."""
        if words[0] == "sha256sum":
            self.look(self.wait)
            self.wait -= self.coming is not None
            files = {path: base64.b64decode(self.seen[Path(path).name]) for path in words[1:]}
            return "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in files.items())
        command, _, given = text.partition("\n")
        match command.split():
            case ["prepare", "map", "sent.map"]:
                return "New version created: 1\n"
            case ["add", "map", "@1", "sent.map", "<<"]:
                self.prepared = given.strip().removeprefix("secret ")
            case ["commit", "map", "@1", "sent.map"]:
                self.sent = self.prepared
            case ["add", "map", "keys.map", "<<"]:
                digest, _, self.keys[digest] = given.strip().partition(" ")
            case ["del", "map", "keys.map", digest]:
                return "\n" if self.keys.pop(digest, "") else "Key not found.\n"
            case _:
                return "Unknown command\n"
        return "\n"


class Cluster:
    """What a cluster has: two gateways, two origins and their Secrets, which have other data too."""

    def __init__(self) -> None:
        self.contexts, self.current, self.namespace, self.version = ["kind-a", "production"], "kind-a", True, 1
        self.secret, self.digest = secrets.token_urlsafe(32), secrets.token_hex(32)
        data = {
            "origin": {"shared_secret": f"{self.secret}\n", "shared_secret_previous": ""},
            "gateway": {"keys.map": f"{self.digest} acme\n", "sent.map": f"secret {self.secret}\n"},
        }
        self.secrets: dict[str, Any] = {
            name: {
                "metadata": {"name": name, "resourceVersion": "1", "labels": {"of": "somebody"}},
                "data": {file: encoded(text) for file, text in {**files, "other": "other"}.items()},
            }
            for name, files in data.items()
        }
        self.pods: dict[str, Pod] = {}
        for name in ("gateway-1", "gateway-2", "falcon-1", "fastapi-1"):
            self.add(name)
        self.objects: list[str] = []
        self.events: list[list[Any]] = []  # what happens, at a command with which text, and at which of them
        self.asked: list[tuple[list[str], str]] = []  # the commands, and what they were given to read
        self.refused: list[str] = []
        self.arrived: dict[str, bool] = {}  # whether everybody saw everything when a gateway was last told to forget
        self.says, self.away, self.content, self.images = "", AWAY, dict[str, str](), ""

    def add(self, name: str, **told: Any) -> None:
        """Add or replace a pod."""
        app = name.partition("-")[0]
        self.pods[name] = Pod(app, self.secrets["gateway" if app == "gateway" else "origin"]["data"], **told)

    def put(self, verb: str, given: dict[str, Any]) -> tuple[int, str]:
        """Create or replace a Secret."""
        name, version = given["metadata"]["name"], given["metadata"].get("resourceVersion")
        known = self.secrets.get(name)
        if not self.namespace or (verb == "create") == bool(known):
            return 1, f"Error from server: cannot {verb} {name}"
        if known and version not in (None, known["metadata"]["resourceVersion"]):
            return 1, "Error from server (Conflict): the object has been modified"
        self.version += 1
        metadata = {**given["metadata"], "resourceVersion": str(self.version)}
        self.secrets[name] = {**given, "metadata": metadata}
        for pod in self.pods.values():
            if pod.secret == name and pod.sees:
                pod.coming, pod.sees, pod.wait = given["data"], pod.sees - 1, NEVER
        return 0, json.dumps(self.secrets[name])

    def kubectl(self, words: list[str], text: str) -> tuple[int, str]:
        """Return the status of a command of kubectl, and what it prints."""
        if words[0] == "config":
            said = "\n".join(self.contexts) if words[1] == "get-contexts" else self.current
            return int(not said), said or "error: current-context is not set"
        if words[0] != "--context" or words[1] not in self.contexts:
            return 1, "error: context does not exist"
        match words[4:]:
            case ["get", "secret", name, *_]:
                return 0, json.dumps(self.secrets[name]) if name in self.secrets else ""
            case ["get", "pods", "--output", "json"]:
                items = [pod.item(name) for name, pod in self.pods.items()]
                return 0, json.dumps({"items": [*items, {"metadata": {"name": "another"}, "status": {}}]})
            case ["create" | "replace" as verb, *_]:
                return self.put(verb, json.loads(text))
            case ["annotate", "pods", which, *_]:
                for pod in self.pods.values() if which == "--all" else ():
                    pod.look(pod.lag)
            case ["exec", "--stdin", name, "--", *command]:
                if name not in self.pods or self.pods[name].state == "waiting":
                    return 1, f"error: no container runs in {name}"
                if text.startswith("del map"):
                    self.arrived[name] = all(pod.coming is None for pod in self.pods.values())
                return 0, self.pods[name].run(command, text)
            case ["kustomize", folder] if Path(folder).is_dir():
                return 0, manifests()
            case ["apply", "--filename", "-"]:
                if len(self.secrets) < 2:
                    return 1, "Error from server: there is no such Secret"
                self.objects = text.split("---\n")
                for name in (f"{app}-{number}" for app in ("gateway", *BUILT) for number in (1, 2)):
                    if name not in self.pods:
                        self.add(name)
            case ["apply", "--filename", file] if Path(file).exists():
                self.namespace = True
            case ["delete", kinds, which, label, *_]:
                label = label.replace("=", ": ") if which == "--selector" else "kind: "
                kept = [kind_of(item) not in kinds.split(",") or label not in item for item in self.objects]
                self.objects = [item for item, stays in zip(self.objects, kept, strict=True) if stays]
                self.pods, self.secrets = {}, {} if label == "kind: " and "secrets" in kinds else self.secrets
            case ["get", "deployments", *_]:
                return 0, self.images
            case ["logs", *_]:
                return 0, self.says
            case ["rollout", *_] | ["get", "pods", "--selector", _]:
                pass
            case _:
                return 1, f"error: unknown command {words}"
        return 0, ""

    def docker(self, words: list[str]) -> tuple[int, str]:
        """Return the same of docker, which identifies an image by what is in it; kind and minikube say nothing."""
        digest = hashlib.sha256(f"{words[-1]}{self.content.get(words[-1])}".encode()).hexdigest()
        return 0, f"sha256:{digest}\n" if words[0] == "image" else ""

    def answer(self, program: str, words: list[str], text: str) -> tuple[int, str, str]:
        """Return the same of any program, and what happens then: maybe a signal to who runs it."""
        self.asked.append(([program, *words], text))
        happens = name = ""
        for event in self.events:
            event[2] -= event[1] in self.log()[-1]
            if event[2] == 0:
                (happens, _, name), event[2] = event[0].partition(" "), -1
        if happens == "changes":
            known = self.secrets[name]
            self.put("replace", {**known, "data": {**known["data"], "other": encoded("changed")}})
        elif happens == "begins":
            self.pods[name].begin()
        elif happens == "ends":
            del self.pods[name]
        answer = self.kubectl(words, text) if program == "kubectl" else self.docker(words)
        self.refused += self.refusing()
        return (1, self.away, "") if happens == "fails" else (*answer, happens)

    def refusing(self) -> list[str]:
        """Return who does not accept what a gateway sends, or would send if it began now."""
        pods = {name: pod for name, pod in self.pods.items() if pod.state in ("ready", "running")}
        gateways = [pod for pod in pods.values() if pod.secret == "gateway"]
        data = {name: secret["data"] for name, secret in self.secrets.items()}
        read = [pod.seen for pod in gateways] + ([data["gateway"]] if "gateway" in data else [])
        sent = {pod.sent for pod in gateways} | {plain(one, "sent.map").removeprefix("secret ") for one in read}
        origins = {name: pod.seen for name, pod in pods.items() if pod.secret == "origin"}
        origins |= {"a new pod": data["origin"]} if "origin" in data else {}
        both = ("shared_secret", "shared_secret_previous")
        return [name for name, seen in origins.items() if not sent <= {plain(seen, file) for file in both} - {""}]

    def log(self, text: str = "") -> list[str]:
        """Return the commands that contain a text, with what they were given to read."""
        lines = [" ".join([*words, given]).strip() for words, given in self.asked]
        return [line for line in lines if text in line]

    def file(self, name: str) -> str:
        """Return the text of a file in its Secret."""
        return "".join(plain(secret["data"], name) for secret in self.secrets.values())

    def gateways(self) -> list[Pod]:
        """Return the gateways."""
        return [pod for pod in self.pods.values() if pod.app == "gateway"]

    def later(self) -> None:
        """Let the time pass that a kubelet needs at most; no more is to happen, and no command has been run."""
        for pod in self.pods.values():
            pod.seen, pod.coming, pod.sees = self.secrets[pod.secret]["data"], None, NEVER
        self.events, self.asked = [], []


def kind_of(item: str) -> str:
    """Return the kind of an object in a manifest, as `kubectl delete` takes it."""
    return re.sub("ys$", "ies", re.findall(r"(?m)^kind: (.*)", item)[0].lower() + "s")


class Asked(socketserver.BaseRequestHandler):
    """A program that was run in the place of another."""

    def handle(self) -> None:
        data = b""
        while data.count(b"\1") < 2:
            if not (more := self.request.recv(65536)):
                return
            data += more
        words, text, _ = data.decode().split("\1")
        parent, program, *arguments = words.split("\0")[:-1]
        assert isinstance(self.server, Server)
        with self.server.lock:
            status, said, happens = self.server.cluster.answer(program, arguments, text)
        if happens.startswith("SIG"):
            os.kill(int(parent), getattr(signal, happens))
            self.request.settimeout(STOP_DEADLINE)
            self.request.recv(1)  # until it is ended
        else:
            self.request.sendall(f"{status}\n{said}".encode())


class Server(socketserver.ThreadingTCPServer):
    """Answers the programs."""

    daemon_threads, request_queue_size = True, 20

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.cluster, self.lock = cluster, threading.Lock()


ON_TIME = {  # what a test does not wait for
    **{f"time.sleep({name})": "time.sleep(0)" for name in ("LOOKED", "UNDER_WAY", "LAST_LOOK")},
    "time.sleep(0.2)": "time.sleep(0.01)",
}


def leave_out(name: str, text: str) -> str:
    """Leave out some of the apps."""
    return re.sub(rf'(?m)^ +App\("({LEFT_OUT})".*\n', "", text) if name == "apps.py" else text


cluster, manage = partial(instead, name="cluster.py"), partial(instead, name="manage.py")  # edits of these files


class Pretended(Cluster):
    """A cluster and the commands for it, in a folder, which edits may have broken."""

    def __init__(self, folder: Path, *edits: Edit) -> None:
        super().__init__()
        self.root, self.known = folder, {self.secret}
        edits += (leave_out, cluster("arrival = 180.0", 'arrival = float(os.environ["ARRIVAL"])'))
        edits += tuple(manage(old, new) for old, new in ON_TIME.items())
        for path in ("apps.py", *(f"gateway/{name}.py" for name in ("cluster", "files", "manage", "places"))):
            place, text = folder / "shared" / path, (ROOT / "shared" / path).read_text()
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(reduce(lambda text, edit: edit(place.name, text), edits, text))
        (folder / "shared" / "kubernetes").symlink_to(FOLDER)
        (folder / "tmp").mkdir()
        (folder / "bin").mkdir()
        self.environ = {"PATH": f"{folder}/bin", "TMPDIR": f"{folder}/tmp", "HOME": str(folder), "ARRIVAL": "5"}

    def __enter__(self) -> Self:
        self.server = Server(self)
        for name in ("kubectl", "docker", "kind", "minikube"):
            (self.root / "bin" / name).write_text(PROGRAM.replace("<port>", str(self.server.server_address[1])))
            (self.root / "bin" / name).chmod(0o755)
        threading.Thread(target=self.server.serve_forever, args=(0.01,)).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def run(self, *words: str, fails: bool | None = False, given: Any = subprocess.DEVNULL, **environ: str) -> str:
        """Run a command as `make` does, and return what it prints; whatever it did has to be safe."""
        command, environ, out = [*MANAGE, *words], {**self.environ, **environ}, subprocess.PIPE
        done = subprocess.run(
            command,
            cwd=self.root,
            env=environ,
            stdin=given,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=STOP_DEADLINE,
        )
        output = done.stdout.decode()
        if "Traceback" in output:
            raise RuntimeError(output)
        assert fails is None or bool(done.returncode) == fails, output
        assert not self.refused
        assert not list((self.root / "tmp").iterdir()), "A file stays on this machine."
        self.known |= {self.file("shared_secret"), *re.findall(r"ogk_[\w-]{43}", output)} - {""}
        hidden = {form for text in self.known for form in (text, encoded(text)[:40], encoded(f"secret {text}")[:40])}
        for arguments, _ in self.asked:
            assert not any(form in argument for form in hidden for argument in arguments), arguments
            if arguments[0] == "kubectl" and arguments[1] != "config":
                context = environ.get("CONTEXT", self.current)
                assert arguments[1:5] == ["--context", context, "--namespace", "origin-guard"]
        return output


FILES_STAY = cluster("with TemporaryDirectory() as folder:", "if folder := __import__('tempfile').mkdtemp():")
Check = Callable[..., None]  # takes a pretended cluster, and what else it is told


def shown(output: str) -> str:
    """Return the one key that a command has printed."""
    found = set(re.findall(r"ogk_[\w-]{43}", output))
    assert len(found) == 1
    return str(*found)


def hold(check: Check, folder: Path, breaking: Edit | None) -> None:
    """Run a check with the commands as they are, or with broken ones, with which it has to fail."""
    with Pretended(folder, *([breaking] if breaking else [])) as pretended:
        if not breaking:
            check(pretended)
        else:
            with pytest.raises(AssertionError):
                check(pretended)


def fails_for(**defects: Edit) -> Callable[[Check], Check]:
    """Make a test of a check, which runs as it is and with each defect."""

    def register(check: Check) -> Check:
        def test(breaking: Edit | None, tmp_path: Path) -> None:
            hold(check, tmp_path, breaking)

        test.__doc__ = check.__doc__
        return pytest.mark.parametrize("breaking", [None, *defects.values()], ids=["as it is", *defects])(test)

    return register


LOCAL = ("kind-a", "minikube", "docker-desktop", "orbstack", "rancher-desktop")
OTHERS = ("production", "my-minikube", "gke_kind-a", "docker-desktop-2")


@fails_for(
    any_context=cluster("local_command(context) is None", "False"),
    part_of_a_name=cluster("re.fullmatch(pattern", "re.search(pattern"),
    unknown=cluster("|orbstack|", "|"),
    unnamed=cluster("name it: CONTEXT={context}", "name it"),
    nothing_said=cluster('    print(f"The cluster is {context}.", flush=True)\n', ""),
    too_late=cluster("    if not named and", "    Cluster(context).delete()\n    if not named and"),
)
def test_which_cluster(pretended: Pretended) -> None:
    """A local one is used and named first; another is refused before anything has been done."""
    for context in LOCAL:
        pretended.contexts, pretended.current = [context, "another"], context
        lines = pretended.run("cluster-down").splitlines()
        assert lines[0] == f"The cluster is {context}."
        assert pretended.log(f"--context {context} ")
        pretended.later()
    for context in OTHERS:
        pretended.contexts, pretended.current = [context, "another"], context
        assert f"CONTEXT={context}\n" in pretended.run("cluster-down", fails=True)
    assert {line.split()[1] for line in pretended.log()} == {"config"}


@fails_for(
    ignored=cluster('os.environ.get("CONTEXT", "")', '""'),
    the_current_one=cluster("--context {context} ", "--context kind-a "),
    anything=cluster("if context not in known", "if False"),
    others_unnamed=cluster("{' '.join(known) or 'none'}", "kubectl"),
    no_kubectl=cluster('if not shutil.which("kubectl")', "if False"),
)
def test_named_cluster(pretended: Pretended) -> None:
    """CONTEXT names any that kubectl knows; one line says what is missing."""
    pretended.run("cluster-revoke", "acme", CONTEXT="production")
    pretended.later()
    unknown = "kubectl has no context {!r}. CONTEXT= may name one of: kind-a production\n"
    assert pretended.run("cluster-rotate", fails=True, CONTEXT="kind-b") == unknown.format("kind-b")
    pretended.current = ""
    assert pretended.run("cluster-rotate", fails=True) == unknown.format("")
    assert {line.split()[1] for line in pretended.log()} == {"config"}
    (pretended.root / "bin" / "kubectl").unlink()
    assert pretended.run("cluster-rotate", fails=True).startswith("This needs kubectl (https://")


@fails_for(
    ignored=manage("    if unknown and", "    if False and"),
    context_unknown=manage('({"CONTEXT"} if usage.startswith("make cluster-") else set())', "set()"),
    context_everywhere=manage('if usage.startswith("make cluster-") else set()', "if True else set()"),
    any_name=manage('("name", type=consumer)', '("name")'),
)
def test_what_is_refused_at_once(pretended: Pretended) -> None:
    """Variables that a command does not have, and invalid names, are refused before kubectl is asked anything."""
    for words, typed, known in (
        (["cluster-up"], "RATE CONTEXT", "CONTEXT"),
        (["cluster-key", "a"], "RATE NAME CONTEXT", "CONTEXT, NAME"),
        (["cluster-rotate"], "RATE", "CONTEXT"),
        (["revoke", "acme"], "CONTEXT NAME", "NAME"),
    ):
        wrong = "CONTEXT" if words == ["revoke", "acme"] else "RATE"
        line = f"`make {words[0]}` does not have: {wrong}. It has {known}.\n"
        assert pretended.run(*words, fails=True, TYPED=typed) == line
    for name in ("", "a b", "a/b", ".a", "a" * 65):
        assert "give the name of a consumer, which has up to 64" in pretended.run("cluster-key", name, fails=True)
    assert not pretended.log()


LOAD = {
    "kind-a": "kind load docker-image --name a",
    "minikube": "minikube --profile minikube image load",
    "orbstack": "",
}


@fails_for(
    not_given=cluster("if command := local_command(self.context)", 'if command := ""'),
    another_cluster=cluster(r"--name \1", "--name kind"),
    not_tagged=cluster('docker("tag", f"{name}:local", tagged)', "pass"),
    any_content=cluster("found.removeprefix('sha256:')[:12]", "1"),
    applied_anyway=cluster("if not has_built(", "if None is has_built("),
    no_docker=manage('sys.exit("This needs Docker, to build the images.")', "pass"),
)
def test_images(pretended: Pretended) -> None:
    """Each has a tag that its content makes, and the nodes get it; without Docker or after an error nothing starts."""
    tags = []
    for context, command in LOAD.items():
        pretended.later()
        pretended.contexts, pretended.current = [context], context
        pretended.events = [["fails", "apply --filename -", 1]]
        assert f"kubectl failed: {AWAY}" in pretended.run("cluster-up", fails=True)
        tags.append([line.split()[-1] for line in pretended.log("docker tag ")])
        assert [line.partition("-")[0] for line in tags[-1]] == ["origin"] * len(BUILT)
        loaded = [line for line in pretended.log(" load ") if not line.startswith("kubectl")]
        assert loaded == [f"{command} {tag}" for tag in tags[-1] if command]
        pretended.content["origin-guard-falcon:local"] = context
    assert [len({*found}) for found in zip(*tags, strict=True)] == [3, 1]
    pretended.later()
    pretended.events = [["fails", "docker build", 2]]
    assert "fastapi cannot be built" in pretended.run("cluster-up", fails=True)
    (pretended.root / "bin" / "docker").unlink()
    lines = ["The cluster is orbstack.", "This needs Docker, to build the images."]
    assert pretended.run("cluster-up", fails=True).splitlines() == lines
    assert not pretended.log("apply --filename -")


@fails_for(
    secrets_later=manage(
        "    home.create()\n    keys(home.where)\n    accept_sent(home)\n    home.apply(manifests)",
        "    home.apply(manifests)\n    home.create()",
    ),
    one_secret=cluster("for name in SECRETS:\n            self.push(name)", "self.push('origin')"),
    local_images=cluster("manifests.replace(", "manifests.replace('', '') or ("),
    never_waits=cluster('for name in ("gateway", *APPS)', 'for name in ("gateway",)'),
    always_new=instead("if new := not read(CURRENT)", "if new := True", "files.py"),
    no_key=manage('        add(home, "first")', "        pass"),
    words_lost=cluster("{error.stderr.strip()}", "error"),
)
def test_up(pretended: Pretended) -> None:
    """It makes namespace, Secrets, Deployments and the first key, each once; what does not start is an error."""
    pretended.namespace, pretended.secrets, pretended.pods = False, {}, {}
    output = pretended.run("cluster-up")
    key = shown(output)
    assert f"http://127.0.0.1:8080/falcon/protected -H 'Authorization: Bearer {key}'" in output
    before, made = [*pretended.secrets.values()], map(YAML(typ="safe").load, pretended.objects)
    pods = [item["spec"]["template"]["spec"] for item in made if item["kind"] == "Deployment"]
    images = {pod["containers"][0]["image"] for pod in pods}
    assert images == {"haproxy:3.2", *(line.split()[-1] for line in pretended.log("docker tag "))}
    assert len(pretended.log("rollout status")) == len(BUILT) + 1
    digest, name = pretended.file("keys.map").split()[:2]
    assert (digest, name) == (hashlib.sha256(key.encode()).hexdigest(), "first")
    assert [[*pod.keys] for pod in pretended.gateways()] == [[digest]] * 2
    pretended.events, pretended.away = [["fails", "rollout status deployment/fastapi", 1]], "exceeded its deadline"
    message = pretended.run("cluster-up", fails=True)
    assert "fastapi is not what the manifests say: exceeded its deadline" in message
    assert "ogk_" not in pretended.run("cluster-up")
    assert [*pretended.secrets.values()] == before


@fails_for(
    one_gateway=manage("        places = home.running()\n", "        places = home.running()[:1]\n"),
    stored=manage("    print(example", "    (ROOT / 'log').write_text(key)\n    print(example"),
    an_argument=manage("    print(example", "    docker('tag', key)\n    print(example"),
    not_stored=manage('    home.write(KEYS, "\\n".join([*before, line]))\n    try', "    try"),
    others_lost=manage("join([*before, line])", "join([line])"),
    as_without_cluster=cluster('make, start, where = "make cluster-"', 'make, start, where = "make "'),
    a_second_one=manage("    if name in keys(", "    if name is keys("),
    nobody_told_of_the_secret=cluster('"pods", "--all"', '"pods", "--local"'),
    stays_here=FILES_STAY,
)
def test_key(pretended: Pretended) -> None:
    """It is printed, and kept nowhere; every gateway and the Secret have its hash; a consumer has one."""
    output = pretended.run("cluster-key", "more", ARRIVAL="0")
    assert "does not see" not in output
    key = shown(output)
    files = [path for path in pretended.root.rglob("*") if path.is_file()]
    assert not [path for path in files if any(text in path.read_text("latin-1") for text in (key, encoded(key)[:50]))]
    stored = dict(line.split(" ", 1) for line in pretended.file("keys.map").splitlines())
    assert stored.get(hashlib.sha256(key.encode()).hexdigest(), "").startswith("more ")
    assert [pod.keys for pod in pretended.gateways()] == [stored, stored]
    assert len(stored) == 2
    assert "`make cluster-revoke NAME=more` first" in pretended.run("cluster-key", "more", fails=True)


INTERRUPTED = "\nInterrupted. Run the command again.\n"


@fails_for(
    not_taken_back=manage('        home.write(KEYS, "\\n".join(before))\n        raise', "        raise"),
    after_errors_only=manage("BaseException:\n        home.write(KEYS", "Exception:\n        home.write(KEYS"),
    shown_first=manage("    before = stored_lines()\n", "    before = stored_lines()\n    print(key)\n"),
    stays_here=FILES_STAY,
)
def test_a_key_that_a_gateway_does_not_get(pretended: Pretended) -> None:
    """Nothing is printed, and the Secret is as it was, also after an interruption."""
    before = pretended.file("keys.map")
    for event in ("fails", "SIGINT", "SIGTERM"):
        pretended.events = [[event, "gateway-2 -- bash", 1]]
        output = pretended.run("cluster-key", "more", fails=True)
        assert output.endswith(f"kubectl failed: {AWAY}\n" if event == "fails" else INTERRUPTED)
        assert "ogk_" not in output
        assert pretended.file("keys.map") == before


@fails_for(
    in_the_gateways_only=manage('    home.write(KEYS, "\\n".join(line for', '    str("\\n".join(line for'),
    one_gateway=manage('in places:\n        update(place, f"del', 'in places[:1]:\n        update(place, f"del'),
    not_again=manage("    forget(known[name].digest, home.running())  # one that", "    # one that"),
    at_once=manage("    warn(home, places)\n    forget", "    forget"),
    others_unnamed=manage("{' '.join(known) or 'none'}", "some"),
)
def test_revoke(pretended: Pretended) -> None:
    """The key is gone everywhere, also where a gateway has begun again before its file arrived."""
    pretended.run("cluster-key", "more")
    pretended.later()
    pretended.add("gateway-2", lag=2)
    pretended.events = [["begins gateway-2", "sha256sum", 2]]
    assert "Revoked the key of acme." in pretended.run("cluster-revoke", "acme")
    left = pretended.file("keys.map").split()[0]
    assert [[*pod.keys] for pod in pretended.gateways()] == [[left], [left]]
    assert pretended.digest not in pretended.file("keys.map")
    assert pretended.arrived == {"gateway-1": True, "gateway-2": True}
    assert "acme has no key. Consumers with a key: more\n" in pretended.run("cluster-revoke", "acme", fails=True)


ANEW = 'if read(SENT) == f"secret {read(CURRENT)}" and read(PREVIOUS) in ("", read(CURRENT)):'
SWAPPED = (
    "        home.write(PREVIOUS, read(CURRENT))\n        home.write(CURRENT, secrets.token_urlsafe(32))\n",
    "        home.write(CURRENT, secrets.token_urlsafe(32))\n        home.write(PREVIOUS, read(SENT)[7:])\n",
)
LATE = "SHARED_SECRET_PREVIOUS has changed; what it was before was last used {} seconds ago.\n"
SAYS = {"6.6": "No origin says that the old secret was used any more.", "0.4": "to the end at falcon-1: besides this"}


def rotated(pretended: Pretended) -> str:
    """Check that a new secret alone is sent and accepted, and return it."""
    new = pretended.file("shared_secret")
    assert {pod.sent for pod in pretended.gateways()} == {new}
    assert [pretended.file("shared_secret_previous"), pretended.file("sent.map")] == ["", f"secret {new}"]
    assert new != pretended.secret
    return new


@fails_for(
    swapped=manage(*SWAPPED),
    sent_too_soon=manage('    arrive(home, "The gateway still sends', '    str("The gateway still sends'),
    removed_too_soon=manage('    arrive(home, "The origins still accept', '    str("The origins still accept'),
    one_gateway=manage("    for place in places:\n        version", "    for place in places[:1]:\n        version"),
    not_kept=manage('    home.write(SENT, f"secret', '    str(f"secret'),
    some_origins=cluster('if pod.secret == "origin")]', 'if pod.name == "falcon-1")]'),
    an_argument=cluster('f"{NAMESPACE}/{name}={version}"', 'f"{NAMESPACE}/{name}={data}"'),
    another_argument=cluster('f"{NAMESPACE}/{name}={version}"', "Path(CURRENT).read_text()"),
    said_by_each=manage("*dict.fromkeys(map(last_use, logs))", "*map(last_use, logs)"),
    names_of_containers=cluster('r"\\1", log)', '"", log)'),
)
def test_rotate(pretended: Pretended) -> None:
    """Nothing is sent that an origin may not know, however late it sees it; the last line is about the old secret."""
    for name in ("gateway-2", "fastapi-1"):
        pretended.add(name, lag=1)
    pretended.add("falcon-2", state="waiting")
    pretended.add("falcon-3", state="ending", sees=0)
    for seconds, line in SAYS.items():
        pretended.says = f"[pod/falcon-1/falcon] WARNING {LATE.format(seconds)}"
        output = pretended.run("cluster-rotate").splitlines()
        assert [text for text in output if "old secret was used" in text] == output[-1:]
        assert line in output[-1]
        rotated(pretended)


NOT_SEEN = [  # a pod, how many changes it sees, which it does not, and what is said then; what fails this
    ("falcon-1", 0, ["shared_secret", "shared_secret_previous"], "still sends the old", "The gateway still sends"),
    ("fastapi-1", 1, ["shared_secret"], "still sends the old", "The gateway still sends"),
    ("gateway-2", 0, ["sent.map"], "still accept the old", "The origins still accept"),
    ("falcon-1", 2, ["shared_secret_previous"], "still accepts the old", "The gateway sends"),
]


@pytest.mark.parametrize("broken", [False, True], ids=["as it is", "broken"])
@pytest.mark.parametrize("told", NOT_SEEN, ids=lambda told: f"{told[0]}-{told[1]}")
def test_a_pod_that_does_not_see(told: tuple[str, int, list[str], str, str], broken: bool, tmp_path: Path) -> None:
    """The message says which and what, what is sent is accepted, and another rotation completes this one."""
    name, sees, files, said, waited_for = told
    what = " and ".join(f"the Secret's {file}" for file in files)

    def check(pretended: Pretended) -> None:
        pretended.add(name, sees=sees)
        message = pretended.run("cluster-rotate", fails=True, ARRIVAL="0")
        assert f"{name} does not see what is in {what}.\n" in message
        assert said in message
        assert message.endswith("Then run `make cluster-rotate` again.\n")
        pretended.later()
        pretended.run("cluster-rotate")
        rotated(pretended)

    hold(check, tmp_path, manage(f'arrive(home, "{waited_for}', f'str("{waited_for}') if broken else None)


INTERRUPTIONS = [  # a signal, at which command, and what fails the test
    ("SIGINT", "replace", 1, manage(ANEW, ANEW.replace('in ("", read(CURRENT))', '== ""'))),
    ("SIGINT", "replace", 2, manage(ANEW, "if True:")),
    ("SIGTERM", "annotate", 2, manage("for name in (signal.SIGTERM, signal.SIGHUP):", "for name in ():")),
    ("SIGTERM", "commit map", 3, manage(*SWAPPED)),
    ("SIGINT", "replace", 3, manage(ANEW, ANEW.partition(" and ")[0] + ":")),
    ("SIGINT", "replace", 4, FILES_STAY),
]


@pytest.mark.parametrize("broken", [False, True], ids=["as it is", "broken"])
@pytest.mark.parametrize("told", INTERRUPTIONS, ids=lambda told: f"{told[1]}-{told[2]}")
def test_an_interrupted_rotation(told: tuple[str, str, int, Edit], broken: bool, tmp_path: Path) -> None:
    """Wherever it is interrupted, what is sent is accepted, and another rotation completes this one."""
    *event, breaking = told

    def check(pretended: Pretended) -> None:
        pretended.events = [[*event]]
        assert pretended.run("cluster-rotate", fails=True).endswith(INTERRUPTED)
        begun = pretended.file("shared_secret")
        pretended.later()
        pretended.run("cluster-rotate")
        assert (rotated(pretended) == begun) == (event[1:] not in (["replace", 1], ["replace", 4]))

    hold(check, tmp_path, breaking if broken else None)


@fails_for(
    not_looked_for=cluster("if pod.name in {other.name for other in self.cluster.pods()}", "if True"),
    any_failure=cluster("if pod.name in {other.name for other in self.cluster.pods()}", "if False"),
    those_that_end=cluster('and "deletionTimestamp" not in metadata', "and True"),
    those_that_wait=cluster('and any(s["state"].get("running") for s in states)', "and True"),
)
def test_pods_that_come_and_go(pretended: Pretended) -> None:
    """What has ended, ends or does not run yet is not waited for; a pod that runs and cannot be asked is an error."""
    pretended.events = [["fails", "falcon-1 -- sha256sum", 1]]
    assert AWAY in pretended.run("cluster-rotate", fails=True)
    assert not pretended.log("replace")
    pretended.add("falcon-2", state="waiting")
    pretended.add("falcon-3", state="ending", sees=0)
    pretended.events = [["ends falcon-1", "falcon-1 -- sha256sum", 1]]
    pretended.run("cluster-rotate", ARRIVAL="0")
    rotated(pretended)


@fails_for(
    overwritten=cluster("changed = ", 'del known["metadata"]["resourceVersion"]\n        changed = '),
    what_else_there_is=cluster('{**known.get("data", {}), **data}', "data"),
    its_labels=cluster("{**known, ", '{**known, "metadata": {**known["metadata"], "labels": {}}, '),
)
def test_somebody_else_changes_a_secret(pretended: Pretended) -> None:
    """The command ends with an error, and loses nothing of that; again it works."""
    for words, count, name in (
        (["cluster-key", "more"], 1, "gateway"),
        (["cluster-revoke", "acme"], 1, "gateway"),
        (["cluster-rotate"], 1, "origin"),
        (["cluster-rotate"], 3, "gateway"),
    ):
        pretended.events = [[f"changes {name}", "replace", count]]
        output = pretended.run(*words, fails=True)
        assert f"Somebody else has just changed the Secret {name}. Run the command again." in output
        assert "ogk_" not in output
        pretended.later()
        pretended.run(*words)
        found = pretended.secrets[name]
        assert found["metadata"].get("labels") == {"of": "somebody"}
        assert found["data"].pop("other", "") == encoded("changed")
        pretended.later()


@fails_for(
    changed=cluster('"ownerReferences"', '"nothing"'),
    unnamed=cluster("{owners[0]['kind']} {owners[0]['name']} keeps", "It keeps"),
)
def test_another_object_keeps_a_secret(pretended: Pretended) -> None:
    """Its Secret is not changed, and the message names it."""
    for item in pretended.secrets.values():
        item["metadata"]["ownerReferences"] = [{"kind": "ExternalSecret", "name": "store"}]
    known = {**pretended.secrets}
    for words, name in (
        (["cluster-key", "more"], "gateway"),
        (["cluster-rotate"], "origin"),
        (["cluster-revoke", "acme"], "gateway"),
    ):
        line = f"ExternalSecret store keeps the Secret {name}: change it there.\n"
        assert pretended.run(*words, fails=True).endswith(line)
        assert pretended.secrets == known


@fails_for(
    secrets_too=cluster('kinds = "', 'self.kubectl("delete", "secrets", "--all", "--wait")\n        kinds = "'),
    namespace_too=cluster('kinds = "', 'kinds = "namespaces,'),
    something_left=cluster("networkpolicies,configmaps", "configmaps"),
    of_others_too=cluster('"--selector", PART_OF', '"--all", "--wait"'),
    nothing_said=manage("removes the keys and the secret too", "is possible"),
)
def test_down(pretended: Pretended) -> None:
    """The namespace, the Secrets and what others have there stay, and the message says so; the rest is deleted."""
    pretended.objects = [*manifests().split("---\n"), "\nkind: Service\n  name: of-others\n"]
    known = {**pretended.secrets}
    message = (
        "--context kind-a --namespace origin-guard delete secrets origin gateway` removes the keys and the secret too."
    )
    assert message in pretended.run("cluster-down")
    left = [re.findall(r"(?m)^kind: .*|^  name: .*", item) for item in pretended.objects]
    assert left == [["kind: Namespace", "  name: origin-guard"], ["kind: Service", "  name: of-others"]]
    assert pretended.secrets == known
    assert not pretended.pods


@pytest.fixture
def pretended(tmp_path: Path) -> Iterator[Pretended]:
    """Give a cluster, and the commands as they are."""
    with Pretended(tmp_path) as found:
        yield found


@pytest.mark.parametrize("words", [["cluster-key", "more"], ["cluster-revoke", "acme"], ["cluster-rotate"]], ids=str)
def test_a_gateway_that_is_not_ready(words: list[str], pretended: Pretended) -> None:
    """It has what the others have: when it is ready again, it gets requests."""
    pretended.add("gateway-2", state="running")
    pretended.run(*words)  # which finds origins that refuse what is sent
    one, two = pretended.gateways()
    assert (one.keys, one.sent) == (two.keys, two.sent)


def test_a_pod_that_ends_before_its_annotation(pretended: Pretended) -> None:
    """A consumer has a key if, and only if, somebody has seen it."""
    pretended.events = [["fails", "annotate", 1]]
    assert ("ogk_" in pretended.run("cluster-key", "more", fails=None)) == ("more" in pretended.file("keys.map"))


def test_kubeconfig_with_a_relative_path(pretended: Pretended) -> None:
    """It is that of the folder in which make runs."""
    (pretended.root / "config").touch()
    pretended.run("cluster-down", KUBECONFIG="config")


def test_a_loop_that_reads_names(pretended: Pretended) -> None:
    """The command leaves its standard input alone, as in `while read name; do make cluster-key NAME=$name; done`."""
    (pretended.root / "names").write_text("b\nc\n")
    with (pretended.root / "names").open() as names:
        pretended.run("cluster-key", "a", given=names)
        assert names.read() == "b\nc\n"


def test_what_was_not_built_here(pretended: Pretended) -> None:
    """`make cluster-up` leaves it alone, and says what is meant for it."""
    pretended.images = "haproxy:3.2 origin-guard-falcon:1234 registry.example/origin-guard-fastapi@sha256:00"
    output = pretended.run("cluster-up", fails=True)
    assert "registry.example/origin-guard-fastapi@sha256:00 runs there" in output
    assert "overlays/production" in output
    assert not pretended.log("apply")


def test_a_secret_that_was_changed_by_hand(pretended: Pretended) -> None:
    """`make cluster-up` makes the gateways send one that the origins accept."""
    data = pretended.secrets["origin"]["data"]
    data["shared_secret"] = encoded("another")
    pretended.refusing = list  # type: ignore[method-assign]  # they do, until it is mended
    pretended.run("cluster-up")
    assert {pod.sent for pod in pretended.gateways()} == {"another"}


def test_the_list_of_consumers(pretended: Pretended) -> None:
    """It is that of the cluster."""
    assert "acme  since an unknown day" in pretended.run("cluster-keys")


@pytest.mark.parametrize("command", ["cluster-key", "cluster-revoke"])
def test_nothing_is_there_yet(command: str, pretended: Pretended) -> None:
    """One line says what to run first."""
    pretended.secrets, pretended.pods = {}, {}
    assert "`make cluster-up`" in pretended.run(command, "acme", fails=True)


def test_a_wrong_line(pretended: Pretended) -> None:
    """The message says where it is."""
    pretended.secrets["gateway"]["data"]["keys.map"] = encoded("nonsense\n")
    assert "line 1 of the Secret's keys.map is wrong" in pretended.run("cluster-key", "more", fails=True)


def test_another_object_keeps_what_is_sent(pretended: Pretended) -> None:
    """A rotation that cannot end is refused before it begins."""
    pretended.secrets["gateway"]["metadata"]["ownerReferences"] = [{"kind": "ExternalSecret", "name": "store"}]
    assert "ExternalSecret store keeps" in pretended.run("cluster-rotate", fails=True)
    assert pretended.file("shared_secret") == pretended.secret


def test_a_first_build_that_fails(pretended: Pretended) -> None:
    """Nothing is there then, as the message says."""
    pretended.namespace, pretended.secrets, pretended.pods = False, {}, {}
    pretended.events = [["fails", "docker build", 1]]
    assert "falcon cannot be built: the lines above say why. Nothing was ch" in pretended.run("cluster-up", fails=True)
    assert not pretended.secrets
