"""Properties of the rule itself, `shared/app/shared_secret.py`, for any secret and any header."""

import errno
import hmac
import logging
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.app import shared_secret
from shared.app.shared_secret import INVALID, NOT_CONFIGURED, NOT_PROVIDED, Denial, SharedSecret
from shared.apps import ROOT

SPACE = " \t\n\r\v\f"
BOM = b"\xef\xbb\xbf"  # the byte order mark, in UTF-8
LIMIT = 8000  # bytes of a secret
blank = st.text(SPACE, max_size=4)
# What an environment variable can hold: any text but NUL; bytes that are not UTF-8 come as surrogates.
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20) | st.binary(
    max_size=20
).map(lambda value: value.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
marked = text | text.map(lambda value: "\ufeff" + value)  # with a byte order mark, too
one_line = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20).filter(lambda value: as_bytes(value))
values = st.lists(st.binary(max_size=40), max_size=3)
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_bytes(value: str) -> bytes:
    """Return a secret as the bytes that have to be sent for it, none where no header field can carry it."""
    stripped = value.encode("utf-8", "surrogateescape").removeprefix(BOM).strip(SPACE.encode())
    carried = len(stripped) <= LIMIT and all(byte == 9 or 32 <= byte != 127 for byte in stripped)
    return stripped if carried else b""


def expected(current: str, previous: str, values: list[bytes]) -> Denial | None:
    """Return the decision of the contract's table."""
    accepted = {as_bytes(current), as_bytes(previous)} - {b""}
    if not as_bytes(current):
        return NOT_CONFIGURED
    if not values or [value.strip(b" \t") for value in values] == [b""]:
        return NOT_PROVIDED
    return None if len(values) == 1 and values[0].strip(b" \t") in accepted else INVALID


