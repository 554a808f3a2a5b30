"""Copy an app to a folder of its own: make new FROM=falcon TO=../my-api."""

import re
import secrets
import shlex
import shutil
import signal
import sys
from pathlib import Path

from shared.apps import APPS, ROOT

USAGE = "make new FROM=falcon TO=../my-api"
FILES = (
    *(".gitignore", "app.py", "Dockerfile", "gunicorn.conf.py", "pyproject.toml", "README.md", "requirements.txt"),
    "shared_secret.py",
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def files(app: Path) -> list[Path]:
    """Return the files that an app's folder is made of; others may lie there, and are of whoever put them there."""
    return [app / name for name in FILES]


def new(source: str, target: str) -> str:
    """Make the folder `target` from the app `source`, whole or not at all; return what to do next, in two commands."""
    if source not in APPS:
        sys.exit(f"FROM={source}: there is no such app. Choose one of {', '.join(APPS)}: {USAGE}")
    if not target:
        sys.exit(f"TO= is missing: name the new folder, as in {USAGE}")
    folder = Path(target).expanduser().resolve()
    name = re.sub(r"[-_.]+", "-", folder.name).lower()  # as packages and images are named
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
        sys.exit(f"TO={target}: a project cannot have the folder's name. Use letters, digits and dashes: {USAGE}")
    if folder.is_relative_to(ROOT):
        sys.exit(f"TO={target}: this is in the folder of origin-guard itself, {ROOT}. Name one outside: {USAGE}")
    if not folder.parent.is_dir():
        sys.exit(f"TO={target}: there is no folder {folder.parent} to put it into. Make it first.")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        sys.exit(f"TO={target}: this is there already, and not an empty folder. Nothing was changed.")

    draft = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    try:
        draft.mkdir()
        for file in files(APPS[source].folder):
            shutil.copy(file, draft)
        for file in (draft / "pyproject.toml", draft / "README.md"):
            file.write_text(file.read_text().replace(f"origin-guard-{source}", name))
        (draft / ".env").touch(0o600)
        (draft / ".env").write_text(f"SHARED_SECRET={secrets.token_urlsafe(32)}\n")
        if folder.exists():
            shutil.copymode(folder, draft)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # it is whole now, and is not taken back
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return f"""{target} is a copy of apps/{source} named {name}, with a fresh secret in its .env. Go on with:

  cd {shlex.quote(str(folder))} && python3 -m venv .venv && .venv/bin/pip install --require-hashes -r requirements.txt
  (set -a; . ./.env; exec .venv/bin/{APPS[source].start})
"""


if __name__ == "__main__":
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        print(new(*sys.argv[1:]), end="")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: nothing was made.")
    except (OSError, RuntimeError) as error:  # the latter where nobody has the home that ~ names
        sys.exit(f"{error}. Nothing was made.")
