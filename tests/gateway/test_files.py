"""The files with keys and secrets are changed in place, whole or not at all, also where there is no more room."""

import errno
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.app.shared_secret import HEADER
from shared.gateway import files
from tests.contract.http1 import DEADLINE
from tests.gateway.checks import OWN_GATEWAY, Start, fails_for
from tests.gateway.origin import parse
from tests.gateway.runner import Edit, Gateway, instead, waiting

haproxy = pytest.mark.usefixtures("haproxy")
same_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LIMITED = """
import resource, runpy, sys
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
runpy.run_module("shared.gateway.manage", run_name="__main__", alter_sys=True)
"""
WRITE = """
import os, time
from shared.gateway import files

def slow(function):  # so that what is there after each step is seen
    return lambda *words: (function(*words), time.sleep(0.001))[0]

os.pwrite, os.fsync = slow(os.pwrite), slow(os.fsync)
for number in range(50):
    files.write("text", "another text that is longer" if number % 2 else "a text")
"""
TEXTS = {b"a text", b"another text that is longer"}
texts = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=40).map(str.strip)
contents = st.binary(max_size=60)


def in_place(old: str, new: str) -> Edit:
    """Return an edit of files.py."""
    return instead(old, new, "files.py")


def limited(gateway: Gateway, size: int, *words: str) -> tuple[int, str]:
    """Run a command of manage.py that can make no file longer than this; return its status and what it prints."""
    command = [sys.executable, "-B", "-c", LIMITED, str(size), *words]
    done = subprocess.run(
        command, cwd=gateway.root, env=gateway.environ, capture_output=True, text=True, timeout=2 * DEADLINE
    )
    return done.returncode, done.stdout + done.stderr


MAKE_ROOM = '            put(file, b"\\n" * (len(data) - len(before)), len(before))\n'
PUT = '            put(file, data.ljust(len(before), b"\\n"), 0)\n'
MESSAGE = 'f"{error.strerror}. It is as it was.", f"{FOLDER.name}/{name}") from error'
ADD_FIRST = """    for place in running():
        update(place, f"add map {KEYS} <<\\n{line}\\n\\n")
    home.write(KEYS, "\\n".join([*before, line]))
"""


@haproxy
@fails_for(
    longer=in_place("            new.truncate(len(before))\n", ""),
    empty=in_place("os.O_RDWR | os.O_CREAT", "os.O_RDWR | os.O_CREAT | os.O_TRUNC"),
    short_writes=in_place("    while data:\n", "    for _ in range(1):\n"),
    shown_first=instead("    before = stored_lines()\n", "    before = stored_lines()\n    print(key)\n", "manage.py"),
    another_name=in_place('f"{FOLDER.name}/{name}") from error', "f'{FOLDER.name}') from error"),
    live_first=instead('    home.write(KEYS, "\\n".join([*before, line]))\n', ADD_FIRST, "manage.py"),
)
def test_no_room_for_a_key(start: Start) -> None:
    """One line says so; no key is printed, the file is byte for byte as it was, and the gateway has no more keys."""
    with start(config=OWN_GATEWAY) as (gateway, _):
        file = gateway.file("keys.map")
        whole = file.read_bytes()
        length = len(whole)  # as that of the line for a consumer of a name of as many letters
        for text in (whole, b"# a remark\n\n" + whole.rstrip(b"\n")):
            file.write_bytes(text)
            for size in (0, len(text), len(text) + 1, len(text) + 40, len(text) + length - 2):
                status, message = limited(gateway, size, "add", "more")
                assert (status, message.count("\n")) == (1, 1), message
                assert message.startswith(".secrets/keys.map: ")
                assert "ogk_" not in message
                assert file.read_bytes() == text
        assert live_keys(gateway) == 1
        status, message = limited(gateway, len(text) + length + 1, "add", "more")
        assert (status, "ogk_" in message) == (0, True), message
        assert live_keys(gateway) == 2