@st.composite
def forms(draw: st.DrawFn, sent: list[bytes]) -> Any:
    """Draw one of the forms in which a framework has the values of a header field."""
    either = [draw(st.sampled_from([value, value.decode("latin-1")])) for value in sent]
    whole: list[Any] = [either, tuple(either)]
    if len(either) < 2:
        whole.append(either[0] if either else None)
    return draw(st.sampled_from(whole))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give a function that moves the rule's clock on by some seconds."""
    now = [1000.0]
    monkeypatch.setattr(shared_secret, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


@given(marked | one_line | blank, marked | one_line | blank, st.data())
def test_table(current: str, previous: str, data: st.DataObject) -> None:
    """Any secrets, any values in any form, near misses among them."""
    one = as_bytes(current)
    near = st.sampled_from([one, as_bytes(previous), one[:-1], one[1:], one + b"\0"])
    padded = st.builds(lambda left, value, right: left + value + right, blank.map(str.encode), near, st.just(b" "))
    sent = data.draw(values | st.lists(near | padded, max_size=3))
    rule = SharedSecret({"SHARED_SECRET": current, "SHARED_SECRET_PREVIOUS": previous})
    assert rule.check(data.draw(forms(sent))) == expected(current, previous, sent)


@given(one_line, one_line)
def test_current_and_previous_are_accepted(current: str, previous: str) -> None:
    """Each of the two, and each alone."""
    rule = SharedSecret({"SHARED_SECRET": current, "SHARED_SECRET_PREVIOUS": previous})
    assert rule.check([as_bytes(current)]) is None
    assert rule.check([as_bytes(previous)]) is None
    assert rule.check([as_bytes(current), as_bytes(current)]) == INVALID


@given(one_line, st.text(st.characters(min_codepoint=256), min_size=1, max_size=5))
def test_text_beyond_latin_1_is_never_accepted(current: str, beyond: str) -> None:
    """No server makes such text of a header; it does not raise, and is not taken for a secret that looks like it."""
    for environ in ({"SHARED_SECRET": current}, {"SHARED_SECRET": "?" * len(beyond)}, {"SHARED_SECRET": beyond}):
        rule = SharedSecret(environ)
        assert rule.check(beyond) in (INVALID, NOT_CONFIGURED)  # the latter where it is blank or has lone surrogates
        assert rule.check([current + beyond]) in (INVALID, NOT_CONFIGURED)


@given(blank, marked | one_line | blank, values)
def test_blank_is_not_configured(current: str, previous: str, sent: list[bytes]) -> None:
    """Whatever a request carries, the previous secret included."""
    for environ in ({}, {"SHARED_SECRET": current}):
        rule = SharedSecret({**environ, "SHARED_SECRET_PREVIOUS": previous})
        assert rule.check(sent) == NOT_CONFIGURED
        assert rule.check([as_bytes(previous)]) == NOT_CONFIGURED


@same_folder
@given(current=st.binary(max_size=30), previous=st.binary(max_size=30) | one_line.map(str.encode), sent=values)
def test_files_hold_any_bytes(current: bytes, previous: bytes, sent: list[bytes], tmp_path: Path) -> None:
    """A file wins over its variable, and decides as the variable would."""
    environ = {"SHARED_SECRET": "not this", "SHARED_SECRET_PREVIOUS": "nor this"}
    for name, content in (("SHARED_SECRET", current), ("SHARED_SECRET_PREVIOUS", previous)):
        (tmp_path / name).write_bytes(content)
        environ[f"{name}_FILE"] = str(tmp_path / name)
    rule = SharedSecret(environ)
    texts = [content.decode("utf-8", "surrogateescape") for content in (current, previous)]
    for presented in (sent, [current.strip()], [previous.strip()], [b"not this"]):
        assert rule.check(presented) == expected(texts[0], texts[1], presented)


@pytest.mark.parametrize("value", [b"\0", b"\xe9", "ü€😀".encode(), b"x" * 1_000_000, b"\xff" * 1_000_000])
def test_any_bytes_are_compared(value: bytes) -> None:
    """No value makes it raise."""
    assert SharedSecret({"SHARED_SECRET": "right"}).check([value]) == INVALID


@pytest.mark.parametrize(
    "unreadable", ["nowhere", ".", "file/below", "x" * 10_000, "\0"], ids=["missing", "folder", "below", "long", "nul"]
)
def test_unreadable_file_is_not_configured(unreadable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not fall back to the variable, and does not raise; a previous one that cannot be read is none."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    rule = SharedSecret({"SHARED_SECRET": "right", "SHARED_SECRET_FILE": unreadable})
    assert rule.check([b"right"]) == NOT_CONFIGURED
    rule = SharedSecret({"SHARED_SECRET": "right", "SHARED_SECRET_PREVIOUS_FILE": unreadable})
    assert rule.check([b"right"]) is None


@pytest.mark.parametrize("reason", [errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EACCES])
def test_a_file_that_is_gone_is_not_configured(
    reason: int, tmp_path: Path, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was known before is forgotten, and so it is when the file becomes another's or a folder takes its place."""
    (file := tmp_path / "secret").write_text("right")
    rule = SharedSecret({"SHARED_SECRET_FILE": str(file)})

    def fail(path: Path) -> bytes:
        raise OSError(reason, os.strerror(reason), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    clock(1)
    assert rule.check("right") == NOT_CONFIGURED


@pytest.mark.parametrize("space", ["", " ", "\t", " \t ", "\v", "\n", "\xa0", "\x85"])
def test_space_around_the_value(space: str) -> None:
    """What HTTP calls white space is no part of a value (RFC 9110 section 5.6.3); nothing else is taken off."""
    rule = SharedSecret({"SHARED_SECRET": "right"})
    ours = not space.strip(" \t")
    for value in (f"{space}right", f"right{space}"):
        assert rule.check(value) == (None if ours else INVALID)
    assert rule.check(space) == (NOT_PROVIDED if ours else INVALID)


def test_denials() -> None:
    """Status, words and header fields of the three denials."""
    no_store = {"Cache-Control": "no-store"}
    challenge = {"WWW-Authenticate": 'SharedSecret realm="origin"'}
    assert NOT_CONFIGURED == (500, "Server configuration error", no_store)
    assert NOT_PROVIDED == (401, "No secret provided", challenge | no_store)
    assert INVALID == (401, "Invalid secret", challenge | no_store)


def test_every_accepted_secret_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """In constant time, with the presented value as the second argument, and without stopping at a match."""
    calls = []

    def spy(left: bytes, right: bytes) -> bool:
        calls.append((left, right))
        return left == right

    monkeypatch.setattr(shared_secret, "compare_digest", spy)
    rule = SharedSecret({"SHARED_SECRET": "new", "SHARED_SECRET_PREVIOUS": "old secret"})
    for presented in (b"new", b"old secret", b"x", b"x" * 1000):
        calls.clear()
        rule.check([presented])
        assert calls == [(b"new", presented), (b"old secret", presented)]


def test_a_changed_file_takes_effect_within_a_second(tmp_path: Path, clock: Callable[[float], None]) -> None:
    """It is read again after one second, not before."""
    file = tmp_path / "secret"
    file.write_text("old\n")
    rule = SharedSecret({"SHARED_SECRET_FILE": str(file)})
    assert rule.check([b"old"]) is None
    file.write_text("new\n")
    clock(0.99)
    assert rule.check([b"old"]) is None
    clock(0.01)
    assert rule.check([b"old"]) == INVALID
    assert rule.check([b"new"]) is None
    file.unlink()
    clock(1)
    assert rule.check([b"new"]) == NOT_CONFIGURED


def test_a_secret_that_kubernetes_changes(
    tmp_path: Path, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that finds the folder of before, and then its file gone, finds the new one; a second later it counts.

    The kubelet writes a new folder, renames a link to it over `..data`, and removes the old one (its AtomicWriter).
    """
    names = ("shared_secret", "shared_secret_previous")
    for name in names:
        (tmp_path / name).symlink_to(f"..data/{name}")

    def change(version: int) -> None:
        (folder := tmp_path / f"..{version}").mkdir()
        for name, secret in zip(names, (version, version - 1), strict=True):
            (folder / name).write_text(f"secret {secret}")
        (tmp_path / "..data_tmp").symlink_to(folder.name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        if version > 1:
            shutil.rmtree(tmp_path / f"..{version - 1}")

    change(1)
    rule = SharedSecret({f"{name.upper()}_FILE": str(tmp_path / name) for name in names})
    assert rule.check("secret 1") is None
    read, version = Path.read_bytes, 1

    def changed_meanwhile(path: Path) -> bytes:
        nonlocal version
        found = path.resolve()
        if changing == path.name and version < expected:
            change(version := version + 1)
        return read(found)

    monkeypatch.setattr(Path, "read_bytes", changed_meanwhile)
    for expected, changing in enumerate(names * 2, 2):
        clock(1)
        assert rule.check(f"secret {expected - 1}") is None, changing
        clock(1)
        assert [rule.check(f"secret {number}") for number in (expected, expected - 1)] == [None, None], changing
    assert rule.check("secret 1") == INVALID


def test_no_thread_goes_on_with_what_is_old(tmp_path: Path, clock: Callable[[float], None]) -> None:
    """While one thread reads the file, others wait for the result: what they know may be hours old."""
    file = tmp_path / "secret"
    file.write_text("old")
    looking, go_on = threading.Event(), threading.Event()
    looks: list[str] = []

    class Environ(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
            looks.append(name)
            looking.set()
            assert go_on.wait(30)
            return super().get(name, default)

    go_on.set()
    rule = SharedSecret(Environ(SHARED_SECRET_FILE=str(file)))
    looking.clear()
    go_on.clear()
    looks.clear()
    file.write_text("new")
    clock(3600)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(rule.check, [b"new"])
        assert looking.wait(30)
        second = pool.submit(rule.check, [b"new"])
        done, _ = wait([second], timeout=0.2)
        go_on.set()
        assert not done
        assert first.result() is None
        assert second.result() is None
    assert looks.count("SHARED_SECRET_FILE") == 1


@pytest.mark.parametrize("sent", ["the-secret", [b"the-secret"], [b"another"], None])
def test_a_request_asks_the_system_for_nothing_but_the_time(
    sent: str | list[bytes] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the next look at the files, only these functions of Python and of C are called."""
    (file := tmp_path / "current").write_text("the-secret")
    rule = SharedSecret({"SHARED_SECRET_FILE": str(file), "SHARED_SECRET_PREVIOUS": "the-one-before"})
    monkeypatch.setattr(rule, "_next_look", float("inf"))
    called = set()

    def profile(frame: FrameType, event: str, function: Any) -> None:
        if event in ("call", "c_call"):
            called.add(function.__name__ if event == "c_call" else frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        rule.check(sent)
    finally:
        sys.setprofile(None)
    functions = time.monotonic, hmac.compare_digest, isinstance, len, str.encode, bytes.strip, sys.setprofile
    in_c = {function.__name__ for function in functions}
    assert called <= {"check", *in_c}
    assert called >= {"check", "monotonic"}


def test_the_current_secret_is_read_before_the_previous_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation writes the previous secret first: read in the other order, the old one could be lost."""
    read: list[str] = []

    class Environ(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
            read.append(name)
            return default

    SharedSecret(Environ())
    assert read.index("SHARED_SECRET") < read.index("SHARED_SECRET_PREVIOUS")


def test_a_look_that_fails_is_repeated_at_the_next_request(tmp_path: Path, clock: Callable[[float], None]) -> None:
    """A file that is away for a moment does not make a second of 500; one that is unusable, neither."""
    (file := tmp_path / "secret").write_text("right")
    rule = SharedSecret({"SHARED_SECRET_FILE": str(file)})
    clock(1)
    for problem in (file.unlink, lambda: file.write_text("two\nlines")):
        clock(1)
        problem()
        assert rule.check("right") == NOT_CONFIGURED
        file.write_text("right")
        assert rule.check("right") is None


def test_a_previous_secret_that_is_missing_is_no_problem(
    tmp_path: Path, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The files are read once a second as before, and nothing is logged."""
    (file := tmp_path / "current").write_text("right")
    rule = SharedSecret({"SHARED_SECRET_FILE": str(file), "SHARED_SECRET_PREVIOUS_FILE": str(tmp_path / "previous")})
    read, read_bytes = list[str](), Path.read_bytes

    def spy(path: Path) -> bytes:
        read.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", spy)
    for _ in range(3):
        clock(0.5)
        for _ in range(3):
            assert rule.check("right") is None
    assert read == ["current", "previous", "previous"]  # what is not there is asked for once more
    assert caplog.text == ""


@pytest.mark.parametrize("failure", [errno.EMFILE, errno.EIO])
def test_a_failure_that_says_nothing_about_the_file_changes_nothing(
    failure: int,
    tmp_path: Path,
    clock: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was known stays, the log says so once and without the path, and the next request looks again."""
    environ = {}
    for name, content in (("SHARED_SECRET", "new-secret"), ("SHARED_SECRET_PREVIOUS", "old-secret")):
        (tmp_path / name).write_text(content)
        environ[f"{name}_FILE"] = str(tmp_path / name)
    rule = SharedSecret(environ)

    def fail(path: Path) -> bytes:
        raise OSError(failure, os.strerror(failure), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", fail)
        for _ in range(3):
            clock(1)
            assert [rule.check(sent) for sent in ("new-secret", "old-secret", "x")] == [None, None, INVALID]
        assert SharedSecret(environ).check("new-secret") == NOT_CONFIGURED
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    for name in environ:
        assert len([message for message in messages[:2] if f" {name}," in message]) == 1
    assert len(messages) == 5, "two of the first rule, and the second has no secret besides"
    assert all(os.strerror(failure) in message for message in messages[:2])
    assert str(tmp_path) not in caplog.text
    (tmp_path / "SHARED_SECRET").write_text("newest")
    assert rule.check("newest") is None


def test_no_descriptor_left(tmp_path: Path) -> None:
    """In a process that can open no more files the secrets stay as they were known."""
    (file := tmp_path / "secret").write_text("right")
    code = f"""if True:
        import resource
        from shared.app.shared_secret import SharedSecret
        rule = SharedSecret({{"SHARED_SECRET_FILE": {str(file)!r}}})
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        for limit in 0, soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            rule._next_look = 0.0
            print(rule.check("right"), rule.check("wrong").status)
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "None 401\n" * 2
    assert done.stderr.count("\n") == 1
    assert os.strerror(errno.EMFILE) in done.stderr


UNUSABLE = {
    "control": b"the\x01value",
    "delete": b"the\x7fvalue",
    "line feed": b"the\nvalue",
    "carriage return": b"the\rvalue",
    "two lines": b"the value\r\nthe other value\r\n",
    "UTF-16": "the value".encode("utf-16"),
    "too long": b"v" * (LIMIT + 1),
}


@pytest.mark.parametrize("source", ["SHARED_SECRET", "SHARED_SECRET_FILE"])
@pytest.mark.parametrize("previous", [False, True], ids=["current", "previous"])
@pytest.mark.parametrize("content", UNUSABLE.values(), ids=UNUSABLE)
def test_unusable(
    content: bytes, previous: bool, source: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What no header field can carry is not configured, and the log names the file or variable, never the value."""
    name = "SHARED_SECRET_PREVIOUS" if previous else "SHARED_SECRET"
    (file := tmp_path / "file").write_bytes(content)
    if in_file := source.endswith("_FILE"):
        rule = SharedSecret({"SHARED_SECRET": "right", f"{name}_FILE": str(file)})
    else:
        rule = SharedSecret({"SHARED_SECRET": "right", name: os.fsdecode(content)})
    for sent in (content, content.strip(), content.splitlines()[0]):
        assert rule.check(sent) == (INVALID if previous else NOT_CONFIGURED)
    assert rule.check("right") == (None if previous else NOT_CONFIGURED)
    first, *others = sorted((record.getMessage() for record in caplog.records), key=lambda line: "No shared" in line)
    assert first.startswith(f"{file if in_file else name} ")
    assert "one line" in first
    assert str(LIMIT) in first
    assert len(others) == (not previous)
    assert not any(part in caplog.text for part in ("value", "vvv", repr(content)))


@pytest.mark.parametrize("content", [b"a\tvalue", BOM + b" value\r\n", b"v" * LIMIT, b"\n" + b"v" * LIMIT + b"\n"])
def test_usable(content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A tab inside, a byte order mark and white space around it are fine, and so are as many bytes as are allowed."""
    (file := tmp_path / "file").write_bytes(content)
    for environ in ({"SHARED_SECRET": os.fsdecode(content)}, {"SHARED_SECRET_FILE": str(file)}):
        assert SharedSecret(environ).check(content.removeprefix(BOM).strip()) is None
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("environ", "expected"), [({}, "X-Shared-Secret"), ({"SHARED_SECRET_HEADER": "X-Origin-Verify"}, "X-Origin-Verify")]
)
def test_header(environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The field has the name that the environment gives it, and an empty one is none."""
    monkeypatch.setattr(os, "environ", environ)
    assert runpy.run_path(shared_secret.__file__)["HEADER"] == expected
    environ.setdefault("SHARED_SECRET_HEADER", "")
    assert runpy.run_path(shared_secret.__file__)["HEADER"] == expected


def test_each_problem_is_logged_once_until_it_changes(
    tmp_path: Path, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Never a secret, or a path that may be one by mistake."""
    file = tmp_path / "path-that-may-be-a-secret"
    previous = tmp_path / "previous"
    files = {"SHARED_SECRET_FILE": str(file), "SHARED_SECRET_PREVIOUS_FILE": str(previous)}

    def logged(rule: SharedSecret) -> list[str]:
        caplog.clear()
        for _ in range(3):
            clock(1)
            rule.check([b"presented-secret"])
        assert all(record.levelno == logging.ERROR for record in caplog.records)
        assert "-secret" not in caplog.text
        return [record.getMessage() for record in caplog.records]

    rule = SharedSecret(files)
    (missing,) = [record.getMessage() for record in caplog.records]  # it is logged at the start
    assert {"SHARED_SECRET", "SHARED_SECRET_FILE"} <= set(re.findall(r"\w+", missing))
    assert logged(rule) == []
    file.write_text("current-secret")
    assert logged(rule) == []
    previous.write_text("two\nlines-of-a-secret")
    (unusable,) = logged(rule)
    assert str(previous) in unusable
    file.unlink()
    assert logged(rule) == [missing]
    file.write_text("current-secret")
    previous.write_text("previous-secret")
    assert logged(rule) == []
    file.unlink()
    assert logged(rule) == [missing]


PAIR = {"SHARED_SECRET": "new-secret", "SHARED_SECRET_PREVIOUS": "old-secret"}


def test_a_use_of_the_previous_secret_is_noted_once_a_minute(
    clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    """At once and without the value; the same note does not come again within 60 seconds."""
    rule = SharedSecret(PAIR)
    for sent in ("new-secret", "another", "", ["old-secret", "old-secret"], None):
        rule.check(sent)
    assert caplog.records == []
    assert rule.check("old-secret") is None
    (note,) = caplog.records
    assert note.levelno == logging.WARNING
    assert "SHARED_SECRET_PREVIOUS was used" in note.getMessage()
    for seconds, count in ((0, 1), (59.9, 1), (0.1, 2), (59.9, 2), (0.1, 3)):
        clock(seconds)
        assert [rule.check(sent) for sent in ("old-secret", "old-secret", "new-secret")] == [None] * 3
        assert len(caplog.records) == count
    assert "-secret" not in caplog.text


@pytest.mark.parametrize("previous", ["", " ", "new-secret", " new-secret\n"])
def test_no_note_without_another_previous_secret(
    previous: str, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Where there is none, or the same one, the current secret is nothing to note."""
    rule = SharedSecret(PAIR | {"SHARED_SECRET_PREVIOUS": previous})
    for _ in range(3):
        assert rule.check("new-secret") is None
        clock(61)
    assert caplog.records == []


@pytest.mark.parametrize("content", ["", "another-secret"])
def test_the_last_use_of_the_previous_secret_is_told_when_it_changes(
    content: str, tmp_path: Path, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the seconds since then, which `make rotate` reads; a secret that was never used is nothing to tell."""
    (file := tmp_path / "previous").write_text("old-secret")
    rule = SharedSecret({"SHARED_SECRET": "new-secret", "SHARED_SECRET_PREVIOUS_FILE": str(file)})
    rule.check("old-secret")
    clock(2)
    rule.check("old-secret")
    clock(3.5)
    file.write_text(" old-secret\n")  # means the same
    rule.check("new-secret")
    assert len(caplog.records) == 1
    clock(1)
    file.write_text(content)
    caplog.clear()
    for _ in range(3):
        rule.check("new-secret")
        clock(1)
    (note,) = caplog.records
    assert note.levelno == logging.WARNING
    assert "SHARED_SECRET_PREVIOUS has changed; " in note.getMessage()
    assert "last used 4.5 seconds ago" in note.getMessage()
    file.write_text("old-secret")
    rule.check("new-secret")
    clock(1)
    file.write_text("")
    rule.check("new-secret")
    assert len(caplog.records) == 1
    assert "-secret" not in caplog.text
