"""`make cluster-up` and what comes after it, on a real cluster, in a copy of the repository: `make test-cluster`."""

import base64
import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest
import requests

from shared.apps import APPS, PORT
from shared.gateway.cluster import NAMESPACE
from tests.contract.case import Case
from tests.contract.http1 import DEADLINE, Address, exchange
from tests.contract.target import Instance, Target
from tests.contract.waiting import wait_until
from tests.gateway.contract import CHECKABLE, as_target, checked
from tests.gateway.forging import ATTEMPTS, forged
from tests.gateway.load import BusyClients, busy
from tests.kubernetes.cluster import KEY, Cluster
from tests.processes import end, free_port, spawn

pytestmark = pytest.mark.cluster
GRANTED = 'resp.media = {"message": "Access granted"}'  # in the app of Falcon
CONTRACT = {"app.kubernetes.io/name": "contract"}  # a pod that may ask the origins, as the gateway may
RECORDER = {"app.kubernetes.io/name": "recorder", "app.kubernetes.io/component": "origin"}
RECORD = """
import base64, socketserver
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(0.5)
        received = b""
        try:
            while piece := self.request.recv(65536):
                received += piece
        except OSError:
            pass
        if received and not received.startswith(b"GET /healthz "):
            print(base64.b64encode(received).decode(), flush=True)
        self.request.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
socketserver.ThreadingTCPServer.request_queue_size = 100
socketserver.ThreadingTCPServer(("", 8000), Handler).serve_forever()
"""
CONNECT = """
import socket, sys
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
        print(place)
    except OSError:
        pass
"""
LISTEN = "import socket, time; s = socket.create_server(('', 8000)); time.sleep(600)"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give what `make cluster-up` starts from a fresh copy; at the end, take it down and remove the namespace."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    found = cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found")
    assert not found, f"The cluster has a namespace {NAMESPACE} already. To test there, remove it first."
    try:
        cluster.printed = cluster.make("cluster-up").splitlines()
        key = KEY.search(cluster.printed[-1])
        assert key
        cluster.key = key[0]
        cluster.build_probe()
        yield cluster
        cluster.make("cluster-down")
        assert not cluster.items("deployments,services,configmaps,networkpolicies", "--selector", PARTS)
        assert cluster.secret("gateway", "keys.map")
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")


PARTS = f"app.kubernetes.io/part-of={NAMESPACE}"


@pytest.fixture(scope="module")
def address(cluster: Cluster) -> Address:
    """Give where the gateway is reached from this machine."""
    found: list[Address] = []
    addresses = cluster.expose()

    def is_reached() -> bool:
        for address in addresses:
            with suppress(requests.RequestException):
                requests.get(f"http://{address}/", timeout=5)
                found.append(address)
        return bool(found)

    assert wait_until(is_reached, DEADLINE), f"None of {addresses} is reached: one has to be, from this machine."
    return found[0]


def load(cluster: Cluster, address: Address, app: str = "falcon") -> AbstractContextManager[BusyClients]:
    """Keep the gateway busy with requests on connections of their own."""
    return busy(f"http://{address}/{app}/protected", cluster.key, keep=False)


def test_everything_answers(cluster: Cluster, address: Address) -> None:
    """Through the gateway, every app grants what has a key."""
    for app in APPS:
        assert cluster.statuses(f"http://{address}/{app}/protected") == {200}, app
    assert cluster.statuses(f"http://{address}/falcon/protected", "ogk_wrong") == {401}


def test_the_printed_commands_work(cluster: Cluster) -> None:
    """The last two lines of `make cluster-up` can be pasted; here with another port than 8080."""
    port = str(free_port())
    forward, curl = cluster.printed[-2:]
    words = forward.replace(" 8080:", f" {port}:").removesuffix(" &").split()
    process = spawn(words, cluster.folder, cluster.environ, subprocess.PIPE, subprocess.STDOUT)
    try:
        assert process.stdout
        with process.stdout as output:
            assert b"Forwarding" in output.readline()
            answer = cluster.run("sh", "-c", f"{curl.replace('8080', port)} || true")
            end(process)
            said = output.read().decode()
    finally:
        end(process)
    if "socat not found" in said:
        pytest.skip("The node forwards no ports: it has no socat.")
    assert "Access granted" in answer, said


def test_nothing_secret_is_shown(cluster: Cluster) -> None:
    """Who may look at everything but Secrets learns neither the secret nor a key."""
    log = cluster.kubectl("logs", "--selector", PARTS, "--tail=-1", "--max-log-requests=20")
    assert "/protected" in log
    shown = cluster.kubectl("get", "all,configmaps,events", "--output", "json") + log
    for word in (cluster.secret("origin", "shared_secret"), cluster.key):
        assert word not in shown
        assert base64.b64encode(word.encode()).decode() not in shown


