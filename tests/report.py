"""How the contract went, as one HTML page and as JSON, and the parts of the README that are made from both."""

import json
import platform
import re
import tomllib
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from case import Requirement, Result
from contract import CASES, GROUPS
from service import APPS, ROOT

Results = dict[str, dict[str, Result]]


def versions(app: str) -> dict[str, str]:
    """Return the pinned versions of what an app depends on, by the names that it asks for, and that of Python."""
    folder = ROOT / "apps" / app
    named = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", (folder / "requirements.txt").read_text(), re.MULTILINE))
    packages = [re.split(r"[<>=!~; ]", each)[0] for each in named]
    return {name: pins[name.partition("[")[0]] for name in packages} | {"Python": platform.python_version()}


def as_data(results: Results) -> dict[str, Any]:
    """Return results as the JSON of the report has them."""
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "services": [{"name": app, "versions": versions(app)} for app in sorted(results)],
        "cases": [
            {"name": case.name, "sends": case.sends, "expects": case.expects, **asdict(case.requirement)}
            for case in CASES
        ],
        "results": {app: {name: asdict(result) for name, result in results[app].items()} for app in sorted(results)},
    }


def write_report(folder: Path, results: Results) -> None:
    """Write report.json and index.html to a folder, and the README's tables if every app was asked everything."""
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps(as_data(results), indent=1, ensure_ascii=False)
    (folder / "report.json").write_text(data)
    page = Path(__file__).with_name("report.html").read_text()
    (folder / "index.html").write_text(page.replace('"REPORT"', data.replace("<", "\\u003c")))
    if is_whole(results):
        readme = ROOT / "README.md"
        readme.write_text(with_tables(readme.read_text(), json.loads(data)))


def is_whole(results: Results) -> bool:
    """Return whether every case was put to every app."""
    return all(len(results.get(app, ())) == len(CASES) for app in APPS)


def contract_table() -> str:
    """Return what the contract requires, with the number of cases in each group, as a table in Markdown."""
    cases: dict[Requirement, Counter[str]] = {}
    for case in CASES:
        cases.setdefault(case.requirement, Counter())[case.group] += 1
    rows = ["| what is required | where it comes from | cases |", "|---|---|---|"]
    for requirement, groups in cases.items():
        words = requirement.requirement + " *Recommended.*" * (requirement.level == "recommended")
        rows.append(f"| {words} | {requirement.source} | {', '.join(f'{name} {n}' for name, n in groups.items())} |")
    return "\n".join(rows)


def results_table(data: dict[str, Any]) -> str:
    """Return how many of the cases of each group every service of a report passed, as a table in Markdown."""
    results = data["results"]
    rows = [f"| | {' | '.join(results)} |", f"|---{'|---' * len(results)}|"]
    for group in GROUPS:
        of_group = [
            [each["outcome"] for name, each in outcomes.items() if name.startswith(f"{group}/")]
            for outcomes in results.values()
        ]
        cells = [f"{outcomes.count('passed')} of {len(outcomes)}" for outcomes in of_group]
        rows.append(f"| {group} | {' | '.join(cells)} |")
    return "\n".join(rows)


def with_tables(readme: str, data: dict[str, Any]) -> str:
    """Return the README with the tables that are made from the contract and from a report."""
    return between(between(readme, "contract", contract_table()), "results", results_table(data))


def between(readme: str, name: str, made: str) -> str:
    """Return the README with what was made put between the two marks that have a name."""
    place = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    assert place.search(readme), f"README.md has no place for <!-- {name}: ... -->"
    return place.sub(lambda found: f"{found[1]}{made}\n{found[2]}", readme)
