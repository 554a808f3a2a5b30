"""Put the contract to a service that is already running, in any language, or list it: `make check`, `make contract`."""

import argparse
import os
import signal
import sys
import textwrap
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from case import Case, Exchange, Result
from contract import CASES, GROUPS, by_requirement
from target import STATES, Instance, NotCheckedError, Target
from wire import Address

USAGE = "make check URL=http://host:port [UNCONFIGURED_URL=] [HEADER=] [PROTECTED=] [OPEN=] [LOG=] [PID=]"
MARKS = {"passed": "ok  ", "failed": "FAIL", "not checked": "--  "}


def at(url: str) -> Address:
    """Return the address that a URL is about; raises ValueError for a URL of another kind."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ValueError(f"{url!r} is not of the form http://host:port; paths have options of their own")
    tls = parts.scheme == "https"
    return Address(parts.hostname, parts.port or (443 if tls else 80), tls)


def target(options: argparse.Namespace, secret: str) -> Target:
    """Return the service at a URL, as far as it can be reached."""
    log = (lambda: options.log.read_text(errors="replace")) if options.log else None
    configured = Instance(options.url, log, options.pid)
    instances = dict.fromkeys(("configured", "behind-proxy", "crowded"), configured)
    if options.unconfigured_url:
        instances["unset"] = Instance(options.unconfigured_url)

    def find(state: str) -> Instance:
        if state in instances:
            return instances[state]
        if state == "unset":
            raise NotCheckedError("It needs the URL of an instance without a secret: UNCONFIGURED_URL.")
        if state in ("files", "slow"):
            raise NotCheckedError("It needs to start, change and stop the service itself.")
        raise NotCheckedError(f"It needs an instance with the environment {STATES[state]}.")

    return Target(
        "it", find, secret, header=options.header, protected=options.protected, open=options.open or None, deadline=10
    )


def check(service: Target) -> int:
    """Put every case to a service, tell how each went, and return the exit status."""
    results: list[tuple[Case, Result]] = []
    for case in CASES:
        result = case.put(service)
        results.append((case, result))
        print(MARKS[result.outcome], case.name, "" if case.requirement.level == "required" else "(recommended)")
        if result.outcome == "failed":
            print(textwrap.indent(result.told(case), "       "))
    missing: dict[str, list[str]] = {}
    for case, result in results:
        if result.outcome == "not checked":
            missing.setdefault(result.reason, []).append(case.name)
    for reason, names in missing.items():
        print(f"\nNot checked, {len(names)}: {reason}")
        print(textwrap.fill(", ".join(names), 118, initial_indent="  ", subsequent_indent="  "))
    print()
    counts = Counter((case.requirement.level, result.outcome) for case, result in results)
    for level in ("required", "recommended"):
        print(f"{level}: " + ", ".join(f"{counts[level, outcome]} {outcome}" for outcome in MARKS))
    if counts["required", "failed"] or not counts["required", "passed"]:
        print("It does not meet the contract.")
        return 1
    print("It meets the contract, as far as that was checked.")
    return 0


def list_contract() -> None:
    """Print every case under what it requires."""
    for name, told in GROUPS.items():
        print(f"\n{name}: {told}")
        for requirement, cases in by_requirement(name).items():
            lines = f"{requirement.requirement} [{requirement.level}; {requirement.source}]"
            print("\n" + textwrap.fill(lines, 118, initial_indent="  ", subsequent_indent="  "))
            print(textwrap.fill(f"To mend: {requirement.hint}", 118, initial_indent="  ", subsequent_indent="  "))
            for case in cases:
                answer = f" -> {case.answer.told}" if isinstance(case, Exchange) else ""
                print(f"    {case.name:34} {case.sends}{answer}")
    print("\nStates, as environment variables:\n")
    for name, environment in STATES.items():
        print(f"    {name:34} {' '.join(f'{key}={value!r}' for key, value in environment.items())}")


def main() -> int:
    """Do what the command line says; the exit status is 2 where that makes no sense."""
    parser = argparse.ArgumentParser(prog="make check", usage=USAGE, description=__doc__)
    parser.add_argument("--list", action="store_true", help="list the contract")
    parser.add_argument("--url", type=at, help="where the service listens")
    parser.add_argument("--unconfigured-url", type=at, help="where an instance without a secret listens")
    parser.add_argument("--header", default="X-Shared-Secret", help="the field that carries the secret")
    parser.add_argument("--protected", default="/protected", help="a path that needs the secret, and answers GET")
    parser.add_argument("--open", default="/healthz", help="the path that is open; empty if there is none")
    parser.add_argument("--log", type=Path, help="the service's log")
    parser.add_argument("--pid", type=int, help="its process, whose memory is looked at")
    options = parser.parse_args()
    secret = os.environ.get("SHARED_SECRET", "").strip()
    if options.list:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the list may be cut short by a pager
        list_contract()
        return 0
    if not options.url:
        parser.error("give the URL of a running service")
    if not secret:
        parser.error("give the secret that the service has, in the environment, as SHARED_SECRET")
    try:
        options.url.connect().close()
    except OSError as error:
        parser.error(f"nothing answers at {options.url.host}:{options.url.port}: {error}")
    return check(target(options, secret))


if __name__ == "__main__":
    sys.exit(main())
