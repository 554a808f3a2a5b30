"""Run the check with the inputs of the action, which are in the environment; GITHUB_OUTPUT gets the report's path."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))  # not the folder that a workflow runs in

from contract.__main__ import main

PREFIX = "INPUT_"


def arguments(environ: Mapping[str, str], report: Path) -> list[str]:
    """Return the arguments of the command; of the inputs that are empty, only `open` means something."""
    names = sorted(name for name in environ if name.startswith(PREFIX))
    inputs = {name.removeprefix(PREFIX).lower().replace("_", "-"): environ[name] for name in names}
    url = inputs.pop("url")
    inputs["report"] = str(report)
    return ["check", *(f"--{name}={value}" for name, value in inputs.items() if value or name == "open"), "--", url]


def run(environ: Mapping[str, str]) -> int:
    """Run the check, and return its exit status."""
    report = Path(environ.get(f"{PREFIX}REPORT") or Path(environ["RUNNER_TEMP"], "origin-guard.xml")).absolute()
    with Path(environ["GITHUB_OUTPUT"]).open("a") as output:
        output.write(f"report={report}\n")
    return int(main(arguments(environ, report)))


if __name__ == "__main__":
    sys.exit(run(os.environ))
