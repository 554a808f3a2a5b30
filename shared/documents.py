"""Documents in Markdown: their sections, the parts in them that a command makes, and their templates."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def sections(document: str) -> dict[str, str]:
    """Return the text under each second-level heading, by heading."""
    parts = re.split(r"(?m)^## (.+)\n", document)  # no code block here has a line like that
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def with_part(document: str, name: str, text: str) -> str:
    """Return a document with a text between the marks of a part: `<!-- NAME: ... -->` and `<!-- /NAME -->`.

    A document that does not have these marks is a ValueError.
    """
    place = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not place.search(document):
        raise ValueError(f"The document has no place for <!-- {name}: ... -->")
    return place.sub(lambda found: f"{found[1]}{text}\n{found[2]}", document)


def templates(folder: Path) -> Environment:
    """Return the Jinja templates of a folder; a name that a template does not get is an error."""
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
