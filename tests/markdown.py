"""Markdown that people follow: its sections, and the code blocks in them."""

import re
from pathlib import Path
from typing import NamedTuple

from bs4 import BeautifulSoup
from markdown_it import MarkdownIt


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
            heading = "".join(child.content for child in token.children or ())
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
