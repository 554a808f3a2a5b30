"""The code blocks of documents that people follow, in Markdown or as HTML, and the changes to code that they show."""

import re
from pathlib import Path
from typing import NamedTuple

from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

from shared.documents import sections


class Block(NamedTuple):
    """A code block: the heading above it, its language, the code that a reader copies, and the name of its file."""

    heading: str
    language: str
    code: str
    title: str = ""


def blocks(text: str) -> list[Block]:
    """Return the fenced code blocks of a text in Markdown; a block without a fence is an AssertionError."""
    found, heading, opened = [], "", False
    for token in MarkdownIt().parse(text):
        if opened:
            heading = "".join(child.content for child in token.children or ())
        elif token.type in ("code_block", "html_block"):
            raise AssertionError(f"use a fence with a language, so that it can be tested:\n{token.content}")
        elif token.type == "fence":
            info = re.fullmatch(r'(\S+)(?: title="([^"]+)")?', token.info)
            assert info, f"after its language, a fence may have a title, and nothing else: {token.info!r}"
            found.append(Block(heading, info[1], token.content, info[2] or ""))
        opened = token.type == "heading_open"
    return found


def readme_code(folder: Path, section: str) -> list[str]:
    """Return the code of each code block in a section of a folder's README."""
    return [block.code for block in blocks(sections((folder / "README.md").read_text())[section])]


def blocks_of_html(text: str) -> list[Block]:
    """Return the code blocks of a page that Sphinx has built."""
    found, heading = [], ""
    for element in BeautifulSoup(text, "html.parser").select("article :is(h1, h2, h3, div[class*=highlight-])"):
        if element.name != "div":
            heading = element.get_text().rstrip("¶")  # the link to the heading
        else:
            language = re.search(r"highlight-(\w+)", " ".join(element["class"]))
            caption = element.find_previous_sibling(class_="code-block-caption")
            assert language
            title = caption.select(".caption-text")[0].get_text() if caption else ""
            found.append(Block(heading, language[1], element.select("pre")[0].get_text(), title))
    return found


def sides(diff: str) -> tuple[str, str]:
    """Return the code that a diff shows, as it was and as it becomes."""
    lines = [line if line.strip("\n") else " \n" for line in diff.splitlines(keepends=True)]  # editors strip the space
    old, new = ("".join(line[1:] for line in lines if line[0] in kept) for kept in (" -", " +"))
    return old, new


def apply(diff: str, code: str) -> str:
    """Return code with a diff applied; the lines that the diff keeps and removes must occur in it exactly once."""
    old, new = sides(diff)
    assert code.count(old) == 1, f"the code has this {code.count(old)} times, not once:\n{old}"
    return code.replace(old, new)
