"""Markdown that people follow: its sections, and the code blocks in them."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import requests
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from service import Service, end, spawn

DEADLINE = 30.0  # seconds that a request has
PATIENCE = 600.0  # seconds that commands have; some install what they need
PROGRAMS = Path(sys.base_prefix) / "bin"  # with this Python as python3
NO_PROXY = {  # for what runs here
    name: ",".join(filter(None, (os.environ.get(name), "127.0.0.1"))) for name in ("NO_PROXY", "no_proxy")
}
ENVIRON = {  # for commands, as a person has it, without what make adds
    **{name: value for name, value in os.environ.items() if "MAKE" not in name},
    "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
    **NO_PROXY,
}
ROUTES = {  # sections that change app.py, and the status of the route without the secret after each
    "Add a route": 401,
    "Open a route on purpose": 200,
}


class Block(NamedTuple):
    """A code block: the heading it stands under, the language it says it is in, and what is copied from it."""

    heading: str
    language: str
    code: str


def sections(text: str) -> dict[str, str]:
    """Return what stands under each heading of the second level, by the heading."""
    parts = re.split(r"(?m)^## (.+)\n", text)  # no code block here has a line like that
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(text: str) -> list[Block]:
    """Return the fenced code blocks of a text in Markdown."""
    found, heading, opened = [], "", False
    for token in MarkdownIt().parse(text):
        if opened:
            heading = "".join(each.content for each in token.children or ())
        elif token.type in ("code_block", "html_block"):
            raise AssertionError(f"use a fence with a language, so that it can be tried:\n{token.content}")
        elif token.type == "fence":
            found.append(Block(heading, token.info, token.content))
        opened = token.type == "heading_open"
    return found


def readme_code(folder: Path, section: str) -> list[str]:
    """Return what the code blocks of a section of a folder's README hold."""
    return [block.code for block in blocks(sections((folder / "README.md").read_text())[section])]


def blocks_of_html(text: str) -> list[Block]:
    """Return the code blocks of a page that Sphinx has made."""
    found, heading = [], ""
    for element in BeautifulSoup(text, "html.parser").select("article :is(h1, h2, h3, div[class*=highlight-])"):
        if element.name != "div":
            heading = element.get_text().rstrip("¶")  # which is a link to it
        else:
            language = re.search(r"highlight-(\w+)", " ".join(element["class"]))
            assert language
            found.append(Block(heading, language[1], element.select("pre")[0].get_text()))
    return found


def apply(diff: str, code: str) -> str:
    """Return code with a change to it, which says what stands before, between and after what is new."""
    lines = [line if line.strip("\n") else " \n" for line in diff.splitlines(keepends=True)]  # an editor takes it away
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert code.count(old) == 1, f"this stands {code.count(old)} times in the code:\n{old}"
    return code.replace(old, new)


def secret(folder: Path) -> str:
    """Return the secret in the .env of a folder."""
    return (folder / ".env").read_text().strip().removeprefix("SHARED_SECRET=")


def status(service: Service, path: str, with_secret: bool = False, method: str = "GET") -> int:
    """Return the status of a request to a service, with or without the secret in the .env of its folder."""
    headers = {"X-Shared-Secret": secret(service.folder)} if with_secret else {}
    return requests.request(method, service.url + path, headers=headers, timeout=DEADLINE).status_code


def try_routes(page: Sequence[Block], folder: Path, serve: Callable[[], Service]) -> None:
    """Change app.py as a document says, and ask: a route that is added is protected, and one that is opened is open."""
    for heading, expected in ROUTES.items():
        diffs = [block.code for block in page if (block.heading, block.language) == (heading, "diff")]
        assert diffs, f"nothing says how: {heading}"
        for diff in diffs:
            (folder / "app.py").write_text(apply(diff, (folder / "app.py").read_text()))
        with serve() as service:
            assert status(service, "/items", with_secret=True) == 200, heading
            assert status(service, "/items") == expected, heading
            assert status(service, "/healthz") == 200, heading
            for path in ("/", "/protected", "/items/1", "/docs", "/openapi.json", "/schema"):
                assert status(service, path) == 401, f"{heading}: {path}"
            for path in ("/items", "/protected", "/healthz"):
                assert status(service, path, method="POST") == 401, f"{heading}: POST {path}"


def run(commands: str, folder: Path, **changes: str) -> str:
    """Run the commands of a block in a folder, and return what they print; the first that fails ends it."""
    process = spawn(["sh", "-e", "-c", commands], folder, {**ENVIRON, **changes}, subprocess.PIPE, subprocess.PIPE)
    try:
        out, err = (
            said.decode(errors="replace").replace("\r\n", "\n") for said in process.communicate(timeout=PATIENCE)
        )
    finally:
        end(process)
    assert not process.returncode, f"status {process.returncode} of\n{commands}\n{out}{err}"
    return out
