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

import check
import new
from document import PROGRAMS, Block, blocks, run, secret, sections, try_routes
from gateway import HAPROXY, Gateway
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from report import versions
from service import APPS, ROOT, Service, end_all, start_command

LANGUAGES = {".md": "markdown", ".py": "python", ".toml": "toml", "Dockerfile": "docker"}  # by how a name ends
SITE = "https://origin-guard.example"
PLACE = "<answer {}>"


def fact(path: str, pattern: str) -> str:
    """Return what a file of the repository says in the one place where it says it."""
    found = re.search(pattern, (ROOT / path).read_text(), re.MULTILINE)
    assert found, f"{path} has nothing that is like {pattern}"
    return found[1]


HEADER = fact("shared/shared_secret.py", r'^HEADER = "(.+)"')
ORIGIN = "http://127.0.0.1:" + fact("shared/serve.py", r'"PORT"\) or "(\d+)"')
GATEWAY = "http://127.0.0.1:" + fact("shared/gateway/manage.py", r'"GATEWAY_PORT": "(\d+)"')


# What a page is made from


def title(app: str) -> str:
    """Return the name of an app's framework, as people write it."""
    return fact("README.md", rf"^\| \[(.+?)\]\(apps/{app}\)")


def plug(app: str) -> str:
    """Return how the check is plugged into an app."""
    return fact("README.md", rf"^\| \[.+?\]\(apps/{app}\) \| .+? \| (.+?) \|")


def pins(app: str) -> dict[str, str]:
    """Return the version that is pinned of each package that an app depends on."""
    return {name: version for name, version in versions(app).items() if name != "Python"}


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
    """Return what snippets.json has of an app: its files by name, and the functions and classes of app.py by theirs."""
    paths = new.files(ROOT / "apps" / app)
    files = {path.name: snippet(f"apps/{app}/{path.name}", 1, path.read_text()) for path in paths}
    code = files["app.py"]
    return {
        "title": title(app),
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
        plug=plug(app),
        site=site,
        header=HEADER,
        files={name: file["code"] for name, file in told["files"].items() if file["language"] == "python"},
        pins=pins(app),
        start=" ".join(start_command(ROOT / "apps" / app)),
        origin=ORIGIN,
        gateway=GATEWAY,
        readme=from_readme(told["files"]["README.md"]["code"]),
        others={other: title(other) for other in APPS if other != app},
        ask=ask,
    )
    return Draft(text, expected)


def render_index(apps: Sequence[str], site: str) -> str:
    """Make the page that lists the pages of some apps."""
    rows = [{"app": app, "title": title(app), "plug": plug(app), "pins": pins(app)} for app in apps]
    return TEMPLATES.get_template("index.md.jinja").render(pages=rows, site=site)


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
            run(shlex.join([sys.executable, check.__file__, *words]), ROOT, SHARED_SECRET=secret(self.home))


@contextmanager
def followed(app: str, page: Sequence[Block], folder: Path) -> Iterator[Reader]:
    """Write the files of a page to a folder and run its commands one after the other, as a reader does.

    Only ports are others, and the gateway is one that was started for this. Changes to the code are for `try_routes`.
    """
    reader, gateway, sourced = Reader(app, folder), None, ""  # lines that set variables where requests are made
    start = f".venv/bin/{' '.join(start_command(ROOT / 'apps' / app))}"
    temporary = folder / "tmp"
    for each in (reader.home, temporary):
        each.mkdir(parents=True)
    with ExitStack() as running:
        for block in page:
            if block.language == "python":
                (reader.home / block.heading).write_text(block.code)
            elif block.language == "sh" and block.code.rstrip().endswith(start):
                if before := reader.service:
                    before.stop()
                    reader.service = reader.serve(block.code, PORT=str(before.address.port))
                else:
                    reader.service, reader.commands = reader.serve(block.code), block.code
                running.enter_context(reader.service)
            elif block.language == "sh" and block.code.startswith("curl"):
                assert reader.service, "there is a request before there is a service"
                command = block.code.replace(ORIGIN, reader.service.url)
                if GATEWAY in command:
                    gateway = gateway or running.enter_context(gateway_before(reader.service, folder / "gateway"))
                    command = command.replace(GATEWAY, gateway.url).replace("YOUR_API_KEY", gateway.key())
                reader.answers.append(run(sourced + command, reader.home))
            elif block.language == "sh" and block.code.startswith(". "):
                sourced += block.code
            elif block.language == "sh":
                run(block.code, reader.home, TMPDIR=str(temporary))
            else:
                assert block.language in ("diff", "http", "text"), f"nobody tries what is in {block.language!r}"
        yield reader


