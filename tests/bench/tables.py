"""The tables and the chart in this folder's README, made from the results kept beside it: `make bench-readme`."""

import argparse
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from shared.apps import APPS
from shared.documents import with_part
from tests.bench.results import FILE, PARTS, Kind, Measurements, ServerRow
from tests.bench.variants import SERVERS, Server
from tests.contract.groups import GROUPS

KEPT, CHART, README = (Path(__file__).with_name(name) for name in (FILE, "servers.svg", "README.md"))
# About odd, hostile and endless requests, which a gateway that normalises does not forward.
STOPPED_BY_GATEWAY = ("wire/", "load/", "auth/in-trailer")
NAMED = 4  # cases in a cell
IMPOSSIBLE, NOT_MEASURED = "–", "not measured"


def short(value: float) -> str:
    """Return a number with the three digits that are worth reading."""
    return f"{float(f'{value:.3g}'):,.10g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def machine(results: Measurements) -> str:
    """Return when it was measured, on which machine and with which versions."""
    here = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in here.versions.items())
    pinned = "" if here.pinned else ", not pinned to cores"
    return (
        f"Measured on {results.made[:10]} on {here.cores} cores of an {here.cpu}, {here.system}{pinned}, "
        f"with {here.wrk} and HAProxy {here.haproxy}: {versions}."
    )


def label(server: Server) -> str:
    """Return the name of a server, with its interface where another server has the same name."""
    names = [other.name for other in SERVERS]
    return f"{server.name} ({server.interface})" if names.count(server.name) > 1 else server.name


def speed(app: str, server: Server, row: ServerRow | None) -> str:
    """Return the cell of an app on a server: requests per second, in bold if shipped."""
    if server.interface != APPS[app].interface:
        return IMPOSSIBLE
    if row is None:
        return NOT_MEASURED
    rps = short(row.speed.rps.median)
    return f"**{rps}**" if row.shipped else rps


def in_contract_order(names: Iterable[str]) -> list[str]:
    """Return names of cases, each once, in the order of their groups."""
    groups = list(GROUPS)
    return sorted(dict.fromkeys(names), key=lambda name: groups.index(name.partition("/")[0]))


def verdict(rows: list[ServerRow]) -> list[str]:
    """Return how the contract went on a server, over its apps: the wire cases that passed, the cases that failed."""
    if not rows:
        return [NOT_MEASURED, NOT_MEASURED]
    passed = sorted({row.wire_passed for row in rows})
    failed = in_contract_order(case for row in rows for case in row.failed)
    unchecked = {case for row in rows for case in row.not_checked}
    text = ", ".join(failed[:NAMED]) or "none"
    if len(failed) > NAMED:
        text += f" and {len(failed) - NAMED} more"
    if unchecked:
        text += f"; {len(unchecked)} not checked"
    least_to_most = "–".join(str(count) for count in dict.fromkeys((passed[0], passed[-1])))
    return [f"{least_to_most} of {rows[0].wire_cases}", text]


def servers(results: Measurements) -> str:
    """Return the speed of every app on every server, and how the contract went on that server."""
    rows = {(row.app, row.interface, row.server): row for row in results.servers}
    lines = []
    for server in SERVERS:
        on_server = {app: rows.get((app, server.interface, server.name)) for app in APPS}
        speeds = [speed(app, server, row) for app, row in on_server.items()]
        lines.append([label(server), *speeds, *verdict([row for row in on_server.values() if row])])
    return table(["requests/s", *APPS, "wire cases passed", "required cases failed"], lines)


def fastest(rows: list[ServerRow]) -> str:
    """Return the name of the fastest server, and of all whose upper quartile reaches its lower one."""
    if not rows:
        return "none"
    best = max((row.speed.rps for row in rows), key=lambda rps: rps.median)
    return " or ".join(row.server for row in rows if row.speed.rps.high >= best.low)


