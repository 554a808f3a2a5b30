"""Run the gateway as `make gateway` does, in its own folder, with files that a test may have edited."""

import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import trustme

from shared.app.shared_secret import HEADER
from shared.apps import APPS, ROOT
from shared.gateway.manage import find_haproxy
from tests.contract.http1 import DEADLINE, NO_ANSWER, Response, request, respond
from tests.contract.waiting import wait_until
from tests.gateway.origin import RecordingOrigin
from tests.processes import Service

HAPROXY = find_haproxy()
MANAGE = [sys.executable, "-m", "shared.gateway.manage"]
FIELD = HEADER.encode()  # that carries the secret
KEY = b"Authorization: Bearer <key>"
AUTHORITY = trustme.CA()  # that the clients trust

Edit = Callable[[str, str], str]  # takes the name of a file and its text, and returns the new text


def as_it_is(name: str, text: str) -> str:
    """Change nothing."""
    return text


def instead(old: str, new: str, name: str = "haproxy.cfg") -> Edit:
    """Return an edit that replaces a text in one file."""

    def edit(file: str, text: str) -> str:
        assert file != name or old in text, f"{name} has no {old!r}"
        return text.replace(old, new) if file == name else text

    return edit


def both(first: Edit, second: Edit) -> Edit:
    """Return an edit that makes two edits."""
    return lambda name, text: second(name, first(name, text))


def waiting(seconds: float) -> Edit:
    """Return an edit that makes `make rotate` wait as many seconds between its steps."""
    return lambda name, text: (
        re.sub(r"(?m)^(LOOKED|UNDER_WAY|LAST_LOOK) = [0-9.]+", rf"\1 = {seconds}", text)
        if name == "manage.py"
        else text
    )


def without(part: str) -> Edit:
    """Return an edit that removes the lines of haproxy.cfg that contain a text."""

    def edit(file: str, text: str) -> str:
        lines = text.splitlines(keepends=True)
        assert file != "haproxy.cfg" or part in text, f"haproxy.cfg has no {part!r}"
        return "".join(line for line in lines if part not in line) if file == "haproxy.cfg" else text

    return edit


def get(*fields: bytes, **changes: Any) -> bytes:
    """Return a GET with a key and more fields."""
    return request("/falcon/protected", KEY, *fields, **changes)


def post(*fields: bytes, body: bytes, **changes: Any) -> bytes:
    """Return a POST with a key, more fields and a body."""
    return get(*fields, method="POST", body=body, **changes)


def certificate(*names: str, **changes: Any) -> bytes:
    """Return the text of a PEM file: a certificate for some names, that of its issuer, and its key."""
    issued = AUTHORITY.create_child_ca().issue_cert(*names, **changes)
    return b"".join(blob.bytes() for blob in (*issued.cert_chain_pems, issued.private_key_pem))


