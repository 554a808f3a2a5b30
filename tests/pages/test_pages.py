"""The pages of `make docs`, as a reader has them, who copies out of the site's HTML: part of `make test-copies`."""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from bs4 import BeautifulSoup

from shared import new
from shared.apps import APPS, ROOT
from tests.commands import ENVIRON, run
from tests.gateway.runner import HAPROXY
from tests.markdown import Block, blocks, blocks_of_html
from tests.pages.__main__ import SITE, Reader, followed
from tests.pages.routes import try_routes
from tests.selection import parameters

pytestmark = [
    pytest.mark.copies,
    pytest.mark.skipif(not HAPROXY, reason="the pages show a request through the gateway: there is no haproxy"),
]
FRONT_MATTER = ["title", "description", "framework", "language", "authStrategy", "pageType", "canonicalUrl"]
DEADLINE = 120.0  # seconds


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the pages, in docs/, and the site that is made of them, in site/."""
    folder = tmp_path_factory.mktemp("build")
    run(f"make docs BUILD={folder}; make docs-site BUILD={folder}", ROOT)
    return folder


@pytest.fixture
def page(app: str, built: Path) -> str:
    """Give the page of an app."""
    return (built / "docs" / f"{app}.md").read_text()


@pytest.fixture
def html(app: str, built: Path) -> str:
    """Give the page of an app in the site."""
    return (built / "site" / app / "index.html").read_text()


@pytest.fixture(scope="session")
def read(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Reader]]:
    """Give what does all that the page of an app in the site says, once."""
    done: dict[str, Reader] = {}
    with ExitStack() as running:

        def read(app: str) -> Reader:
            if app not in done:
                html = (built / "site" / app / "index.html").read_text()
                folder = tmp_path_factory.mktemp(f"reader-{app}")
                done[app] = running.enter_context(followed(app, blocks_of_html(html), folder))
            return done[app]

        yield read


def test_code(app: str, read: Callable[[str], Reader]) -> None:
    """What its code blocks and its commands make in an empty folder meets the contract."""
    read(app).contract()


def test_changes(app: str, html: str, read: Callable[[str], Reader], tmp_path: Path) -> None:
    """So does what is changed as it says: a route is added, and then opened."""
    reader = read(app)
    folder = tmp_path / "home"
    shutil.copytree(reader.home, folder, symlinks=True)
    try_routes(blocks_of_html(html), folder, lambda: replace(reader, folder=tmp_path).serve(reader.commands))


def test_answers(app: str, html: str, read: Callable[[str], Reader]) -> None:
    """What the curl lines are answered is what stands below each."""
    printed = [block.code for block in blocks_of_html(html) if block.language == "http"]
    assert len(printed) >= 8
    assert [steady(answer) for answer in read(app).answers] == [steady(answer) for answer in printed]


def steady(answer: str) -> str:
    """Return an answer without what is another each time."""
    return re.sub(r"(?im)^(date|x-request-id): .+$", r"\1:", answer).strip()


def test_site_shows_what_the_markdown_says(app: str, page: str, html: str) -> None:
    """Block for block, under the same headings."""

    def shown(found: list[Block]) -> list[Block]:
        return [Block(block.heading, block.language, block.code.strip("\n")) for block in found]

    assert shown(blocks_of_html(html)) == shown(blocks(page))


def test_front_matter(app: str, page: str) -> None:
    """What a documentation site needs, as YAML that is JSON too."""
    _, head, text = page.split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    assert list(fields) == FRONT_MATTER
    values = {name: json.loads(value) for name, value in fields.items()}
    assert values["framework"] == app
    assert values["canonicalUrl"] == f"{SITE}/{app}/"
    assert text.startswith(f"\n# {values['title']}\n")


def test_page_says_what_it_has_to(app: str, page: str) -> None:
    """The code as it is, how to run it, ask it, rotate; where to go on; and no key or secret."""
    found = blocks(page)
    for path in (ROOT / "apps" / app).glob("*.py"):
        assert Block(path.name, "python", path.read_text()) in found
    assert "Authorization: Bearer YOUR_API_KEY" in page
    assert "ogk_" not in page
    assert "## Rotate the secret" in page
    for status in (200, 401, 500):
        assert f"| {status} |" in page
    assert set(re.findall(r"\]\((\w+)\.md\)", page)) == {*APPS} - {app}


def test_index(built: Path) -> None:
    """It leads to every page, and in the site shows the five beside each other."""
    assert set(re.findall(r"\]\((\w+)\.md\)", (built / "docs" / "index.md").read_text())) == {*APPS}
    soup = BeautifulSoup((built / "site" / "index.html").read_text(), "html.parser")
    tabs = [tab.get_text().strip() for tab in soup.select(".sd-tab-label")]
    shown = [code.get_text() for code in soup.select(".sd-tab-content pre")]
    assert [tab.lower() for tab in tabs] == list(APPS)
    assert shown == [(ROOT / "apps" / app / "app.py").read_text() for app in APPS]


def test_site(app: str, html: str, built: Path) -> None:
    """A page has its description, its address and copy buttons, and needs nothing of another site."""
    soup = BeautifulSoup(html, "html.parser")
    assert soup.select_one("meta[name=description]")
    assert soup.select_one(f"link[rel=canonical][href='{SITE}/{app}/']")
    scripts = [str(script["src"]) for script in soup.select("script[src]")]
    assert any("copybutton" in script for script in scripts)
    for address in [*scripts, *(str(link["href"]) for link in soup.select("link[rel=stylesheet]"))]:
        assert (built / "site" / app / address.partition("?")[0]).resolve().is_file(), address


def test_snippets(app: str, built: Path) -> None:
    """Each is where it says it is, with a hash that tells when it has changed."""
    told: dict[str, dict[str, Any]] = json.loads((built / "docs" / "snippets.json").read_text())[app]
    assert set(told["files"]) == {path.name for path in new.files(ROOT / "apps" / app)}
    code = (ROOT / "apps" / app / "app.py").read_text()
    defined = re.findall(r"(?m)^ *(?:async def|def|class) (\w+)", code)
    assert sorted(name.rpartition(".")[2] for name in told["pieces"]) == sorted(defined)
    for name, piece in {**told["files"], **told["pieces"]}.items():
        text = (ROOT / piece["path"]).read_text()
        lines = piece["code"].splitlines()
        there = text.splitlines()[piece["line"] - 1 :][: len(lines)]
        indent = len(there[0]) - len(there[0].lstrip())
        assert [line[indent:] for line in there] == lines
        assert piece["sha256"] == hashlib.sha256(piece["code"].encode()).hexdigest()
        if name in told["files"]:
            assert piece["code"] == text
        else:
            compile(piece["code"], name, "exec")
            every = ["", *text.splitlines()]
            before, after = every[piece["line"] - 1], every[piece["line"] + len(lines) :]
            following = next((line for line in after if line), "")
            assert not before.lstrip().startswith("@")
            assert len(following) - len(following.lstrip()) <= indent
    assert told["files"]["app.py"]["language"] == "python"


# What would not work is not built


def copy(folder: Path) -> Path:
    """Return a copy of what the pages are made from, with a page that was made before."""
    for name in ("apps", "shared", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".venv", ".env"))
    shutil.copy(ROOT / "README.md", folder)
    (folder / "build" / "docs").mkdir(parents=True)
    (folder / "build" / "docs" / "snippets.json").touch()
    return folder


APP = "fastapi"
TEMPLATE, PROSE, TEXT = "shared/docs/page.md.jinja", f"apps/{APP}/README.md", "Now whoever reaches"
BREAKS = {
    "lets all in": (
        f"apps/{APP}/shared_secret.py",
        "return None if fits else INVALID",
        "return None",
        "and not 401",
    ),
    "lets two in": (f"apps/{APP}/shared_secret.py", "if len(values) > 1:", "if len(values) > 9:", "the contract"),
    "does not import": (f"apps/{APP}/app.py", "import HEADER, SharedSecret", "import Secret", "ImportError"),
    "does not start": (f"apps/{APP}/gunicorn.conf.py", '"app:app"', '"app:nothing"', "at its start"),
    "is not installed": (f"apps/{APP}/requirements.txt", "fastapi==", "fastapi==9999.", "No matching distribution"),
    "file is not on the page": (TEMPLATE, "### `{{ name }}`", "### {{ name }}.txt", "nobody would try"),
    "command is another": (TEMPLATE, "python3 -m venv .venv", "python3 -m venv .env", "not found"),
    "path is another": (TEMPLATE, '/healthz")', '/health")', "and not 200"),
    "key is missing": (TEMPLATE, 'Bearer YOUR_API_KEY\\"', 'Bearer \\"', "and not 200"),
    "name is not known": (TEMPLATE, "{{ plug }}", "{{ plugged }}", "plugged"),
    "change does not fit": (PROSE, " async def healthz()", " async def health()", "stands 0 times"),
    "change does not work": (PROSE, "+async def items()", "+async def items(", "at its start"),
    "change opens more": (PROSE, '("GET", "/items")}', '("GET", "/items"), ("GET", "/docs")}', "/docs"),
    "change is elsewhere": (
        TEMPLATE,
        "## Where to go on\n",
        "## Where to go on\n\n```diff\n-a\n+b\n```\n",
        "nobody would try",
    ),
    "language is another": (PROSE, TEXT, "```bash\nexit 1\n```\n\n" + TEXT, "nobody would try"),
    "file is none": (PROSE, TEXT, "```python\nexit(1)\n```\n\n" + TEXT, "nobody would try"),
    "block has no fence": (PROSE, TEXT, "    exit 1\n\n" + TEXT, "use a fence"),
    "answer is invented": (PROSE, TEXT, "```http\nHTTP/1.1 200 OK\n```\n\n" + TEXT, "nobody would try"),
    "request has no answer": (PROSE, TEXT, "```sh\ncurl -i http://a.test\n```\n\n" + TEXT, "has no answer"),
    "listens elsewhere": (TEMPLATE, ".venv/bin/{{ start }}", "HOST=0.0.0.0 .venv/bin/{{ start }}", "nobody would try"),
    "versions are open": (TEMPLATE, "{{ install }}", '{{ install.replace("==", "<=") }}', "status"),
    "section is gone": (PROSE, "## Rotate the secret", "## Rotate", "Rotate the secret"),
}


def command(folder: Path) -> list[str]:
    """Return the command that makes one page in a copy."""
    return ["env", f"PYTHONPATH={folder / 'shared'}", sys.executable, str(folder / "tests" / "docs.py"), "--app", APP]


def build_broken(kind: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Make the page out of a copy that is broken in one way."""
    path, old, new, _ = BREAKS[kind]
    text = (copy(folder) / path).read_text()
    assert old in text
    (folder / path).write_text(text.replace(old, new))
    return subprocess.run(command(folder), env=ENVIRON, capture_output=True, text=True, timeout=DEADLINE, check=False)


