"""Markdown that people follow: its sections, and the code blocks in them."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

PATIENCE = 600.0  # seconds that commands have; some install what they need
PROGRAMS = Path(sys.base_prefix) / "bin"  # with this Python as python3
ENVIRON = {  # for commands, as a person has it, without what make adds
    **{name: value for name, value in os.environ.items() if "MAKE" not in name},
    "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
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
    found, heading = [], ""
    tokens = MarkdownIt().parse(text)
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            heading = "".join(each.content for each in following.children or ())
        elif token.type == "fence":
            found.append(Block(heading, token.info, token.content))
    return found


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
    old = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] in " -")
    new = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] in " +")
    assert code.count(old) == 1, f"this stands {code.count(old)} times in the code:\n{old}"
    return code.replace(old, new)


def secret(folder: Path) -> str:
    """Return the secret in the .env of a folder."""
    return (folder / ".env").read_text().strip().removeprefix("SHARED_SECRET=")


def run(commands: str, folder: Path, **changes: str) -> str:
    """Run the commands of a block in a folder, and return what they print; the first that fails ends it."""
    done = subprocess.run(
        ["sh", "-e", "-c", commands], cwd=folder, env={**ENVIRON, **changes}, timeout=PATIENCE,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert not done.returncode, f"status {done.returncode} of\n{commands}\n{done.stdout}{done.stderr}"
    return done.stdout
