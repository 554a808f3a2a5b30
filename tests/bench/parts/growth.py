"""Every app with more workers and more connections, directly and through the gateway, which is on the load's core.

On a machine of two cores the second worker is on that core too. The CPU time is that of the app alone.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from shared.apps import APPS
from tests.bench.measure import FIRST, LAST, OTHERS, Load, Round, pinned, summary
from tests.bench.results import GrowthRow, Scale, Via
from tests.bench.run import CONFIGURED, PROTECTED, RIGHT, SECRET, Bench, Part
from tests.gateway.runner import Gateway

CORES_OF = {1: FIRST, 2: OTHERS}  # by number of workers
CONNECTIONS = (1, 16, 256)


class Point(NamedTuple):
    """What a load differs in."""

    workers: int
    connections: int
    via: Via


POINTS = [Point(workers, connections, via) for workers in CORES_OF for connections in CONNECTIONS for via in Via]


def measure_app(bench: Bench, app: str) -> dict[Point, list[Round]]:
    """Start an app with one worker and with two, and a gateway in front of both; measure every point."""
    with ExitStack() as running:
        services = {}
        for workers, cores in CORES_OF.items():
            config = CONFIGURED | {"WEB_CONCURRENCY": str(workers)}
            services[workers] = running.enter_context(bench.service(app, APPS[app].command, config, cores=cores))
        names = dict(zip(services, APPS, strict=False))  # any two, because the gateway knows only names of apps
        ports = dict.fromkeys(APPS, services[1].address.port) | {names[2]: services[2].address.port}
        with pinned(LAST):
            gateway = Gateway(Path(tempfile.mkdtemp(dir=bench.folder)), ports)
            gateway.send_secret(SECRET)
            key = f"Authorization: Bearer {gateway.key()}"
            running.enter_context(gateway)
        loads = {}
        for point in POINTS:
            service = services[point.workers]
            url, field = {
                Via.DIRECT: (service.url, RIGHT),
                Via.GATEWAY: (f"{gateway.url}/{names[point.workers]}", key),
            }[point.via]
            loads[point] = Load(service, url + PROTECTED, [field], connections=point.connections)
        return bench.rounds(loads, bench.scale.rounds)


def measure(bench: Bench) -> Iterator[GrowthRow]:
    """Yield a row for each app, number of workers, number of connections and way in."""
    bench.print_row("app", "workers, connections", "via", "requests/s", "p50 ms", "p99 ms", "CPU µs", "no answer")
    for app in APPS:
        for (workers, connections, via), rounds in measure_app(bench, app).items():
            row = GrowthRow(app, workers, connections, via, summary(rounds))
            spreads = (row.speed.rps, row.speed.p50, row.speed.p99, row.speed.cpu)
            unanswered = sum(one.unanswered for one in rounds)
            bench.print_row(app, f"{workers}, {connections}", via, *(spread.median for spread in spreads), unanswered)
            yield row


def seconds(scale: Scale) -> float:
    """Return how long that takes, roughly."""
    return len(APPS) * len(POINTS) * scale.rounds * scale.seconds


PART = Part("growth", measure, seconds)
