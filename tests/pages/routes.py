"""Make the changes that documents show: add a route, open it, open the docs, tell consumers apart, guard a service."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import requests

from shared.app.shared_secret import HEADER
from shared.apps import App
from tests.markdown import Block, apply, sides
from tests.processes import Service

DEADLINE = 30.0  # seconds for a request
ROUTES = {  # sections that change app.py: the new route of each, and its status without the secret
    "Add a route": ("/items", 401),
    "Open a route on purpose": ("/version", 200),
}
DOCS = "Docs while developing"  # a section that may change app.py too: to open what its diff lists
CONSUMER = "Who is asking"  # a section that changes app.py: GET /whoami answers with the consumer's name
GUARDED = "Into a service that already runs"  # a section whose diff is all of service.py, before and after the change
TITLES = {  # the file that a section changes
    **dict.fromkeys((*ROUTES, DOCS, CONSUMER), "app.py"),
    GUARDED: "service.py",
}
STARTS = {"WSGI": "gunicorn service:app", "ASGI": "uvicorn service:app --http h11 --port $PORT"}

Serve = Callable[[str], Service]  # returns the service of a folder, not started, from its start command for the shell


def secret(folder: Path) -> str:
    """Return the secret in the .env of a folder."""
    return (folder / ".env").read_text().strip().removeprefix("SHARED_SECRET=")


def ask(
    service: Service, path: str, with_secret: bool = False, method: str = "GET", consumer: str | None = None
) -> requests.Response:
    """Send a request to a service, with or without the secret in the .env of its folder; return the answer.

    `consumer` is the name that the gateway adds.
    """
    headers = {HEADER: secret(service.folder)} if with_secret else {}
    if consumer:
        headers["X-Consumer"] = consumer
    return requests.request(method, service.url + path, headers=headers, timeout=DEADLINE)


def status(service: Service, path: str, with_secret: bool = False, method: str = "GET") -> int:
    """Return the status of a request to a service, with or without the secret in the .env of its folder."""
    return ask(service, path, with_secret, method).status_code


def diffs(page: Sequence[Block], heading: str) -> list[str]:
    """Return the diffs of a section."""
    return [block.code for block in page if (block.heading, block.language) == (heading, "diff")]


def changed(page: Sequence[Block], heading: str, code: str) -> str:
    """Return code with the diffs of a section applied; there has to be one."""
    assert diffs(page, heading), f"there is no diff under {heading!r}"
    for diff in diffs(page, heading):
        code = apply(diff, code)
    return code


def try_changes(app: App, page: Sequence[Block], folder: Path, serve: Serve) -> None:
    """Make all changes of a document, one after the other, in a folder with the app's files and .env, and try each.

    Afterwards app.py is as it was.
    """
    code = (folder / "app.py").read_text()
    for attempt in (try_routes, try_consumer, try_docs):
        attempt(page, folder, lambda: serve(app.start))
    (folder / "app.py").write_text(code)
    try_guarded(page, folder, lambda: serve(STARTS[app.interface]))


def try_docs(page: Sequence[Block], folder: Path, serve: Callable[[], Service]) -> None:
    """Change app.py as a document says, if it does; check that what its diff lists is open, and nothing else."""
    if not diffs(page, DOCS):
        return
    file = folder / "app.py"
    file.write_text(changed(page, DOCS, file.read_text()))
    with serve() as service:
        for path in re.findall(r'"GET", "(.+?)"', "".join(diffs(page, DOCS))):
            assert status(service, path) == 200, f"{DOCS}: {path}"
        assert status(service, "/protected") == 401, DOCS


def try_routes(page: Sequence[Block], folder: Path, serve: Callable[[], Service]) -> None:
    """Change app.py as a document says; check that the new route is protected, and then open."""
    file = folder / "app.py"
    for heading, (route, expected) in ROUTES.items():
        file.write_text(changed(page, heading, file.read_text()))
        with serve() as service:
            assert status(service, route, with_secret=True) == 200, heading
            assert status(service, route) == expected, heading
            assert status(service, "/healthz") == 200, heading
            for path in ("/", "/protected", "/items", f"{route}/1", "/docs", "/openapi.json", "/schema"):
                assert status(service, path) == 401, f"{heading}: {path}"
            for path in (route, "/protected", "/healthz"):
                assert status(service, path, method="POST") == 401, f"{heading}: POST {path}"


def try_consumer(page: Sequence[Block], folder: Path, serve: Callable[[], Service]) -> None:
    """Change app.py as a document says; check that GET /whoami gives the consumer's name, only with the secret."""
    file = folder / "app.py"
    file.write_text(changed(page, CONSUMER, file.read_text()))
    with serve() as service:
        for consumer in ("acme", None):
            answer = ask(service, "/whoami", with_secret=True, consumer=consumer)
            assert answer.status_code == 200, f"{CONSUMER}: {answer.status_code} {answer.text}"
            assert answer.json() == {"consumer": consumer}, f"{CONSUMER}: {answer.text}"
            denied = ask(service, "/whoami", consumer=consumer).status_code
            assert denied == 401, f"{CONSUMER}: {denied} without the secret"


def try_guarded(page: Sequence[Block], folder: Path, serve: Callable[[], Service]) -> None:
    """Write service.py as a document has it: it answers everybody before the change, and only the gateway after it."""
    found = diffs(page, GUARDED)
    assert len(found) == 1, f"there are {len(found)} diffs under {GUARDED!r}, not one"
    before, after = sides(found[0])
    file = folder / "service.py"
    for code, denied in ((before, 200), (after, 401)):
        file.write_text(code)
        with serve() as service:
            when = f"{GUARDED}, {'before' if code == before else 'after'} the change"
            assert status(service, "/orders", with_secret=True) == 200, f"{when}: with the secret"
            assert status(service, "/orders") == denied, f"{when}: without the secret"
            if code == after:
                assert status(service, "/no/such/path") == 401, f"{when}: an unknown path"
    file.unlink()
