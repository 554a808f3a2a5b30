"""How the contract went for some services, as one HTML page and as JSON; and its tables, in Markdown."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .case import Requirement, Result
from .groups import CASES, GROUPS

Results = dict[str, dict[str, Result]]  # by service, then by name of the case
Versions = Mapping[str, Mapping[str, str]]  # by service: the versions of what it runs on


def as_data(results: Results, versions: Versions) -> dict[str, Any]:
    """Return results as the JSON of the report has them."""
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "services": [{"name": name, "versions": dict(versions[name])} for name in sorted(results)],
        "cases": [
            {"name": case.name, "sends": case.sends, "expects": case.expects, **asdict(case.requirement)}
            for case in CASES
        ],
        "results": {name: {case: asdict(of) for case, of in results[name].items()} for name in sorted(results)},
    }


def write_report(folder: Path, results: Results, versions: Versions) -> None:
    """Write report.json and index.html to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps(as_data(results, versions), indent=1, ensure_ascii=False)
    (folder / "report.json").write_text(data)
    page = Path(__file__).with_name("report.html").read_text()
    (folder / "index.html").write_text(page.replace('"REPORT"', data.replace("<", "\\u003c")))


def requirements_table() -> str:
    """Return what the contract requires, with the number of cases in each group, as a table in Markdown."""
    cases: dict[Requirement, Counter[str]] = {}
    for case in CASES:
        cases.setdefault(case.requirement, Counter())[case.group] += 1
    rows = ["| what is required | where it comes from | cases |", "|---|---|---|"]
    for requirement, groups in cases.items():
        text = requirement.requirement
        if requirement.level == "recommended":
            text += " *Recommended.*"
        rows.append(f"| {text} | {requirement.source} | {', '.join(f'{name} {n}' for name, n in groups.items())} |")
    return "\n".join(rows)


def results_line(results: Results) -> str:
    """Return how many of the cases every service passed, in one line of Markdown."""
    required = {case.name for case in CASES if case.requirement.level == "required"}
    failed = {name: {case for case, of in results[name].items() if of.outcome != "passed"} for name in sorted(results)}
    of_all = f"{len(CASES)} cases, {len(required)} of them required"
    if not any(failed.values()):
        return f"All {len(failed)} pass all {of_all}."
    counts = ", ".join(f"{name} fails {len(cases)}" for name, cases in failed.items() if cases)
    only = "" if any(cases & required for cases in failed.values()) else " What fails is only recommended."
    return f"Of {of_all}, {counts}.{only}"


def results_table(results: Results) -> str:
    """Return how many of the cases of each group every service passed, as a table in Markdown."""
    names = sorted(results)
    rows = [f"| | {' | '.join(names)} |", f"|---{'|---' * len(names)}|"]
    for group in GROUPS:
        cells = []
        for name in names:
            outcomes = [of.outcome for case, of in results[name].items() if case.startswith(f"{group}/")]
            cells.append(f"{outcomes.count('passed')} of {len(outcomes)}")
        rows.append(f"| {group} | {' | '.join(cells)} |")
    return "\n".join(rows)
