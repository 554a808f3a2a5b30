"""Render the page of each app, that about the check, and the index, from the files of this folder and of the apps."""

import ast
import hashlib
import os
import shlex
import subprocess
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shared import new
from shared.app.shared_secret import HEADER
from shared.apps import APPS, ORIGIN, ROOT, VENV
from shared.documents import sections, templates
from shared.gateway.files import NEEDED

LANGUAGES = {".md": "markdown", ".py": "python", ".toml": "toml", "Dockerfile": "docker"}  # by how a name ends
SITE = "https://origin-guard.example"  # where the pages will be, unless `make docs` is given another address
GATEWAY = f"http://127.0.0.1:{NEEDED['GATEWAY_PORT']}"
ANSWER = "<answer {}>"  # in a draft, the place of an answer, by number
LEFT_OUT = ("Develop", "Grow it", "Report errors")  # of the README: what they need is not on the page
TEMPLATES = templates(ROOT / "shared" / "docs")
CHECK = "make check URL=http://127.0.0.1:8000"


@dataclass(frozen=True)
class Service:
    """A service in another language: its file, the commands that build and start it, and the programs they need.

    `name` is that of the language in a fence.
    """

    title: str
    name: str
    file: str
    programs: tuple[str, ...]
    start: str
    build: str = ""

    @property
    def commands(self) -> str:
        """What builds and starts it, in one line."""
        return f"{self.build} && {self.start}" if self.build else self.start

    @property
    def code(self) -> str:
        """The text of the file."""
        return (ROOT / "shared" / "docs" / "languages" / self.file).read_text()


SERVICES = {
    service.name: service
    for service in (
        Service("Node.js 18.3 or newer", "js", "service.mjs", ("node",), "node service.mjs"),
        Service("Go 1.18 or newer", "go", "service.go", ("go",), "./service", "go build service.go"),
        Service("Java 17 or newer", "java", "Service.java", ("java", "javac"), "java Service", "javac Service.java"),
    )
}


@dataclass(frozen=True)
class Snippet:
    """A piece of code: its file, its first line there, its language, the code and the SHA-256 of that code."""

    path: str
    line: int
    language: str
    sha256: str
    code: str


@dataclass(frozen=True)
class AppSnippets:
    """The entry of an app in snippets.json; conf.py reads `title`, `files` and the `code` of these."""

    title: str
    plug: str  # where the check is plugged in
    start: str
    packages: dict[str, str]  # pinned versions, by name
    files: dict[str, Snippet]
    pieces: dict[str, Snippet]  # functions and classes of app.py, by qualified name


@dataclass(frozen=True)
class Snippets:
    """What snippets.json holds, as snippets.schema.json describes it."""

    commit: str | None
    version: str
    apps: dict[str, AppSnippets]


def commit() -> str | None:
    """Return the commit that is checked out, with `-dirty` if tracked files differ; None without a git repository."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude", "*"]
    environ = {**os.environ, "GIT_CEILING_DIRECTORIES": str(ROOT.parent)}  # a repository around this one does not count
    try:
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def snippet(path: str, line: int, code: str) -> Snippet:
    """Return a piece of code with its language, which the name of the file shows, and its hash."""
    language = next((LANGUAGES[end] for end in LANGUAGES if path.endswith(end)), "text")
    return Snippet(path, line, language, hashlib.sha256(code.encode()).hexdigest(), code)


def pieces(code: str) -> Iterator[tuple[str, int, str]]:
    """Return the qualified name, the first line and the text of every function and class in Python code."""
    lines = code.splitlines(keepends=True)

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, int, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = prefix + child.name
                first = min(part.lineno for part in (child, *child.decorator_list))
                yield name, first, textwrap.dedent("".join(lines[first - 1 : child.end_lineno]))
                yield from walk(child, f"{name}.")
            else:
                yield from walk(child, prefix)

    yield from walk(ast.parse(code), "")


def snippets(app: str) -> AppSnippets:
    """Read the files of an app."""
    paths = new.files(APPS[app])
    files = {path.name: snippet(f"apps/{app}/{path.name}", 1, path.read_text()) for path in paths}
    code = files["app.py"]
    return AppSnippets(
        title=APPS[app].title,
        plug=APPS[app].check,
        start=APPS[app].start,
        packages=APPS[app].packages(),
        files=files,
        pieces={name: snippet(code.path, line, text) for name, line, text in pieces(code.code)},
    )


def from_readme(text: str) -> list[tuple[str, str]]:
    """Return the sections of an app's README that its page has too, as pairs of heading and text."""
    found = sections(text)
    headings = [heading for heading in found if heading not in LEFT_OUT]
    for heading in ("Configure", "Test it", "Rotate the secret"):
        assert heading in found, f"README.md has no section {heading!r}"
    chosen = headings[headings.index("Configure") : headings.index("Test it")]
    return [(heading, found[heading]) for heading in [*chosen, "Rotate the secret"]]


class Draft(NamedTuple):
    """A page in Markdown without the answers to its requests, and the status code that each answer must have."""

    text: str
    expected: list[int]

    def with_answers(self, answers: Sequence[str]) -> str:
        """Return the page with these answers, in the order of the requests."""
        text = self.text
        for number, answer in enumerate(answers):
            text = text.replace(ANSWER.format(number), answer.strip())
        return text


def render(app: str, snippets: AppSnippets, site: str) -> Draft:
    """Render the page of an app; `site` is the address of the site that it will be part of."""
    expected: list[int] = []

    def ask(status: int, request: str) -> str:
        expected.append(status)
        return f"```sh\ncurl -i {request}\n```\n\n```http\n{ANSWER.format(len(expected) - 1)}\n```"

    text = TEMPLATES.get_template("page.md.jinja").render(
        app=app,
        title=snippets.title,
        plug=snippets.plug,
        site=site,
        header=HEADER,
        files={name: file.code for name, file in snippets.files.items() if file.language == "python"},
        install=shlex.join(map("==".join, snippets.packages.items())),
        start=snippets.start,
        origin=ORIGIN,
        venv=VENV,
        gateway=GATEWAY,
        readme=from_readme(snippets.files["README.md"].code),
        others={other.name: other.title for other in APPS.values() if other.name != app},
        ask=ask,
    )
    return Draft(text, expected)


def render_check(summaries: Mapping[str, str], site: str) -> str:
    """Render the page about the check; `summaries` has the last lines of the check of each service that was checked."""
    return TEMPLATES.get_template("check.md.jinja").render(
        services=list(SERVICES.values()),
        languages=", ".join(service.title.partition(" ")[0] for service in SERVICES.values()),
        checked={name: name in summaries for name in SERVICES},
        summary=next(iter(summaries.values()), ""),
        apps={app.name: app.title for app in APPS.values()},
        check=CHECK,
        header=HEADER,
        site=site,
    )


def render_index(apps: Mapping[str, AppSnippets], site: str, with_check: bool = True) -> str:
    """Render the page that lists the pages of these apps, and that about the check."""
    return TEMPLATES.get_template("index.md.jinja").render(apps=apps, site=site, with_check=with_check)
