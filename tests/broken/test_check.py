"""The contract by URL, as `make check` runs it: its output, and its exit status."""

import asyncio
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.apps import ROOT
from tests.broken.service import CarefulService
from tests.broken.supervisor import served
from tests.broken.table import BROKEN
from tests.contract import __main__ as check
from tests.contract.groups import CASES
from tests.processes import Service

SECRET = secrets.token_urlsafe(32)


class OtherNames(CarefulService):
    """Careful, with names of its own."""

    header, protected, open = b"x-origin-key", "/api/items", "/up"


class NothingOpen(CarefulService):
    """Careful, with no open path."""

    open = "?"


@pytest.fixture
def running() -> Iterator[ExitStack]:
    """Give what ends the services of a test."""
    with ExitStack() as stack:
        yield stack


def url(running: ExitStack, service: CarefulService) -> str:
    """Start a service, and return its URL."""
    return f"http://127.0.0.1:{running.enter_context(served(service))}"


def logged(running: ExitStack, folder: Path, *words: str) -> Service:
    """Start a service that the supervisor knows by these words, with a log in a folder."""
    (log := folder / "log").touch()
    command = [sys.executable, "-m", "tests.broken.supervisor", *words, "configured"]
    config = {"SHARED_SECRET": SECRET, "PYTHONPATH": str(ROOT)}
    return running.enter_context(Service(words[0], command, folder, config, log))


RunCheck = Callable[..., tuple[int, str]]


@pytest.fixture
def run_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCheck:
    """Give what runs the command with options, and returns its exit status and all its output."""

    def run_check(*options: str, secret: str | None = SECRET) -> tuple[int, str]:
        monkeypatch.delenv("SHARED_SECRET", raising=False)
        if secret is not None:
            monkeypatch.setenv("SHARED_SECRET", secret)
        try:
            status = check.main(list(options))
        except SystemExit as error:
            status = int(str(error))
        output = "".join(capsys.readouterr())
        assert SECRET not in output
        return status, output

    return run_check


def outcomes(output: str) -> dict[str, str]:
    """Return how each case went, by its name."""
    return {name: mark for mark, name in re.findall(r"^(ok|FAIL|--) +(\w+/\S+)", output, re.MULTILINE)}


def test_a_service_that_is_right(running: ExitStack, run_check: RunCheck) -> None:
    """Status 0; cases that a URL cannot show are named, and do not count as passed."""
    status, output = run_check("--url", url(running, CarefulService({"SHARED_SECRET": SECRET})))
    assert status == 0, output
    went = outcomes(output)
    assert went.keys() == {case.name for case in CASES}
    assert {name for name, mark in went.items() if mark == "FAIL"} == set()
    unseen = {name for name, mark in went.items() if mark == "--"}
    assert {name.partition("/")[0] for name in unseen} == {"config", "load", "rotate", "life", "stop", "leak"}
    for name in unseen:
        assert output.count(name) == 2, "once in its turn, and once with the reason"


def test_more_is_checked_when_more_is_given(running: ExitStack, tmp_path: Path, run_check: RunCheck) -> None:
    """An instance without a secret, the log, the process."""
    service = logged(running, tmp_path, "careful", "any case")
    more = ["--unconfigured-url", url(running, CarefulService({})), "--pid", str(service.process.pid)]
    status, output = run_check("--url", service.url, "--log", str(tmp_path / "log"), *more)
    assert status == 0, output
    went = outcomes(output)
    for name in ("config/unset-missing", "config/first-wrong", "leak/own-secret", "leak/query", "load/memory"):
        assert went[name] == "ok"


