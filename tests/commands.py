"""Run commands as a person would who types them."""

import os
import subprocess
import sys
from pathlib import Path

from tests.processes import end, spawn

PATIENCE = 600.0  # seconds that commands have; some install what they need
PROGRAMS = Path(sys.base_prefix) / "bin"  # with this Python as python3
NO_PROXY = {  # for what runs here
    name: ",".join(filter(None, (os.environ.get(name), "127.0.0.1"))) for name in ("NO_PROXY", "no_proxy")
}
ENVIRON = {  # as a person has it, without what make adds
    **{name: value for name, value in os.environ.items() if "MAKE" not in name},
    "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
    **NO_PROXY,
}


def run(commands: str, folder: Path, **changes: str) -> str:
    """Run shell commands in a folder, and return what they print; the first that fails ends it with AssertionError."""
    process = spawn(["sh", "-e", "-c", commands], folder, {**ENVIRON, **changes}, subprocess.PIPE, subprocess.PIPE)
    try:
        out, err = (
            output.decode(errors="replace").replace("\r\n", "\n") for output in process.communicate(timeout=PATIENCE)
        )
    finally:
        end(process)
    assert not process.returncode, f"status {process.returncode} of\n{commands}\n{out}{err}"
    return out
