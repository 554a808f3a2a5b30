"""What is known of each app, in one place: `APPS`. `python -m shared.apps` prints it for make.

Only the standard library, and any Python 3: make reads it before it has set anything up.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
HOST, PORT = "127.0.0.1", 8000  # where an app listens unless the environment says otherwise
ORIGIN = f"http://{HOST}:{PORT}"
VENV = (  # the command that makes an environment
    """python3 -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Too old: name Python 3.11 or newer.")'"""
    " && python3 -m venv .venv"
)


class App(NamedTuple):
    """One app; `name` is its folder in apps/, its make targets and its path at the gateway."""

    name: str
    title: str  # the framework's name as people write it
    port: int  # of `make run`
    interface: str  # WSGI or ASGI
    server: str  # what runs it, in words
    start: str  # the command that serves it, in its folder and its environment
    check: str  # where the check is plugged in, in words
    on_granian: bool = (
        True  # it meets there what is required behind a gateway, but for a log; CherryPy's HTTP/1.0 gets 500
    )

    @property
    def command(self) -> "list[str]":
        """The words of the start command."""
        return self.start.split()

    @property
    def folder(self) -> Path:
        """Its folder in this repository."""
        return ROOT / "apps" / self.name

    @property
    def granian(self) -> str:
        """The command that serves it on granian instead, for the shell, or an empty text."""
        options = '--host "${HOST:-%s}" --port "${PORT:-%s}" --workers "${WEB_CONCURRENCY:-1}"' % (HOST, PORT)  # noqa: UP031
        return f"{GRANIAN} {self.interface.lower()} {options} app:app" if self.on_granian else ""

    @property
    def gives_up(self) -> str:
        """One line on what granian is not for."""
        return f"{GIVES_UP} apps/{self.name}/README.md says what it gives up."

    def packages(self) -> "dict[str, str]":
        """Return the pinned versions of what its pyproject.toml depends on, by the names that stand there."""
        import tomllib  # which a Python that is too old for the apps does not have

        dependencies = tomllib.loads((self.folder / "pyproject.toml").read_text())["project"]["dependencies"]
        named = [re.split(r"[<>=!~; ]", dependency)[0] for dependency in dependencies]
        locked = (self.folder / "requirements.txt").read_text()
        pins = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", locked, re.MULTILINE))
        return {name: pins[name.partition("[")[0]] for name in named}


def require_python() -> None:
    """Exit with a sentence if this Python is too old for the apps."""
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit(f"This needs Python 3.11 or newer, and was started with {sys.version.split()[0]}.")


GUNICORN, UVICORN = "gunicorn", "python app.py"
# An interface, and where it listens, come after it.
GRANIAN = "granian --http 1 --respawn-failed-workers --workers-kill-timeout 20 --interface"
GIVES_UP = "Run granian only behind a gateway that normalises requests and alone can reach the apps."
APPS = {
    app.name: app
    for app in (
        App("falcon", "Falcon", 8001, "WSGI", "gunicorn, gevent", GUNICORN, "middleware, `process_request`"),
        App("fastapi", "FastAPI", 8002, "ASGI", "uvicorn, h11 and uvloop", UVICORN, "`__call__` of a subclass"),
        App("cherrypy", "CherryPy", 8003, "WSGI", "gunicorn, gevent", GUNICORN, "request class", False),
        App("pyramid", "Pyramid", 8004, "WSGI", "gunicorn, gevent", GUNICORN, "execution policy, wrapped"),
        App("litestar", "Litestar", 8005, "ASGI", "uvicorn, h11 and uvloop", UVICORN, "`__call__` of a subclass"),
    )
}  # fmt: skip


if __name__ == "__main__":  # python -m shared.apps [FIELD APP]: the names of all apps, or one field of one app
    require_python()
    print(getattr(APPS[sys.argv[2]], sys.argv[1]) if sys.argv[1:] else " ".join(APPS))
