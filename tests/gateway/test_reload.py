"""A reload: the gateway reads its files again while clients are connected."""

import time
from contextlib import suppress

from tests.contract.http1 import NO_ANSWER, respond
from tests.gateway.checks import OWN_GATEWAY, Start, fails_for
from tests.gateway.runner import get, without


@fails_for(connections=without("idle-close-on-response"))
def test_connections_outlive_a_reload(start: Start) -> None:
    """A client may use a kept connection once more, and the answer says that it then closes."""
    with start(config=OWN_GATEWAY) as (gateway, _), gateway.address.connect() as kept:
        sent = get(connection=b"Connection: keep-alive").replace(b"<key>", gateway.key().encode())
        assert respond(kept, sent).status == 200
        gateway.reload()
        time.sleep(0.5)  # until the old process has done what it does at once
        got = None
        with suppress(*NO_ANSWER):
            got = respond(kept, sent)
        assert got, "the connection is closed"
        assert got.status == 200
        assert got.headers["Connection"] == "close"
