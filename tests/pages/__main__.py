"""Make a page for each app out of its files, do what the page says, and write it if that works: `make docs`."""

import argparse
import ast
import hashlib
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from shared import new
from shared.app.shared_secret import HEADER
from shared.apps import APPS, HOST, PORT, ROOT
from shared.gateway.manage import SETTINGS
from tests.commands import NO_PROXY, PROGRAMS, run
from tests.gateway.runner import HAPROXY, Gateway
from tests.markdown import Block, blocks, sections
from tests.pages.routes import ROUTES, secret, try_routes
from tests.processes import Service, end_all

LANGUAGES = {".md": "markdown", ".py": "python", ".toml": "toml", "Dockerfile": "docker"}  # by how a name ends
SITE = "https://origin-guard.example"
PLACE = "<answer {}>"


GATEWAY = f"http://127.0.0.1:{SETTINGS['GATEWAY_PORT']}"
ORIGIN = f"http://{HOST}:{PORT}"


# What a page is made from


def snippet(path: str, line: int, code: str) -> dict[str, Any]:
    """Return a piece of code as snippets.json has it: path, first line, language, the text, and the text's SHA-256."""
    language = next((LANGUAGES[end] for end in LANGUAGES if path.endswith(end)), "text")
    digest = hashlib.sha256(code.encode()).hexdigest()
    return {"path": path, "line": line, "language": language, "sha256": digest, "code": code}


def pieces(code: str) -> Iterator[tuple[str, int, str]]:
    """Return the qualified name, the first line and the text of every function and class in Python code."""
    lines = code.splitlines(keepends=True)

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, int, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = prefix + child.name
                first = min(each.lineno for each in (child, *child.decorator_list))
                yield name, first, textwrap.dedent("".join(lines[first - 1 : child.end_lineno]))
                yield from walk(child, f"{name}.")
            else:
                yield from walk(child, prefix)

    yield from walk(ast.parse(code), "")


def snippets(app: str) -> dict[str, Any]:
    """Return what snippets.json has of an app: its files by name, and the functions and classes of app.py by theirs.

    And the name of the framework, how the check is plugged in, the start command, and the versions that are pinned.
    """
    paths = new.files(ROOT / "apps" / app)
    files = {path.name: snippet(f"apps/{app}/{path.name}", 1, path.read_text()) for path in paths}
    code = files["app.py"]
    return {
        "title": APPS[app].title,
        "plug": APPS[app].check,
        "start": APPS[app].start,
        "packages": APPS[app].packages(),
        "files": files,
        "pieces": {name: snippet(code["path"], line, text) for name, line, text in pieces(code["code"])},
    }


def from_readme(text: str) -> list[tuple[str, str]]:
    """Return the sections of an app's README that are about its code, with their headings."""
    found = sections(text)
    headings = list(found)
    for heading in ("Configure", "Test it", "Rotate the secret"):
        assert heading in found, f"README.md has no section {heading!r}"
    chosen = headings[headings.index("Configure") : headings.index("Test it")]
    return [(heading, found[heading]) for heading in [*chosen, "Rotate the secret"]]


