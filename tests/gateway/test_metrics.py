"""The numbers for Prometheus, and where they are."""

from contextlib import ExitStack, suppress

import requests

from shared.apps import APPS
from tests.contract.http1 import request
from tests.gateway.checks import Start, fails_for
from tests.gateway.runner import get, instead, without
from tests.processes import free_port

OK = """application/json string '{"status":"ok"}' if"""
EXPORTER = "http-request use-service prometheus-exporter if { path /metrics }"


def asked(port: int, path: str) -> tuple[int, str]:
    """Return the status and the text of an answer; 0 without one."""
    with suppress(requests.RequestException):
        got = requests.get(f"http://127.0.0.1:{port}{path}", timeout=5)
        return got.status_code, got.text
    return 0, ""


@fails_for(
    none=without("prometheus-exporter"),
    no_health=instead(f"{OK} {{ path /healthz }}", f"{OK} {{ path /none }}"),
    more=without("    http-request deny deny_status 404\n"),
)
def test_metrics(start: Start) -> None:
    """They are at an address of their own, for each origin, and have no key, no secret and no consumer."""
    port = free_port()
    with start(config={"METRICS": f"127.0.0.1:{port}"}) as (gateway, _):
        gateway.key("a-consumer")
        assert gateway.get("/falcon/x", key=gateway.key("a-consumer")).status == 200
        status, text = asked(port, "/metrics")
        assert status == 200
        for app in APPS:
            assert f'haproxy_backend_http_responses_total{{proxy="{app}",code="2xx"}}' in text
        for word in (gateway.secret, gateway.key(), gateway.key("a-consumer"), "acme", "a-consumer"):
            assert word not in text
        assert asked(port, "/healthz") == (200, '{"status":"ok"}')
        assert [asked(port, path)[0] for path in ("/", "/metrics/x", "/falcon/protected")] == [404] * 3


@fails_for(everywhere=instead("    # Who is the client?", f"    {EXPORTER}\n    # Who"))
def test_clients_get_none(start: Start) -> None:
    """At the gateway's own port there are none, with the setting and without."""
    port = free_port()
    for config in ({}, {"METRICS": f"127.0.0.1:{port}"}):
        with start(config=config) as (gateway, origin):
            got = gateway.send(request("/metrics"))
            assert got
            assert got.status == 401
            assert gateway.get("/metrics").status == 404
            assert origin.received == []
            assert asked(port, "/healthz")[0] == (200 if config else 0)


@fails_for(same_bound=instead("    maxconn 1020 ", "    maxconn 10 "))
def test_metrics_of_a_full_gateway(start: Start) -> None:
    """They are there while clients hold every connection that the gateway has for them."""
    port = free_port()
    full = instead("    maxconn 1000", "    maxconn 10")
    with start(full, {"METRICS": f"127.0.0.1:{port}"}) as (gateway, _), ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(gateway.connect()).sendall(get()[:-2])
        assert gateway.send(get(), 0.5) is None, "it is not full"
        status, text = asked(port, "/metrics")
        assert status == 200
        assert 'haproxy_frontend_current_sessions{proxy="gateway"} 10' in text