def test_a_log_of_something_else_shows_nothing(
    running: ExitStack, tmp_path: Path, run_check: RunCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for a log without secrets."""
    monkeypatch.setattr(check, "DEADLINE", 1)
    log = tmp_path / "log"
    log.touch()
    _, output = run_check("--url", url(running, CarefulService({"SHARED_SECRET": SECRET})), "--log", str(log))
    assert outcomes(output)["leak/own-secret"] == "--"


def test_other_names(running: ExitStack, run_check: RunCheck) -> None:
    """The field, the protected path and the open one can be given."""
    address = url(running, OtherNames({"SHARED_SECRET": SECRET}))
    names = ["--header", "X-Origin-Key", "--protected", "/api/items", "--open", "/up"]
    assert run_check("--url", address, *names)[0] == 0
    assert run_check("--url", address)[0] == 1


def test_no_open_path(running: ExitStack, run_check: RunCheck) -> None:
    """Cases about the open path are then not checked."""
    status, output = run_check("--url", url(running, NothingOpen({"SHARED_SECRET": SECRET})), "--open", "")
    assert status == 0, output
    assert outcomes(output)["open/alone"] == "--"


class Silent(CarefulService):
    """Takes connections and says nothing."""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()


def test_a_service_that_is_silent(running: ExitStack, run_check: RunCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not sent every case, and those that are not sent do not count as passed."""
    monkeypatch.setattr(check, "DEADLINE", 0.2)
    status, output = run_check("--url", url(running, Silent({"SHARED_SECRET": SECRET})))
    assert status == 1
    assert "stopped answering" in output
    assert "ok" not in outcomes(output).values()


@pytest.mark.parametrize("secret", ["abc\udce9def-1234", "$(x) \\ ünï, <b>"])
def test_any_secret(secret: str, running: ExitStack, run_check: RunCheck) -> None:
    """Also one that is not UTF-8 in the environment, and one with characters special to a shell or a pattern."""
    status, output = run_check("--url", url(running, CarefulService({"SHARED_SECRET": secret})), secret=secret)
    assert status == 0, output


def test_the_open_path_is_no_case_of_its_own(running: ExitStack, run_check: RunCheck) -> None:
    """A service whose open path is one of the paths that otherwise have to be refused."""

    class Root(CarefulService):
        """Open at its root."""

        open = "/"

    status, output = run_check("--url", url(running, Root({"SHARED_SECRET": SECRET})), "--open", "/")
    assert status == 0, output
    assert outcomes(output)["deny/path-root"] == "--"


@pytest.mark.parametrize("case", ["auth/right", "auth/secret-less-a-byte"])
def test_a_service_that_is_broken(case: str, running: ExitStack, run_check: RunCheck) -> None:
    """Status 1, and what to do about it."""
    status, output = run_check("--url", url(running, BROKEN[case]({"SHARED_SECRET": SECRET})))
    assert status == 1
    assert outcomes(output)[case] == "FAIL"
    assert "fix:" in output


def test_what_is_only_recommended_does_not_fail(running: ExitStack, run_check: RunCheck) -> None:
    """It is reported, and the status is 0."""
    status, output = run_check("--url", url(running, BROKEN["errors/no-store"]({"SHARED_SECRET": SECRET})))
    assert outcomes(output)["errors/no-store"] == "FAIL"
    assert status == 0


def test_a_logged_query_fails_one_case(running: ExitStack, tmp_path: Path, run_check: RunCheck) -> None:
    """The contract itself sends the secret in a query; a service that logs queries has not logged more than that."""
    service = logged(running, tmp_path, "broken", "leak/query")
    status, output = run_check("--url", service.url, "--log", str(tmp_path / "log"))
    assert status == 0
    assert [name for name, mark in outcomes(output).items() if mark == "FAIL"] == ["leak/query"]


@pytest.mark.parametrize(
    ("options", "secret", "words"),
    [
        ([], "a-secret", "URL"),
        (["--url", "127.0.0.1:3000"], "a-secret", "http://host:port"),
        (["--url", "http://127.0.0.1:3000/path"], "a-secret", "http://host:port"),
        (["--url", "http://127.0.0.1:port"], "a-secret", "http://host:port"),
        (["--url", "http://[::1"], "a-secret", "http://host:port"),
        (["--url", "http://127.0.0.1:3000", "--protected", "protected"], "a-secret", "path"),
        (["--url", "http://127.0.0.1:3000", "--open", "up"], "a-secret", "path"),
        (["--url", "http://127.0.0.1:3000", "--header", "X Key"], "a-secret", "header field"),
        (["--url", "http://127.0.0.1:3000"], "short", "8 characters"),
        (["--url", "http://127.0.0.1:3000"], None, "SHARED_SECRET"),
        (["--url", "http://127.0.0.1:3000"], " ", "SHARED_SECRET"),
        (["--url", "http://127.0.0.1:1"], "a-secret", "no connection"),
        (["--url", "http://127.0.0.1:3000", "--log", "nowhere"], "a-secret", "nowhere"),
        (["--url", "http://127.0.0.1:3000", "--pid", "99999999"], "a-secret", "99999999"),
    ],
)
def test_what_makes_no_sense(options: list[str], secret: str | None, words: str, run_check: RunCheck) -> None:
    """Status 2 and one clear line."""
    status, output = run_check(*options, secret=secret)
    assert status == 2
    assert words in output.splitlines()[-1]


def test_list_from_a_copy(tmp_path: Path) -> None:
    """The folder works alone: its copy lists every case with what it sends; without a URL the status is 2."""
    shutil.copytree(ROOT / "tests" / "contract", tmp_path / "contract")
    command = [sys.executable, "-m", "contract"]
    done = subprocess.run([*command, "--list"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    for case in CASES:
        assert f"{case.name} " in done.stdout
        assert case.sends in done.stdout
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False).returncode == 2
