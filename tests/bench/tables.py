"""The tables and the chart in this folder's README, made from the results kept beside it: `make bench-readme`."""

import argparse
import shutil
import sys
from collections.abc import Iterable
from math import inf
from pathlib import Path
from textwrap import fill

from shared.apps import APPS, ROOT
from shared.documents import with_part
from tests.bench.results import FILE, NEED_DOCKER, PARTS, AppRow, Front, Kind, Measurements, ServerRow, Speed, Spread
from tests.bench.variants import SERVERS, UNDOCUMENTED, Server
from tests.contract.groups import CASES, GROUPS

KEPT, CHART, README = (Path(__file__).with_name(name) for name in (FILE, "servers.svg", "README.md"))
FASTER = "apps/falcon/README.md#faster-behind-a-gateway"
FIRST_README = ROOT / "README.md"
BEHIND_GATEWAY = {case.name: case.requirement.level_at("gateway") for case in CASES}
SHIPPED_OF_UNCHECKED, SMALLER = 0.97, {"fastapi": 0.93}  # at least: FastAPI's describes the header in its schema too
REFUSAL_OF_GRANT = 1.3  # at most
PUBLISHED_OF_SHIPPED = 1.0  # at least
RULE_OF_BARE = 6.0  # at most
TWO_SECRETS = "two accepted"  # a call of the rule that compares twice
FULL = 90  # percent: cores that are busier limit what is measured
NAMED = 4  # cases in a cell
PROFILED = 8  # functions in their table
IMPOSSIBLE, NOT_MEASURED = "–", "not measured"


def short(value: float) -> str:
    """Return a number with the three digits that are worth reading."""
    return f"{float(f'{value:.3g}'):,.10g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def listed(words: list[str]) -> str:
    """Return some words as a list in a sentence."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words or [NOT_MEASURED])


def machine(results: Measurements) -> str:
    """Return when it was measured, on which machine and with which versions."""
    here = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in here.versions.items())
    pinned = "" if here.pinned else ", not pinned to cores"
    commit = f", commit {here.commit}," if here.commit else ""
    return (
        f"Measured on {results.made[:10]}{commit} on {here.cores} cores of an {here.cpu}, {here.system}{pinned}, "
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


def passed(counts: Iterable[int], cases: int) -> str:
    """Return how many cases of a group passed on a server, from the app with the fewest to the one with the most."""
    counts = sorted(counts)
    least_to_most = "–".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    return f"{least_to_most} of {cases}" if cases else NOT_MEASURED


def verdict(rows: list[ServerRow]) -> list[str]:
    """Return how the contract went on a server, over its apps: cases of two groups that passed, cases that failed."""
    if not rows:
        return [NOT_MEASURED] * 3
    failed = in_contract_order(case for row in rows for case in row.failed)
    unchecked = {case for row in rows for case in row.not_checked}
    text = ", ".join(failed[:NAMED]) or "none"
    if len(failed) > NAMED:
        text += f" and {len(failed) - NAMED} more"
    if unchecked:
        text += f"; {len(unchecked)} not checked"
    wire = passed((row.wire_passed for row in rows), rows[0].wire_cases)
    life = passed((row.life_passed for row in rows), rows[0].life_cases)
    return [wire, life, text]


def servers(results: Measurements) -> str:
    """Return the speed of every app on every server, and how the contract went on that server."""
    rows = {(row.app, row.interface, row.server): row for row in results.servers}
    lines = []
    for server in SERVERS:
        on_server = {app: rows.get((app, server.interface, server.name)) for app in APPS}
        speeds = [speed(app, server, row) for app, row in on_server.items()]
        lines.append([label(server), *speeds, *verdict([row for row in on_server.values() if row])])
    return table(["requests/s", *APPS, "wire cases passed", "life cases passed", "required cases failed"], lines)


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
        behind = [row for row in rows if all(BEHIND_GATEWAY.get(case, "required") != "required" for case in row.failed)]
        shipped = [row.server for row in rows if row.shipped]
        if rows:
            lines.append([app, fastest(clean), fastest(behind), *(shipped or [NOT_MEASURED])])
        else:
            lines.append([app, *[NOT_MEASURED] * 3])
    return table(["", "if anyone can reach it", "behind a gateway that normalises", "shipped"], lines)


def with_quartiles(ratio: Spread | None) -> str:
    """Return the cell of a ratio."""
    return f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})" if ratio else NOT_MEASURED


def used(app: str, kind: Kind, row: AppRow | None) -> str:
    """Return the cell of a kind of request to an app: the CPU time, and a ratio that has no column of its own."""
    if row is None:
        return IMPOSSIBLE if kind == Kind.UNDOCUMENTED and app not in UNDOCUMENTED else NOT_MEASURED
    cpu = short(row.speed.cpu.median)
    return f"{cpu} ({row.of_unchecked.median:.2f})" if kind == Kind.UNDOCUMENTED else cpu


def cost(results: Measurements) -> str:
    """Return what a request costs each app: without the check, with it, with the published one, and denied."""
    shown = {
        Kind.UNCHECKED: "no check",
        Kind.PROTECTED: "right secret",
        Kind.UNDOCUMENTED: "the same, header not in the schema (no check ÷ this)",
        Kind.PUBLISHED: "published check",
        Kind.WRONG: "wrong secret",
        Kind.MISSING: "no secret",
        Kind.OPEN: "open path",
    }
    ratios = ["no check ÷ right secret", "published check ÷ right secret"]
    head = ["CPU µs per request", *shown.values(), *ratios, "p50 ms", "p99 ms"]
    lines = []
    for app in APPS:
        rows = {row.kind: row for row in results.apps if row.app == app}
        if not rows:
            lines.append([app, *[NOT_MEASURED] * (len(head) - 1)])
            continue
        shipped = rows[Kind.PROTECTED]
        cpu = [used(app, kind, rows.get(kind)) for kind in shown]
        found = [with_quartiles(ratio) for ratio in (shipped.of_unchecked, shipped.of_published)]
        latencies = [short(latency.median) for latency in (shipped.speed.p50, shipped.speed.p99)]
        lines.append([app, *cpu, *found, *latencies])
    return table(head, lines)


def profile(results: Measurements) -> str:
    """Return which functions spend the time that the header in FastAPI's schema costs."""
    head = ["function", "more calls per request", "share of the extra time"]
    if not results.profile:
        return table(head, [[NOT_MEASURED] * len(head)])
    shown = results.profile[:PROFILED]
    lines = [[f"`{row.function}`", f"{row.calls:g}", f"{row.share:.0f} %"] for row in shown]
    rest = 100 - sum(row.share for row in shown)
    return table(head, [*lines, ["all others", IMPOSSIBLE, f"{rest:.0f} %"]])


