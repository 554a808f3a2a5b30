"""The apps as people let them grow: copies with everything that GROW.md adds, and requests for that."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from shared.apps import APPS, ROOT
from shared.documents import sections
from tests.apps.running import build
from tests.commands import run
from tests.contract import http1
from tests.markdown import Block, apply, blocks
from tests.processes import Service

HEADER = "X-Origin-Verify"  # grown apps get the secret in another field, so that this is tried too
request = partial(http1.request, host=b"Host: a.test")
OK, WRONG, NO_FAILURE = range(200, 300), range(400, 500), range(200, 500)
OPENING = "Open a route on purpose"
JSON, FORM, PARTS = b"application/json", b"application/x-www-form-urlencoded", b"multipart/form-data"


def recipes(app: str, section: str = "") -> list[Block]:
    """Return the code blocks of a section of the README, or those of GROW.md and what opens a route.

    Each is a diff of app.py, or commands.
    """
    readme = sections((APPS[app].folder / "README.md").read_text())
    text = f"## {OPENING}\n{readme[OPENING]}{(APPS[app].folder / 'GROW.md').read_text()}"
    found = blocks(readme[section] if section else text)
    assert {block.language for block in found} <= {"diff", "sh"}, f"{app}: {section} has other code blocks too"
    return found


def grow(app: str, folder: Path, section: str = "") -> Path:
    """Copy an app to a folder that is not there yet, do all that GROW.md or a section says, and return the folder.

    The diffs are applied to app.py in their order, and the commands run in the copy; its .venv has every package that
    a section asks for.
    """
    shutil.copytree(APPS[app].folder, folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    (folder / ".venv").symlink_to(ROOT / ".venv" / "grown")
    code = folder / "app.py"
    for block in recipes(app, section):
        if block.language == "diff":
            code.write_text(apply(block.code, code.read_text()))
        else:
            run(block.code, folder)
    return folder


def grown_service(app: str, state: str, home: Path, folder: Path) -> Service:
    """Return the service of a grown copy in a state, not started, with its log in the folder."""
    service = build(app, state, home, folder)
    service.environ["SHARED_SECRET_HEADER"] = HEADER
    return service


def post(path: str, kind: bytes, body: bytes) -> bytes:
    """Return a request with a body of some media type."""
    return request(path, b"Content-Type: " + kind, b"Content-Length: %d" % len(body), method="POST", body=body)


def upload(kind: bytes, size: int = 1, name: bytes = b"file", part: bytes = b"application/octet-stream") -> bytes:
    """Return a request with a file of some size, as a browser would send it."""
    head = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.bin"\r\nContent-Type: %s\r\n\r\n'
    return post("/upload", kind, head % (name, part) + b"x" * size + b"\r\n--x--\r\n")


# A request; with the secret, the range of its status, and the JSON or a part of its body.
ADDED: dict[str, tuple[bytes, range, Any]] = {
    "json": (post("/json", JSON, b'{"name": "x"}'), OK, {"name": "x"}),
    "path": (request("/things/7"), OK, {"thing": 7}),
    "form": (post("/form", FORM, b"name=x"), OK, {"name": "x"}),
    "upload": (upload(PARTS + b"; boundary=x", 1_000_000), OK, {"size": 1_000_000}),
    "stream": (request("/stream"), OK, b"0\n1\n2\n"),
    "static": (request("/static/hello.txt"), OK, b"hello"),
    "sub": (request("/sub/hello"), OK, {"message": "hello"}),
    "sub-healthz": (request("/sub/healthz"), OK, b""),
    "metrics": (request("/metrics"), OK, b"ok"),
    "own-exception": (request("/sold-out"), range(409, 410), b"old out"),
    "http-error": (request("/bad"), range(400, 401), b"name is required"),
    "second-open-path": (post("/version", JSON, b"{}"), range(404, 406), b""),
}
MALFORMED = {
    "path": request("/things/x"),
    "half-json": post("/json", JSON, b"{"),
    "json-not-utf-8": post("/json", JSON, b'{"name": "\xff"}'),
    "json-without-name": post("/json", JSON, b"{}"),
    "json-of-another-type": post("/json", JSON, b'{"name": {}}'),
    "json-no-object": post("/json", JSON, b"[1]"),
    "json-empty": post("/json", JSON, b""),
    "form-without-name": post("/form", FORM, b"a=b"),
    "upload-without-boundary": upload(PARTS),
    "upload-of-another-name": upload(PARTS + b"; boundary=x", name=b"other"),
    "upload-cut-off": post("/upload", PARTS + b"; boundary=x", b"--x\r\nContent-Disp"),
}
ODD = {  # a framework may take these as they are meant
    "json-charset": post("/json", JSON + b"; charset=nope", b'{"name": "x"}'),
    "json-as-text": post("/json", b"text/plain", b'{"name": "x"}'),
    "json-without-type": request("/json", b"Content-Length: 13", method="POST", body=b'{"name": "x"}'),
    "form-charset": post("/form", FORM + b"; charset=nope", b"name=x"),
    "form-bytes": post("/form", FORM, b"name=%ff\xff&a"),
    "form-as-parts": post("/form", PARTS, b"name=x"),
    "upload-charset": upload(PARTS + b"; boundary=x; charset=nope"),
    "upload-part-charset": upload(PARTS + b"; boundary=x", part=b"text/plain; charset=nope"),
    "upload-as-form": upload(FORM),
    "static-nul": request("/static/%00"),
    "static-not-utf-8": request("/static/%ff"),
    "static-above": request("/static/../app.py"),
    "sub-unknown": request("/sub/nope"),
}
