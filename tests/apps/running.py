"""The apps as the tests run them: with which secrets, in which states, and from which folder."""

import secrets
import shutil
from pathlib import Path

from shared.apps import APPS, ROOT
from tests.apps.faults import FAULTS, with_fault
from tests.commands import run
from tests.contract.target import STATES, environ
from tests.markdown import readme_code
from tests.processes import Service, UnloggedService

SECRET = secrets.token_urlsafe(32)
PREVIOUS = 'any text: ünï "$(x)" \\ ;{}#%d <b>, a comma, voilà'  # the last byte is 0xA0, a space in Latin-1
PLAIN = "the-secret-before"
OWN_STATES = STATES | {  # and those that only tests of these apps need
    "crash": STATES["configured"],
    "changing-files": STATES["files"],
    "redirect": {**STATES["configured"], "HTTPS_REDIRECT": "1"},
    "redirect-behind-proxy": {  # one that is none of those that the server itself believes
        **STATES["configured"],
        "HTTPS_REDIRECT": "1",
        "FORWARDED_ALLOW_IPS": "192.0.2.1",
    },
}


def build(
    app: str, state: str, starter: Path | None, folder: Path, programs: Path | None = None, start: str = ""
) -> Service:
    """Return a service, not started, with its log in the folder; it is a copy of the app if the state changes files.

    `starter` is the folder of a copy that was set up as a user sets it up, with its own environment in .venv;
    `programs` is where the programs of another environment are, and `start` another start command, for the shell.
    """
    log, home = folder / "log", starter or APPS[app].folder
    log.touch()
    if state in FAULTS or "SHARED_SECRET_PREVIOUS_FILE" in OWN_STATES[state]:
        home = Path(shutil.copytree(home, folder / app, ignore=shutil.ignore_patterns(".venv")))
        code = home / "app.py"
        code.write_text(with_fault(code.read_text(), state))
    programs = programs or (starter and starter / ".venv" / "bin")
    command = ["sh", "-c", f"exec {start}"] if start else APPS[app].command
    kind = UnloggedService if start else Service
    return kind(app, command, home, environ(OWN_STATES[state], SECRET, previous(app, bool(start))), log, programs)


def previous(app: str, granian: bool) -> str:
    """Return the previous secret of an app; granian gives WSGI apps no header values but ASCII."""
    return PLAIN if granian and APPS[app].interface == "WSGI" else PREVIOUS


def set_up(app: str, folder: Path) -> Path:
    """Copy an app to a folder that is not there yet, and install it; return the folder."""
    run(f"cp -r apps/{app} {folder}; rm -rf {folder}/.env {folder}/.venv", ROOT)
    install(folder)
    return folder


def install(folder: Path) -> None:
    """Do what the README in an app's folder says before the server is started."""
    commands = readme_code(folder, "Run")[0].splitlines()
    run("\n".join(commands[:-1]), folder)
