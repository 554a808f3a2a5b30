"""A copy of the repository, as a person has it who has just cloned it, for commands that change it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from shared.apps import ROOT
from tests.commands import ENVIRON

DEADLINE = 600.0  # seconds for a command; for building images too


class Checkout:
    """A copy of the repository's files in a folder, with what has not been committed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {**ENVIRON, "DOCKER_BUILDKIT": "1"}
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        for path in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
            if (ROOT / path).exists():  # it may have been removed, and not yet committed
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, folder / path)

    def run(self, *command: str, fails: bool = False, **changes: Any) -> str:
        """Run a command, and return everything that it prints."""
        done = subprocess.run(
            command, cwd=self.folder, env={**self.environ, **changes}, timeout=DEADLINE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert bool(done.returncode) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def make(self, *words: str, fails: bool = False, **changes: str) -> str:
        """Run `make`, and return everything that it prints."""
        return self.run("make", *words, fails=fails, **changes)

    def edit(self, app: str, old: str, new: str) -> None:
        """Change a text in an app; what runs stays as it is."""
        path = self.folder / "apps" / app / "app.py"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