def live_keys(gateway: Gateway) -> int:
    """Return how many keys the gateway that runs has."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE)
        here = Path.cwd()
        os.chdir(gateway.file(""))  # the path of a socket has to be short
        try:
            connection.connect("admin.sock")
        finally:
            os.chdir(here)
        connection.sendall(b"show map keys.map\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    return answer.count(b" acme ") + answer.count(b" more ")


@haproxy
@fails_for(
    half=in_place(MAKE_ROOM, "            new.truncate(0)\n"),
    nobody_says_so=in_place(f"raise OSError(error.errno, {MESSAGE}", "return"),
    sent_alone=instead("    accept_sent(home)\n    arrive", "    write(SENT, 'secret x')\n    arrive", "manage.py"),
)
def test_no_room_during_a_rotation(start: Start) -> None:
    """Wherever it stops, the origins accept what the gateway sends, also after a reload; the next rotation finishes."""
    with start(edit=waiting(0.0)) as (gateway, origin):
        current, previous, sent = secrets = [
            gateway.file(name) for name in ("shared_secret", "shared_secret_previous", "sent.map")
        ]
        current.write_text("short")
        gateway.manage("rotate")  # so that the gateway sends this

        def assert_accepted() -> None:
            gateway.get("/falcon/x")
            (secret,) = parse(origin.received[-1])[1][HEADER.lower()]
            assert secret in [file.read_text().strip() for file in (current, previous)]

        for size, stopped in ((10, sent), (20, current), (47, sent), (48, sent)):
            for file in secrets:
                file.write_text(f"{file.read_text().strip()}\n\n")  # the look at what arrives needs no room then
            status, message = limited(gateway, size, "rotate")
            assert status == 1, message
            assert f".secrets/{stopped.name}: " in message.splitlines()[-1]
            assert_accepted()
        gateway.reload()
        assert_accepted()
        gateway.manage("rotate")
        assert_accepted()
        assert previous.read_bytes() == b""
        assert sent.read_text().split() == ["secret", *current.read_text().split()]


@haproxy
@fails_for(
    emptied_first=in_place("        before = new.read()\n", "        before = new.read()\n        new.truncate(0)\n"),
    in_pieces=in_place("os.pwrite(file, data, place)", "os.pwrite(file, data[:9], place)"),
    old_end=in_place(PUT, "            put(file, data, 0)\n"),
)
def test_nobody_reads_half_a_text(start: Start) -> None:
    """Whoever reads the file while it is changed finds what was there before, or what comes.

    The system itself may let a reader in while it copies a text, for some nanoseconds.
    """
    with start(config=OWN_GATEWAY) as (gateway, _):
        (file := gateway.root / "text").write_bytes(b"a text\n")
        seen = Counter[bytes]()
        with subprocess.Popen([sys.executable, "-B", "-c", WRITE], cwd=gateway.root, env=gateway.environ) as writer:
            while writer.poll() is None:
                seen[file.read_bytes().strip()] += 1
        assert writer.returncode == 0
        assert set(seen) >= TEXTS
        assert sum(count for text, count in seen.items() if text not in TEXTS) <= 2 + seen.total() / 5000, seen


@same_folder
@given(before=contents, text=texts)
def test_what_is_written_is_read(before: bytes, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was there before; and a nudge changes the bytes, but not what they mean."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(before)
    files.write("file", text)
    assert files.read("file") == text
    assert Path("file").read_bytes() == (f"{text}\n".encode() if text else b"")
    states = {Path("file").read_bytes()}
    for _ in range(20):
        last = Path("file").read_bytes()
        files.nudge("file")
        assert files.read("file") == text
        assert Path("file").read_bytes() != last
        states.add(Path("file").read_bytes())
    assert len(states) <= 9, "the file does not grow"


@same_folder
@given(before=contents)
def test_a_nudge_of_any_bytes(before: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes them, and not what they mean; text that is not UTF-8 stays as it is."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(before)
    text = files.read("file")
    files.nudge("file")
    assert Path("file").read_bytes() != before
    assert files.read("file") == text
    if b"\r" not in before:
        assert Path("file").read_bytes().rstrip(b"\n") in before


@same_folder
@given(before=contents, text=texts, at_once=st.integers(1, 5), room=st.integers(0, 100))
def test_a_disk_that_is_full_or_slow(
    before: bytes, text: str, at_once: int, room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write may take a part of the data; if there is no room for the rest, what was there before stays."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(before)
    pwrite = os.pwrite

    def part(file: int, data: bytes, place: int) -> int:
        if place + at_once > len(before) + room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(file, data[:at_once], place)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", part)
        failure = None
        try:
            files.write("file", text)
        except OSError as error:
            failure = error
    if failure:
        assert (failure.errno, failure.filename) == (errno.ENOSPC, ".secrets/file")
        assert Path("file").read_bytes() == before
    else:
        assert files.read("file") == text
