"""Run the cases against a service, and say how each went."""

import argparse
import os
import signal
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from . import VERSION
from .case import Case, Result
from .groups import CASES
from .options import called, with_value, wrong
from .report import write_report_to
from .target import LimitedError, Target

SILENT_AT_MOST = 3  # cases in a row without an answer
MARKS = {"passed": "ok  ", "failed": "FAIL", "known": "know", "not checked": "--  "}
UNSEEN = (
    "What a request cannot show: whether the comparison takes constant time, where the secret is stored, "
    "and who can reach the service without the gateway."
)

Results = list[tuple[Case, Result]]


def check(service: Target, options: argparse.Namespace) -> int:
    """Run the chosen cases against a service, print how each went, and return the exit status."""
    results: Results = []
    status, reason = 0, ""
    chosen = [case for case in CASES if not options.only or case.name in options.only]
    say(options, f"The contract, version {VERSION}: {len(CASES)} cases")
    try:
        run(service, options, chosen, results)
    except KeyboardInterrupt:
        status, reason = 128 + signal.SIGINT, "It was interrupted."
    except LimitedError as error:
        status, reason = 2, str(error)
    results += [(case, Result("not checked", [], "", "", reason)) for case in chosen[len(results) :]]
    if options.report:
        by_name = {case.name: result for case, result in results}
        try:
            write_report_to(options.report, str(options.url), by_name, options.level)
        except OSError as error:
            raise wrong(f"{called('report')}: {options.report}: {error.strerror}") from error
    met = summarise(results, options)
    if reason:
        print(reason)
    return status or met


def run(service: Target, options: argparse.Namespace, chosen: Sequence[Case], results: Results) -> None:
    """Run cases against a service, print how each went, and add it to the results."""
    silent = 0
    for case in chosen:
        if silent == SILENT_AT_MOST:
            results.append((case, Result("not checked", [], "", "", "The service has stopped answering.")))
            continue
        result = case.run(service)
        if case.name in options.known and result.outcome == "failed":
            result = replace(result, outcome="known", reason=options.known[case.name])
        elif result.outcome == "failed" and not result.repeat:
            result = replace(result, repeat=f"the same command with {with_value('only', case.name)}")
        results.append((case, result))
        silent = silent + 1 if result.problems and result.problems[0].startswith("no answer") else 0
        level = case.requirement.level_at(options.level)
        say(options, f"{MARKS[result.outcome]} {case.name} {'' if level == 'required' else '(recommended)'}".rstrip())
        if result.outcome == "failed":
            say(options, textwrap.indent(result.describe(case), "       "))
            annotate(case, result, level)


def say(options: argparse.Namespace, line: str) -> None:
    """Print a line, unless only the last are wanted."""
    if not options.quiet:
        print(line, flush=True)


def annotate(case: Case, result: Result, level: str) -> None:
    """Say it once more in the form of which GitHub Actions makes an annotation."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    text = f"{'; '.join(result.problems)}. {case.requirement.requirement} To fix: {case.requirement.hint}"
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::{'error' if level == 'required' else 'warning'} title={case.name}::{escaped}", flush=True)


def summarise(results: Results, options: argparse.Namespace) -> int:
    """Print what was not checked, and why, and how many cases passed and failed; return the exit status."""
    unchecked: dict[str, list[str]] = {}
    for case, result in results:
        if result.outcome == "not checked":
            unchecked.setdefault(result.reason, []).append(case.name)
    for reason, names in unchecked.items():
        say(options, f"\nNot checked, {len(names)}: {reason}")
        lines = textwrap.fill(
            ", ".join(names), 118, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        )
        say(options, lines)
    say(options, "\n" + textwrap.fill(f"Not checked: {UNSEEN}", 118, subsequent_indent="  ") + "\n")
    counts = Counter((case.requirement.level_at(options.level), result.outcome) for case, result in results)
    print(f"The contract, version {VERSION}: {len(results)} of {len(CASES)} cases")
    for level in ("required", "recommended"):
        outcomes = [outcome for outcome in MARKS if outcome != "known" or counts[level, outcome]]
        print(f"{level}: " + ", ".join(f"{counts[level, outcome]} {outcome}" for outcome in outcomes))
    for level in ("required", "recommended"):
        failed = [
            case.name
            for case, result in results
            if result.outcome == "failed" and case.requirement.level_at(options.level) == level
        ]
        if failed:
            print(f"failed, {level}: {', '.join(failed)}")
    passing = [case.name for case, result in results if case.name in options.known and result.outcome == "passed"]
    if passing:
        print(f"passed, but in {called('known')}: {', '.join(passing)}. Take them out.")
    if passing or counts["required", "failed"]:
        print("It does not meet the contract.")
        return 1
    if not any(counts[level, "passed"] for level in ("required", "recommended")):
        print("Nothing has passed, so this says nothing about the service.")
        return 1
    print("It meets the contract, as far as it was checked.")
    return 0