@pytest.fixture(scope="module")
def broken(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Path, Any]]]:
    """Give what came of each that is asked for, two at a time, because most of it is waiting."""
    asked = {str(parameters(item).get("kind")) for item in request.session.items}
    with ThreadPoolExecutor(max_workers=2) as pool:
        folders = {kind: tmp_path_factory.mktemp("broken") for kind in BREAKS if kind in asked}
        yield {kind: (folder, pool.submit(build_broken, kind, folder / "main")) for kind, folder in folders.items()}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("kind", BREAKS)
def test_page_that_would_not_work_is_not_built(kind: str, broken: dict[str, tuple[Path, Any]]) -> None:
    """It is said what is wrong, the status is not 0, and what was there before is there still."""
    folder, begun = broken[kind]
    done = begun.result()
    assert done.returncode != 0, done.stdout
    assert f"{APP}: the page does not work: " in done.stderr
    assert BREAKS[kind][3] in done.stderr
    assert [path.name for path in (folder / "main" / "build").rglob("*")] == ["docs", "snippets.json"]


@contextmanager
def building(folder: Path, until: str) -> Iterator[subprocess.Popen[str]]:
    """Make the page out of a copy, and give the process when there is something at a path in its temporary folder."""
    (place := folder / "tmp").mkdir()
    environ = {**ENVIRON, "TMPDIR": str(place)}
    process = subprocess.Popen(
        command(folder / "main"), env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
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


def test_what_is_written_is_what_was_tried(tmp_path: Path) -> None:
    """Also if the code becomes another meanwhile."""
    main = copy(tmp_path / "main")
    rule = main / "apps" / APP / "shared_secret.py"
    with building(tmp_path, "log") as process:
        rule.write_text(rule.read_text().replace("return None if fits else INVALID", "return None"))
        _, said = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, said
    for name in (f"{APP}.md", "snippets.json"):
        assert "return None if fits else INVALID" in (main / "build" / "docs" / name).read_text()


@pytest.mark.parametrize("moment", ["home/.venv", "log"])
def test_interrupted(moment: str, tmp_path: Path) -> None:
    """Nothing is written, and nothing is left running or lying about."""
    main = copy(tmp_path / "main")
    with building(tmp_path, moment) as process:
        process.send_signal(signal.SIGTERM)
        assert "nothing was written" in process.communicate(timeout=DEADLINE)[1]
        assert process.returncode != 0
    place = tmp_path / "tmp"
    assert [path.name for path in (main / "build").rglob("*")] == ["docs", "snippets.json"]
    assert list(place.iterdir()) == []
    assert not [each for each in psutil.process_iter(["cmdline", "cwd"]) if str(place) in str(each.info)]
