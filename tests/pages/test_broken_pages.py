"""A page that does not work is not written, and an interrupted build leaves nothing behind."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from shared.apps import ROOT
from tests.commands import ENVIRON
from tests.selection import values

pytestmark = pytest.mark.copies
DEADLINE = 120.0  # seconds
APP = "fastapi"
RULE, REQUIREMENTS, README, CODE = (
    f"apps/{APP}/{name}" for name in ("shared_secret.py", "requirements.txt", "README.md", "app.py")
)
TEMPLATE = "shared/docs/page.md.jinja"


class Break(NamedTuple):
    """What breaks a page: a text in a file is replaced, and the error must contain the message."""

    path: str
    old: str
    new: str
    message: str


def inserted(path: str, heading: str, block: str, message: str) -> Break:
    """Insert a block under a heading."""
    return Break(path, f"## {heading}\n", f"## {heading}\n\n{block}\n", message)


OPENING, WHOAMI = "Open a route on purpose", '+@app.get("/whoami")'
BREAKS = {
    "accepts every secret": Break(RULE, "return None if fits else INVALID", "return None", "expected 401"),
    "accepts two secrets": Break(RULE, "if len(sent) > 1:", "if len(sent) > 9:", "the contract"),
    "does not import": Break(CODE, "import HEADER, SharedSecret", "import Secret", "ImportError"),
    "does not start": Break(CODE, '"app:app"', '"app:nothing"', "at its start"),
    "is not installed": Break(REQUIREMENTS, "fastapi==", "fastapi==9999.", "No matching distribution"),
    "file is not on the page": Break(TEMPLATE, 'title="{{ name }}"', 'title="{{ name }}.txt"', "no step tests this"),
    "file has no title": Break(TEMPLATE, 'python title="{{ name }}"', "python", "no step tests this"),
    "command is different": Break(TEMPLATE, "{{ venv }}", "python3 -m venv .env", "not found"),
    "path is different": Break(TEMPLATE, '/healthz")', '/health")', "expected 200"),
    "key is missing": Break(TEMPLATE, 'Bearer YOUR_API_KEY\\"', 'Bearer \\"', "expected 200"),
    "name is not known": Break(TEMPLATE, "{{ purpose }}", "{{ purposed }}", "purposed"),
    "change does not apply": Break(README, " async def healthz()", " async def health()", "0 times"),
    "change does not work": Break(README, "+async def items()", "+async def items(", "at its start"),
    "change opens more": Break(README, '("GET", "/version")}', '("GET", "/version"), ("GET", "/docs")}', "/docs"),
    "docs stay closed": Break(README, '("GET", "/docs")', '("GET", "/doc")', "Docs while developing: /doc"),
    "change has no title": Break(README, 'diff title="app.py"', "diff", "no step tests this"),
    "change is of another file": Break(README, 'title="service.py"', 'title="app.py"', "no step tests this"),
    "consumer is open": Break(README, WHOAMI, f'+OPEN.add(("GET", "/whoami"))\n{WHOAMI}', "200 without the secret"),
    "consumer is another": Break(
        README, '{"consumer": request.headers.get("X-Consumer")}', '{"consumer": "me"}', '{"consumer":"me"}'
    ),
    "service does not run": Break(README, "-app = FastAPI()\n+app = Origin()", " app = Origin()", "at its start"),
    "service does not check": Break(README, "+app = Origin()", "+app = FastAPI()", "the change: without the secret"),
    "change is elsewhere": inserted(TEMPLATE, "Next steps", "```diff\n-a\n+b\n```", "no step tests this"),
    "language is not known": inserted(README, OPENING, "```bash\nexit 1\n```", "no step tests this"),
    "code has no file": inserted(README, OPENING, "```python\nexit(1)\n```", "no step tests this"),
    "fence says more": inserted(README, OPENING, "```sh copy\nexit 1\n```", "a fence may have a title"),
    "block has no fence": inserted(README, OPENING, "    exit 1", "use a fence"),
    "answer is invented": inserted(README, OPENING, "```http\nHTTP/1.1 200 OK\n```", "no step tests this"),
    "request has no answer": inserted(README, OPENING, "```sh\ncurl -i http://a.test\n```", "has no answer"),
    "listens elsewhere": Break(
        TEMPLATE, ".venv/bin/{{ start }}", "HOST=0.0.0.0 .venv/bin/{{ start }}", "no step tests this"
    ),
    "versions are open": Break(TEMPLATE, "{{ install }}", '{{ install.replace("==", "<=") }}', "status"),
    "section is missing": Break(README, "## Rotate the secret", "## Rotate", "Rotate the secret"),
}


def copy(folder: Path) -> Path:
    """Return a copy of everything that the pages are built from, with an earlier build of them."""
    for name in ("apps", "shared", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".venv", ".env"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "build" / "docs").mkdir(parents=True)
    (folder / "build" / "docs" / "snippets.json").touch()
    return folder


COMMAND = [sys.executable, "-m", "tests.pages", "--app", APP]  # in the folder of a copy


def build_broken(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the page in a copy that is broken in one way."""
    broken = BREAKS[name]
    text = (copy(folder) / broken.path).read_text()
    assert broken.old in text
    (folder / broken.path).write_text(text.replace(broken.old, broken.new))
    return subprocess.run(
        COMMAND, cwd=folder, env=ENVIRON, capture_output=True, text=True, timeout=DEADLINE, check=False
    )


