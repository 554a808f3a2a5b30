"""What the READMEs say under `Develop` works: the tests, a reload, the debugger, log lines."""

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import requests

from shared.app.shared_secret import HEADER
from shared.apps import APPS, ROOT, VENV
from shared.documents import sections
from tests.apps.running import SECRET
from tests.commands import ENVIRON, run
from tests.markdown import Block, apply, blocks
from tests.processes import Service, end, spawn

DEADLINE = 60.0  # seconds
TIMEOUT = 2  # seconds that gunicorn would give a worker here, if the README's command did not say otherwise
ANSWER = {"falcon": 'resp.media = {"message"'}  # how /protected begins to answer, if not as in the others


def develop(folder: Path, language: str) -> list[Block]:
    """Return the code blocks in one language of a README's section."""
    found = blocks(sections((folder / "README.md").read_text())["Develop"])
    return [block for block in found if block.language == language]


def change(folder: Path, diffs: list[Block]) -> None:
    """Apply diffs to the files that they name."""
    for diff in diffs:
        file = folder / diff.title
        file.write_text(apply(diff.code, file.read_text()))


def before_answer(folder: Path, code: str) -> None:
    """Add code in front of the answer of /protected."""
    app, answer = folder / "app.py", ANSWER.get(folder.name, 'return {"message"')
    assert app.read_text().count(answer) == 1
    app.write_text(app.read_text().replace(answer, f"{code}; {answer}"))


def granted(service: Service, timeout: float = DEADLINE) -> requests.Response:
    """Ask for /protected with the secret."""
    url = f"{service.url}/protected?token=in-the-query"
    return requests.get(url, headers={HEADER: SECRET}, timeout=timeout)


@pytest.fixture
def folder(app: str, tmp_path: Path) -> Path:
    """Give a copy of an app, with an environment that has what development needs."""
    ignored = shutil.ignore_patterns(".env", ".venv", ".pytest_cache", "__pycache__")
    folder = Path(shutil.copytree(APPS[app].folder, tmp_path / app, ignore=ignored))
    (folder / ".env").write_text(f"SHARED_SECRET={SECRET}\n")
    (folder / ".venv").symlink_to(ROOT / ".venv" / "grown")
    return folder


@pytest.fixture
def service(folder: Path, tmp_path: Path) -> Service:
    """Give the service of that copy, not started, with the command that is for development."""
    (log := tmp_path / "log").touch()
    _, start = develop(folder, "sh")
    service = Service(folder.name, [], folder, {"GUNICORN_CMD_ARGS": f"--timeout {TIMEOUT}"}, log)
    service.command = ["sh", "-e", "-c", start.code]
    return service


def test_tests(folder: Path) -> None:
    """They pass as they are; a new route's fails without the route, and passes with it, and with all other changes."""
    install, command = develop(folder, "sh")[0].code.splitlines()
    assert install == ".venv/bin/pip install --require-hashes -r requirements-dev.txt"
    assert "4 passed" in run(command, folder)
    change(folder, [diff for diff in develop(folder, "diff") if diff.title == "test_app.py"])
    assert "1 failed, 4 passed" in run(f"{command} || true", folder)
    (folder / "test_app.py").write_text((APPS[folder.name].folder / "test_app.py").read_text())
    readme = blocks((folder / "README.md").read_text())
    change(folder, [block for block in readme if block.language == "diff" and block.title != "service.py"])
    set_otherwise = {"SHARED_SECRET": "another", "SHARED_SECRET_HEADER": "X-Origin-Verify", "SCRIPT_NAME": "/api"}
    assert "5 passed" in run(command, folder, **set_otherwise)


def test_tests_fail_without_the_check(folder: Path) -> None:
    """If an app accepts every request, the three tests fail that say it must not."""
    rule = folder / "shared_secret.py"
    accepts = "return None if fits else INVALID"
    assert accepts in rule.read_text()
    rule.write_text(rule.read_text().replace(accepts, "return None").replace("return NOT_PROVIDED", "return None"))
    assert "3 failed, 1 passed" in run(".venv/bin/pytest || true", folder)