TEMPLATES = Environment(
    loader=FileSystemLoader(ROOT / "shared" / "docs"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


class Draft(NamedTuple):
    """A page in Markdown, with a place for each answer; and the status codes that the answers have to have."""

    text: str
    expected: list[int]

    def whole(self, answers: Sequence[str]) -> str:
        """Return the page with the answers."""
        text = self.text
        for number, answer in enumerate(answers):
            text = text.replace(PLACE.format(number), answer.strip())
        return text


def render(app: str, told: Mapping[str, Any], site: str) -> Draft:
    """Make the page of an app, of which snippets.json will tell so much."""
    expected: list[int] = []

    def ask(status: int, request: str) -> str:
        expected.append(status)
        return f"```sh\ncurl -i {request}\n```\n\n```http\n{PLACE.format(len(expected) - 1)}\n```"

    text = TEMPLATES.get_template("page.md.jinja").render(
        app=app,
        title=told["title"],
        plug=told["plug"],
        site=site,
        header=HEADER,
        files={name: file["code"] for name, file in told["files"].items() if file["language"] == "python"},
        install=shlex.join(map("==".join, told["packages"].items())),
        start=told["start"],
        origin=ORIGIN,
        gateway=GATEWAY,
        readme=from_readme(told["files"]["README.md"]["code"]),
        others={other.name: other.title for other in APPS.values() if other.name != app},
        ask=ask,
    )
    return Draft(text, expected)


def render_index(told: Mapping[str, Any], site: str) -> str:
    """Make the page that lists the pages."""
    return TEMPLATES.get_template("index.md.jinja").render(apps=told, site=site)


# Doing what a page says


@dataclass
class Reader:
    """Who does what a page says, in an empty folder: what came of it, and the service that runs in the end."""

    app: str
    folder: Path
    commands: str = ""  # that start the service
    answers: list[str] = field(default_factory=list)
    service: Service | None = None

    @property
    def home(self) -> Path:
        """The folder that the page's files are in."""
        return self.folder / "home"

    def serve(self, commands: str, **config: str) -> Service:
        """Return the service that commands start, not started."""
        (log := self.folder / "log").touch()
        return Service(self.app, ["sh", "-e", "-c", commands], self.home, config, log, PROGRAMS)

    def contract(self) -> None:
        """Put the contract to the service, and to the one without a secret that was started last."""
        assert self.service
        with self.serve(self.commands) as configured:
            words = ["--url", configured.url, "--unconfigured-url", self.service.url]
            run(shlex.join([sys.executable, "-m", "tests.contract", *words]), ROOT, SHARED_SECRET=secret(self.home))


def steps(app: str, page: Sequence[Block]) -> Iterator[tuple[str, Block]]:
    """Return what a reader does with each block of a page; refuse one that nobody would try."""
    files = {path.name for path in new.files(ROOT / "apps" / app)}
    start = f".venv/bin/{APPS[app].start}"
    before = ""
    for block in page:
        last = block.code.rstrip().rpartition("\n")[2]
        match block.language:
            case "python" if block.heading in files:
                step = "write"
            case "sh" if last in (start, f"SHARED_SECRET= {start}"):
                step = "start"
            case "sh" if block.code.startswith("curl -i ") and "\n" not in block.code.rstrip():
                step = "ask"
            case "sh" if block.code == ". ./.env\n":
                step = "source"
            case "sh" if start not in block.code and "curl" not in block.code:
                step = "run"
            case "http" if before == "ask":
                step = "compare"
            case "diff" if block.heading in ROUTES:
                step = "change"
            case "text" if block.heading == "Who does what":
                step = "look"
            case _:
                raise AssertionError(f"nobody would try this, under {block.heading!r}:\n{block.code}")
        assert (step == "compare") == (before == "ask"), f"this has no answer, or is none:\n{block.code}"
        yield step, block
        before = step
    assert before != "ask", "the last request on the page has no answer"


@contextmanager
def followed(app: str, page: Sequence[Block], folder: Path) -> Iterator[Reader]:
    """Write the files of a page to a folder and run its commands one after the other, as a reader does.

    Only ports are others, and the gateway is one that was started for this. Changes to the code are for `try_routes`.
    """
    reader, gateway, sourced = Reader(app, folder), None, ""
    temporary = folder / "tmp"
    for each in (reader.home, temporary):
        each.mkdir(parents=True)
    with ExitStack() as running:
        for step, block in list(steps(app, page)):
            if step == "write":
                (reader.home / block.heading).write_text(block.code)
            elif step == "run":
                run(block.code, reader.home, TMPDIR=str(temporary))
            elif step == "source":
                sourced += block.code
            elif step == "start":
                if before := reader.service:
                    before.stop()
                    reader.service = reader.serve(block.code, PORT=str(before.address.port))
                else:
                    reader.service, reader.commands = reader.serve(block.code), block.code
                running.enter_context(reader.service)
            elif step == "ask":
                assert reader.service, "there is a request before there is a service"
                command = block.code.replace(ORIGIN, reader.service.url)
                if GATEWAY in command:
                    gateway = gateway or running.enter_context(gateway_before(reader.service, folder / "gateway"))
                    command = command.replace(GATEWAY, gateway.url).replace("YOUR_API_KEY", gateway.key())
                reader.answers.append(run(sourced + command, reader.home))
        yield reader


def gateway_before(service: Service, folder: Path) -> Gateway:
    """Return a gateway, not started, in front of a service, which sends the secret in the service's .env."""
    gateway = Gateway(folder, dict.fromkeys(APPS, service.address.port))
    gateway.send_secret(secret(service.folder))
    gateway.key()
    return gateway


def attempt(app: str, site: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the page of an app with the answers that come back, and its snippets; an error is raised by what fails."""
    told = snippets(app)  # read once: what is written is what was tried
    draft = render(app, told, site)
    page = blocks(draft.text)
    asked = [block.code.strip() for step, block in steps(app, page) if step == "ask"]
    assert len(asked) == len(draft.expected), "a request on the page is not one of its template"
    with followed(app, page, folder) as reader:
        wrong = [
            f"{request}\nis answered\n{answer}\nand not {status}"
            for request, answer, status in zip(asked, reader.answers, draft.expected, strict=True)
            if int(answer.split()[1]) != status
        ]
        assert not wrong, "\n".join([*wrong, "the service's log:", reader.serve("").tail()])
        installed = run(".venv/bin/pip freeze", reader.home).lower().splitlines()
        for name, version in told["packages"].items():
            assert f"{name.partition('[')[0].lower()}=={version}" in installed, (
                f"what the page installs is not {name} {version}"
            )
        reader.contract()
        try_routes(page, reader.home, lambda: reader.serve(reader.commands))
    return draft.whole(reader.answers), told


# The command


def build(apps: Sequence[str], site: str, folder: Path) -> list[str]:
    """Write the pages of some apps, an index and snippets.json to a folder.

    Where a page does not work nothing is written; return what is wrong, one text for each page.
    """
    wrong, made = [], {}
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(max_workers=2) as pool:
        begun = {app: pool.submit(attempt, app, site, Path(place) / app) for app in apps}
        try:
            for app, future in begun.items():
                error = future.exception()
                if error:
                    said = error if isinstance(error, AssertionError | RuntimeError) else repr(error)
                    wrong.append(f"{app}: the page does not work: {said}")
                    print(wrong[-1], file=sys.stderr, flush=True)
                else:
                    made[app] = future.result()
                    print(f"{app}: the page works, and what it starts meets the contract", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise
    if not wrong:
        for app, (text, _) in made.items():
            (folder / f"{app}.md").write_text(text)
        told = {app: told for app, (_, told) in made.items()}
        (folder / "index.md").write_text(render_index(told, site))
        (folder / "snippets.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return wrong


def address(url: str) -> str:
    """Return the address of a site, or refuse what is none."""
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url):
        raise argparse.ArgumentTypeError(f"{url!r} is not the address of a site: https://docs.example.com/origin-guard")
    return url.rstrip("/")


def main() -> int:
    """Do what a command line says, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make docs", usage="make docs [SITE=https://...]", description=__doc__)
    parser.add_argument("--site", type=address, default=SITE, help="where the pages will be, for their canonicalUrl")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "docs", help="the folder to write")
    parser.add_argument("--app", choices=list(APPS), help="leave out the pages of the other apps")
    options = parser.parse_args()
    for program, path in (("curl", shutil.which("curl")), ("haproxy", HAPROXY)):
        if not path:
            sys.exit(f"The pages show requests and answers, and there is no {program} here: install it and try again.")
    os.environ.update(NO_PROXY)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    output: Path = options.output
    made, old = (output.with_name(f".{output.name}-{secrets.token_hex(4)}") for _ in range(2))
    try:
        if output.exists() and any(output.iterdir()) and not (output / "snippets.json").exists():
            sys.exit(f"{output} would be replaced, and holds something else than pages: name another folder.")
        made.mkdir(parents=True)
        wrong = build([options.app] if options.app else list(APPS), options.site, made)
        if not wrong:
            if output.exists():
                output.rename(old)
            made.rename(output)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: nothing was written.")
    except (OSError, TemplateError) as error:
        sys.exit(f"The pages cannot be made: {error}")
    finally:
        if old.exists() and not output.exists():
            old.rename(output)
        for each in (made, old):
            shutil.rmtree(each, ignore_errors=True)
    if wrong:
        sys.exit(f"Nothing was written: {len(wrong)} of the pages would not work.")
    print(f"Wrote {output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
