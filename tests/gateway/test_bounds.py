"""How much one origin and one client's address may hold, so that the others go on."""

import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from shared.apps import APPS, ROOT
from tests.contract.http1 import DEADLINE, request
from tests.contract.waiting import wait_until
from tests.gateway.checks import Start, assert_problem, fails_for
from tests.gateway.origin import RecordingOrigin
from tests.gateway.runner import KEY, Gateway, both, get, instead, without
from tests.processes import Service

CROWD = 1_100
PATIENT = instead("timeout queue 5s", "timeout queue 60s")
PER_ORIGIN, PER_REPLICA, PER_ADDRESS = 300, 100, 500


@contextmanager
def crowd(gateway: Gateway, sent: bytes, size: int) -> Iterator[list[socket.socket]]:
    """Give many connections on which the same is sent."""
    with ExitStack() as stack:
        clients = []
        for _ in range(size):
            client = stack.enter_context(socket.socket())
            client.settimeout(DEADLINE)
            clients.append(client)
            with suppress(ConnectionError):  # it may be refused at once
                client.connect((gateway.address.host, gateway.address.port))
                client.sendall(gateway.filled(sent))
        yield clients


def answered(clients: list[socket.socket], count: int, deadline: float = 5) -> dict[socket.socket, bytes]:
    """Return what has come on the connections as soon as there is something on so many, or after a deadline."""
    waiting = select.poll()
    places = {client.fileno(): client for client in clients}
    for place in places:
        waiting.register(place, select.POLLIN)
    found: dict[socket.socket, bytes] = {}
    end = time.monotonic() + deadline
    while len(found) < count and (left := end - time.monotonic()) > 0:
        for place, _ in waiting.poll(1000 * left):
            waiting.unregister(place)
            try:
                found[places[place]] = places[place].recv(65_536)
            except OSError:
                found[places[place]] = b""
    return found


def assert_others_go_on(gateway: Gateway, sent: bytes, other: str) -> None:
    """Check that a crowd for an origin that hangs leaves room for others, while it hangs, and that the surplus goes."""
    with crowd(gateway, sent, CROWD) as clients:
        for path in (other, "/healthz"):
            got = gateway.send(request(path, KEY), 5)
            assert got, f"no answer to {path}"
            assert got.status == 200
        refused = answered(clients, CROWD - PER_ORIGIN, DEADLINE)
        assert len(refused) == CROWD - PER_ORIGIN
        assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in refused.values())
        assert all(b"application/problem+json" in answer for answer in refused.values())
        assert answered([client for client in clients if client not in refused], 1, 0) == {}


@fails_for(no_bound=without("be_conn gt"))
def test_an_origin_that_hangs(start: Start) -> None:
    """However many requests come for it, another origin answers."""
    with RecordingOrigin() as other:
        edit = both(PATIENT, instead('"${FASTAPI-fastapi:8000}"', f'"127.0.0.1:{other.port}"'))
        with start(edit, {"PER_ADDRESS": "1000"}) as (gateway, origin), origin.answering(None):
            assert_others_go_on(gateway, get(), "/fastapi/protected")


@fails_for(as_many=instead("presetenv PER_ORIGIN 300", "presetenv PER_ORIGIN 500"))
def test_an_origin_that_hangs_for_one_address(start: Start) -> None:
    """By default it does not take all connections that its clients' address may have."""
    with RecordingOrigin() as other:
        edit = both(PATIENT, instead('"${FASTAPI-fastapi:8000}"', f'"127.0.0.1:{other.port}"'))
        with start(edit) as (gateway, origin), origin.answering(None), crowd(gateway, get(), PER_ADDRESS) as clients:
            assert answered(clients, PER_ADDRESS - PER_ORIGIN, 5), "nothing was refused"
            got = gateway.send(request("/fastapi/protected", KEY), 5)
            assert got, "no answer to a client at the same address"
            assert got.status == 200


@fails_for(fixed=instead('gt "$PER_ORIGIN"', "gt 300"))
def test_another_bound_of_an_origin(start: Start) -> None:
    """PER_ORIGIN requests are the most that an origin has at once; any origin may have as many."""
    several = get(), request("/fastapi/protected", KEY)
    with start(config={"PER_ORIGIN": "3"}) as (gateway, origin), origin.answering(None), ExitStack() as stack:
        for sent in several:
            stack.enter_context(crowd(gateway, sent, 3))
        assert wait_until(lambda: len(origin.received) == 6, DEADLINE)
        for sent in several:
            assert_problem(gateway.send(sent, 5), 503)


def test_a_service_that_is_stopped(haproxy: str, tmp_path: Path) -> None:
    """The same for a real one, which answers again when it goes on."""
    (tmp_path / "falcon").mkdir()
    log = tmp_path / "falcon" / "log"
    log.touch()
    gateway = Gateway(tmp_path, {}, PATIENT, {"PER_ADDRESS": "1000"})
    config = {"SHARED_SECRET_FILE": str(gateway.file("shared_secret"))}
    falcon = Service("falcon", APPS["falcon"].command, ROOT / "apps" / "falcon", config, log)
    with RecordingOrigin() as other, falcon:
        gateway.command += [f"falcon={falcon.address.port}", f"fastapi={other.port}"]
        with gateway:
            gateway.wait_for_origin("falcon")
            workers = psutil.Process(falcon.process.pid).children(recursive=True)
            for worker in workers:
                worker.send_signal(signal.SIGSTOP)
            try:
                assert_others_go_on(gateway, get(), "/fastapi/protected")
            finally:
                for worker in workers:
                    worker.send_signal(signal.SIGCONT)
            gateway.wait_for_origin("falcon")


@fails_for(
    no_bound=without("default-server maxconn"),
    for_ever=instead("timeout queue 500ms", "timeout queue 60s"),
    at_once=instead("timeout queue 500ms", "timeout queue 1ms"),
)
def test_a_replica_that_is_full(start: Start) -> None:
    """More requests wait for some time, and get 503 then."""
    with start(edit=instead("timeout queue 5s", "timeout queue 500ms")) as (gateway, origin), origin.answering(None):
        began = time.monotonic()
        with crowd(gateway, get(), PER_REPLICA + 20) as clients:
            refused = answered(clients, 1)
            assert time.monotonic() - began >= 0.5
            refused |= answered([client for client in clients if client not in refused], 20 - len(refused))
            assert len(refused) == 20
            assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in refused.values())
            assert len(origin.received) == PER_REPLICA


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux has more addresses of its own without being told.")
@fails_for(no_bound=without("reject if holds_too_much"))
def test_one_address(start: Start) -> None:
    """A client that opens connection after connection leaves room for clients at other addresses."""
    longer = instead("http-request 10s", "http-request 60s")
    with start(edit=longer) as (gateway, _), crowd(gateway, get()[:-2], 1_000) as clients:
        got = gateway.send(get(), 5, "127.0.0.2")
        assert got, "no answer to a client at another address"
        assert got.status == 200
        closed = answered(clients, len(clients) - PER_ADDRESS, DEADLINE)
        assert set(closed.values()) == {b""}
        assert len(closed) == len(clients) - PER_ADDRESS
        assert answered([client for client in clients if client not in closed], 1, 0) == {}