def test_replicas_come_and_go(cluster: Cluster, address: Address) -> None:
    """From two to four and back; no request is lost, and all four get some."""
    with load(cluster, address) as clients:
        cluster.kubectl("scale", "deployment/falcon", "--replicas=4")
        cluster.settled("falcon", 4)
        assert wait_until(lambda: len(servers(cluster)) == 4, 60), servers(cluster)
        cluster.kubectl("scale", "deployment/falcon", "--replicas=2")
        cluster.settled("falcon", 2)
    assert_nothing_lost(clients)


def servers(cluster: Cluster) -> set[str]:
    """Return which servers of Falcon the gateways have sent their latest requests to."""
    log = cluster.kubectl("logs", "--selector", "app.kubernetes.io/name=gateway", "--tail=200")
    return set(re.findall(r'"server":"(falcon-\d+)"', log))


def assert_nothing_lost(clients: BusyClients) -> None:
    """Check that clients that were busy got every answer."""
    assert clients.lost == []
    assert clients.sent > 20


def test_a_new_image(cluster: Cluster, address: Address) -> None:
    """`make cluster-up` replaces what has changed, pod by pod, and only that; keys and the secret stay."""
    before = {name: set(cluster.pods(name)) for name in ("falcon", "pyramid", "gateway")}
    cluster.edit("falcon", GRANTED, f'{GRANTED}\n        resp.set_header("X-New", "yes")')
    with load(cluster, address) as clients:
        printed = cluster.make("cluster-up")
        cluster.settled("falcon", 2)
    assert_nothing_lost(clients)
    assert not KEY.search(printed)
    assert not before["falcon"] & set(cluster.pods("falcon"))
    assert before["pyramid"] == set(cluster.pods("pyramid"))
    assert before["gateway"] == set(cluster.pods("gateway"))
    fields = {"Authorization": f"Bearer {cluster.key}"}
    assert requests.get(f"http://{address}/falcon/protected", headers=fields, timeout=30).headers["X-New"] == "yes"


@pytest.mark.parametrize("name", ["falcon", "gateway"])
def test_a_deleted_pod(cluster: Cluster, address: Address, name: str) -> None:
    """It ends when it has answered what it has, and another takes its place."""
    first, _ = cluster.pods(name)
    with load(cluster, address) as clients:
        cluster.kubectl("delete", "pod", first)
        cluster.settled(name, 2)
    assert_nothing_lost(clients)


