"""How the contract went, as one HTML page and as JSON, and the parts of the README that are made from both."""

import json
import platform
import re
import tomllib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from case import Result
from contract import CASES
from service import ROOT

Results = dict[str, dict[str, Result]]


def versions(app: str) -> dict[str, str]:
    """Return the pinned versions of what an app depends on, framework and server, and that of Python."""
    folder = ROOT / "apps" / app
    named = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", (folder / "requirements.txt").read_text(), re.MULTILINE))
    packages = [re.split(r"[^\w.-]", each)[0] for each in named]
    return {package: pins[package] for package in packages} | {"Python": platform.python_version()}


def as_data(results: Results) -> dict[str, Any]:
    """Return results as the JSON of the report has them."""
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "services": [{"name": app, "versions": versions(app)} for app in sorted(results)],
        "cases": [{"name": case.name, "sends": case.sends, **asdict(case.requirement)} for case in CASES],
        "results": {app: {name: asdict(result) for name, result in each.items()} for app, each in results.items()},
    }


def write_report(folder: Path, results: Results) -> None:
    """Write report.json and index.html to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps(as_data(results), indent=1, ensure_ascii=False)
    (folder / "report.json").write_text(data)
    page = Path(__file__).with_name("report.html").read_text()
    (folder / "index.html").write_text(page.replace('"REPORT"', data.replace("<", "\\u003c")))
