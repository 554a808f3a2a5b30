"""The folders that people copy: each app, set up outside the repository as its README says: `make test-copies`.

The option --copies runs the contract against these copies as well.
"""

import json
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from shared.app.shared_secret import HEADER
from shared.apps import APPS, ORIGIN, ROOT, VENV
from shared.documents import sections
from tests.apps.running import install
from tests.commands import ENVIRON, PROGRAMS, run
from tests.markdown import blocks, readme_code
from tests.pages.routes import DEADLINE, secret, status, try_changes
from tests.processes import Service, UnloggedService, free_port

pytestmark = pytest.mark.copies
REPOSITORY = "../origin-guard"  # this repository, in the READMEs


@pytest.fixture
def starter(app: str, starters: dict[str, Path]) -> Path:
    """Give the folder of an app's copy."""
    return starters[app]


@contextmanager
def started(folder: Path, log: Path) -> Iterator[Service]:
    """Run the service of a folder, started with the commands of its README."""
    log.touch()
    with Service(folder.name, ["sh", "-e", "-c", readme_code(folder, "Run")[0]], folder, {}, log, PROGRAMS) as service:
        yield service


def here(commands: str, service: Service) -> str:
    """Return commands of a README with the port of this service and the path of this repository."""
    return commands.replace(ORIGIN, service.url).replace(REPOSITORY, str(ROOT))


def test_run(starter: Path, tmp_path: Path) -> None:
    """The commands start the copy, and the curl lines get the answers that the README gives."""
    text = sections((starter / "README.md").read_text())["Run"]
    promised = re.search(r"The first is answered (\d+), the second (\d+), the third (\d+) `(.+?)`", text)
    assert promised
    *expected, granted = promised.groups()
    with started(starter, tmp_path / "log") as service:
        output = run(here(readme_code(starter, "Run")[1], service), starter)
        assert re.findall(r"HTTP/1\.1 (\d+)", output) == expected
        assert json.loads(output.splitlines()[-1]) == json.loads(granted)
        wrong = requests.get(f"{service.url}/protected", headers={HEADER: "wrong"}, timeout=DEADLINE)
        assert f"A wrong secret is a {wrong.status_code}:\n`{wrong.text}`" in text


def test_routes(starter: Path, tmp_path: Path) -> None:
    """The changes that the README shows work."""
    folder = Path(shutil.copytree(starter, tmp_path / starter.name, ignore=shutil.ignore_patterns(".venv")))
    (log := tmp_path / "log").touch()
    config, programs = {"SHARED_SECRET": secret(folder)}, starter / ".venv" / "bin"
    readme = blocks((folder / "README.md").read_text())

    def serve(start: str) -> Service:
        return Service(folder.name, ["sh", "-e", "-c", start], folder, config, log, programs)

    try_changes(APPS[starter.name], readme, folder, serve)


def test_contract(starter: Path, tmp_path: Path) -> None:
    """The README's command runs the contract against the copy, which meets it."""
    with started(starter, tmp_path / "log") as service:
        output = run(here(readme_code(starter, "Test it")[0], service), starter)
        assert "It meets the contract" in output


@pytest.mark.parametrize("app", [app for app in APPS if APPS[app].granian])
def test_faster(starter: Path, tmp_path: Path) -> None:
    """What the README says about granian: its commands start a service that meets the contract behind a gateway."""
    folder = Path(shutil.copytree(starter, tmp_path / starter.name, ignore=shutil.ignore_patterns(".venv")))
    install(folder)
    commands = readme_code(folder, "Faster, behind a gateway")[0]
    (log := tmp_path / "log").touch()
    with UnloggedService(starter.name, ["sh", "-e", "-c", commands], folder, {}, log, PROGRAMS) as service:
        check = here(readme_code(folder, "Test it")[0], service).replace("make ", "make LEVEL=gateway ")
        assert "It meets the contract" in run(check, folder)


@pytest.mark.skipif(
    not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode != 0,
    reason="no Docker engine answers",
)
def test_container(app: str, starter: Path, tmp_path: Path) -> None:
    """The image builds from the copy alone; with the options that the README adds, its container meets the contract."""
    text = sections((starter / "README.md").read_text())["Deploy"]
    locked, name, port = re.search(r"add `(.+?)`", text, re.DOTALL), f"origin-guard-{secrets.token_hex(4)}", free_port()
    assert locked
    build, start = readme_code(starter, "Deploy")[0].replace(f"origin-guard-{app}", name).splitlines()
    for was, becomes in (
        ("docker run", " ".join(["docker run --name", name, *locked[1].split()])),
        (":8000:8000", f":{port}:8000"),
    ):
        assert was in start
        start = start.replace(was, becomes)
    (log := tmp_path / "log").touch()
    try:
        run(build, starter)
        with Service(app, ["sh", "-c", start], starter, {**ENVIRON, "PORT": str(port)}, log) as service:
            output = run(here(readme_code(starter, "Test it")[0], service), starter)
            assert "It meets the contract" in output
    finally:
        for command in (["kill", name], ["image", "rm", "--force", name]):
            subprocess.run(["docker", *command], capture_output=True, timeout=DEADLINE)


def test_tests(starter: Path, tmp_path: Path) -> None:
    """`pytest` passes with what the README installs for development."""
    folder = Path(shutil.copytree(starter, tmp_path / starter.name, ignore=shutil.ignore_patterns(".venv")))
    run(f"{VENV}\n{readme_code(folder, 'Develop')[0]}", folder)


@pytest.mark.parametrize("app", ["falcon"])  # the section is the same in each
def test_dependencies(starter: Path, tmp_path: Path) -> None:
    """A dependency is added, and the others keep their versions; with --upgrade they get the newest."""
    folder = Path(shutil.copytree(starter, tmp_path / starter.name, ignore=shutil.ignore_patterns(".venv")))
    commands = readme_code(folder, "Add or upgrade a dependency")[0]
    project, *locks = (folder / name for name in ("pyproject.toml", "requirements.txt", "requirements-dev.txt"))
    project.write_text(project.read_text().replace('"falcon>=4.0",', '"falcon>=4.0", "itsdangerous",'))
    locks[0].write_text("falcon==4.0.1\n")
    run(f"{VENV}\n{commands}", folder)
    for lock in locks:
        assert "falcon==4.0.1 " in lock.read_text()
        assert "itsdangerous==" in lock.read_text()
    run(commands.replace("compile", "compile --upgrade"), folder)
    assert "falcon==4.0.1 " not in "".join(lock.read_text() for lock in locks)
    with started(folder, tmp_path / "log") as service:
        assert status(service, "/protected", with_secret=True) == 200
        assert status(service, "/protected") == 401


@pytest.mark.parametrize("app", ["falcon", "fastapi"])  # one for each start command
def test_new(app: str, tmp_path: Path) -> None:
    """The commands that `make new` prints install and start the new copy."""
    folder = tmp_path / "My_API"
    printed = run(f"make new FROM={app} TO={folder}", ROOT).splitlines()
    install, start = (line for line in printed if line.startswith("  "))
    run(install, ROOT)
    (log := tmp_path / "log").touch()
    with Service(app, ["sh", "-c", start], folder, {}, log, PROGRAMS) as service:
        assert status(service, "/protected", with_secret=True) == 200
        assert status(service, "/protected") == 401
