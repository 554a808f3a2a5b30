"""How the contract went for some services, as one HTML page and as JSON; and its tables, in Markdown."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from . import VERSION
from .case import Case, Each, Exchange, Requirement, Result, Trial, printable
from .groups import CASES, GROUPS
from .target import SECRET, Instance, NotCheckedError, Target

Results = dict[str, dict[str, Result]]  # by service, then by name of the case
Versions = Mapping[str, Mapping[str, str]]  # by service: the versions of what it runs on


def as_data(results: Results, versions: Versions, level: str = "internet") -> dict[str, Any]:
    """Return results as the JSON of the report has them; `level` says who can reach the services."""
    return {
        "contract": VERSION,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "services": [{"name": name, "versions": dict(versions[name])} for name in sorted(results)],
        "cases": [
            {
                "name": case.name,
                "sends": case.sends,
                "expects": case.expects,
                **asdict(case.requirement),
                "level": case.requirement.level_at(level),
            }
            for case in CASES
        ],
        "results": {name: {case: asdict(of) for case, of in results[name].items()} for name in sorted(results)},
    }


def write_report(folder: Path, results: Results, versions: Versions) -> None:
    """Write report.json and index.html to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    data = as_data(results, versions)
    (folder / "report.json").write_text(as_json(data))
    (folder / "index.html").write_text(as_html(data))


def write_report_to(path: Path, service: str, results: Mapping[str, Result], level: str) -> None:
    """Write how the contract went for one service to a file, in the form that the ending of its name says."""
    if path.suffix == ".xml":
        text = as_junit(service, results, level)
    else:
        data = as_data({service: dict(results)}, {service: {}}, level)
        text = as_html(data) if path.suffix == ".html" else as_json(data)
    path.write_text(text, encoding="utf-8")


def as_json(data: dict[str, Any]) -> str:
    """Return a report as JSON."""
    return json.dumps(data, indent=1, ensure_ascii=False)


def as_html(data: dict[str, Any]) -> str:
    """Return a report as a page."""
    page = Path(__file__).with_name("report.html").read_text()
    return page.replace('"REPORT"', as_json(data).replace("<", "\\u003c"))


def as_junit(service: str, results: Mapping[str, Result], level: str = "internet") -> str:
    """Return how the contract went as JUnit XML; what is only recommended is skipped there, with what it found."""
    cases = {case.name: case for case in CASES}
    name = f"{service}: the contract, version {VERSION}, {len(results)} of {len(CASES)} cases"
    suite = ElementTree.Element("testsuite", name=name, tests=str(len(results)), errors="0")
    counts: Counter[str] = Counter()
    for name, result in results.items():
        group, _, what = name.partition("/")
        element = ElementTree.SubElement(suite, "testcase", classname=group, name=what)
        if result.outcome == "passed":
            continue
        required = cases[name].requirement.level_at(level) == "required"
        kind = "failure" if result.outcome == "failed" and required else "skipped"
        about = "; ".join(result.problems) or result.reason
        message = about if kind == "failure" else f"{result.outcome}: {about}"
        child = ElementTree.SubElement(element, kind, message=printable(message))
        if result.outcome != "not checked":
            child.text = printable(result.describe(cases[name]))
        counts[kind] += 1
    suite.set("failures", str(counts["failure"]))
    suite.set("skipped", str(counts["skipped"]))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def digest() -> str:
    """Return what changes with the cases: their names, what they send and expect, and what is required."""
    whole = json.dumps([facts(case) for case in CASES], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def facts(case: Case) -> list[object]:
    """Return what makes a case what it is, as far as that is data."""
    of = case.requirement
    found: list[object] = [case.name, of.requirement, of.level, of.normalised, case.sends]
    match case:
        case Exchange(state=state, expected=expected, sent=sent):
            sents = {"": sent}
        case Trial(function=Each(state=state, expected=expected) as trial):
            try:
                sents = dict(trial.requests(Target("any", nowhere, SECRET)))
            except NotCheckedError:  # it depends on the service
                sents = {}
        case _:
            return found
    codes = [code for code in range(100, 600) if code in expected.status]
    requests = {name: sent.decode("latin-1") for name, sent in sents.items()}
    return [*found, state, codes, expected.words, expected.or_none, expected.grants, requests]


def nowhere(state: str) -> Instance:
    """Start no instance."""
    raise NotCheckedError(f"It needs a service in the state {state}.")


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
    failed = {
        name: {case for case, of in results[name].items() if of.outcome in ("failed", "known")}
        for name in sorted(results)
    }
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
            unchecked = outcomes.count("not checked")
            cells.append(f"{outcomes.count('passed')} of {len(outcomes) - unchecked}")
        rows.append(f"| {group} | {' | '.join(cells)} |")
    return "\n".join(rows)
