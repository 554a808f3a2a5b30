"""The README's tables and chart of the bench, made from results that are kept beside this file: make bench-readme."""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from shared.apps import ROOT
from shared.generated import with_part
from tests.contract.groups import GROUPS

KEPT, CHART = (Path(__file__).with_name(name) for name in ("results.json", "servers.svg"))
PARTS = ("rule", "apps", "growth", "sizes", "servers")
# About odd, hostile and endless requests, which a gateway that normalises does not send on.
SENT = ("wire/", "load/", "auth/in-trailer")
NAMED = 4  # cases in a cell
Data = dict[str, Any]


def digest(data: Data) -> str:
    """Return a hash of the data, by which a chart tells what it was drawn from."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def short(value: float | None) -> str:
    """Return a number with the three digits that are worth reading."""
    return "–" if value is None else f"{float(f'{value:.3g}'):,.10g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def machine(data: Data) -> str:
    """Return what was measured when, on what and with what."""
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    return (
        f"Measured on {data['made'][:10]} on {data['cores']} cores of an {data['cpu']}, {data['system']}"
        f"{'' if data['pinned'] else ', not pinned to cores'}, "
        f"with {data['wrk']} and HAProxy {data['haproxy']}: {versions}."
    )


def servers(data: Data) -> str:
    """Return what every app does on every server, and what the contract says of that server."""
    rows = data["servers"]
    apps = list(dict.fromkeys(row["app"] for row in rows))
    known = dict.fromkeys((row["interface"], row["server"]) for row in rows)
    other = {"WSGI": "ASGI", "ASGI": "WSGI"}
    cells = []
    for interface, name in known:
        here = {row["app"]: row for row in rows if (row["interface"], row["server"]) == (interface, name)}
        speeds = [short(here[app]["rps"]["median"]) if app in here else "–" for app in apps]
        speeds = [
            f"**{speed}**" if app in here and here[app]["shipped"] else speed
            for app, speed in zip(apps, speeds, strict=True)
        ]
        wire = sorted({row["wire"]["passed"] for row in here.values()})
        passed = (
            f"{'–'.join(map(str, dict.fromkeys((wire[0], wire[-1]))))} of {next(iter(here.values()))['wire']['of']}"
        )
        failed = list(dict.fromkeys(case for row in here.values() for case in row["failed"]))
        told = ", ".join(failed[:NAMED]) + (f" and {len(failed) - NAMED} more" if len(failed) > NAMED else "")
        unknown = len({case for row in here.values() for case in row["not checked"]})
        told = (told or "none") + (f"; {unknown} not checked" if unknown else "")
        cells.append([f"{name} ({interface})" if (other[interface], name) in known else name, *speeds, passed, told])
    return table(["requests/s on", *apps, "wire cases passed", "required cases failed"], cells)


def choices(data: Data) -> str:
    """Return the fastest server for each app, of those where no required case fails, and of those behind a gateway."""

    def fastest(rows: list[Data]) -> str:
        """Name the fastest, and all whose quartiles reach its own."""
        best = max((row["rps"] for row in rows), key=lambda rps: rps["median"], default=None)
        return " or ".join(row["server"] for row in rows if best and row["rps"]["high"] >= best["low"]) or "none"

    cells = []
    for app in dict.fromkeys(row["app"] for row in data["servers"]):
        rows = [row for row in data["servers"] if row["app"] == app]
        clean = [row for row in rows if not row["failed"] and not row["not checked"]]
        behind = [row for row in rows if all(case.startswith(SENT) for case in row["failed"])]
        cells.append([app, fastest(clean), fastest(behind), fastest([row for row in rows if row["shipped"]])])
    return table(["the fastest for", "anyone who reaches it", "a gateway that normalises", "shipped"], cells)


def cost(data: Data) -> str:
    """Return what a request costs each app: without a check, with it, refused, and with the check that people paste."""
    kinds = ("unchecked", "protected", "pasted", "wrong", "missing", "open")
    cells = []
    for app in dict.fromkeys(row["app"] for row in data["apps"]):
        rows = {row["what"]: row for row in data["apps"] if row["app"] == app}
        ratio, latency = (
            rows["protected"]["of unchecked"],
            (rows["protected"][name]["median"] for name in ("p50", "p99")),
        )
        cpu = [short(rows[kind]["cpu"]["median"]) for kind in kinds]
        cells.append(
            [app, *cpu, f"{ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})", *map(short, latency)]
        )
    head = ["CPU µs of a request", "no check", "right secret", "pasted check", "wrong", "none", "open path"]
    return table([*head, "no check ÷ right secret", "p50 ms", "p99 ms"], cells)


def sizes(data: Data) -> str:
    """Return how long each app takes to start and how much room it takes."""
    cells = [
        [row["app"], short(row["start"]["median"]), *(short(row[name]) for name in ("worker", "environment", "image"))]
        for row in data["sizes"]
    ]
    return table(
        [
            "",
            "seconds to the first 200 of `/healthz`",
            "MB of a worker (PSS)",
            "MB installed",
            "MB of image, on top of Python's",
        ],
        cells,
    )


def alone(data: Data) -> str:
    """Return what a call of the rule costs."""
    cells = [[row["what"], short(row["ns"]["median"]), f"{row['times']:.1f}"] for row in data["rule"]]
    return table(["the rule alone", "ns", "times one compare_digest"], cells)


MADE = {"machine": machine, "servers": servers, "choices": choices, "cost": cost, "alone": alone, "sizes": sizes}


def filled(readme: str, data: Data) -> str:
    """Return the README with all that is made from results."""
    for name, make in MADE.items():
        readme = with_part(readme, f"bench {name}", make(data))
    return readme


def main() -> None:
    """Keep the results of a whole run, with its chart, and put them into the README."""
    parser = argparse.ArgumentParser(prog="make bench-readme", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    try:
        data = json.loads((folder / "results.json").read_text())
    except FileNotFoundError:
        sys.exit(f"{folder}/results.json is not there: run `make bench` first.")
    if missing := [part for part in PARTS if not data.get(part)]:
        sys.exit(f"{folder}/results.json is not whole, it has no {', '.join(missing)}: run `make bench` first.")
    if set(data["scale"]["groups"]) != set(GROUPS):
        sys.exit(
            f"{folder}/results.json is of a quick run, which has not put the whole contract: run `make bench` first."
        )
    shutil.copy(folder / "results.json", KEPT)
    shutil.copy(folder / "servers.svg", CHART)
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text(), data))
    print("README.md, tests/bench/results.json and tests/bench/servers.svg are those of this run. Commit them.")


if __name__ == "__main__":
    main()
