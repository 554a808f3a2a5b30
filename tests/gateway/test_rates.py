"""How many requests a consumer may send."""

import time

from tests.gateway.checks import Start, assert_problem, fails_for
from tests.gateway.runner import instead, without


@fails_for(
    none=without("deny_status 429"),
    no_word_when=instead(" hdr Retry-After 10", ""),
    all_alike=instead("track-sc0 var(txn.consumer)", "track-sc0 src"),
    refused_count=instead("sc_gpc0_rate(0,rates)", "sc_http_req_rate(0,rates)"),
)
def test_rates(start: Start) -> None:
    """Each consumer has its own limit; after the seconds of Retry-After a request is answered again."""
    stored = instead("store gpc0,", "store http_req_rate(10s),gpc0,")
    with start(edit=stored, config={"RATE": "5"}) as (gateway, origin):
        key, other = gateway.key("hasty"), gateway.key("patient")
        statuses = [gateway.get("/falcon/x", key=key).status for _ in range(15)]
        assert statuses == [200] * 5 + [429] * 10
        got = gateway.get("/falcon/x", key=key)
        assert_problem(got, 429)
        asked = len(origin.received)
        assert gateway.get("/falcon/x", key=other).status == 200
        assert got.headers["Retry-After"]
        end = time.monotonic() + float(got.headers["Retry-After"])
        while time.monotonic() < end:
            gateway.get("/falcon/x", key=key)
            time.sleep(0.5)
        assert gateway.get("/falcon/x", key=key).status == 200
        assert len(origin.received) > asked