class Gateway(Service):
    """The gateway in front of the origins at some ports; `edit` changes its files; with a certificate it speaks TLS."""

    def __init__(
        self,
        folder: Path,
        ports: Mapping[str, int],
        edit: Edit = as_it_is,
        config: Mapping[str, str] | None = None,
        cert: bytes = b"",
    ) -> None:
        assert HAPROXY
        self.root, self.cert = folder, folder / "api.pem"
        self.tls = ssl.create_default_context(cadata=AUTHORITY.cert_pem.bytes().decode()) if cert else None
        names = ("cluster.py", "files.py", "haproxy.cfg", "manage.py", "places.py")
        for path in ("apps.py", *(f"gateway/{name}" for name in names)):
            place = folder / "shared" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(edit(place.name, (ROOT / "shared" / path).read_text()))
        (folder / "bin").mkdir()
        (folder / "bin" / "haproxy").symlink_to(HAPROXY)
        command = [*MANAGE, "serve", *(f"{app}={ports[app]}" for app in ports)]
        log = folder / "log"
        log.touch()
        super().__init__("gateway", command, folder, {"RATE": "1000000", **(config or {})}, log)
        if cert:
            self.cert.write_bytes(cert)
            self.environ["CERT"] = self.cert.name
        self.environ["PATH"] = str(folder / "bin")  # no docker there
        self.manage("setup")
        self.secret = self.file("shared_secret").read_text().strip()
        self.keys: dict[str, str] = {}

    def listen_on(self, port: int) -> None:
        super().listen_on(port)
        self.environ["GATEWAY_PORT"] = str(port)
        if self.tls:
            self.url = f"https://{self.address}"

    def asked(self, path: str) -> bool:
        """Ask for a path; over TLS, only its own clients trust its certificate."""
        return bool(self.send(request(path), 5)) if self.tls else super().asked(path)

    def file(self, name: str) -> Path:
        """Return the path of a file with the gateway's keys or secrets."""
        return self.root / ".secrets" / name

    def manage(self, *words: str, fails: bool = False) -> str:
        """Run a command of manage.py, as `make` does, and return everything that it prints."""
        done = subprocess.run(
            [*MANAGE, *words], cwd=self.root, env=self.environ, capture_output=True, text=True, timeout=4 * DEADLINE
        )
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def send_secret(self, secret: str) -> None:
        """Make it send this secret instead of the one that it has made."""
        self.file("shared_secret").write_text(secret)
        self.file("sent.map").unlink()
        self.manage("setup")
        self.secret = secret

    def key(self, consumer: str = "acme") -> str:
        """Return the key of a consumer; make it the first time."""
        if consumer not in self.keys:
            found = re.search(r"\bogk_[\w-]{43}\b", self.manage("add", consumer))
            assert found
            self.keys[consumer] = found[0]
        return self.keys[consumer]

    def connect(self, deadline: float = DEADLINE, source: str = "", *protocols: str) -> socket.socket:
        """Open a connection to it, if asked for from another address of this machine; TLS offers the protocols."""
        connection = self.connect_plainly(deadline, source)
        if not self.tls:
            return connection
        if protocols:
            self.tls.set_alpn_protocols(protocols)
        return self.tls.wrap_socket(connection, server_hostname=self.address.host)

    def connect_plainly(self, deadline: float = DEADLINE, source: str = "") -> socket.socket:
        """Open a connection without TLS."""
        place = (self.address.host, self.address.port)
        return socket.create_connection(place, deadline, (source, 0) if source else None)

    def filled(self, sent: bytes) -> bytes:
        """Return a request, in which `<key>` stands for acme's key, as it is sent."""
        return sent.replace(b"<key>", self.key().encode()).replace(b"<host>", str(self.address).encode())

    def send(self, sent: bytes, deadline: float = DEADLINE, source: str = "", before: bytes = b"") -> Response | None:
        """Return the answer to a request, in which `<key>` stands for acme's key; None if there is no answer.

        It may come from another address, and after other bytes.
        """
        with suppress(*NO_ANSWER), self.connect(deadline, source) as connection:
            connection.sendall(before)
            return respond(connection, self.filled(sent))
        return None

    def get(self, path: str, *fields: bytes, key: str = "<key>", **changes: Any) -> Response:
        """Return the answer to a GET with a key, by default acme's."""
        got = self.send(request(path, b"Authorization: Bearer " + key.encode(), *fields, **changes))
        assert got, f"no answer to GET {path}"
        return got

    def access_log(self) -> list[dict[str, Any]]:
        """Return the lines of the access log, which have to be JSON."""
        lines = [line for line in self.log().splitlines() if line.startswith("{")]
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise AssertionError(f"{error} in the log:\n{self.tail()}") from error

    def wait_for_origin(self, name: str, status: int = 200) -> None:
        """Wait until an origin answers through the gateway, or until the gateway answers with another status."""
        deadline = time.monotonic() + DEADLINE
        while (got := self.get(f"/{name}/protected").status) != status:
            assert time.monotonic() < deadline, f"{name} answers {got}, not {status}:\n{self.tail()}"
            time.sleep(0.05)

    def reload(self) -> None:
        """Make it read its files again; return when the new process has taken over."""
        master = psutil.Process(self.process.pid)
        before = {child.pid for child in master.children()}
        count = self.log().count("Loading success")

        def is_over() -> bool:
            return self.log().count("Loading success") > count and bool(
                {child.pid for child in master.children()} - before
            )

        for _ in range(6):  # HAProxy may miss a signal that comes just after it has started
            master.send_signal(signal.SIGUSR2)
            if wait_until(is_over, DEADLINE / 6):
                return
        raise AssertionError(f"It does not reload:\n{self.tail()}")


System = tuple[Gateway, dict[str, Service]]  # with the origins behind it


@contextmanager
def gateway_before(
    origin: RecordingOrigin,
    folder: Path,
    edit: Edit = as_it_is,
    config: Mapping[str, str] | None = None,
    cert: bytes = b"",
) -> Iterator[Gateway]:
    """Run a gateway that has the same origin for all five apps."""
    gateway = Gateway(folder, dict.fromkeys(APPS, origin.port), edit, config, cert)
    gateway.key()
    with gateway:
        yield gateway
