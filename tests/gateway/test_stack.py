"""The stack of `make up`, on a real Docker engine, in a copy of the repository: `make test-stack`."""

import hashlib
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPResponse
from typing import Any

import pytest
import requests

from shared.apps import APPS, GIVES_UP, ROOT
from tests.contract.case import Case, Result
from tests.contract.http1 import DEADLINE, Address, request, respond
from tests.contract.target import Instance, Target
from tests.contract.waiting import wait_until
from tests.gateway.contract import CHECKABLE, as_target
from tests.gateway.load import BusyClients, busy
from tests.gateway.runner import AUTHORITY, certificate
from tests.gateway.stack import Stack

pytestmark = pytest.mark.stack
SETTINGS = {"RATE": "1000000", "PER_ADDRESS": "1000", "TIMEOUT": "90s"}  # of the gateway
HUNG, TAKEN, WAITING = 1100, 100, 120  # clients: more than the gateway has connections; and than the origin takes
CONNECT = """
import concurrent.futures, socket, sys
def is_reached(host):
    try:
        socket.create_connection((host, 8000), 3).close()
    except OSError:
        return False
    return True
with concurrent.futures.ThreadPoolExecutor(len(sys.argv)) as pool:
    found = list(pool.map(is_reached, sys.argv[1:]))
print(*[host for host, reached in zip(sys.argv[1:], found) if reached])
"""
SERVE = "import socket; s = socket.create_server(('', 8000))\nwhile True: s.accept()"
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())"
KEEP_SENDING = """
import sys, time, urllib.request
while True:
    try:
        urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={"X-Shared-Secret": sys.argv[2]}), timeout=5)
    except OSError:
        pass
    time.sleep(0.2)
"""
GRANTED = 'resp.media = {"message": "Access granted"}'  # in the app of Falcon
BEGIN, END = 'if __name__ == "__main__":', "data: the end\n\n"
ROUTES = f"""
import asyncio

from fastapi import Request
from fastapi.responses import StreamingResponse


@app.get("/fields")
async def fields(request: Request):
    return dict(request.headers)


@app.get("/after/{{seconds}}")
async def after(seconds: int):
    async def answer():
        yield "data: begun\\n\\n"
        await asyncio.sleep(seconds)
        yield {END!r}

    return StreamingResponse(answer(), media_type="text/event-stream")


{BEGIN}"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Give the stack that `make up` starts in a fresh copy, and remove it at the end."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    message = stack.run("docker", "compose", "up", "--detach", fails=True)  # there is no secret yet
    assert "run `make up`" in message
    told = {**SETTINGS, "FASTAPI_REPLICAS": "3", "GATEWAY_PORT": str(stack.address.port)}
    try:
        stack.last_line = stack.make("up", *(f"{name}={value}" for name, value in told.items())).splitlines()[-1]
        found = re.search(r"ogk_[\w-]{43}", stack.last_line)
        assert found, stack.last_line
        stack.key = found[0]
        yield stack
    finally:
        stack.remove()


def test_the_curl_line_works(stack: Stack) -> None:
    """The last line of `make up` can be pasted."""
    assert "Access granted" in stack.run("sh", "-c", stack.last_line)
    for app in APPS:
        assert stack.status(app) == 200


def test_no_origin_is_reached_past_the_gateway(stack: Stack) -> None:
    """Only the gateway's port is published, on loopback; other networks cannot reach an origin, nor it them."""
    containers = by_service(stack)
    assert set(containers) == {"gateway", *APPS}
    published = {name: container["HostConfig"]["PortBindings"] for name, container in containers.items()}
    own = {"HostIp": "127.0.0.1", "HostPort": str(stack.address.port)}
    assert published.pop("gateway") == {"8080/tcp": [own]}
    assert not any(published.values())

    origins = stack.origins
    assert stack.run("docker", "network", "inspect", "--format", "{{.Internal}}", origins).strip() == "true"
    networks = {app: containers[app]["NetworkSettings"]["Networks"] for app in APPS}
    assert all(set(found) == {origins} for found in networks.values())
    addresses = {found[origins]["IPAddress"] for found in networks.values()}
    with stack.beside("bridge", SERVE) as outsider, ThreadPoolExecutor(2) as pool:
        (outside,) = json.loads(stack.run("docker", "inspect", outsider))
        elsewhere = outside["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        hosts = (elsewhere, *addresses, *APPS)
        inside, beside = pool.map(lambda network: stack.python(network, CONNECT, *hosts), (origins, "bridge"))
    assert set(inside.split()) == {*addresses, *APPS}
    assert set(beside.split()) == {elsewhere}


def by_service(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return what `docker inspect` prints about one container of each service."""
    containers = stack.inspect()
    return {container["Config"]["Labels"]["com.docker.compose.service"]: container for container in containers}


def test_containers_can_do_little(stack: Stack) -> None:
    """No root, no writable files, no capabilities, no shell as a parent, and limited memory."""
    for name, container in by_service(stack).items():
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


def test_logs_do_not_fill_the_disk(stack: Stack) -> None:
    """The log of every container begins a new file at a size, and has so many of them."""
    for name, container in by_service(stack).items():
        how = container["HostConfig"]["LogConfig"]
        assert how["Type"] == "local", name
        assert {"max-size", "max-file"} <= set(how["Config"]), name


def test_metrics_are_for_the_network_alone(stack: Stack) -> None:
    """Prometheus in the network of the project finds each origin; no key and no secret is among what it finds."""
    metrics = stack.python(stack.default, FETCH, "http://gateway:9101/metrics")
    for app in APPS:
        assert f'haproxy_backend_status{{proxy="{app}",state="UP"}} 1' in metrics
    for word in (stack.file("shared_secret").read_text().strip(), stack.key, digest(stack.key)):
        assert word not in metrics
    assert stack.get("/metrics").status_code == 404


def digest(key: str) -> str:
    """Return the SHA-256 of a key, as keys.map has it."""
    return hashlib.sha256(key.encode()).hexdigest()


def test_settings_stay(stack: Stack) -> None:
    """What `make up` was told once holds for the next one and for Compose: they change nothing that runs."""
    before = stack.ids()
    assert len(stack.ids("fastapi")) == 3
    assert stack.key not in stack.make("up")  # keys are not stored
    stack.compose("up", "--detach")
    assert stack.ids() == before
    (gateway,) = stack.inspect("gateway")
    assert {f"{name}={value}" for name, value in SETTINGS.items()} <= set(gateway["Config"]["Env"])


@pytest.fixture(scope="module")
def grown(stack: Stack) -> BusyClients:
    """Give the clients that were busy while three replicas of FastAPI were upgraded to one that has more routes."""
    before = stack.ids("fastapi")
    stack.edit("fastapi", BEGIN, ROUTES)
    with busy(f"{stack.url}/fastapi/protected", stack.key) as load:
        stack.make("upgrade", "APP=fastapi")
    assert not set(before) & set(stack.ids("fastapi"))
    return load


def test_an_upgrade_loses_nothing(stack: Stack, grown: BusyClients) -> None:
    """Each replica is replaced by a new one, and none of the old ones is left."""
    assert grown.lost == []
    assert grown.sent > 20
    replicas = stack.inspect("fastapi")
    assert len(replicas) == 3
    assert {replica["Image"] for replica in replicas} == {stack.image("fastapi")}
    assert [stack.get("/fastapi/fields").status_code for _ in range(12)] == [200] * 12


@pytest.mark.usefixtures("grown")
def test_a_restart_ends_no_answer(stack: Stack) -> None:
    """An answer of 12 seconds that is under way when its origin restarts arrives whole."""
    with stack.get("/fastapi/after/12", stream=True) as answer:
        lines = answer.iter_lines(decode_unicode=True)
        assert next(lines) == "data: begun"
        stack.compose("restart", "fastapi")
        assert END.strip() in list(lines)


@pytest.fixture(scope="module")
def quiet_stream(stack: Stack, grown: BusyClients) -> Iterator[requests.Response]:
    """Give a stream of events that says nothing for a minute, while other tests run."""
    assert wait_until(lambda: stack.answers("fastapi"), DEADLINE)
    with stack.get("/fastapi/after/60", stream=True, timeout=90) as answer:
        yield answer


@pytest.mark.usefixtures("quiet_stream")  # it begins here
@pytest.mark.parametrize("event", ["create", "kill"])
def test_an_interrupted_upgrade(stack: Stack, event: str) -> None:
    """An upgrade of one replica, interrupted while the new image is tried out or the old replica stops, loses nothing.

    The next upgrade ends it: the new replica gets requests before the old one goes.
    """
    (before,) = stack.ids("falcon")
    count = len(stack.names())
    of = {"create": f"{stack.project}-falcon-try-out", "kill": before}[event]
    stack.edit("falcon", GRANTED, f'{GRANTED}\n        resp.set_header("X-{event}", "yes")')
    with busy(f"{stack.url}/falcon/protected", stack.key) as load:
        message = stack.interrupt(event, of, "upgrade", "APP=falcon")
        stack.make("upgrade", "APP=falcon")
    assert "Interrupted. Run the command again." in message
    assert load.lost == []
    assert [replica["Image"] for replica in stack.inspect("falcon")] == [stack.image("falcon")]
    assert stack.ids("falcon") != [before]
    assert len(stack.names()) == count, stack.names()
    assert stack.get("/falcon/protected").headers[f"X-{event}"] == "yes"


def test_images_that_do_not_start_change_nothing(stack: Stack) -> None:
    """The message has the log of one, what ran goes on, and Compose starts none of them later."""
    before = stack.ids()
    broken = ("falcon", "pyramid")
    for app in broken:
        stack.edit(app, "import logging\n", "import logging (\n")
    try:
        with busy(f"{stack.url}/falcon/protected", stack.key) as load:
            messages = [stack.make(*words, fails=True) for words in (["upgrade", "APP=falcon"], ["up"])]
            stack.compose("up", "--detach")
    finally:
        for app in broken:
            stack.edit(app, "import logging (\n", "import logging\n")
    for message in messages:
        assert "The new image of falcon does not work, so that the old one stays." in message
        assert "SyntaxError" in message
    assert load.lost == []
    assert stack.ids() == before
    for app in APPS:
        assert stack.status(app) == 200


def test_an_upgrade_needs_an_app(stack: Stack) -> None:
    """The message names the apps that there are."""
    for words in (["APP=django"], []):
        assert "one of falcon, fastapi" in stack.make("upgrade", *words, fails=True)


def test_an_origin_with_another_secret(stack: Stack) -> None:
    """The client learns that it is not at fault, and the log has the cause."""
    other = ["--env", "SHARED_SECRET_FILE=", "--env", "SHARED_SECRET=another-secret"]
    name = stack.compose("run", "--detach", "--use-aliases", "--no-deps", *other, "falcon").split()[-1]
    try:
        refused: list[Any] = []

        def is_refused() -> bool:
            refused.append(stack.get("/falcon/protected"))
            return bool(refused[-1].status_code != 200)

        assert wait_until(is_refused, DEADLINE)
    finally:
        stack.run("docker", "rm", "--force", name)
    assert refused[-1].status_code == 502
    assert "the same secret" in refused[-1].json()["detail"]
    assert "secret-refused" in {line["problem"] for line in stack.access_log("falcon") if line["status"] == 502}
    assert wait_until(lambda: [stack.status("falcon") for _ in range(6)] == [200] * 6, DEADLINE)


def test_an_origin_that_hangs_delays_no_other(stack: Stack) -> None:
    """Others are answered before the gateway gives up what it has for that one, which answers when it goes on."""
    sent = request("/cherrypy/protected", b"Authorization: Bearer " + stack.key.encode(), host=b"Host: x")
    stack.compose("pause", "cherrypy")
    with ExitStack() as connections:
        try:
            hung, others = [], []
            for count in (WAITING, HUNG - WAITING):
                for _ in range(count):
                    hung.append(connections.enter_context(stack.address.connect()))
                    hung[-1].sendall(sent)
                others += [stack.status(app) for app in APPS if app != "cherrypy"]
            over = [arrived(client) for client in hung[:TAKEN]]
        finally:
            stack.compose("unpause", "cherrypy")
        statuses = {status(client) for client in hung}
    assert others == [200] * 8
    assert not any(over)  # the others did not have to wait for these, which have longer than those in the queue
    assert statuses == {200, 503}


def arrived(client: socket.socket) -> bool:
    """Return whether something has come on a connection."""
    client.setblocking(False)
    try:
        return bool(client.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        client.settimeout(DEADLINE)


def status(client: socket.socket) -> int:
    """Return the status of the answer on a connection."""
    answer = HTTPResponse(client)
    answer.begin()
    return answer.status


def test_replicas_come_and_go_under_load(stack: Stack) -> None:
    """The gateway finds three replicas, uses them all, and loses no request when some are removed."""
    with busy(f"{stack.url}/falcon/protected", stack.key) as load:
        before = len(stack.access_log("falcon"))
        stack.scale("falcon", 3)
        used: set[str] = set()

        def all_are_used() -> bool:
            used.update(line["server"] for line in stack.access_log("falcon")[before:] if line["status"] == 200)
            return len(used) == 3

        assert wait_until(all_are_used, 60), f"only {used} are used"
        stack.scale("falcon", 2)
        time.sleep(3)
        stack.scale("falcon", 1)
        time.sleep(3)
    assert load.lost == []
    assert load.sent > 20
    assert stack.status("falcon") == 200


def test_keys_come_and_go(stack: Stack) -> None:
    """A change is live when the command returns, also where the environment names another project."""
    key = make_key(stack, "acme")
    assert stack.status("falcon", key) == 200
    stack.make("revoke", "NAME=acme", COMPOSE_PROJECT_NAME="another")
    assert stack.status("falcon", key) == 401
    assert stack.status("falcon") == 200


def make_key(stack: Stack, name: str) -> str:
    """Make a key for a consumer, and return it."""
    found = re.search(r"ogk_[\w-]{43}", stack.make("key", f"NAME={name}"))
    assert found
    return found[0]


def test_rotation_loses_nothing(stack: Stack) -> None:
    """The files of the secret change while everything runs."""
    before = stack.file("shared_secret").read_text()
    with busy(f"{stack.url}/pyramid/protected", stack.key) as load:
        last_line = stack.make("rotate").splitlines()[-1]
    assert load.lost == []
    assert last_line == "No origin says that the old secret was used any more."
    assert stack.compose("exec", "--no-TTY", "litestar", "cat", "/run/secrets/shared_secret") != before
    for app in APPS:
        assert stack.status(app) == 200


@pytest.fixture(scope="module")
def target(stack: Stack) -> Target:
    """Give the gateway as the target."""
    return as_target(Instance(Address(*stack.address), stack.log), stack.key)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CHECKABLE])
def test_contract_through_the_gateway(case: Case, case_result: Result) -> None:
    """The gateway answers only clients with a key."""
    assert case_result.outcome == "passed", case_result.describe(case)


@pytest.fixture(scope="module")
def inside(stack: Stack) -> Iterator[dict[str, str]]:
    """Give the output of the contract's container for each app, run in the network of the origins."""
    tag = f"{stack.project}-contract"
    stack.run("docker", "build", "--tag", tag, "tests/contract")
    secret = stack.file("shared_secret").read_text().strip()

    def check(app: str) -> str:
        command = ["docker", "run", "--rm", "--network", stack.origins, "--env", "SHARED_SECRET"]
        return stack.run(*command, tag, "check", f"http://{app}:8000", SHARED_SECRET=secret)

    try:
        with ThreadPoolExecutor(2) as pool:
            yield dict(zip(APPS, pool.map(check, APPS), strict=True))
    finally:
        stack.run("docker", "image", "rm", "--force", tag)


def test_contract_inside_the_network(app: str, inside: dict[str, str]) -> None:
    """Each origin meets the contract at the address that the gateway uses."""
    assert "It meets the contract" in inside[app]


def test_a_quiet_stream_goes_on(quiet_stream: requests.Response) -> None:
    """Events arrive after a minute in which there were none, if TIMEOUT is longer."""
    assert quiet_stream.text.endswith(END)


def test_fewer_replicas(stack: Stack, grown: BusyClients) -> None:
    """They go without losing a request."""
    with busy(f"{stack.url}/fastapi/protected", stack.key) as load:
        stack.make("up", "FASTAPI_REPLICAS=1")
    assert load.lost == []
    assert len(stack.ids("fastapi")) == 1


def test_a_secret_in_another_file(stack: Stack) -> None:
    """Containers see the file that was there when they started: the rotation says so, and `make up` replaces them."""
    stack.replace_file("shared_secret")
    before = {app: stack.ids(app) for app in APPS}
    secrets = [stack.file(name).read_text().strip() for name in ("shared_secret", "shared_secret_previous", "sent.map")]
    with busy(f"{stack.url}/pyramid/protected", stack.key) as load:
        message = stack.make("rotate", fails=True)
        statuses = [stack.status(app) for app in APPS]
        stack.make("up")
    assert load.lost == []
    assert statuses == [200] * len(APPS)
    for app in APPS:
        assert f"{app}-" in message
        assert len(stack.ids(app)) == 1
        assert stack.ids(app) != before[app]
    assert "Nothing was changed" in message
    assert secrets[:2] == [stack.file(name).read_text().strip() for name in ("shared_secret", "shared_secret_previous")]
    assert secrets[2] == stack.file("sent.map").read_text().strip()


def test_keys_in_another_file(stack: Stack) -> None:
    """The gateway still learns of a change, but not from the file: it reads that again only when `make up` has run.

    Then it sees the file of what it sends too.
    """
    key, before = make_key(stack, "acme"), stack.ids("gateway")
    for name in ("keys.map", "sent.map"):
        stack.replace_file(name)
    unseen = "does not see what is in .secrets/keys.map"
    assert unseen in stack.make("revoke", "NAME=acme")
    assert unseen in stack.make("key", "NAME=other")
    assert stack.status("falcon", key) == 401
    assert unseen in stack.make("reload", fails=True)
    assert stack.status("falcon", key) == 401
    stack.make("up")
    assert stack.ids("gateway") != before
    assert (stack.status("falcon", key), stack.status("falcon")) == (401, 200)
    stack.make("reload")
    assert (stack.status("falcon", key), stack.status("falcon")) == (401, 200)


def test_a_rotation_finds_who_else_sends_the_secret(stack: Stack) -> None:
    """It works with replaced files too; its last line names the origin that somebody asked with the old secret."""
    old = stack.file("shared_secret").read_text().strip()
    with (
        stack.beside(stack.origins, KEEP_SENDING, "http://cherrypy:8000/protected", old),
        busy(f"{stack.url}/pyramid/protected", stack.key) as load,
    ):
        last_line = stack.make("rotate").splitlines()[-1]
    assert load.lost == []
    assert re.match(r"The old secret was used to the end at cherrypy-\d+: ", last_line), last_line


def test_reloads_under_load_lose_nothing(stack: Stack) -> None:
    """The new process knows the addresses of the origins from its start."""
    with busy(f"{stack.url}/falcon/protected", stack.key) as load:
        for _ in range(3):
            stack.make("reload")
        time.sleep(1)
    assert load.lost == []


@pytest.fixture(scope="module")
def tls(stack: Stack, grown: BusyClients) -> str:
    """Let the gateway speak TLS, and give the curl line of `make up`."""
    (stack.folder / "api.pem").write_bytes(certificate("api.test", "127.0.0.1"))
    lines = stack.make("up", "CERT=api.pem").splitlines()
    return next(line for line in lines if line.startswith("curl "))


def test_curl_with_tls(stack: Stack, tls: str) -> None:
    """The line that `make up` prints can be pasted, with a key; git does not see the copy of the certificate's key."""
    assert "Access granted" in stack.run("sh", "-c", tls.replace("KEY", stack.key))
    assert "https://api.test:" in tls
    assert stack.run("git", "-C", str(ROOT), "check-ignore", "--no-index", ".secrets/cert.pem")


def test_requests_with_tls(stack: Stack, tls: str) -> None:
    """A client that offers HTTP/2 gets HTTP/1.1, and the origin knows that the request came by TLS."""
    got, _ = ask(stack)
    assert got["x-forwarded-proto"] == "https"


def ask(stack: Stack) -> tuple[dict[str, str], Any]:
    """Return the fields that an origin got with a request by TLS, and the certificate of the gateway."""
    context = ssl.create_default_context(cadata=AUTHORITY.cert_pem.bytes().decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    sent = request("/fastapi/fields", b"Authorization: Bearer " + stack.key.encode(), host=b"Host: api.test")
    with context.wrap_socket(stack.address.connect(), server_hostname="api.test") as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
        got = respond(connection, sent)
        assert got.status == 200
        return got.json(), connection.getpeercert()


def test_a_new_certificate(stack: Stack, tls: str) -> None:
    """A reload takes the one that is at the same path by then, and loses no request."""
    trust = stack.folder / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(trust))
    _, before = ask(stack)
    (stack.folder / "api.pem").write_bytes(certificate("api.test", "127.0.0.1"))
    with busy(f"https://{stack.address}/falcon/protected", stack.key, str(trust)) as load:
        stack.make("reload")
        time.sleep(1)
    assert load.lost == []
    assert load.sent > 20
    _, after = ask(stack)
    assert after["serialNumber"] != before["serialNumber"]


def test_without_tls_again(stack: Stack, tls: str) -> None:
    """An empty CERT ends it."""
    stack.make("up", "CERT=")
    assert stack.status("falcon") == 200


def test_a_faster_server(stack: Stack) -> None:
    """SERVER=granian replaces the apps that can run on it, loses no request, says what it is not for, and stays."""
    try:
        with busy(f"{stack.url}/falcon/protected", stack.key) as load:
            printed = stack.make("up", "SERVER=granian")
            stack.make("rotate")
            stack.make("upgrade", "APP=falcon", SERVER="default")  # .env counts
        assert load.lost == []
        assert GIVES_UP in printed
        for app in APPS:
            assert stack.status(app) == 200
            command = stack.compose("exec", "--no-TTY", app, "cat", "/proc/1/cmdline")
            assert ("granian" in command) == APPS[app].on_granian
    finally:
        stack.make("up", "SERVER=")


def test_secrets_do_not_leak(stack: Stack) -> None:
    """Neither into `docker inspect`, nor into the images, nor into a log."""
    secret = stack.file("shared_secret").read_text().strip()
    containers = stack.inspect()
    images = {container["Image"] for container in containers}
    history = "".join(stack.run("docker", "history", "--no-trunc", image) for image in images)
    logs = stack.compose("logs")  # without targets: the contract sends the secret in paths and queries too
    logs = re.sub(r"(\"[A-Za-z-]+) \S+ (?=HTTP/)", r"\1 ", logs)
    for word in (secret, stack.key):
        assert word not in json.dumps(containers)
        assert word not in history
        assert word not in logs
    assert secret in stack.compose("exec", "--no-TTY", "falcon", "cat", "/run/secrets/shared_secret")


def test_it_goes_down(stack: Stack) -> None:
    """`make down` leaves nothing running, and keeps the keys and the secret."""
    stack.make("down")
    for kind in ("container", "network"):
        words = ["--all"] if kind == "container" else []
        label = f"label=com.docker.compose.project={stack.project}"
        assert stack.run("docker", kind, "ls", *words, "--quiet", "--filter", label) == ""
    stack.compose("up", "--detach")
    assert wait_until(lambda: stack.answers("falcon"), DEADLINE)
