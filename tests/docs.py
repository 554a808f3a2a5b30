"""Make a page for each app out of its files, do what the page says, and write it if that works: `make docs`."""

import argparse
import ast
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import check
from document import PROGRAMS, Block, blocks, run, secret, sections
from gateway import HAPROXY, Gateway
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from report import versions
from service import APPS, ROOT, Service, end_all, start_command

LANGUAGES = {".md": "markdown", ".py": "python", ".toml": "toml", "Dockerfile": "docker"}  # by how a name ends
SITE = "https://origin-guard.example"


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
    folder = ROOT / "apps" / app
    ignored = (folder / ".gitignore").read_text().replace("/", "").split()
    first = ("app.py", "shared_secret.py")
    paths = [folder / name for name in first] + sorted(
        path for path in folder.iterdir() if path.name not in (*first, *ignored)
    )
    files = {path.name: snippet(f"apps/{app}/{path.name}", 1, path.read_text()) for path in paths}
    code = files["app.py"]
    return {
        "title": title(app),
        "files": files,
        "pieces": {name: snippet(code["path"], line, text) for name, line, text in pieces(code["code"])},
    }


def from_readme(app: str) -> list[tuple[str, str]]:
    """Return the sections of an app's README that are about its code, with their headings."""
    found = sections((ROOT / "apps" / app / "README.md").read_text())
    headings = list(found)
    chosen = headings[headings.index("Configure") : headings.index("Test it")]
    return [(heading, found[heading]) for heading in [*chosen, "Rotate the secret"]]


TEMPLATES = Environment(
    loader=FileSystemLoader(ROOT / "shared" / "docs"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


class Page(NamedTuple):
    """A page in Markdown, and the status code of each answer on it, in their order."""

    text: str
    expected: list[int]


def render(app: str, site: str, answers: Sequence[str] = ()) -> Page:
    """Make the page of an app; without answers it is a draft, with a place for each."""
    expected: list[int] = []

    def ask(status: int, request: str) -> str:
        answer = answers[len(expected)].rstrip("\n") + "\n" if answers else ""
        expected.append(status)
        return f"```sh\ncurl -i {request}\n```\n\n```http\n{answer}```"

    text = TEMPLATES.get_template("page.md.jinja").render(
        app=app,
        title=title(app),
        plug=plug(app),
        site=site,
        header=HEADER,
        files={name: file for name, file in snippets(app)["files"].items() if file["language"] == "python"},
        pins=pins(app),
        start=" ".join(start_command(ROOT / "apps" / app)),
        origin=ORIGIN,
        gateway=GATEWAY,
        readme=from_readme(app),
        others={other: title(other) for other in APPS if other != app},
        ask=ask,
    )
    return Page(text, expected)


def render_index(apps: Sequence[str], site: str) -> str:
    """Make the page that lists the pages of some apps."""
    rows = [{"app": app, "title": title(app), "plug": plug(app), "pins": pins(app)} for app in apps]
    return TEMPLATES.get_template("index.md.jinja").render(pages=rows, site=site)


# Doing what a page says


@dataclass
class Followed:
    """What came of doing what a page says: the services that it started, and the answers to its requests."""

    services: list[Service] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


@contextmanager
def followed(app: str, page: Sequence[Block], folder: Path) -> Iterator[Followed]:
    """Write the files of a page to an empty folder and run its commands, as a reader would who does what it says.

    Only ports are others, and the gateway is one that was started for this.
    """
    done, gateway, sourced = Followed(), None, ""  # lines that set variables in the terminal where requests are made
    start = f".venv/bin/{' '.join(start_command(ROOT / 'apps' / app))}"
    home = folder / "home"
    home.mkdir(parents=True)
    with ExitStack() as running:
        for block in page:
            if block.language == "python":
                (home / block.heading).write_text(block.code)
            elif block.language != "sh":
                pass
            elif block.code.rstrip().endswith(start):
                (log := folder / f"log-{len(done.services)}").touch()
                service = Service(app, ["sh", "-e", "-c", block.code], home, {}, log, PROGRAMS)
                done.services.append(running.enter_context(service))
            elif block.code.startswith("curl"):
                command = block.code.replace(ORIGIN, done.services[-1].url)
                if GATEWAY in command:
                    gateway = gateway or running.enter_context(gateway_before(done.services[-1], folder / "gateway"))
                    command = command.replace(GATEWAY, gateway.url).replace("YOUR_API_KEY", gateway.key())
                done.answers.append(run(sourced + command, home))
            elif block.code.startswith(". "):
                sourced += block.code
            else:
                run(block.code, home)
        yield done


def gateway_before(service: Service, folder: Path) -> Gateway:
    """Return a gateway, not started, in front of a service, which sends the secret in the service's .env."""
    gateway = Gateway(folder, dict.fromkeys(APPS, service.address.port))
    gateway.file("shared_secret").write_text(secret(service.folder))
    gateway.file("sent.map").unlink()
    gateway.manage("setup")
    gateway.key()
    return gateway


def contract(configured: Service, unconfigured: Service) -> None:
    """Put the contract to what a page has started."""
    command = [sys.executable, check.__file__, "--url", configured.url, "--unconfigured-url", unconfigured.url]
    run(shlex.join(command), ROOT, SHARED_SECRET=secret(configured.folder))


def attempt(app: str, site: str, folder: Path) -> str:
    """Return the page of an app with the answers that come back; raise an error if anything on it does not work."""
    draft = render(app, site)
    page = blocks(draft.text)
    with followed(app, page, folder) as done:
        asked = [block.code.strip() for block in page if block.code.startswith("curl")]
        wrong = [
            f"{request}\nis answered\n{answer}\nand not {status}"
            for request, answer, status in zip(asked, done.answers, draft.expected, strict=True)
            if int(answer.split()[1]) != status
        ]
        assert not wrong, "\n".join([*wrong, "the service's log:", done.services[0].tail()])
        contract(*done.services)
    return render(app, site, done.answers).text


# The command


def build(apps: Sequence[str], site: str, output: Path) -> list[str]:
    """Write the pages of some apps, an index and snippets.json to a folder in the place of what is there.

    Where a page does not work nothing is written; return what is wrong, one text for each page.
    """
    wrong, pages = [], {}
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(max_workers=2) as pool:
        begun = {app: pool.submit(attempt, app, site, Path(place) / app) for app in apps}
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
        new = output.with_name(f"{output.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for app, text in pages.items():
            (new / f"{app}.md").write_text(text)
        (new / "index.md").write_text(render_index(apps, site))
        told = {app: snippets(app) for app in apps}
        (new / "snippets.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        shutil.rmtree(output, ignore_errors=True)
        new.rename(output)
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
    if not HAPROXY:
        sys.exit(
            "The pages show a request through the gateway, and there is no haproxy here: `apt install haproxy`, "
            "`brew install haproxy`."
        )
    os.environ["NO_PROXY"] = "127.0.0.1"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        wrong = build([options.app] if options.app else APPS, options.site, options.output)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: nothing was written.")
    if wrong:
        sys.exit(f"Nothing was written: {len(wrong)} of the pages would not work.")
    print(f"Wrote {options.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
