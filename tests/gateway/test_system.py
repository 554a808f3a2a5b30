"""The gateway in front of real origins: two apps run, the other three are down."""

import time
from contextlib import ExitStack

from shared.app.shared_secret import HEADER
from shared.apps import APPS
from tests.contract.http1 import exchange, request
from tests.gateway.checks import assert_problem
from tests.gateway.load import busy
from tests.gateway.runner import System


def test_origins_that_are_down(system: System) -> None:
    """They are a 503, and the answers of the other origins do not change."""
    gateway, origins = system
    for app in APPS:
        got = gateway.get(f"/{app}/protected")
        if app in origins:
            assert (got.status, got.json()) == (200, {"message": "Access granted"})
        else:
            assert_problem(got, 503)


def test_rotation_loses_nothing(system: System) -> None:
    """From the old secret over both to the new one, through the gateway, under load."""
    gateway, origins = system
    old = gateway.file("shared_secret").read_text()
    with ExitStack() as stack:
        loads = [stack.enter_context(busy(f"{gateway.url}/{app}/protected", gateway.key())) for app in origins]
        gateway.manage("rotate")
        time.sleep(2)
    new = gateway.file("shared_secret").read_text()
    assert new != old
    for load, origin in zip(loads, origins.values(), strict=True):
        assert load.lost == []
        assert load.sent > 20
        statuses = [
            exchange(origin.address, request("/protected", f"{HEADER}: {secret.strip()}".encode())).status
            for secret in (old, new)
        ]
        assert statuses == [401, 200]


def test_reloads_and_keys_under_load_lose_nothing(system: System) -> None:
    """Neither a reload nor another consumer's key loses a request."""
    gateway, _ = system
    with busy(f"{gateway.url}/falcon/protected", gateway.key()) as load:
        for number in range(3):
            key = gateway.key(f"passing-{number}")
            assert gateway.get("/falcon/protected", key=key).status == 200
            gateway.reload()
            gateway.manage("revoke", f"passing-{number}")
            assert gateway.get("/falcon/protected", key=key).status == 401
    assert load.lost == []
    assert load.sent > 20


def test_an_origin_is_killed_and_restarted(system: System) -> None:
    """Meanwhile it is a 503, and the other origin loses no request."""
    gateway, origins = system
    falcon = origins["falcon"]
    with busy(f"{gateway.url}/fastapi/protected", gateway.key()) as load:
        falcon.stop()
        got = gateway.get("/falcon/protected")
        assert got.status in (502, 503)
        assert_problem(got, got.status)
        gateway.wait_for_origin("falcon", 503)
        falcon.__enter__()
        gateway.wait_for_origin("falcon")
    assert load.lost == []