def judged(value: float | None, *, least: float = 0.0, most: float = inf) -> str:
    """Return the cell of a ratio with a target: the ratio, and whether it is in its bounds."""
    if value is None:
        return NOT_MEASURED
    value = round(value, 3)  # what is shown is what is judged
    return f"{value:.3f}, {'met' if least <= value <= most else '**missed**'}"


def targets(results: Measurements) -> str:
    """Return what each app and the rule should reach at least or at most, what they reach, and whether they do."""
    lines = []
    for app in APPS:
        rows = {row.kind: row for row in results.apps if row.app == app}
        cpu = {kind: row.speed.cpu.median for kind, row in rows.items()}
        shipped = rows.get(Kind.PROTECTED)
        unchecked = shipped.of_unchecked.median if shipped else None
        published = shipped.of_published.median if shipped and shipped.of_published else None
        refusal = max(cpu[Kind.WRONG], cpu[Kind.MISSING]) / cpu[Kind.PROTECTED] if shipped else None
        cells = [
            judged(unchecked, least=SMALLER.get(app, SHIPPED_OF_UNCHECKED)),
            judged(published, least=PUBLISHED_OF_SHIPPED),
            judged(refusal, most=REFUSAL_OF_GRANT),
        ]
        lines.append([app, *cells, IMPOSSIBLE])
    dearest = max((row.times_bare for row in results.rule if row.call != TWO_SECRETS), default=None)
    lines.append(["the rule, with one secret", *[IMPOSSIBLE] * 3, judged(dearest, most=RULE_OF_BARE)])
    others = "".join(f", {APPS[app].title} {target}" for app, target in SMALLER.items())
    head = [
        "",
        f"no check ÷ right secret: at least {SHIPPED_OF_UNCHECKED}{others}",
        f"published check ÷ right secret: at least {PUBLISHED_OF_SHIPPED}",
        f"dearest refusal ÷ right secret: at most {REFUSAL_OF_GRANT}",
        f"dearest call ÷ one compare_digest: at most {RULE_OF_BARE:g}",
    ]
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


def images(results: Measurements) -> str:
    """Return what the images were built on, and how."""
    bases = list(dict.fromkeys(row.base for row in results.sizes if row.image is not None))
    if not bases:
        return "No image was built."
    if not all(bases):
        return "What the images were built on was not recorded."
    return f"The images were built without Docker's cache, on {listed(bases)}."


def alone(results: Measurements) -> str:
    """Return what a call of the rule costs."""
    lines = [[row.call, short(row.ns.median), f"{row.times_bare:.1f}"] for row in results.rule]
    return table(["the rule alone", "ns", "times one compare_digest"], lines)


def busy(speed: Speed, cores: int | None = 1) -> float:
    """Return for what percentage of the time some cores were busy with requests that took this CPU time."""
    return min(100.0, speed.rps.median * speed.cpu.median / 1e4 / (cores or 1))


