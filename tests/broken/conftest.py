"""The command and services to run it against."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.broken.fixtures import SECRET
from tests.broken.service import CarefulService
from tests.broken.supervisor import served
from tests.contract.__main__ import main

Serve = Callable[..., str]
RunCheck = Callable[..., tuple[int, str]]


@pytest.fixture
def running() -> Iterator[ExitStack]:
    """Give what ends the services of a test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(running: ExitStack) -> Serve:
    """Give what starts a service, with this environment or just the secret, and returns its URL."""

    def serve(service: type[CarefulService] = CarefulService, environ: dict[str, str] | None = None) -> str:
        config = {"SHARED_SECRET": SECRET} if environ is None else environ
        return f"http://127.0.0.1:{running.enter_context(served(service(config)))}"

    return serve


@pytest.fixture
def run_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCheck:
    """Give what runs `check` with arguments, and returns its exit status and all its output."""
    for name in ("BY_MAKE", "GITHUB_ACTIONS", "SHARED_SECRET_PREVIOUS"):
        monkeypatch.delenv(name, raising=False)

    def run_check(*arguments: str, secret: str | None = SECRET) -> tuple[int, str]:
        monkeypatch.delenv("SHARED_SECRET", raising=False)
        if secret is not None:
            monkeypatch.setenv("SHARED_SECRET", secret)
        try:
            status = main(["check", *arguments])
        except SystemExit as error:
            status = int(str(error))
        output = "".join(capsys.readouterr())
        assert SECRET not in output
        return status, output

    return run_check
