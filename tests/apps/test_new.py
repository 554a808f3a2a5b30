"""`make new`: a copy of an app under its own name, completely or not at all."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared import new
from shared.apps import APPS, ROOT
from tests.commands import ENVIRON

DEADLINE = 60.0  # seconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a repository in it, where somebody has been using an app in place."""
    (tmp_path / "main" / "shared").mkdir(parents=True)
    for name in ("Makefile", "shared/__init__.py", "shared/apps.py", "shared/new.py"):
        shutil.copy(ROOT / name, tmp_path / "main" / name)
    shutil.copytree(ROOT / "apps", tmp_path / "main" / "apps", ignore=shutil.ignore_patterns(".venv", "__pycache__"))
    for name in (".env", ".env.production", ".venv/bin/python", "__pycache__/app.pyc", "notes.txt"):
        (tmp_path / "main" / "apps" / "falcon" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "main" / "apps" / "falcon" / name).write_text("not to be copied")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "empty").mkdir(0o700)
    return tmp_path


def make_new(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder's repository."""
    command = ["make", "--no-print-directory", f"PYTHON={sys.executable}", "new", *words]
    return subprocess.run(
        command,
        cwd=folder / "main",
        env={**ENVIRON, "FROM": "", "TO": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def files(folder: Path) -> dict[str, bytes]:
    """Return the contents of a folder's files, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_copy(app: str, folder: Path) -> None:
    """The same files, except for the name in two of them, and a new secret."""
    done = make_new(folder, f"FROM={app}", "TO=../empty")
    assert done.returncode == 0, done.stderr
    assert (folder / "empty").stat().st_mode & 0o777 == 0o700
    assert make_new(folder, f"FROM={app}", "TO=../second.one").returncode == 0
    envs = set()
    for name, title in (("empty", "empty"), ("second.one", "second-one")):
        got = files(folder / name)
        source = {path.name: path.read_bytes() for path in new.files(APPS[app])}
        env = got.pop(".env").decode()
        assert re.fullmatch(r"SHARED_SECRET=[\w-]{43}\n", env)
        assert (folder / name / ".env").stat().st_mode & 0o777 == 0o600
        envs.add(env)
        assert got.keys() == source.keys()
        assert {path for path in source if got[path] != source[path]} == source.keys() & {*new.NAMED}
        assert got["README.md"].startswith(f"# {title}\n".encode())
        assert f'name = "{title}"\n'.encode() in got["pyproject.toml"]
        assert b"origin-guard-" not in b"".join(got[name] for name in got.keys() & {*new.NAMED})
    assert len(envs) == 2
    assert {path.name for path in folder.iterdir()} == {"main", "full", "empty", "second.one"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "FROM="),
        (["TO=../new"], "falcon"),
        (["FROM=flask", "TO=../new"], ", ".join(APPS)),
        (["FROM=../apps/falcon", "TO=../new"], ", ".join(APPS)),
        (["FROM=falcon"], "TO="),
        (["FROM=falcon", "TO=../full"], "not an empty folder"),
        (["FROM=falcon", "TO=../full/file"], "not an empty folder"),
        (["FROM=falcon", "TO=.."], "not an empty folder"),
        (["FROM=falcon", "TO=apps/falcon"], "Name one outside"),
        (["FROM=falcon", "TO=apps/sixth"], "Name one outside"),
        (["FROM=falcon", "TO=."], "Name one outside"),
        (["FROM=falcon", "TO=~nobody-has-this-name/new"], "home"),
        (["FROM=falcon", "TO=../a b"], "letters, digits and dashes"),
        (["FROM=falcon", "TO=../it's"], "letters, digits and dashes"),
        (["FROM=falcon", "TO=/"], "letters, digits and dashes"),
        (["FROM=falcon", "TO=../nowhere/new"], "Create that first"),
        (["FROM=falcon", "TO=../full/file/new"], "Create that first"),
    ],
)
def test_refused(words: list[str], said: str, folder: Path) -> None:
    """One clear line, a status that is not 0, and nothing changed."""
    before = files(folder)
    done = make_new(folder, *words)
    assert done.returncode != 0
    line, *rest = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert said in line
    assert rest == []
    assert files(folder) == before
    assert {path.name for path in folder.iterdir()} == {"main", "full", "empty"}


def test_fails_half_way(folder: Path) -> None:
    """If a file cannot be copied, nothing is created."""
    (folder / "main" / "apps" / "falcon" / "shared_secret.py").unlink()
    done = make_new(folder, "FROM=falcon", "TO=../new")
    assert done.returncode != 0
    assert "Nothing was created" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in folder.iterdir()} == {"main", "full", "empty"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(number: int, folder: Path) -> None:
    """Nothing is created when the command is interrupted, either."""
    with (folder / "main" / "apps" / "falcon" / "app.py").open("a") as file:
        file.truncate(300_000_000)  # takes a while to copy
    command = [sys.executable, "-m", "shared.new", "falcon", "../new"]
    process = subprocess.Popen(command, cwd=folder / "main", stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + DEADLINE
        while not any(path.name.startswith(".new-") for path in folder.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.send_signal(number)
        assert "nothing was created" in process.communicate(timeout=DEADLINE)[1]
        assert process.returncode != 0
    finally:
        process.kill()
        process.wait()
    assert {path.name for path in folder.iterdir()} == {"main", "full", "empty"}


def test_every_app_can_be_copied() -> None:
    """Its name is in the files where the copy gets another."""
    for app in APPS:
        for path in new.files(APPS[app]):
            assert path.name not in new.NAMED or f"origin-guard-{app}" in path.read_text()