Builds = dict[str, tuple[Path, Future[subprocess.CompletedProcess[str]]]]


@pytest.fixture(scope="module")
def builds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    """Give the folder and the outcome of each broken build; two run at a time, because they mostly wait."""
    asked = [str(name) for name in values(request.session.items, "broken_page")]
    with ThreadPoolExecutor(max_workers=2) as pool:
        folders = {name: tmp_path_factory.mktemp("broken") / "main" for name in asked}
        yield {name: (folder, pool.submit(build_broken, name, folder)) for name, folder in folders.items()}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("broken_page", BREAKS)
def test_page_that_does_not_work_is_not_written(broken_page: str, builds: Builds) -> None:
    """The error says what is wrong, the exit status is not 0, and the earlier build stays."""
    folder, future = builds[broken_page]
    done = future.result()
    assert done.returncode != 0, done.stdout
    assert f"{APP}: the page does not work: " in done.stderr
    assert BREAKS[broken_page].message in done.stderr
    assert [path.name for path in (folder / "build").rglob("*")] == ["docs", "snippets.json"]


@contextmanager
def building(folder: Path, until: str) -> Iterator[subprocess.Popen[str]]:
    """Build the page in a copy; give the process once a path exists in its temporary folder."""
    (place := folder / "tmp").mkdir()
    process = subprocess.Popen(
        COMMAND,
        cwd=folder / "main",
        env={**ENVIRON, "TMPDIR": str(place)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + DEADLINE
        while not any(place.glob(f"*/{APP}/{until}")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def test_what_is_written_is_what_was_tested(tmp_path: Path) -> None:
    """A change of the code during the build does not get into the pages."""
    main = copy(tmp_path / "main")
    rule = main / RULE
    with building(tmp_path, "log") as process:
        rule.write_text(rule.read_text().replace("return None if fits else INVALID", "return None"))
        _, errors = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, errors
    for name in (f"{APP}.md", "snippets.json"):
        assert "return None if fits else INVALID" in (main / "build" / "docs" / name).read_text()


@pytest.mark.parametrize("moment", ["home/.venv", "log"])
def test_interrupted(moment: str, tmp_path: Path) -> None:
    """Nothing is written, no process keeps running, and no temporary file stays."""
    main = copy(tmp_path / "main")
    with building(tmp_path, moment) as process:
        process.send_signal(signal.SIGTERM)
        assert "nothing was written" in process.communicate(timeout=DEADLINE)[1]
        assert process.returncode != 0
    place = tmp_path / "tmp"
    assert [path.name for path in (main / "build").rglob("*")] == ["docs", "snippets.json"]
    assert list(place.iterdir()) == []
    assert not [process for process in psutil.process_iter(["cmdline", "cwd"]) if str(place) in str(process.info)]