def test_reload(folder: Path, service: Service) -> None:
    """A change of app.py takes effect by itself, also after one that cannot be imported."""
    app = folder / "app.py"
    code = app.read_text()
    with service:
        assert granted(service).json() == {"message": "Access granted"}
        app.write_text(code.replace("Access granted", "Half") + "(")
        service.wait_for_log("SyntaxError")
        deadline = time.monotonic() + DEADLINE
        while message(service) != "Changed":
            assert time.monotonic() < deadline, service.tail()
            app.write_text(code.replace("Access granted", "Changed"))  # again: uvicorn misses it while it restarts
            time.sleep(2)


def message(service: Service) -> str:
    """Return the message of /protected, or nothing while the service restarts."""
    try:
        return str(granted(service, timeout=2).json()["message"])
    except (requests.RequestException, ValueError):
        return ""


def test_debugger(folder: Path, service: Service) -> None:
    """`breakpoint()` opens the debugger in the terminal of the service, for as long as one likes."""
    before_answer(folder, "breakpoint()")
    terminal, end_of_it = pty.openpty()
    shown = b""

    def wait_for(text: bytes) -> None:
        nonlocal shown
        deadline = time.monotonic() + DEADLINE
        while text not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 65536)

    process = spawn(service.command, folder, service.environ, end_of_it, end_of_it, end_of_it)
    client = None
    try:
        wait_for(b"Application startup complete" if APPS[folder.name].interface == "ASGI" else b"Booting worker")
        command = ["curl", "-si", "-H", f"{HEADER}: {SECRET}", f"{service.url}/protected"]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRON)
        wait_for(b"(Pdb) ")
        time.sleep(2 * TIMEOUT)
        os.write(terminal, b"print(6 * 7)\nc\n")
        wait_for(b"42")
        assert b"200 OK" in client.communicate(timeout=DEADLINE)[0]
    finally:
        if client:
            client.kill()
            client.wait()
        end(process)
        os.close(terminal)
        os.close(end_of_it)


def test_log_lines(folder: Path, service: Service) -> None:
    """INFO is visible once, after the change that is shown, and nothing else that would be in the query."""
    change(folder, [diff for diff in develop(folder, "diff") if diff.title == "app.py"])
    before_answer(folder, '__import__("logging").getLogger("mine").info("a line of %s", "my own")')
    with service:
        for number in (1, 2):
            assert granted(service).status_code == 200
            deadline = time.monotonic() + DEADLINE
            while service.log().count("a line of my own") < number:
                assert time.monotonic() < deadline, service.tail()
                time.sleep(0.1)
    assert service.log().count("a line of my own") == 2
    assert ("in-the-query" in service.log()) == (APPS[folder.name].interface == "ASGI")


def test_an_old_python(tmp_path: Path) -> None:
    """Python 3.10 is told what is needed, by each command that comes first, and nothing is made."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.version_info = (3, 10, 12, 'final', 0)\n")
    for command, folder in (
        (VENV, tmp_path),
        ("make new FROM=falcon TO=../new", ROOT),
        ("python3 -m shared.new falcon ../new", ROOT),
    ):
        environ = {**ENVIRON, "PYTHONPATH": str(tmp_path)}
        ran = subprocess.run(
            ["sh", "-c", command], cwd=folder, env=environ, capture_output=True, text=True, check=False
        )
        assert ran.returncode != 0
        assert "Python 3.11 or newer" in ran.stderr
        assert "Traceback" not in ran.stderr
    assert not (tmp_path / ".venv").exists()
    assert not (ROOT.parent / "new").exists()
    assert f"{VENV}\n" in (APPS["falcon"].folder / "README.md").read_text()
