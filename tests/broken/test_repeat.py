"""The line that repeats a failure sends what its case has sent."""

import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.commands import ENVIRON, run
from tests.contract.case import Each, Exchange, Trial
from tests.contract.groups import CASES
from tests.contract.http1 import Address, request
from tests.contract.repeat import PLACEHOLDER, command
from tests.contract.target import Instance, NotCheckedError, Target

SECRET, PREVIOUS = "the-Secret_42.of~this-service", "the-secret-before"
NETCAT = f"""#!{sys.executable} -ISE
import socket, sys
sent = sys.stdin.buffer.read()
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
connection.sendall(sent)
connection.shutdown(socket.SHUT_WR)
while piece := connection.recv(65536):
    sys.stdout.buffer.write(piece)
"""
ANSWER = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BY_CURL = (b"User-Agent: curl/", b"Accept: */*", b"Connection: close")  # what it adds, and what it leaves out
PAUSE = 0.3  # seconds after which a client that waits has sent everything
ENOUGH = 20  # lines of each kind that are tried, at least


@contextmanager
def recorder() -> Iterator[tuple[Address, list[bytes]]]:
    """Listen; give the address, and what each connection has sent before it ended or waited for its answer."""
    received: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(ConnectionError):
                connection.settimeout(PAUSE)
                sent = b""
                with suppress(TimeoutError):
                    while not is_whole(sent) and (piece := connection.recv(1 << 20)):
                        sent += piece
                received.append(sent)
                connection.sendall(ANSWER)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Address("127.0.0.1", listener.getsockname()[1]), received
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def is_whole(sent: bytes) -> bool:
    """Return whether this is a request of curl without a body, after which nothing more will come."""
    return b"\r\nUser-Agent: curl/" in sent and sent.endswith(b"\r\n\r\n") and b"\r\nContent-" not in sent


def sent_by_curl(sent: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return the request line, the fields that curl does not change, in any order, and the body."""
    head, _, body = sent.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    return line, sorted(field for field in fields if not field.startswith(BY_CURL)), body


def requests(target: Target) -> Iterator[bytes]:
    """Return every request that a case sends, alone or as one of many."""
    yield request("/upload", b"Content-Type: text/plain", b"Content-Length: 3", method="POST", body=b"a&b")
    yield request("/p", b"<header>: <secret>x", b"X-Quote: it's $HOME `id` \"")
    for case in CASES:
        match case:
            case Exchange(sent=sent):
                yield sent
            case Trial(function=Each() as trial):
                yield from trial.requests(target).values()


def one_of_each_kind(target: Target, address: Address) -> dict[str, bytes]:
    """Return one request for each way in which a line is written, and what it has to send, by line."""
    found: dict[object, tuple[str, bytes]] = {}
    for sent in requests(target):
        line = command(target, sent)
        odd = set(re.findall(rb"[^\w\s:/.,;=<>-]", sent))
        kind = line.split()[0], frozenset(re.findall(PLACEHOLDER, sent)) - {b"method"}, len(odd) > 1
        with suppress(NotCheckedError):
            found.setdefault(kind, (line, target.fill(sent, address)))
    return dict(found.values())


def test_lines_send_what_the_cases_send(tmp_path: Path) -> None:
    """Run by a shell, with curl, and with printf and a stand-in for nc."""
    (netcat := tmp_path / "nc").write_text(NETCAT)
    netcat.chmod(0o755)
    path = f"{tmp_path}:{ENVIRON['PATH']}"
    with recorder() as (address, received):
        target = Target("recorder", lambda state: Instance(address), SECRET, PREVIOUS)
        chosen = one_of_each_kind(target, address)
        (tmp_path / "lines").write_text("\n".join(chosen))
        run("timeout 100 sh -e lines", tmp_path, PATH=path, SHARED_SECRET=SECRET, SHARED_SECRET_PREVIOUS=PREVIOUS)
    for program in ("curl ", "printf "):
        assert sum(line.startswith(program) for line in chosen) > ENOUGH
    assert len(received) == len(chosen)
    for (line, expected), got in zip(chosen.items(), received, strict=True):
        if line.startswith("curl "):
            assert sent_by_curl(got) == sent_by_curl(expected), line
        else:
            assert got == expected, line


def test_another_name_and_tls() -> None:
    """The line goes to the address, asks for the name there, and speaks HTTP/1.1."""
    asked = (request("/p", b"<header>: <secret>"), request("/p", b"<header>: \x01"))
    target = Target("tls", lambda state: Instance(Address("::1", 8443, True, "api.test")), SECRET, PREVIOUS)
    curl, printf = (command(target, sent) for sent in asked)
    assert "--http1.1 --connect-to '::[::1]:8443' https://api.test/p" in curl
    assert printf.endswith("| openssl s_client -quiet -connect [::1]:8443 -servername api.test")


def test_the_line_goes_to_the_instance_in_the_state() -> None:
    """A case about a service without a secret is repeated there."""
    ports = {"configured": 8000, "unset": 8001}
    target = Target("two", lambda state: Instance(Address("127.0.0.1", ports[state])), SECRET, PREVIOUS)
    assert "127.0.0.1:8001/p" in command(target, request("/p"), "unset")
