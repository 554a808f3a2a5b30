"""The access log."""

import os

from tests.contract.http1 import request
from tests.gateway.checks import Start, fails_for
from tests.gateway.runner import FIELD, KEY, get, instead


@fails_for(
    no_consumer=instead("%[var(txn.consumer),json(utf8s)]", "-"),
    query=instead("set-var(txn.path) path,", "set-var(txn.path) url,"),
    key_in_the_path=instead(",regsub(ogk_[A-Za-z0-9_-]+,ogk_...,g)", ""),
    cut=instead("log stdout len 8192", "log stdout"),
    method=instead("method,bytes(0,50)", "str(GET),bytes(0,50)"),
    key=instead('"client":"%ci"', '"client":"%[capture.req.hdr(0)]"'),
    not_json=instead("%[var(txn.path),json(utf8s),", "%[var(txn.path),"),
)
def test_log(start: Start) -> None:
    """Each line is JSON with the consumer's name, and contains no key, no secret and no query."""
    capture = instead(
        "    unique-id-format", "    http-request capture req.fhdr(authorization) len 200\n    unique-id-format"
    )
    with start(edit=capture) as (gateway, _):
        key = gateway.key()
        path = f"/falcon/seen/{os.urandom(4).hex()}"
        for sent in (
            get(FIELD + b": presented-and-wrong"),
            get(b"Referer: https://a.test/?" + key.encode(), b"User-Agent: " + gateway.secret.encode()),
            request("/falcon/x?access_token=<key>", KEY),
            request("/falcon/x", b"Authorization: Bearer presented-and-wrong"),
            request("/falcon/x", b"Authorization : Bearer <key>"),
            b"<key>\r\n\r\n",
            request('/falcon/"\\%0a', KEY),
            request("/falcon/\xff", KEY),
            request(f"/falcon/{'a' * 10_000}", KEY),
            request("/falcon/<key>", KEY),
            request("/falcon/x", KEY, method="<key>"),
            request(path, KEY, method="ODD"),
        ):
            gateway.send(sent)
        gateway.wait_for_log(path)
        for word in (key, gateway.secret, "presented-and-wrong", "access_token"):
            assert word not in gateway.log()
        (line,) = (line for line in gateway.access_log() if line["path"] == path)
        assert line["server"].startswith("falcon-")
        assert {"time", "id", "bytes", "ms"} <= line.keys()
        expected = {
            "consumer": "acme",
            "method": "ODD",
            "path": path,
            "origin": "falcon",
            "status": 200,
            "client": "127.0.0.1",
        }
        assert {name: line[name] for name in expected} == expected


@fails_for(
    not_said=instead('"problem":"%[var(txn.problem)]"', '"problem":"-"'),
    always=instead("if { status 401 } refused", "if { status 401 }"),
    any_status=instead("if { status 401 } refused", "if refused"),
    by_a_client=instead(
        "    unique-id-format", "    http-request set-var(txn.problem) req.fhdr(problem)\n    unique-id-format"
    ),
)
def test_a_refused_secret_is_in_the_log(start: Start) -> None:
    """An origin that refuses the gateway's secret, and nothing else, is a problem there; the secret is not."""
    with start() as (gateway, origin):
        refusal = b'HTTP/1.1 %b No\r\nWWW-Authenticate: %b realm="x"\r\nContent-Length: 0\r\n\r\n'
        problems = {}
        for status, scheme in (
            (b"401", b"SharedSecret"),
            (b"401", b"Basic"),
            (b"403", b"SharedSecret"),
            (b"200", b"SharedSecret"),
        ):
            with origin.answering(refusal % (status, scheme)):
                got = gateway.get("/falcon/x", b"Problem: secret-refused")
            gateway.wait_for_log(got.headers["X-Request-Id"])
            (line,) = (line for line in gateway.access_log() if line["id"] == got.headers["X-Request-Id"])
            problems[status, scheme] = line["status"], line["problem"]
        assert problems == {
            (b"401", b"SharedSecret"): (502, "secret-refused"),
            (b"401", b"Basic"): (401, "-"),
            (b"403", b"SharedSecret"): (403, "-"),
            (b"200", b"SharedSecret"): (200, "-"),
        }
        own = request("/falcon/x", b"Authorization: SharedSecret", b"WWW-Authenticate: SharedSecret")
        refused = gateway.send(own)
        assert refused
        assert refused.status == 401
        gateway.wait_for_log(refused.headers["X-Request-Id"])
        assert gateway.access_log()[-1]["problem"] == "-"
        assert gateway.secret not in gateway.log()
