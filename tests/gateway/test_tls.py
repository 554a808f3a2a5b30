"""TLS: what clients and origins see of it, a new certificate, and certificates that cannot be used."""

import os
import re
import shlex
import shutil
import ssl
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.contract.http1 import DEADLINE, NO_ANSWER, respond
from tests.contract.waiting import wait_until
from tests.gateway.checks import Start, assert_problem, fails_for
from tests.gateway.forging import ATTEMPTS, forged
from tests.gateway.load import busy
from tests.gateway.origin import parse
from tests.gateway.runner import AUTHORITY, HAPROXY, Gateway, certificate, get, instead, post, without

NAMES = ("api.test", "127.0.0.1")
HANDSHAKE, ALERT = 22, 21  # RFC 5246 section 6.2.1


@fails_for(
    http_2=instead("alpn http/1.1", "alpn h2,http/1.1"),
    protocol=instead("set-var(txn.proto) ssl_fc,iif(https,http)", "set-var(txn.proto) str(http)"),
)
def test_requests(start: Start) -> None:
    """A client that offers HTTP/2 too is answered in HTTP/1.1, and the origin gets to know of TLS."""
    with start(cert=certificate(*NAMES)) as (gateway, origin):
        got = None
        with gateway.connect(10, "", "h2", "http/1.1") as connection, suppress(*NO_ANSWER):
            assert isinstance(connection, ssl.SSLSocket)
            assert connection.selected_alpn_protocol() == "http/1.1"
            got = respond(connection, gateway.filled(get()))
        assert got
        assert got.status == 200
        assert parse(origin.received[0])[1]["x-forwarded-proto"] == ["https"]
        plain = gateway.filled(get())
        with gateway.connect_plainly() as connection, suppress(*NO_ANSWER):
            assert respond(connection, plain).status == 400
        assert len(origin.received) == 1


@fails_for(
    secret=without("del-header '^x[-_](shared[-_]secret|consumer|request"),
    address=without("x[-_](original"),
    chunks=without("status 411"),
)
def test_nothing_forged_reaches_an_origin(start: Start) -> None:
    """Each attempt to forge a field is refused, or what it forges is removed."""
    with start(cert=certificate(*NAMES)) as (gateway, origin):
        for name, attempt in ATTEMPTS.items():
            origin.received.clear()
            got = gateway.send(attempt)
            assert bool(origin.received) == bool(got and got.status == 200), name
            assert forged(origin.received, gateway.secret, "acme") == [], name


