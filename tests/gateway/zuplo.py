"""The files of the gateway for Zuplo, parsed, and how to find things in them."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from shared.apps import ROOT

FOLDER = ROOT / "shared" / "gateway" / "zuplo"

Json = dict[str, Any]


class Files(NamedTuple):
    """Both documents, parsed."""

    routes: Json
    policies: Json


def parse_strictly(text: str) -> Json:
    """Parse JSON, and refuse what parsers disagree on (RFC 8259): a name twice in an object, and NaN and its like."""

    def once(pairs: list[tuple[str, Any]]) -> Json:
        assert len(dict(pairs)) == len(pairs), f"a name is there twice: {[name for name, _ in pairs]}"
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    parsed = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    assert isinstance(parsed, dict)
    return parsed


FILES = Files(
    *(parse_strictly((FOLDER / "config" / name).read_text()) for name in ("routes.oas.json", "policies.json"))
)


def operations(files: Files) -> Iterator[tuple[str, Json]]:
    """Yield the path and the Zuplo route of every operation."""
    for path, item in files.routes["paths"].items():
        for method in item.keys() - {"x-zuplo-path"}:
            yield path, item[method]["x-zuplo-route"]


def policy(files: Files, kind: str) -> Json:
    """Return the one policy of a kind."""
    (found,) = (candidate for candidate in files.policies["policies"] if candidate["policyType"] == kind)
    assert isinstance(found, dict)
    return found


def options(files: Files, kind: str) -> Json:
    """Return the options of the one policy of a kind."""
    found = policy(files, kind)["handler"]["options"]
    assert isinstance(found, dict)
    return found


def texts(node: object, *at: str) -> Iterator[tuple[str, str]]:
    """Yield the place of every text in a document, and the text; names are texts too."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield "/".join(at), name
            yield from texts(value, *at, name)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value, *at)
    elif isinstance(node, str):
        yield "/".join(at), node


def one_route(files: Files) -> Json:
    """Return the Zuplo route of one operation."""
    route: Json = files.routes["paths"]["/falcon:path(/.*)"]["get"]["x-zuplo-route"]
    return route


def headers_of(files: Files, kind: str) -> list[Any]:
    """Return the headers that a policy sets or removes."""
    found = options(files, kind)["headers"]
    assert isinstance(found, list)
    return found
