"""Properties of the rule itself, `shared/app/shared_secret.py`, for any secret and any header."""

import hmac
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.app import shared_secret
from shared.app.shared_secret import INVALID, NOT_CONFIGURED, NOT_PROVIDED, Denial, SharedSecret

SPACE = " \t\n\r\v\f"
blank = st.text(SPACE, max_size=4)
# What an environment variable can hold: any text but NUL; bytes that are not UTF-8 come as surrogates.
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20) | st.binary(
    max_size=20
).map(lambda value: value.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
secret = text.filter(lambda value: value.strip(SPACE) != "")
values = st.lists(st.binary(max_size=40), max_size=3)
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_bytes(value: str) -> bytes:
    """Return a secret as the bytes that have to be sent for it."""
    return value.encode("utf-8", "surrogateescape").strip(SPACE.encode())


def expected(current: str, previous: str, values: list[bytes]) -> Denial | None:
    """Return the decision of the contract's table."""
    accepted = {as_bytes(current), as_bytes(previous)} - {b""}
    if not as_bytes(current):
        return NOT_CONFIGURED
    if not values or [value.strip(b" \t") for value in values] == [b""]:
        return NOT_PROVIDED
    return None if len(values) == 1 and values[0].strip(b" \t") in accepted else INVALID


@given(secret | blank, secret | blank, st.data())
def test_table(current: str, previous: str, data: st.DataObject) -> None:
    """Any secrets, any values, near misses among them."""
    one = as_bytes(current)
    near = st.sampled_from([one, as_bytes(previous), one[:-1], one[1:], one + b"\0"])
    padded = st.builds(lambda left, value, right: left + value + right, blank.map(str.encode), near, st.just(b" "))
    sent = data.draw(values | st.lists(near | padded, max_size=3))
    rule = SharedSecret({"SHARED_SECRET": current, "SHARED_SECRET_PREVIOUS": previous})
    assert rule.check(sent) == expected(current, previous, sent)


@given(secret, secret)
def test_current_and_previous_are_accepted(current: str, previous: str) -> None:
    """Each of the two, and each alone."""
    rule = SharedSecret({"SHARED_SECRET": current, "SHARED_SECRET_PREVIOUS": previous})
    assert rule.check([as_bytes(current)]) is None
    assert rule.check([as_bytes(previous)]) is None
    assert rule.check([as_bytes(current), as_bytes(current)]) == INVALID


@given(blank, secret | blank, values)
def test_blank_is_not_configured(current: str, previous: str, sent: list[bytes]) -> None:
    """Whatever a request carries, the previous secret included."""
    for environ in ({}, {"SHARED_SECRET": current}):
        rule = SharedSecret({**environ, "SHARED_SECRET_PREVIOUS": previous})
        assert rule.check(sent) == NOT_CONFIGURED
        assert rule.check([as_bytes(previous)]) == NOT_CONFIGURED


@same_folder
@given(current=st.binary(max_size=30), previous=st.binary(max_size=30), sent=values)
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

    monkeypatch.setattr(shared_secret, "hmac", SimpleNamespace(compare_digest=spy))
    rule = SharedSecret({"SHARED_SECRET": "new", "SHARED_SECRET_PREVIOUS": "old secret"})
    for presented in (b"new", b"old secret", b"x", b"x" * 1000):
        calls.clear()
        rule.check([presented])
        assert calls == [(b"new", presented), (b"old secret", presented)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give a function that moves the rule's clock on by some seconds."""
    now = [1000.0]
    monkeypatch.setattr(shared_secret, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


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


@pytest.mark.parametrize("sent", [b"the-secret", b"another", None])
def test_a_request_asks_the_system_for_nothing_but_the_time(
    sent: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the next look at the files, only these functions of Python and of C are called."""
    (file := tmp_path / "current").write_text("the-secret")
    rule = SharedSecret({"SHARED_SECRET_FILE": str(file), "SHARED_SECRET_PREVIOUS": "the-one-before"})
    monkeypatch.setattr(rule, "_next_look", float("inf"))
    values, called = [] if sent is None else [sent], set()

    def profile(frame: FrameType, event: str, function: Any) -> None:
        if event in ("call", "c_call"):
            called.add(function.__name__ if event == "c_call" else frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        rule.check(values)
    finally:
        sys.setprofile(None)
    in_c = {function.__name__ for function in (time.monotonic, hmac.compare_digest, len, bytes.strip, sys.setprofile)}
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


def test_the_log_names_the_variables_once_and_no_secret(
    tmp_path: Path, clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Once each time that the secret goes missing; never a secret, or a path that may be one by mistake."""
    file = tmp_path / "path-that-may-be-a-secret"
    environ: Mapping[str, str] = {"SHARED_SECRET_FILE": str(file), "SHARED_SECRET_PREVIOUS": "previous-secret"}

    def look(rule: SharedSecret) -> None:
        for _ in range(3):
            clock(1)
            rule.check([b"presented-secret"])

    with caplog.at_level(logging.DEBUG):
        rule = SharedSecret(environ)
        assert len(caplog.records) == 1, "it is logged at the start"
        look(rule)
        file.write_text("current-secret")
        look(rule)
        assert len(caplog.records) == 1
        file.unlink()
        look(rule)
    assert len(caplog.records) == 2
    assert all(record.levelno == logging.ERROR for record in caplog.records)
    assert "SHARED_SECRET" in caplog.text
    assert "SHARED_SECRET_FILE" in caplog.text
    assert "-secret" not in caplog.text
