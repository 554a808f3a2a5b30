"""Proxies in front of the gateway: who the client is, as they say, and how much each client may hold."""

import socket
import sys
from contextlib import ExitStack, suppress

import pytest

from tests.contract.http1 import respond
from tests.contract.waiting import wait_until
from tests.gateway.checks import Start, assert_problem, fails_for
from tests.gateway.origin import RecordingOrigin, parse
from tests.gateway.runner import Gateway, get, instead, without

TRUSTED = {"TRUSTED": "192.0.2.128/25, 127.0.0.1"}
PROXY, OTHER = "127.0.0.2", "127.0.0.3"
VIA = {"PROXY_PROTOCOL": f"192.0.2.128/25 {PROXY}"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="Only Linux has 127.0.0.2 without being told.")
V1 = b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 80\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version_2(client: str) -> bytes:
    """Return the header of version 2 of the PROXY protocol for a client's IPv4 address."""
    addresses = socket.inet_aton(client) + socket.inet_aton("192.0.2.9") + (4711).to_bytes(2) + (80).to_bytes(2)
    return SIGNATURE + b"\x21\x11" + len(addresses).to_bytes(2) + addresses


def seen(gateway: Gateway, origin: RecordingOrigin, *fields: bytes, source: str = "", before: bytes = b"") -> list[str]:
    """Return the client's address in the log, the one at the origin, and the protocol there."""
    origin.received.clear()
    got = gateway.send(get(*fields), source=source, before=before)
    assert got, "no answer"
    assert got.status == 200
    gateway.wait_for_log(got.headers["X-Request-Id"])
    (line,) = (line for line in gateway.access_log() if line["id"] == got.headers["X-Request-Id"])
    _, at_origin = parse(origin.received[0])
    return [line["client"], *at_origin["x-forwarded-for"], *at_origin["x-forwarded-proto"]]


