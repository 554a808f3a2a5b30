"""Parts of documents that a command makes: each stands between `<!-- NAME: ... -->` and `<!-- /NAME -->`."""

import re


def with_part(document: str, name: str, text: str) -> str:
    """Return a document with a text between the marks of a name; a document without these marks is a ValueError."""
    place = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not place.search(document):
        raise ValueError(f"The document has no place for <!-- {name}: ... -->")
    return place.sub(lambda found: f"{found[1]}{text}\n{found[2]}", document)