def gateway(results: Measurements) -> str:
    """Return what each gateway adds to the latency of a request, how many it forwards, and what that costs it."""
    rows = {(row.front, row.connections): row for row in results.gateway}
    counts = sorted({row.connections for row in results.gateway})
    head = ["", "program", "p50 added, ms", "p99 added, ms", *(f"requests/s on {count}" for count in counts)]
    head += ["CPU µs per request", "its core was busy"]
    lines = []
    for front in Front:
        found = [rows[front, count] for count in counts if (front, count) in rows]
        if not found:
            lines.append([front, *[NOT_MEASURED] * (len(head) - 1)])
            continue
        first, last = found[0], found[-1]
        rps = [short(row.speed.rps.median) for row in found]
        if front == Front.DIRECT:
            lines.append([front, *[IMPOSSIBLE] * 3, *rps, *[IMPOSSIBLE] * 2])
            continue
        added = [with_quartiles(spread) for spread in (first.added_p50, first.added_p99)]
        lines.append([front, first.program, *added, *rps, short(last.speed.cpu.median), f"{busy(last.speed):.0f} %"])
    return table(head, lines)


def replicas(results: Measurements) -> str:
    """Return what each number of replicas reaches, and whether the cores of the machine are what limits it."""
    head = ["", "replicas", "requests/s", "times one replica", "p50 ms", "p99 ms", "all cores were busy"]
    if not results.replicas:
        return table(head, [[NOT_MEASURED] * len(head)])
    cores = results.machine.cores
    lines, full, rest = [], [], []
    for app in APPS:
        rows = [row for row in results.replicas if row.app == app]
        for row in rows:
            speed, one = row.speed, rows[0].speed.rps.median
            numbers = [short(spread.median) for spread in (speed.rps, speed.p50, speed.p99)]
            numbers.insert(1, f"{speed.rps.median / one:.2f}")
            lines.append([app, str(row.replicas), *numbers, f"{busy(speed, cores):.0f} %"])
        limited = [row.replicas for row in rows if busy(row.speed, cores) >= FULL]
        if limited:
            full.append(f"{limited[0]} of {app}")
        elif rows:
            rest.append(app)
    text = f"Load, gateway and replicas share the machine's {cores} cores."
    if full:
        text += f" These are at least {FULL} % busy, and so they are what limits, from {listed(full)} on."
    if rest:
        text += f" With {listed(rest)} they are not: something else limits."
    return f"{table(head, lines)}\n\n{text}"


MADE = {
    "machine": machine,
    "targets": targets,
    "profile": profile,
    "servers": servers,
    "choices": choices,
    "cost": cost,
    "alone": alone,
    "sizes": sizes,
    "images": images,
    "gateway": gateway,
    "replicas": replicas,
}


def summary(results: Measurements) -> str:
    """Return the sentence of the first README: what the check takes, and what granian brings."""
    taken = {(row.app, row.kind): f"{max(0, 100 - 100 * row.of_unchecked.median):.0f} %" for row in results.apps}
    shares = []
    for app in APPS:
        if share := taken.get((app, Kind.PROTECTED)):
            rest = taken.get((app, Kind.UNDOCUMENTED))
            note = f" ({rest} without the header in its schema)" if rest else ""
            shares.append(f"{share} in {APPS[app].title}{note}")
    rps = {(row.app, row.shipped, row.server): row.speed.rps.median for row in results.servers}
    shipped = {app: median for (app, is_shipped, _), median in rps.items() if is_shipped}
    gains = [
        f"{rps[app, False, 'granian'] / shipped[app]:.1f} in {APPS[app].title}"
        for app in APPS
        if APPS[app].on_granian and app in shipped and (app, False, "granian") in rps
    ]
    text = (
        f"Of a request's CPU time, the check takes about {listed(shares)}. "
        f"`make run-<app> SERVER=granian`, [for behind a gateway alone]({FASTER}), "
        f"multiplies the requests per second by {listed(gains)}, measured without one."
    )
    return fill(text, 140, break_long_words=False, break_on_hyphens=False)


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
        sys.exit(f"{folder}/{FILE} is not there: run `make bench` without QUICK and PARTS first.")
    if missing := [part for part in PARTS if part not in (*results.finished(), *NEED_DOCKER)]:
        sys.exit(f"{folder}/{FILE} lacks {', '.join(missing)}: run `make bench` without PARTS first.")
    if set(results.scale.groups) != set(GROUPS):
        sys.exit(
            f"{folder}/{FILE} is of a quick run, which leaves out most of the contract: run `make bench` without QUICK."
        )
    shutil.copy(folder / FILE, KEPT)
    shutil.copy(folder / CHART.name, CHART)
    print(f"{README.name} at the top, and {README.name}, {KEPT.name} and {CHART.name} in tests/bench, are of this run.")
    print("Commit them.")


def main() -> None:
    """Fill the README from the kept results; with a folder, keep the whole run that is there first, with its chart."""
    parser = argparse.ArgumentParser(prog="make bench-readme", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    folder = parser.parse_args().folder
    if folder:
        keep(folder)
    results = Measurements.read(KEPT)
    README.write_text(filled(README.read_text(), results))
    FIRST_README.write_text(with_part(FIRST_README.read_text(), "cost", summary(results)))


if __name__ == "__main__":
    main()