def choices(results: Measurements) -> str:
    """Return the fastest server for each app where anyone can reach it, and where only a gateway can."""
    lines = []
    for app in APPS:
        names = [server.name for server in SERVERS if server.interface == APPS[app].interface]
        rows = [row for row in results.servers if row.app == app and row.server in names]
        clean = [row for row in rows if not row.failed and not row.not_checked]
        behind = [row for row in rows if all(case.startswith(STOPPED_BY_GATEWAY) for case in row.failed)]
        shipped = [row.server for row in rows if row.shipped]
        if rows:
            lines.append([app, fastest(clean), fastest(behind), *(shipped or [NOT_MEASURED])])
        else:
            lines.append([app, *[NOT_MEASURED] * 3])
    return table(["", "if anyone can reach it", "behind a gateway that normalises", "shipped"], lines)


def cost(results: Measurements) -> str:
    """Return what a request costs each app: without the check, with it, with the pasted one, and denied."""
    shown = {
        Kind.UNCHECKED: "no check",
        Kind.PROTECTED: "right secret",
        Kind.PASTED: "pasted check",
        Kind.WRONG: "wrong secret",
        Kind.MISSING: "no secret",
        Kind.OPEN: "open path",
    }
    head = ["CPU µs per request", *shown.values(), "no check ÷ right secret", "p50 ms", "p99 ms"]
    lines = []
    for app in APPS:
        rows = {row.kind: row for row in results.apps if row.app == app}
        if not rows:
            lines.append([app, *[NOT_MEASURED] * (len(head) - 1)])
            continue
        shipped = rows[Kind.PROTECTED]
        cpu = [short(rows[kind].speed.cpu.median) for kind in shown]
        ratio = shipped.of_unchecked
        latencies = [short(latency.median) for latency in (shipped.speed.p50, shipped.speed.p99)]
        lines.append([app, *cpu, f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})", *latencies])
    return table(head, lines)


def sizes(results: Measurements) -> str:
    """Return how long each app takes to start and how much room it takes."""
    rows = {row.app: row for row in results.sizes}
    lines = []
    for app in APPS:
        if app in rows:
            row = rows[app]
            image = NOT_MEASURED if row.image is None else short(row.image)
            lines.append([app, short(row.start.median), short(row.worker), short(row.environment), image])
        else:
            lines.append([app, *[NOT_MEASURED] * 4])
    head = [
        "",
        "seconds to the first 200 of `/healthz`",
        "MB of a worker (PSS)",
        "MB installed",
        "MB of image, on top of Python's",
    ]
    return table(head, lines)


def alone(results: Measurements) -> str:
    """Return what a call of the rule costs."""
    lines = [[row.call, short(row.ns.median), f"{row.times_bare:.1f}"] for row in results.rule]
    return table(["the rule alone", "ns", "times one compare_digest"], lines)


MADE = {"machine": machine, "servers": servers, "choices": choices, "cost": cost, "alone": alone, "sizes": sizes}


def filled(readme: str, results: Measurements) -> str:
    """Return the README with every part of it that is made from results."""
    for name, make in MADE.items():
        readme = with_part(readme, name, make(results))
    return readme


def keep(folder: Path) -> None:
    """Keep the results of a whole run, with its chart; ends with a message where they are not of a whole run."""
    try:
        results = Measurements.read(folder / FILE)
    except FileNotFoundError:
        sys.exit(f"{folder}/{FILE} is not there: run `make bench` first.")
    if missing := [part for part in PARTS if part not in results.finished()]:
        sys.exit(f"{folder}/{FILE} lacks {', '.join(missing)}: run `make bench` without PARTS first.")
    if set(results.scale.groups) != set(GROUPS):
        sys.exit(
            f"{folder}/{FILE} is of a quick run, which leaves out most of the contract: run `make bench` without QUICK."
        )
    shutil.copy(folder / FILE, KEPT)
    shutil.copy(folder / CHART.name, CHART)
    print(f"{README.name}, {KEPT.name} and {CHART.name} in tests/bench are those of this run. Commit them.")


def main() -> None:
    """Fill the README from the kept results; with a folder, keep the whole run that is there first, with its chart."""
    parser = argparse.ArgumentParser(prog="make bench-readme", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    folder = parser.parse_args().folder
    if folder:
        keep(folder)
    README.write_text(filled(README.read_text(), Measurements.read(KEPT)))


if __name__ == "__main__":
    main()
