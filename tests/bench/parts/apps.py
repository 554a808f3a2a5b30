"""Every app as shipped, on one worker: accepted, denied and open requests; without a check, and with the pasted one."""

from collections.abc import Iterator
from contextlib import ExitStack

from shared.apps import APPS
from tests.bench.measure import Load, Round, summary
from tests.bench.results import AppRow, Kind, Scale, Spread
from tests.bench.run import CONFIGURED, OPEN, PROTECTED, RIGHT, WRONG, Bench, Part
from tests.bench.variants import PASTED, WITHOUT


def measure_app(bench: Bench, app: str) -> dict[Kind, list[Round]]:
    """Start an app and its variants once, and measure every kind of request."""
    with ExitStack() as running:
        shipped, unchecked, pasted = (
            running.enter_context(bench.service(app, APPS[app].command, CONFIGURED, {"app.py": edits}))
            for edits in ([], WITHOUT[app], WITHOUT[app] + PASTED[app])
        )
        loads = {
            Kind.UNCHECKED: Load(unchecked, unchecked.url + PROTECTED, [RIGHT]),
            Kind.PROTECTED: Load(shipped, shipped.url + PROTECTED, [RIGHT]),
            Kind.PASTED: Load(pasted, pasted.url + PROTECTED, [RIGHT]),
            Kind.MISSING: Load(shipped, shipped.url + PROTECTED, status=401),
            Kind.WRONG: Load(shipped, shipped.url + PROTECTED, [WRONG], status=401),
            Kind.OPEN: Load(shipped, shipped.url + OPEN),
        }
        return bench.rounds(loads, bench.scale.rounds)


def measure(bench: Bench) -> Iterator[AppRow]:
    """Yield a row for each app and each kind of request."""
    bench.print_row("app", "request", "requests/s", "p50 ms", "p99 ms", "CPU µs", "of unchecked")
    for app in APPS:
        found: dict[Kind, list[Round]] = {kind: [] for kind in Kind}
        for _ in range(bench.scale.starts):
            for kind, rounds in measure_app(bench, app).items():
                found[kind] += rounds
        for kind, rounds in found.items():
            pairs = zip(found[Kind.UNCHECKED], rounds, strict=True)
            row = AppRow(app, kind, summary(rounds), Spread.of(bare.cpu / checked.cpu for bare, checked in pairs))
            speed = row.speed
            spreads = (speed.rps, speed.p50, speed.p99, speed.cpu, row.of_unchecked)
            bench.print_row(app, kind, *(spread.median for spread in spreads))
            yield row


def seconds(scale: Scale) -> float:
    """Return how long that takes, roughly."""
    return len(APPS) * scale.starts * len(Kind) * scale.rounds * scale.seconds


PART = Part("apps", measure, seconds)
