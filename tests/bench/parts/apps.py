"""Every app on one worker: accepted, denied and open requests as shipped; without a check, and with a published one."""

from collections.abc import Iterator
from contextlib import ExitStack

from shared.apps import APPS
from tests.bench.measure import Load, Round, summary
from tests.bench.results import AppRow, Kind, Scale, Spread
from tests.bench.run import CONFIGURED, OPEN, PROTECTED, RIGHT, WRONG, Bench, Part
from tests.bench.variants import PUBLISHED, UNDOCUMENTED, WITHOUT

STARTS = 2  # times those of the scale: what is compared differs less than two processes of the same code


def measure_app(bench: Bench, app: str) -> dict[Kind, list[Round]]:
    """Start an app and its variants once, and measure every kind of request."""
    with ExitStack() as running:
        shipped, unchecked, published = (
            running.enter_context(bench.service(app, APPS[app].command, CONFIGURED, {"app.py": edits}))
            for edits in ([], WITHOUT[app], WITHOUT[app] + PUBLISHED[app])
        )
        Load(published, published.url + PROTECTED, [WRONG], status=401).check()  # else it would check nothing
        loads = {
            Kind.UNCHECKED: Load(unchecked, unchecked.url + PROTECTED, [RIGHT]),
            Kind.PROTECTED: Load(shipped, shipped.url + PROTECTED, [RIGHT]),
            Kind.PUBLISHED: Load(published, published.url + PROTECTED, [RIGHT]),
            Kind.MISSING: Load(shipped, shipped.url + PROTECTED, status=401),
            Kind.WRONG: Load(shipped, shipped.url + PROTECTED, [WRONG], status=401),
            Kind.OPEN: Load(shipped, shipped.url + OPEN),
        }
        if app in UNDOCUMENTED:
            other = bench.service(app, APPS[app].command, CONFIGURED, {"app.py": UNDOCUMENTED[app]})
            loads[Kind.UNDOCUMENTED] = Load(running.enter_context(other), other.url + PROTECTED, [RIGHT])
        return bench.rounds(loads, bench.scale.rounds)


def measure(bench: Bench) -> Iterator[AppRow]:
    """Yield a row for each app and each kind of request."""
    bench.print_row("app", "request", "requests/s", "p50 ms", "p99 ms", "CPU µs", "of unchecked", "of published")
    for app in APPS:
        found: dict[Kind, list[Round]] = {}
        for _ in range(STARTS * bench.scale.starts):
            for kind, rounds in measure_app(bench, app).items():
                found.setdefault(kind, []).extend(rounds)
        for kind, rounds in found.items():
            of_unchecked, of_published = (
                Spread.of(other.cpu / this.cpu for other, this in zip(found[base], rounds, strict=True))
                for base in (Kind.UNCHECKED, Kind.PUBLISHED)
            )
            row = AppRow(app, kind, speed := summary(rounds), of_unchecked, of_published)
            spreads = (speed.rps, speed.p50, speed.p99, speed.cpu, of_unchecked, of_published)
            bench.print_row(app, kind, *(spread.median for spread in spreads))
            yield row


def seconds(scale: Scale) -> float:
    """Return how long that takes, roughly."""
    return len(APPS) * STARTS * scale.starts * len(Kind) * scale.rounds * scale.seconds


PART = Part("apps", measure, seconds)