@fails_for(body=without("deny_status 413"), no_length=without("status 411"), header=without("status 431"))
def test_sizes(start: Start) -> None:
    """Over TLS too, what is too large or has no length is refused, and the rest is forwarded whole."""
    with start(cert=certificate(*NAMES)) as (gateway, origin):
        body = os.urandom(100_000)
        got = gateway.send(post(b"Content-Length: 100000", body=body))
        assert got
        assert got.status == 200
        assert origin.received.pop().endswith(b"\r\n\r\n" + body)
        assert_problem(gateway.send(post(b"Content-Length: 100001", body=body + b"x")), 413)
        assert_problem(gateway.send(post(b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\n\r\n")), 411)
        assert_problem(gateway.send(get(b"X-Large: " + b"x" * 16_384)), 431)
        assert origin.received == []


@fails_for(accepted=instead("ssl-min-ver TLSv1.2", "ssl-min-ver TLSv1.1 ciphers DEFAULT:@SECLEVEL=0"))
def test_old_versions(start: Start) -> None:
    """TLS 1.1 is refused."""
    suite, curve = bytes.fromhex("0002 c009 0100"), bytes.fromhex("0008 000a 0004 0002 0017")  # ECDHE-ECDSA, P-256
    offer = b"\x03\x02" + os.urandom(32) + b"\0" + suite + curve  # RFC 4346 section 7.4.1.2
    message = b"\x01" + len(offer).to_bytes(3) + offer
    with start(cert=certificate(*NAMES)) as (gateway, _), gateway.connect_plainly() as connection:
        connection.sendall(bytes([HANDSHAKE]) + b"\x03\x01" + len(message).to_bytes(2) + message)
        assert connection.recv(1)[0] == ALERT


@fails_for(
    not_installed=instead('    if settings().get("CERT"):\n        install_certificate()\n', "", "manage.py"),
    not_read=instead("        place.reload()\n", "        return\n", "manage.py"),
)
def test_a_new_certificate(start: Start) -> None:
    """`make reload` serves what is now at the same path, without losing a request."""
    with start(cert=certificate(*NAMES)) as (gateway, _):
        trust = gateway.root / "trust.pem"
        AUTHORITY.cert_pem.write_to_path(str(trust))
        before = served(gateway)
        with busy(f"{gateway.url}/falcon/x", gateway.key(), str(trust)) as clients:
            gateway.cert.write_bytes(certificate(*NAMES))
            assert served(gateway) == before
            gateway.manage("reload")
            after = served(gateway)
            sent = clients.sent
            assert wait_until(lambda: clients.sent > sent + 10, DEADLINE)
        assert after != before
        assert after.encode() in gateway.cert.read_bytes()
        assert clients.lost == []


def served(gateway: Gateway) -> str:
    """Return the certificate that a gateway serves."""
    with gateway.connect() as connection:
        assert isinstance(connection, ssl.SSLSocket)
        return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")


@fails_for(
    scheme=instead("'https' if", "'http' if", "manage.py"),
    name=instead('"127.0.0.1")\n', '"127.0.0.1") and "127.0.0.1"\n', "manage.py"),
    not_trusted=instead(" --cacert {FOLDER.name}/{CERT}", "", "manage.py"),
    not_found=instead(" --resolve {host()}:{port()}:127.0.0.1", "", "manage.py"),
)
@pytest.mark.skipif(not shutil.which("curl"), reason="This needs curl.")
def test_the_printed_line(start: Start) -> None:
    """It has a name of the certificate, and works as it is, with a key."""
    with start(cert=certificate(*NAMES)) as (gateway, _):
        assert f"Gateway on https://api.test:{gateway.address.port}," in gateway.log()
        assert_works(gateway, "api.test")
        gateway.cert.write_bytes(certificate("*.example.test"))
        gateway.manage("reload")
        assert_works(gateway, "api.example.test")


def assert_works(gateway: Gateway, name: str) -> None:
    """Check that the printed line has a name, and gets an answer."""
    line = gateway.manage("curl").splitlines()[0]
    assert f"https://{name}:{gateway.address.port}/" in line
    words = shlex.split(line.replace("KEY", gateway.key()))
    got = subprocess.run(words, cwd=gateway.root, capture_output=True, text=True)
    assert got.stdout.startswith("HTTP/1.1 200 "), got.stderr


@fails_for(
    always_checked=instead('value if name == "CERT" else checked(', "checked(", "files.py"),
    another_folder=instead('path = checked("CERT"', 'checked("CERT"', "files.py"),
    expired=instead("    with suppress(OSError, ValueError):", "    if True:", "manage.py"),
    as_told=instead("'https' if read(CERT)", "'https' if settings().get('CERT')", "manage.py"),
)
def test_the_certificate_that_is_installed(start: Start) -> None:
    """It alone is needed for keys and the printed line; a reload needs the file that is told, where .env says it is."""
    with start(cert=certificate(*NAMES)) as (gateway, _):
        env, text = gateway.root / ".env", gateway.cert.read_bytes()
        gateway.cert.unlink()
        assert f"curl -i https://api.test:{gateway.address.port}/" in gateway.manage("add", "other")
        assert "in .env. It has to be a PEM file" in gateway.manage("reload", fails=True)
        gateway.cert.write_bytes(text)
        lines = [line for line in env.read_text().splitlines(True) if not line.startswith("CERT=")]
        env.write_text("".join([*lines, f"CERT={gateway.cert.name}\n"]))
        gateway.manage("reload")
        env.write_text("".join(lines))
        assert f"curl -i https://api.test:{gateway.address.port}/" in gateway.manage("curl")
        gateway.file("cert.pem").write_bytes(certificate(*NAMES, not_after=datetime.now(UTC) - timedelta(days=1)))
        assert f"curl -i https://127.0.0.1:{gateway.address.port}/" in gateway.manage("add", "late")


@fails_for(no_end=without("timeout client-hs"))
def test_a_client_that_says_nothing(start: Start) -> None:
    """It is closed long before a client that may be silent."""
    version = subprocess.run([HAPROXY or "", "-v"], capture_output=True, text=True).stdout
    found = re.search(r"version (\d+)\.", version)
    if not found or int(found[1]) < 3:
        pytest.skip("HAProxy before 3.0 has no time of its own for the handshake.")
    sooner = instead("timeout client-hs 10s", "timeout client-hs 1s")
    with start(sooner, {"TIMEOUT": "60s"}, certificate(*NAMES)) as (gateway, _), gateway.connect_plainly(10) as silent:
        got = None
        with suppress(TimeoutError):
            got = silent.recv(1)
        assert got == b""


def unusable() -> dict[str, bytes]:
    """Return PEM files that the gateway cannot use."""
    (chain, key), (_, other_key) = (re.split(b"(?m)^(?=-----BEGIN .*KEY)", certificate("api.test")) for _ in range(2))
    secret = BestAvailableEncryption(b"a password")
    encrypted = load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)
    now = datetime.now(UTC)
    return {
        "no key": chain,
        "no certificate": key,
        "key of another": chain + other_key,
        "encrypted key": chain + encrypted,
        "expired": certificate("api.test", not_after=now - timedelta(days=1)),
        "not yet valid": certificate("api.test", not_before=now + timedelta(days=1)),
        "nonsense": b"nonsense\n",
        "bytes": bytes(range(256)),
        "empty": b"",
    }


@pytest.mark.usefixtures("haproxy")
def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    """One line says which and why, and nothing is stored."""
    gateway = Gateway(tmp_path, {})
    before = (tmp_path / ".env").read_text()
    problems = set()
    for name, text in {**unusable(), "no file": None}.items():
        gateway.cert.unlink(missing_ok=True)
        if text is not None:
            gateway.cert.write_bytes(text)
        gateway.environ["CERT"] = gateway.cert.name
        printed = gateway.manage("serve", "falcon=1", fails=True)
        assert re.fullmatch(r"CERT is 'api.pem' .+\n", printed), (name, printed)
        assert (tmp_path / ".env").read_text() == before
        assert gateway.file("cert.pem").read_bytes() == b""
        problems.add(printed)
        print(name, printed)
