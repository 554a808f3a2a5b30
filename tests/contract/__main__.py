"""Run the contract against a service that is already running, in any language, or list it: `python -m contract`."""

import argparse
import os
import re
import sys
import textwrap
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from .case import Case, Result
from .groups import CASES, GROUPS, by_requirement
from .http1 import Address
from .target import STATES, Instance, NotCheckedError, Target

USAGE = "make check URL=http://host:port [UNCONFIGURED_URL=] [HEADER=] [PROTECTED=] [OPEN=] [LOG=] [PID=]"
SHORTEST = 8  # characters of a secret
DEADLINE = 10.0  # seconds that a service has for an answer
SILENT_AT_MOST = 3  # cases in a row without an answer
MARKS = {"passed": "ok  ", "failed": "FAIL", "not checked": "--  "}


def at(url: str) -> Address:
    """Return the address in a URL, which has to be http://host:port or https://host:port."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError):
        port = 0
    if not port or not parts.hostname or url.rstrip("/") != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise argparse.ArgumentTypeError(f"{url!r} is not http://host:port. Give paths as PROTECTED and OPEN")
    return Address(parts.hostname, port, parts.scheme == "https")


def path(text: str) -> str:
    """Return a path; anything else is refused."""
    if not re.fullmatch(r"/[!-~]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a path: it starts with / and has no spaces")
    return text


def no_or_path(text: str) -> str:
    """Return a path, or nothing."""
    return text and path(text)


def field_name(text: str) -> str:
    """Return the name of a header field (RFC 9110 section 5.1); anything else is refused."""
    if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a header field")
    return text


def readable(path: str) -> Path:
    """Return the path of a file that can be read."""
    try:
        Path(path).open().close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from error
    return Path(path)


def process(number: str) -> int:
    """Return the number of a process that exists."""
    if not number.isdigit() or not psutil.pid_exists(int(number)):
        raise argparse.ArgumentTypeError(f"there is no process {number}")
    return int(number)


def target(options: argparse.Namespace, secret: str) -> Target:
    """Return the service at a URL, as far as it can be reached."""
    before = options.log.stat().st_size if options.log else 0  # skip what was logged earlier
    log = (lambda: options.log.read_bytes()[before:].decode(errors="replace")) if options.log else None
    configured = Instance(options.url, log, options.pid)
    instances = dict.fromkeys(("configured", "behind-proxy", "crowded"), configured)
    if options.unconfigured_url:
        instances["unset"] = Instance(options.unconfigured_url)

    def start(state: str) -> Instance:
        if state in instances:
            return instances[state]
        if state == "unset":
            raise NotCheckedError("It needs the URL of an instance without a secret: UNCONFIGURED_URL.")
        if state in ("files", "slow", "silent"):
            raise NotCheckedError("It needs to start, change and stop the service itself.")
        environ = " ".join(f"{name}={value!r}" for name, value in STATES[state].items())
        raise NotCheckedError(f"A URL cannot show this: it needs a service started with {environ or 'no secret'}.")

    names = {"header": options.header, "protected": options.protected, "open": options.open or None}
    return Target(options.url.host, start, secret, **names, deadline=DEADLINE)


def check(service: Target) -> int:
    """Run every case against a service, print how each went, and return the exit status."""
    results: list[tuple[Case, Result]] = []
    silent = 0
    for case in CASES:
        if silent == SILENT_AT_MOST:
            results.append((case, Result("not checked", [], "", "", "The service has stopped answering.")))
            continue
        result = case.run(service)
        results.append((case, result))
        silent = silent + 1 if result.problems and result.problems[0].startswith("no answer") else 0
        print(MARKS[result.outcome], case.name, "" if case.requirement.level == "required" else "(recommended)")
        if result.outcome == "failed":
            print(textwrap.indent(result.describe(case), "       "), flush=True)
    return summarise(results)


def summarise(results: list[tuple[Case, Result]]) -> int:
    """Print what was not checked, and why, and how many cases passed and failed; return the exit status."""
    unchecked: dict[str, list[str]] = {}
    for case, result in results:
        if result.outcome == "not checked":
            unchecked.setdefault(result.reason, []).append(case.name)
    for reason, names in unchecked.items():
        print(f"\nNot checked, {len(names)}: {reason}")
        print(textwrap.fill(", ".join(names), 118, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))
    print()
    counts = Counter((case.requirement.level, result.outcome) for case, result in results)
    for level in ("required", "recommended"):
        print(f"{level}: " + ", ".join(f"{counts[level, outcome]} {outcome}" for outcome in MARKS))
    if failed := [case.name for case, result in results if result.outcome == "failed"]:
        print("failed: " + ", ".join(failed))
    if counts["required", "failed"] or not counts["required", "passed"]:
        print("It does not meet the contract.")
        return 1
    print("It meets the contract, as far as it was checked.")
    return 0


def list_contract() -> None:
    """Print every case under what it requires."""
    for name, about in GROUPS.items():
        print(f"\n{name}: {about}")
        for requirement, cases in by_requirement(name).items():
            lines = f"{requirement.requirement} [{requirement.level}; {requirement.source}]"
            print("\n" + textwrap.fill(lines, 118, initial_indent="  ", subsequent_indent="  "))
            print(textwrap.fill(f"To fix: {requirement.hint}", 118, initial_indent="  ", subsequent_indent="  "))
            for case in cases:
                print(f"    {case.name:34} {case.sends}{case.expects and f' -> {case.expects}'}")
    print("\nStates, as environment variables:\n")
    for name, environment in STATES.items():
        print(f"    {name:34}", " ".join(f"{key}={value!r}" for key, value in environment.items()) or "none")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status; arguments that make no sense end it with status 2."""
    usage = USAGE if "MAKELEVEL" in os.environ else None
    parser = argparse.ArgumentParser(prog="python -m contract", usage=usage, description=__doc__)
    parser.add_argument("--list", action="store_true", help="list the contract")
    parser.add_argument("--url", type=at, help="where the service listens")
    parser.add_argument("--unconfigured-url", type=at, help="where an instance without a secret listens")
    parser.add_argument("--header", type=field_name, default=Target.header, help="the field that carries the secret")
    parser.add_argument("--protected", type=path, default=Target.protected, help="a path that needs the secret")
    parser.add_argument("--open", type=no_or_path, default=Target.open, help="the open path; empty if there is none")
    parser.add_argument("--log", type=readable, help="the service's log")
    parser.add_argument("--pid", type=process, help="its process, to measure its memory")
    options = parser.parse_args(arguments)
    secret = os.environ.get("SHARED_SECRET", "").strip()
    if options.list:
        try:
            list_contract()
            sys.stdout.flush()
        except BrokenPipeError:  # a pager has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if not options.url:
        parser.error("give the URL of a running service")
    if not secret:
        parser.error("set SHARED_SECRET in the environment to the secret that the service has")
    if len(secret) < SHORTEST:
        parser.error(
            f"SHARED_SECRET has fewer than {SHORTEST} characters: too few to guard anything, or to find in a log"
        )
    try:
        options.url.connect().close()
    except OSError as error:
        parser.error(f"no connection to {options.url}: {error}")
    return check(target(options, secret))


if __name__ == "__main__":
    sys.exit(main())
