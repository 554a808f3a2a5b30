"""What an error reporter sends: the secret is in none of it where the README's recipe is followed."""

import gzip
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import requests

from tests.apps.grown import HEADER, grow, grown_service
from tests.apps.running import SECRET
from tests.contract.waiting import wait_until

DEADLINE = 30.0  # seconds
WRAP = """
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
app = SentryWsgiMiddleware(app)
"""
LEAKS = {"falcon", "cherrypy", "pyramid", "litestar"}  # without the recipe


class Reporting(HTTPServer):
    """A server that takes what Sentry's SDK sends, and keeps it."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    """Takes one report, which the SDK has compressed."""

    server: Reporting

    def do_POST(self) -> None:
        """Keep it, and answer 200."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.reports.append(gzip.decompress(body).decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Reporting]:
    """Give a running server for reports."""
    with Reporting() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def reported(app: str, folder: Path, recipe: bool) -> str:
    """Return what is reported of a route that raises, with the README's recipe or with the SDK's defaults."""
    folder.mkdir()
    file = grow(app, folder / "home", "Report errors") / "app.py"
    code = file.read_text() + (WRAP if app == "cherrypy" else "")  # a framework that the SDK does not know
    assert re.search(r"sentry_sdk.init\(.+\)", code)
    if not recipe:
        code = re.sub(r"sentry_sdk.init\(.+\)", "sentry_sdk.init()", code).replace("ignore_logger(", "str(")
    file.write_text(code)
    service = grown_service(app, "crash", file.parent, folder)
    with receiving() as server:
        service.environ["SENTRY_DSN"] = f"http://key@127.0.0.1:{server.server_port}/1"
        with service:
            for agent in ("the-first-agent", "the-last-agent"):
                fields = {HEADER: SECRET, "User-Agent": agent}
                assert requests.get(f"{service.url}/protected", headers=fields, timeout=DEADLINE).status_code == 500
            # Reports are sent in their order: all about the first request, then those about the last.
            assert wait_until(lambda: "the-last-agent" in "".join(server.reports), DEADLINE), service.tail()
        return "".join(server.reports)


def test_sentry(app: str, tmp_path: Path) -> None:
    """The secret is in no report; without the recipe it is in those of all but one app."""
    with ThreadPoolExecutor() as pool:
        begun = {recipe: pool.submit(reported, app, tmp_path / str(recipe), recipe) for recipe in (True, False)}
    for recipe, future in begun.items():
        reports = future.result()
        assert "KeyError" in reports
        assert "the-first-agent" in reports
        assert (SECRET in reports) == (not recipe and app in LEAKS)
