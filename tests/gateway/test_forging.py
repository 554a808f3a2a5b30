"""No client can forge the fields that only the gateway may send."""

import socket
from collections.abc import Iterator

import pytest

from tests.contract.http1 import Address, send
from tests.gateway.checks import Running
from tests.gateway.forging import ATTEMPTS, Relay, forged
from tests.gateway.origin import RecordingOrigin


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nothing_forged_reaches_an_origin(ready: Running, attempt: str) -> None:
    """Each attempt is refused, or what it forges is removed."""
    gateway, origin = ready
    origin.received.clear()
    got = gateway.send(ATTEMPTS[attempt])
    status = got.status if got else 400  # HAProxy 3.2 closes the connection where the length is ambiguous
    assert status in (200, *range(400, 500)), got
    assert bool(origin.received) == (status == 200)
    assert forged(origin.received, gateway.secret, "acme") == []


@pytest.fixture(scope="module")
def relay() -> Iterator[tuple[Relay, RecordingOrigin]]:
    """Give a naive gateway, and the origin behind it."""
    with RecordingOrigin() as origin, Relay(origin, "the-secret", "acme") as relay:
        yield relay, origin


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_naive_gateway_falls_for_it(relay: tuple[Relay, RecordingOrigin], attempt: str) -> None:
    """Each attempt succeeds with a naive gateway."""
    naive, origin = relay
    origin.received.clear()
    sent = ATTEMPTS[attempt].replace(b"<host>", b"a.test")
    with Address("127.0.0.1", naive.port).connect() as connection:
        send(connection, sent)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass
    assert forged(origin.received, "the-secret", "acme")