def gateway_before(service: Service, folder: Path) -> Gateway:
    """Return a gateway, not started, in front of a service, which sends the secret in the service's .env."""
    gateway = Gateway(folder, dict.fromkeys(APPS, service.address.port))
    gateway.file("shared_secret").write_text(secret(service.folder))
    gateway.file("sent.map").unlink()
    gateway.manage("setup")
    gateway.key()
    return gateway


def attempt(app: str, told: Mapping[str, Any], site: str, folder: Path) -> str:
    """Return the page of an app with the answers that come back; raise an error if anything on it does not work."""
    draft = render(app, told, site)
    page = blocks(draft.text)
    with followed(app, page, folder) as reader:
        asked = [block.code.strip() for block in page if block.code.startswith("curl")]
        wrong = [
            f"{request}\nis answered\n{answer}\nand not {status}"
            for request, answer, status in zip(asked, reader.answers, draft.expected, strict=True)
            if int(answer.split()[1]) != status
        ]
        assert not wrong, "\n".join([*wrong, "the service's log:", reader.serve("").tail()])
        reader.contract()
        try_routes(page, reader.home, lambda: reader.serve(reader.commands))
    return draft.whole(reader.answers)


# The command


def build(apps: Sequence[str], site: str, made: Path) -> list[str]:
    """Write the pages of some apps, an index and snippets.json to a folder.

    Where a page does not work nothing is written; return what is wrong, one text for each page.
    """
    told = {app: snippets(app) for app in apps}  # read once: what is written is what was tried
    index = render_index(apps, site)
    wrong, pages = [], {}
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(max_workers=2) as pool:
        begun = {app: pool.submit(attempt, app, told[app], site, Path(place) / app) for app in apps}
        try:
            for app, future in begun.items():
                error = future.exception()
                if error:
                    wrong.append(f"{app}: the page does not work: {error}")
                    print(wrong[-1], file=sys.stderr, flush=True)
                else:
                    pages[app] = future.result()
                    print(f"{app}: the page works, and what it starts meets the contract", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise
    if not wrong:
        for app, text in pages.items():
            (made / f"{app}.md").write_text(text)
        (made / "index.md").write_text(index)
        (made / "snippets.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
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
    parser.add_argument("--app", choices=APPS, help="leave out the pages of the other apps")
    options = parser.parse_args()
    for program, path in (("curl", shutil.which("curl")), ("haproxy", HAPROXY)):
        if not path:
            sys.exit(f"The pages show requests and answers, and there is no {program} here: install it and try again.")
    output = options.output
    if output.exists() and any(output.iterdir()) and not (output / "snippets.json").exists():
        sys.exit(f"{output} would be replaced, and holds something else than pages: name another folder.")
    os.environ["NO_PROXY"] = "127.0.0.1"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        made = output.with_name(f".{output.name}-{secrets.token_hex(4)}")
        made.mkdir()
        try:
            wrong = build([options.app] if options.app else APPS, options.site, made)
            if not wrong:
                shutil.rmtree(output, ignore_errors=True)
                made.rename(output)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: nothing was written.")
    except (OSError, AssertionError, TemplateError) as error:
        sys.exit(f"The pages cannot be made: {error}")
    if wrong:
        sys.exit(f"Nothing was written: {len(wrong)} of the pages would not work.")
    print(f"Wrote {output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
