"""Check over HTTP whether a service answers only its gateway, in any language.

`origin-guard check URL` runs the contract against a running service, `origin-guard list` shows it. The secret that the
service has is in the environment, as SHARED_SECRET.
"""

import argparse
import os
import signal
import sys
import textwrap

from . import VERSION
from .groups import CASES, GROUPS, by_requirement
from .options import add_options, misfit, reach, secret_of, target
from .report import digest
from .run import check
from .target import STATES, LimitedError


def list_contract() -> None:
    """Print every case under what it requires."""
    print(f"The contract, version {VERSION}: {len(CASES)} cases")
    for name, about in GROUPS.items():
        print(f"\n{name}: {about}")
        for requirement, cases in by_requirement(name).items():
            level = requirement.level
            if requirement.level_at("gateway") != level:
                level += f", behind a gateway {requirement.level_at('gateway')}"
            lines = f"{requirement.requirement} [{level}; {requirement.source}]"
            print("\n" + textwrap.fill(lines, 118, initial_indent="  ", subsequent_indent="  "))
            print(textwrap.fill(f"To fix: {requirement.hint}", 118, initial_indent="  ", subsequent_indent="  "))
            for case in cases:
                print(f"    {case.name:34} {case.sends}{case.expects and f' -> {case.expects}'}")
    print("\nStates, as environment variables:\n")
    for name, environment in STATES.items():
        print(f"    {name:34}", " ".join(f"{key}={value!r}" for key, value in environment.items()) or "none")


def parser() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Return what reads the command's arguments, and the part of it that reads those of `check`."""
    of_all = argparse.ArgumentParser(
        prog="origin-guard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    of_all.add_argument("--version", action="version", version=f"origin-guard {VERSION}, {len(CASES)} cases")
    commands = of_all.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="list the contract, case by case", allow_abbrev=False)
    listing.add_argument("--digest", action="store_true", help="print only its version, and a digest of all its cases")
    by_make = "BY_MAKE" in os.environ
    usage = "make check URL=http://host:port [OPTION=...]" if by_make else "origin-guard check URL [OPTION...]"
    checking = commands.add_parser("check", help="run it against a service", usage=usage, allow_abbrev=False)
    add_options(checking)
    return of_all, checking


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status; arguments that make no sense end it with status 2."""
    of_all, checking = parser()
    options, rest = of_all.parse_known_args(arguments)
    if rest:
        (checking if options.command == "check" else of_all).error(f"there is no option {rest[0]}: --help lists all")
    try:
        if options.command == "check":
            return check_service(options)
        if options.digest:
            print(VERSION, digest())
        else:
            list_contract()
        sys.stdout.flush()
    except BrokenPipeError:  # a pager has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(options.command == "check")
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (argparse.ArgumentTypeError, LimitedError) as error:
        checking.error(str(error))
    return 0


def check_service(options: argparse.Namespace) -> int:
    """Run `check`; options that do not fit the service are an ArgumentTypeError."""
    secret = secret_of(os.environ)
    reach(options)
    service = target(options, secret)
    if sentence := misfit(service):
        raise argparse.ArgumentTypeError(sentence)
    return check(service, options)


if __name__ == "__main__":
    sys.exit(main())
