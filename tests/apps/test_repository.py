"""What holds the repository together: made files match their templates, folders are complete, documents are true."""

import ast
import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from shared import new, sync
from shared.app.shared_secret import SharedSecret
from shared.apps import APPS, HOST, PORT, ROOT
from shared.documents import sections
from tests.apps.documents import README, quick_start, with_answers

MADE = sync.made()
LINES = {  # that a file may have, so that a page shows it whole
    "apps/falcon/app.py": 45,
    "apps/fastapi/app.py": 50,
    "apps/cherrypy/app.py": 60,
    "apps/pyramid/app.py": 55,
    "apps/litestar/app.py": 50,
    "shared/app/gunicorn.conf.py": 30,
    "shared/app/shared_secret.py": 107,
}
READ_BY_SERVERS = {
    "WSGI": {"FORWARDED_ALLOW_IPS", "SCRIPT_NAME", "WEB_CONCURRENCY"},
    "ASGI": {"FORWARDED_ALLOW_IPS", "WEB_CONCURRENCY"},
}


@pytest.mark.parametrize("path", MADE, ids=lambda path: str(path.relative_to(ROOT)))
def test_made_files_match_what_they_are_made_from(path: Path) -> None:
    """Every README, Dockerfile and copy is what `make sync` writes, byte for byte."""
    assert path.read_bytes() == MADE[path], (
        f"{path.relative_to(ROOT)} differs from what `make sync` writes: "
        "change shared/app or shared/apps.py, then run `make sync`"
    )


