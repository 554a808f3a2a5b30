"""Variants of an app: as it is, without its check, with the check that is published; and on every server."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.apps import APPS, GRANIAN, GUNICORN, UVICORN
from tests.apps.faults import with_fault

Edits = Mapping[str, Sequence[tuple[str, str]]]  # by the name of a file: what stands there, and what replaces it


class BenchError(Exception):
    """What is measured does not behave as the bench needs; the text says what to do about it."""


WITHOUT: dict[str, list[tuple[str, str]]] = {  # the same app, with no check at all
    "cherrypy": [  # what its request class does besides stays: malformed requests are answered with 400
        ('environ.setdefault("app.denial", rule.check(environ.pop(FIELD, None)))', "None"),
        ("        self.header_list = [h for h in self.header_list if h[0] != HEADER.upper()]\n", ""),
        ('        path = environ.get("RAW_URI", self.script_name + self.path_info)\n', ""),
        ('if denial and (self.method, path.partition("?")[0]) not in OPEN:', "if denial:"),
    ],
    "falcon": [("falcon.App(middleware=[GatewayOnly()], independent_middleware=False)", "falcon.App()")],
    "fastapi": [("Origin(dependencies=[Security(APIKeyHeader(name=HEADER, auto_error=False))])", "FastAPI()")],
    "litestar": [("app = Origin(", "app = Litestar(")],
    "pyramid": [("    router.unguarded, router.execution_policy = router.execution_policy, gateway_only\n", "")],
}
UNDOCUMENTED = {"fastapi": [(edit[0], "Origin()") for edit in WITHOUT["fastapi"]]}  # the schema has no header
CONSTANT = ("OPEN = {", 'SECRET = __import__("os").environ["SHARED_SECRET"]\nOPEN = {')
# On top of that: the shortest check of the kind that the framework's documents and its users publish, in our words.
# It protects one path and does not compare in constant time.
PUBLISHED: dict[str, list[tuple[str, str]]] = {
    "cherrypy": [  # a tool
        CONSTANT,
        (
            "class Root:\n",
            '@cherrypy.tools.register("before_handler")\ndef from_gateway():\n'
            "    if cherrypy.request.headers.get(HEADER) != SECRET:\n        raise cherrypy.HTTPError(401)\n\n\n"
            "class Root:\n",
        ),
        ("    def protected(", "    @cherrypy.tools.from_gateway()\n    def protected("),
    ],
    "falcon": [  # a hook
        CONSTANT,
        (
            "class Protected:\n",
            "def from_gateway(req, resp, resource, params):\n"
            "    if req.get_header(HEADER) != SECRET:\n        raise falcon.HTTPUnauthorized\n\n\n"
            "class Protected:\n    @falcon.before(from_gateway)\n",
        ),
    ],
    "fastapi": [  # a dependency
        CONSTANT,
        ("from fastapi import FastAPI,", "from fastapi import Depends, FastAPI, Header, HTTPException,"),
        (
            '@app.get("/protected")\n',
            "async def from_gateway(sent: str = Header(alias=HEADER)) -> None:\n"
            "    if sent != SECRET:\n        raise HTTPException(401)\n\n\n"
            '@app.get("/protected", dependencies=[Depends(from_gateway)])\n',
        ),
    ],
    "litestar": [  # a guard; one without `async` would cost a change of threads
        CONSTANT,
        ("import uvicorn\n", "import uvicorn\nfrom litestar.exceptions import NotAuthorizedException\n"),
        (
            '@get("/protected")\n',
            "async def from_gateway(connection, handler):\n"
            "    if connection.headers.get(HEADER) != SECRET:\n        raise NotAuthorizedException\n\n\n"
            '@get("/protected", guards=[from_gateway])\n',
        ),
    ],
    "pyramid": [  # in the view
        CONSTANT,
        ("import HTTPError,", "import HTTPError, HTTPUnauthorized,"),
        (
            '    return {"message"',
            '    if request.headers.get(HEADER) != SECRET:\n        raise HTTPUnauthorized\n    return {"message"',
        ),
    ],
}
WSGI, ASGI = "WSGI", "ASGI"
QUIET: dict[str, Edits] = {  # by interface
    WSGI: {"gunicorn.conf.py": [('accesslog, access_log_format = "-"', "accesslog, access_log_format = None")]},
    ASGI: {"app.py": [('uvicorn.run("app:app"', 'uvicorn.run("app:app", access_log=False')]},
}

ADDRESS = "--host $HOST --port $PORT"
WORKERS = "--workers ${WEB_CONCURRENCY:-1}"
GUNICORN_LOG = """--access-logfile - --access-logformat '%(h)s "%(r)s" %(s)s'"""  # by default also fields of clients
HYPERCORN = f"hypercorn --bind $HOST:$PORT {WORKERS}"


@dataclass(frozen=True)
class Server:
    """A server and one way to run it: a command, and the options for an access log and for none."""

    interface: str
    name: str
    command: str
    access_log: str = ""
    no_access_log: str = ""

    def words(self, logged: bool) -> list[str]:
        """Return the words of the command, with an access log or without."""
        return ["sh", "-c", f"exec {self.command} {self.access_log if logged else self.no_access_log}"]

    def is_shipped(self, app: str) -> bool:
        """Return whether an app is started like this."""
        return self.command == APPS[app].start


SERVERS = [
    Server(WSGI, "gunicorn, gevent", GUNICORN),
    Server(WSGI, "gunicorn, threads", "gunicorn --worker-class gthread --threads 8"),
    Server(WSGI, "granian", f"{GRANIAN} wsgi {ADDRESS} {WORKERS} app:app"),
    Server(WSGI, "hypercorn", f"{HYPERCORN} wsgi:app:app", "--access-logfile -"),
    Server(WSGI, "waitress", f"waitress-serve {ADDRESS} --threads 8 app:app"),
    Server(WSGI, "CherryPy's own", "python -m cheroot --bind $HOST:$PORT --threads 8 app:app"),
    Server(ASGI, "uvicorn, h11", UVICORN),
    Server(ASGI, "uvicorn, httptools", f"uvicorn {ADDRESS} --http httptools app:app", "", "--no-access-log"),
    Server(ASGI, "uvicorn, zttp", f"uvicorn {ADDRESS} --http zttp app:app", "", "--no-access-log"),
    Server(ASGI, "gunicorn, asgi", f"{GUNICORN} --bind $HOST:$PORT --worker-class asgi app:app", GUNICORN_LOG),
    Server(ASGI, "granian", f"{GRANIAN} asgi {ADDRESS} {WORKERS} app:app"),
    Server(ASGI, "hypercorn", f"{HYPERCORN} --worker-class uvloop app:app", "--access-logfile -"),
]


def servers(app: str) -> list[Server]:
    """Return the servers that can run an app."""
    return [server for server in SERVERS if server.interface == APPS[app].interface]


def copy(app: str, folder: Path, *, edits: Edits, quiet: bool = False, state: str = "") -> Path:
    """Copy an app to a folder, edit it, turn off its access log if `quiet`, and put in the fault of a state.

    Returns the folder of the copy; an edit of text that is not there exactly once is a BenchError.
    """
    home = Path(shutil.copytree(APPS[app].folder, folder / app, ignore=shutil.ignore_patterns(".venv", ".env")))
    changes = [*edits.items(), *(QUIET[APPS[app].interface].items() if quiet else ())]
    for name, replacements in changes:
        text = (home / name).read_text()
        for old, new in replacements:
            if text.count(old) != 1:
                raise BenchError(
                    f"apps/{app}/{name} should contain this exactly once: {old!r}. Fix tests/bench/variants.py."
                )
            text = text.replace(old, new)
        (home / name).write_text(text)
    code = home / "app.py"
    code.write_text(with_fault(code.read_text(), state))
    return home
