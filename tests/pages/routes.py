"""Apply the changes to app.py that documents show: add a route, then open it."""

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


def secret(folder: Path) -> str:
    """Return the secret in the .env of a folder."""
    return (folder / ".env").read_text().strip().removeprefix("SHARED_SECRET=")


def status(service: Service, path: str, with_secret: bool = False, method: str = "GET") -> int:
    """Return the status of a request to a service, with or without the secret in the .env of its folder."""
    headers = {HEADER: secret(service.folder)} if with_secret else {}
    return requests.request(method, service.url + path, headers=headers, timeout=DEADLINE).status_code


def try_routes(page: Sequence[Block], folder: Path, serve: Callable[[], Service]) -> None:
    """Change the app.py in a folder as a document says; check that the new route is protected, and then open.

    `serve` returns the service of the folder, not started.
    """
    for heading, expected in ROUTES.items():
        diffs = [block.code for block in page if (block.heading, block.language) == (heading, "diff")]
        assert diffs, f"there is no diff under {heading!r}"
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