def test_a_drained_node(cluster: Cluster, address: Address) -> None:
    """Its pods move to others."""
    nodes = [item["metadata"]["name"] for item in cluster.items("nodes")]
    if len(nodes) < 2:
        pytest.skip("The cluster has one node.")
    with load(cluster, address) as clients:
        try:
            cluster.kubectl("drain", nodes[-1], "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
            for name in ("gateway", *APPS):
                cluster.settled(name, 2)
        finally:
            cluster.kubectl("uncordon", nodes[-1])
    assert_nothing_lost(clients)


def test_a_rotation(cluster: Cluster, address: Address) -> None:
    """Every pod gets the new secret, and none accepts the old one; no request is lost."""
    before = cluster.secret("origin", "shared_secret")
    with load(cluster, address, "fastapi") as clients:
        lines = cluster.make("cluster-rotate").splitlines()
    assert_nothing_lost(clients)
    assert lines[-1] == "No origin says that the old secret was used any more."
    assert cluster.secret("origin", "shared_secret") != before
    assert cluster.secret("origin", "shared_secret_previous") == ""
    for app in APPS:
        assert cluster.statuses(f"http://{address}/{app}/protected") == {200}, app


def test_keys_come_and_go(cluster: Cluster, address: Address) -> None:
    """A change is live in every gateway when the command returns, and others' requests go on."""
    url = f"http://{address}/falcon/protected"
    with load(cluster, address) as clients:
        key = cluster.make_key("acme")
        assert cluster.statuses(url, key) == {200}
        cluster.make("cluster-revoke", "NAME=acme")
        assert cluster.statuses(url, key) == {401}
    assert_nothing_lost(clients)


def test_a_gateway_that_starts_later(cluster: Cluster, address: Address) -> None:
    """It has the keys of now."""
    key = cluster.make_key("later")
    cluster.make("cluster-revoke", "NAME=first")
    with busy(f"http://{address}/falcon/protected", key, keep=False) as clients:
        cluster.kubectl("rollout", "restart", "deployment/gateway")
        cluster.settled("gateway", 2)
    assert_nothing_lost(clients)
    assert cluster.statuses(f"http://{address}/falcon/protected") == {401}
    cluster.key, cluster.consumer = key, "later"


@pytest.fixture(scope="module")
def allowed(cluster: Cluster) -> None:
    """Let the contract ask the origins, as the gateway may."""
    cluster.apply(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "contract",
        podSelector={"matchLabels": {"app.kubernetes.io/component": "origin"}},
        policyTypes=["Ingress"],
        ingress=[{"from": [{"podSelector": {"matchLabels": CONTRACT}}]}],
    )


def test_only_the_gateway_reaches_an_origin(cluster: Cluster, allowed: None) -> None:
    """An ordinary pod does not, and an origin reaches nobody, where the cluster enforces NetworkPolicies."""
    cluster.apply(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "closed",
        podSelector={"matchLabels": {"app.kubernetes.io/name": "closed"}},
        policyTypes=["Ingress"],
    )
    origins = [f"{app}:{PORT}" for app in APPS]
    python = ["python", "-c"]
    with cluster.beside("closed", [LISTEN], {"app.kubernetes.io/name": "closed"}, command=python):
        assert wait_until(lambda: cluster.phase("closed") == "Running", DEADLINE)
        pod = json.loads(cluster.kubectl("get", "pod", "closed", "--output", "json"))
        closed = f"{pod['status']['podIP']}:8000"
        found = cluster.output("stranger", [CONNECT, closed, *origins], {"name": "stranger"}, command=python).split()
        if closed in found:
            pytest.skip("The cluster enforces no NetworkPolicy: a pod that nobody may reach is reached.")
    assert found == []
    assert cluster.output("friend", [CONNECT, *origins], CONTRACT, command=python).split() == origins
    for app in APPS:
        (first, _), place = cluster.pods(app), "gateway:8080"
        assert cluster.kubectl("exec", first, "--", *python, CONNECT, place) == "", app


def test_contract_inside(cluster: Cluster, allowed: None) -> None:
    """Each app meets the contract at the name that the gateway asks for."""
    secret = {"secretKeyRef": {"name": "origin", "key": "shared_secret"}}
    environ = [{"name": "SHARED_SECRET", "valueFrom": secret}]

    def check(app: str) -> str:
        return cluster.output(f"contract-{app}", ["check", f"http://{app}:{PORT}"], CONTRACT, env=environ)

    with ThreadPoolExecutor(2) as pool:
        for app, output in zip(APPS, pool.map(check, APPS), strict=True):
            assert "It meets the contract" in output, f"{app}:\n{output}"


@contextmanager
def recorder(cluster: Cluster) -> Iterator[None]:
    """Let a pod that keeps what it gets take Falcon's place for as long as the block lasts."""

    def take(name: str) -> None:
        selector = {"spec": {"selector": {"app.kubernetes.io/name": name}}}
        cluster.kubectl("patch", "service", "falcon", "--type", "merge", "--patch", json.dumps(selector))

    ports = [{"name": "http", "containerPort": PORT, "protocol": "TCP"}]
    with cluster.beside("recorder", [RECORD], RECORDER, command=["python", "-c"], ports=ports):
        try:
            take("recorder")
            yield
        finally:
            take("falcon")


def test_nothing_forged_reaches_an_origin(cluster: Cluster, address: Address) -> None:
    """Each attempt is refused, or what it forges is removed."""
    secret, url = cluster.secret("origin", "shared_secret"), f"http://{address}/falcon/protected"
    fields = {"Authorization": f"Bearer {cluster.key}", "Connection": "close"}

    def is_recorded() -> bool:
        return all(requests.get(url, headers=fields, timeout=30).text == "ok" for _ in range(10))

    with recorder(cluster):
        assert wait_until(is_recorded, 120)
        time.sleep(2)  # for those that a gateway has on their way
        received = len(recorded(cluster))
        for name, attempt in ATTEMPTS.items():
            sent = attempt.replace(b"<key>", cluster.key.encode()).replace(b"<host>", str(address).encode())
            try:
                status = exchange(address, sent).status
            except OSError:
                status = 400  # HAProxy 3.2 closes the connection where the length is ambiguous
            assert status in (200, *range(400, 500)), name
            got = recorded(cluster)[received:]
            assert len(got) == (status == 200), name
            assert forged(got, secret, cluster.consumer) == [], name
            received += len(got)


def recorded(cluster: Cluster) -> list[bytes]:
    """Return the requests that the recorder has got."""
    return [base64.b64decode(line) for line in cluster.kubectl("logs", "recorder").splitlines()]


@pytest.fixture(scope="module")
def target(cluster: Cluster, address: Address) -> Target:
    """Give the gateways as the target."""

    def log() -> str:
        return cluster.kubectl("logs", "--selector", "app.kubernetes.io/name=gateway", "--tail=-1")

    return as_target(Instance(address, log), cluster.key)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CHECKABLE])
def test_contract_through_the_gateways(case: Case, target: Target) -> None:
    """They answer only clients with a key."""
    result = checked(case, target)
    assert result.outcome == "passed", result.describe(case)