@fails_for(
    client=without("set-src"),
    protocol=without("set-var(txn.proto) req.fhdr"),
    any_protocol=instead(" { req.fhdr(x-forwarded-proto) -m str http https }", ""),
    the_first=instead("req.hdr_ip(x-forwarded-for,-1)", "req.hdr_ip(x-forwarded-for,1)"),
)
def test_what_a_trusted_proxy_says(start: Start) -> None:
    """The last address is the client, and the protocol counts; what is neither changes nothing."""
    with start(config=TRUSTED) as (gateway, origin):
        for fields, expected in {
            (b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-Proto: https"): ["192.0.2.1", "https"],
            (b"X-Forwarded-For: 192.0.2.9, 192.0.2.2",): ["192.0.2.2", "http"],
            (b"X-Forwarded-For: 192.0.2.9", b"X-Forwarded-For: 192.0.2.3"): ["192.0.2.3", "http"],
            (b"X-Forwarded-For: 2001:db8::1",): ["2001:db8::1", "http"],
            (): ["127.0.0.1", "http"],
            (b"X-Forwarded-For: unknown",): ["127.0.0.1", "http"],
            (b"X-Forwarded-For: 192.0.2.4, unknown",): ["127.0.0.1", "http"],
            (b"X-Forwarded-For: 192.0.2.4:4711",): ["192.0.2.4", "http"],
            (b"X-Forwarded-For: [2001:db8::2]:4711",): ["127.0.0.1", "http"],
            (b"X-Forwarded-For:",): ["127.0.0.1", "http"],
            (b"X-Forwarded-For: 192.0.2.5", b"X-Forwarded-Proto: gopher"): ["192.0.2.5", "http"],
            (b"X-Forwarded-For: 192.0.2.5", b"X-Forwarded-Proto: https, http"): ["192.0.2.5", "http"],
        }.items():
            address, protocol = expected
            assert seen(gateway, origin, *fields) == [address, address, protocol], fields


@linux
@fails_for(
    everybody=instead(' src "${TRUSTED[*]}"', " src 0.0.0.0/0"),
    protocol=instead(" if trusted { req.fhdr(x-forwarded-proto)", " if { req.fhdr(x-forwarded-proto)"),
)
def test_what_others_say(start: Start) -> None:
    """Whoever is not trusted is the client itself, whatever it says; by default that is everybody."""
    forged = (b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-Proto: https")
    with start(config=TRUSTED) as (gateway, origin):
        assert seen(gateway, origin, *forged, source=OTHER) == [OTHER, OTHER, "http"]
    with start() as (gateway, origin):
        assert seen(gateway, origin, *forged) == ["127.0.0.1", "127.0.0.1", "http"]


@fails_for(
    none=without("deny_status 429 if trusted holds_too_much"),
    not_counted=without("track-sc1 src,ipmask(32,64) table addresses if trusted"),
    the_proxy=instead(" unless names_clients", ""),
    no_word_when=instead(" hdr Retry-After 10", ""),
)
def test_each_client_of_a_trusted_proxy_has_its_own_bound(start: Start) -> None:
    """One with too many requests at once gets 429; others are answered, and the proxy has no bound itself."""
    with start(config={**TRUSTED, "PER_ADDRESS": "4"}) as (gateway, origin), ExitStack() as stack:
        hung = [b"X-Forwarded-For: 192.0.2.1"] * 4 + [b"X-Forwarded-For: 192.0.2.2"]
        with origin.answering(None):
            assert all(holds(gateway, stack, get(field)) for field in hung)
            assert wait_until(lambda: len(origin.received) == len(hung), 5)
        got = gateway.send(get(hung[0]), 5)
        assert_problem(got, 429)
        assert got
        assert got.headers["Retry-After"]
        for field in (hung[-1], b"X-Forwarded-For: 192.0.2.3"):
            got = gateway.send(get(field), 5)
            assert got
            assert got.status == 200


@fails_for(each_address=instead(",ipmask(32,64)", ""))
def test_the_addresses_of_one_network(start: Start) -> None:
    """Those of one /64 of IPv6, which one client may all have, count as one."""
    with start(config={**TRUSTED, "PER_ADDRESS": "5"}) as (gateway, origin), ExitStack() as stack:
        named = [b"X-Forwarded-For: 2001:db8:0:1::%x" % number for number in range(1, 21)]
        with origin.answering(None):
            assert all(holds(gateway, stack, get(field)) for field in named[:5])
            assert wait_until(lambda: len(origin.received) == 5, 5)
        for field in named[5:]:
            assert_problem(gateway.send(get(field), 5), 429)
        got = gateway.send(get(b"X-Forwarded-For: 2001:db8:0:2::1"), 5)
        assert got
        assert got.status == 200


@fails_for(first=instead("set-src req.hdr_ip(x-forwarded-for,-1) if trusted", "set-src str(192.0.2.1) if trusted"))
def test_requests_on_one_connection(start: Start) -> None:
    """Each counts as the client that it names, however many are named in turn."""
    with start(config={**TRUSTED, "PER_ADDRESS": "1"}) as (gateway, origin), gateway.connect() as kept:
        named = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.1"]
        for client in named:
            sent = get(b"X-Forwarded-For: " + client.encode(), connection=b"Connection: keep-alive")
            assert respond(kept, gateway.filled(sent)).status == 200
        assert respond(kept, gateway.filled(get(connection=b"Connection: keep-alive"))).status == 200
        assert [parse(one)[1]["x-forwarded-for"] for one in origin.received] == [[c] for c in (*named, "127.0.0.1")]


@linux
@fails_for(
    not_read=without("expect-proxy"),
    unknown_bound=without("tcp-request session reject"),
    the_proxy=instead(" unless names_clients", ""),
)
def test_the_proxy_protocol(start: Start) -> None:
    """Its header names the client, for the log, the origin and the bound of one address; the proxy itself has none."""
    with start(config={**VIA, "PER_ADDRESS": "4"}) as (gateway, origin), ExitStack() as stack:
        for client, before in {"192.0.2.1": V1, "192.0.2.2": version_2("192.0.2.2")}.items():
            assert seen(gateway, origin, source=PROXY, before=before) == [client, client, "http"]
        for before in (V1, V1, V1, V1, version_2("192.0.2.2")):
            assert holds(gateway, stack, before + get(connection=b"Connection: keep-alive"), PROXY, b"H")
        assert gateway.send(get(), 5, PROXY, V1) is None
        got = gateway.send(get(), 5, PROXY, version_2("192.0.2.2"))
        assert got
        assert got.status == 200


def holds(gateway: Gateway, stack: ExitStack, sent: bytes, source: str = "", begin: bytes = b"") -> bool:
    """Return whether a request is sent and the answer begins as it should; its connection stays open."""
    with suppress(OSError):
        connection = stack.enter_context(gateway.connect(5, source))
        connection.sendall(gateway.filled(sent))
        return connection.recv(len(begin)) == begin if begin else True
    return False


@linux
@fails_for(without_it=instead("expect-proxy layer4 if", "set-var(sess.none) bool(true) if"))
def test_the_proxy_protocol_is_expected(start: Start) -> None:
    """A connection of that proxy without its header is refused."""
    with start(config=VIA) as (gateway, origin):
        assert gateway.send(get(), 5, PROXY) is None
        assert origin.received == []


@linux
@fails_for(everybody=instead('src "${PROXY_PROTOCOL[*]}"', "src 127.0.0.2/31"))
def test_the_proxy_protocol_of_others(start: Start) -> None:
    """Whoever else begins with such a header gets 400, and is not who it says."""
    with start(config=VIA) as (gateway, origin):
        for before in (V1, version_2("192.0.2.1")):
            got = gateway.send(get(), 5, OTHER, before)
            assert got is None or got.status == 400
            assert origin.received == []


@linux
@fails_for(both=instead(' !{ src "${PROXY_PROTOCOL[*]}" }', ""))
def test_a_proxy_that_is_trusted_twice(start: Start) -> None:
    """The header of its connection names the client, whose own fields do not count."""
    forged = (b"X-Forwarded-For: 192.0.2.66", b"X-Forwarded-Proto: https")
    with start(config={"TRUSTED": PROXY, "PROXY_PROTOCOL": PROXY}) as (gateway, origin):
        assert seen(gateway, origin, *forged, source=PROXY, before=V1) == ["192.0.2.1", "192.0.2.1", "http"]
