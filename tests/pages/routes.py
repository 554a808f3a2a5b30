"""Changes of app.py that documents show: a route is added, and then opened."""

from collections.abc import Callable, Sequence
from pathlib import Path

import requests

from tests.markdown import Block, apply
from tests.processes import Service

DEADLINE = 30.0  # seconds that a request has
ROUTES = {  # sections that change app.py, and the status of the route without the secret after each
    "Add a route": 401,
    "Open a route on purpose": 200,
}


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
