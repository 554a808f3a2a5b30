"""Copy an app to a new folder: make new FROM=falcon TO=../my-api."""

import re
import secrets
import shlex
import shutil
import signal
import sys
from pathlib import Path

from shared.apps import APPS, ROOT, App, require_python

USAGE = "make new FROM=falcon TO=../my-api"
COPIES = {  # what is the same in every app of an interface: `make sync` copies it
    "WSGI": (".dockerignore", ".gitignore", "gunicorn.conf.py", "shared_secret.py", "worker.py"),
    "ASGI": (".dockerignore", ".gitignore", "shared_secret.py"),
}
FILES = (  # what each app has of its own
    "app.py",
    "Dockerfile",
    "GROW.md",
    "pyproject.toml",
    "README.md",
    "requirements-dev.txt",
    "requirements.txt",
    "test_app.py",
)
NAMED = (  # files with the app's name in them
    "pyproject.toml",
    "README.md",
    "requirements-dev.txt",
    "requirements-granian.txt",
    "requirements.txt",
)
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def files(app: App) -> list[Path]:
    """Return the files that an app consists of; its folder may hold others, which are not copied."""
    names = (*FILES, *COPIES[app.interface], *(["requirements-granian.txt"] if app.granian else []))
    return [app.folder / name for name in names]


def new(source: str, target: str, python: str = "python3") -> str:
    """Create the folder `target` from the app `source`, completely or not at all; return the commands to run next.

    They use the program `python`.
    """
    if source not in APPS:
        sys.exit(f"FROM={source}: there is no such app. Choose one of {', '.join(APPS)}: {USAGE}")
    if not target:
        sys.exit(f"TO= is missing: name the new folder, as in {USAGE}")
    folder = Path(target).expanduser().resolve()
    name = re.sub(r"[-_.]+", "-", folder.name).lower()  # a valid name for packages and images
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
        sys.exit(f"TO={target}: this name does not suit a project. Use letters, digits and dashes: {USAGE}")
    if folder.is_relative_to(ROOT):
        sys.exit(f"TO={target}: this folder is inside origin-guard itself, {ROOT}. Name one outside: {USAGE}")
    if not folder.parent.is_dir():
        sys.exit(f"TO={target}: there is no folder {folder.parent} to create it in. Create that first.")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        sys.exit(f"TO={target}: this exists already and is not an empty folder. Nothing was changed.")

    draft = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    try:
        draft.mkdir()
        for file in files(APPS[source]):
            shutil.copy(file, draft)
        for file in filter(Path.exists, (draft / name for name in NAMED)):
            file.write_text(file.read_text().replace(f"origin-guard-{source}", name))
        (draft / ".env").touch(0o600)
        (draft / ".env").write_text(f"SHARED_SECRET={secrets.token_urlsafe(32)}\n")
        if folder.exists():
            shutil.copymode(folder, draft)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # the copy is complete, so keep it
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return f"""{target} is a copy of apps/{source} named {name}, with a new secret in its .env. Next, run:

  cd {shlex.quote(str(folder))} && {python} -m venv .venv && .venv/bin/pip install --require-hashes -r requirements.txt
  (set -a; . ./.env; exec .venv/bin/{APPS[source].start})

Its README.md says how to go on, and how to run its tests.
"""


if __name__ == "__main__":
    require_python()
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        print(new(*sys.argv[1:]), end="")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: nothing was created.")
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ names a user without a home
        sys.exit(f"{error}. Nothing was created.")
