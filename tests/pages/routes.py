"""Apply the changes to app.py that documents show: add a route, then open it; open the docs."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import requests

from shared.app.shared_secret import HEADER
from tests.markdown import Block, apply
from tests.processes import Service

DEADLINE = 30.0  # seconds for a request
ROUTES = {  # sections that change app.py, and the status of the new route without the secret after each
    "Add a route": 401,
    "Open a route on purpose": 200,
}
DOCS = "Docs while developing"  # a section that may change app.py too, on its own: to open what its diff lists


def secret(folder: Path) -> str:
    """Return the secret in the .env of a folder."""
    return (folder / ".env").read_text().strip().removeprefix("SHARED_SECRET=")


def status(service: Service, path: str, with_secret: bool = False, method: str = "GET") -> int:
    """Return the status of a request to a service, with or without the secret in the .env of its folder."""
    headers = {HEADER: secret(service.folder)} if with_secret else {}
    return requests.request(method, service.url + path, headers=headers, timeout=DEADLINE).status_code


def changed(page: Sequence[Block], heading: str, code: str) -> str:
    """Return code with the diffs of a section applied."""
    for block in page:
        if (block.heading, block.language) == (heading, "diff"):
            code = apply(block.code, code)
    return code


def try_routes(page: Sequence[Block], folder: Path, serve: Callable[[], Service]) -> None:
    """Change the app.py in a folder as a document says; check that the new route is protected, and then open.

    `serve` returns the service of the folder, not started.
    """
    app = folder / "app.py"
    original = app.read_text()
    app.write_text(with_docs := changed(page, DOCS, original))
    if with_docs != original:
        with serve() as service:
            for path in re.findall(r'"GET", "(.+?)"', with_docs):
                assert status(service, path) == 200, f"{DOCS}: {path}"
            assert status(service, "/protected") == 401, DOCS
    app.write_text(original)
    for heading, expected in ROUTES.items():
        app.write_text(changed(page, heading, before := app.read_text()))
        assert app.read_text() != before, f"there is no diff under {heading!r}"
        with serve() as service:
            assert status(service, "/items", with_secret=True) == 200, heading
            assert status(service, "/items") == expected, heading
            assert status(service, "/healthz") == 200, heading
            for path in ("/", "/protected", "/items/1", "/docs", "/openapi.json", "/schema"):
                assert status(service, path) == 401, f"{heading}: {path}"
            for path in ("/items", "/protected", "/healthz"):
                assert status(service, path, method="POST") == 401, f"{heading}: POST {path}"