def git_ls_files(*words: str) -> list[str]:
    """Return the paths that `git ls-files` prints."""
    command = ["git", "ls-files", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def test_an_app_folder_holds_what_it_needs_and_nothing_else(app: str) -> None:
    """The same files in each of an interface."""
    paths = git_ls_files("--cached", "--others", "--exclude-standard", f"apps/{app}")
    assert {path.removeprefix(f"apps/{app}/") for path in paths} == {path.name for path in new.files(APPS[app])}


@pytest.mark.parametrize("path", LINES)
def test_lengths(path: str) -> None:
    """What people read whole is short, and an app.py fits a narrow page."""
    lines = (ROOT / path).read_text().splitlines()
    assert len(lines) <= LINES[path]
    assert max(map(len, lines)) <= (88 if path.startswith("apps/") else 120)


def test_apps_use_nothing_private(app: str) -> None:
    """Neither a module nor a name that a framework keeps for itself."""
    names = []
    for node in ast.walk(ast.parse((APPS[app].folder / "app.py").read_text())):
        match node:
            case ast.Import(imported) | ast.ImportFrom(names=imported):
                names += [name.name for name in imported] + [getattr(node, "module", "")]
            case ast.Attribute(attr=name):
                names.append(name)
    parts = {part for name in names for part in name.split(".")}
    assert not [part for part in parts if part.startswith("_") and not part.endswith("__")]


class Recorder(dict[str, str]):
    """An environment without any variables, which knows what it was asked for."""

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """Return the default."""
        self[name] = default
        return default


def test_readmes_name_every_variable(app: str) -> None:
    """The table has every variable that the code of the folder reads, and no other."""
    SharedSecret(secrets := Recorder())
    code = "".join(path.read_text() for path in (ROOT / "apps" / app).glob("*.py"))
    read = {*re.findall(r"os\.environ(?:\.get\(|\[)[\"'](\w+)", code), *READ_BY_SERVERS[APPS[app].interface], *secrets}
    table = sections((ROOT / "apps" / app / "README.md").read_text())["Configure"]
    named = [name for row in re.findall(r"(?m)^\| (`.+?) \|", table) for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(read)


def test_readmes_name_the_address_that_is_listened_on(app: str) -> None:
    """The default address of the code is that of shared/apps.py, and the only one in the README."""
    folder = ROOT / "apps" / app
    code = "".join(map(Path.read_text, folder.glob("*.py")))
    assert re.findall(r"os\.environ\.get\([\"'](?:HOST|PORT)[\"']\) or \"?([\d.]+)", code) == [HOST, str(PORT)]
    readme = (folder / "README.md").read_text()
    assert f"| `HOST`, `PORT` | the address to listen on | `{HOST}`, `{PORT}` |" in readme
    assert set(re.findall(r"http://[\d.]+:\d+", readme)) == {f"http://{HOST}:{PORT}"}


def test_locks_are_made_as_the_readmes_say(app: str) -> None:
    """The command at the top of each lock is the README's."""
    folder = ROOT / "apps" / app
    commands = re.findall(
        r"uv (pip compile .+)", sections((folder / "README.md").read_text())["Add or upgrade a dependency"]
    )
    names = ["requirements.txt", "requirements-dev.txt", *(["requirements-granian.txt"] if APPS[app].granian else [])]
    for name, command in zip(names, commands, strict=True):
        assert f"uv {command.replace(' --quiet', '')}\n" in (folder / name).read_text(), "Run `make lock`."


def test_top_level() -> None:
    """There are no other top-level folders than these, except dot-folders."""
    folders = {path.split("/")[0] for path in git_ls_files() if "/" in path and path[0] != "."}
    assert folders == {"apps", "shared", "tests"}


def test_every_app_is_behind_the_gateway() -> None:
    """Every app, and nothing else, is in the gateway's configuration and in the stack."""
    config, stack = ((ROOT / name).read_text() for name in ("shared/gateway/haproxy.cfg", "docker-compose.yml"))
    routed = re.search(r"acl origin path_reg \^/\((.+)\)/$", config, re.MULTILINE)
    assert routed
    assert set(routed[1].split("|")) == set(APPS)
    assert set(re.findall(r"^backend (\w+) from origins$", config, re.MULTILINE)) == set(APPS)
    built = dict(re.findall(r"^    build: .*\bapps/(\w+)(.*)", stack, re.MULTILINE))
    assert {name: "target" in how for name, how in built.items()} == {app: APPS[app].on_granian for app in APPS}


def links(document: str) -> list[str]:
    """Return where the links and images of a document in Markdown lead."""
    children = [child for token in MarkdownIt().parse(document) for child in token.children or ()]
    return [str(child.attrs[name]) for child in children for name in ("href", "src") if name in child.attrs]


def anchors(document: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document in Markdown."""
    tokens = MarkdownIt().parse(document)
    found: list[str] = []
    for heading, content in pairwise(tokens):
        if heading.type == "heading_open":
            text = "".join(child.content for child in content.children or ())
            found.append(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-"))
    repeated = [(slug, found[:place].count(slug)) for place, slug in enumerate(found)]
    return {f"{slug}-{number}" if number else slug for slug, number in repeated}


def test_links_resolve() -> None:
    """A link in a document leads to a file that exists, and its anchor to a heading there."""
    broken = []
    for path in git_ls_files("*.md"):
        document = ROOT / path
        for link in links(document.read_text()):
            if re.match(r"https?:", link):
                continue
            name, _, anchor = unquote(link).partition("#")
            target = document.parent / name if name else document
            if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
                broken.append(f"{path}: {link}")
    assert not broken, "these links lead nowhere:\n" + "\n".join(broken)


def test_commands_without_make() -> None:
    """What the README has beside a make target of the gateway is what make runs."""
    rows = re.findall(r"(?m)^\| (`make .+?`) \| (.*`python3 -m shared.gateway.+`) \|$", README.read_text())
    found = [zip(*(re.findall("`(.+?)`", column) for column in row), strict=True) for row in rows]
    targets = [target for row in found for target in row]
    assert len(targets) == 7
    for target, other in targets:
        command = [*target.split(), "--dry-run", "PYTHON=python3"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        commands = re.sub(r"TYPED='.*?' |'", "", done.stdout).splitlines()
        assert other.replace("...", "python3 -m shared.gateway.manage") in commands, target


@pytest.mark.parametrize("app", ["falcon"])
def test_quick_start(app: str, tmp_path: Path) -> None:
    """The README shows what the requests that `make run` prints are answered."""
    assert with_answers(quick_start(tmp_path)) == README.read_text(), "Run `make report`, and commit README.md."


@pytest.mark.parametrize("workers", ["abc", "0", "", "-1", "1.5"])
def test_unusable_number_of_workers(workers: str) -> None:
    """`make run` says in one line what WEB_CONCURRENCY has to be, where the servers would show a traceback."""
    environ = {**os.environ, "SHARED_SECRET": "secret", "WEB_CONCURRENCY": workers}
    command = [str(ROOT / "shared" / "run.sh"), "falcon", "0", "falcon", "false"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == ""
    assert re.fullmatch(r".*WEB_CONCURRENCY.*\n", done.stderr)
