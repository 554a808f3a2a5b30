"""Draw what was measured, as SVG: a chart for each part, its apps in the order of APPS."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from shared.apps import APPS
from tests.bench.results import Front, Kind, Measurements, Spread, Via

GOOD, BAD, BARE, INK = "#2f6fb3", "#d9822b", "#9aa5b1", "#1f2933"
matplotlib.use("svg")
plt.rcParams.update(
    {
        "svg.hashsalt": "bench",  # the same data makes the same file
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": BARE,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
)


class AboutApp(Protocol):
    """A row about an app."""

    @property
    def app(self) -> str:
        """The name of the app."""


Row = TypeVar("Row", bound=AboutApp)


def by_app(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each app that has any, by its name."""
    return {app: found for app in APPS if (found := [row for row in rows if row.app == app])}


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where that is right."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def bars(
    axes: Axes, labels: Sequence[str], spreads: Sequence[Spread], colors: Sequence[str], notes: Sequence[str]
) -> None:
    """Draw horizontal bars from the top down: medians, quartiles as whiskers, and a note at the end of each."""
    medians = [spread.median for spread in spreads]
    errors = [[spread.median - spread.low for spread in spreads], [spread.high - spread.median for spread in spreads]]
    drawn = axes.barh(
        range(len(labels)), medians, xerr=errors, color=colors, height=0.68, ecolor=INK, error_kw={"lw": 0.8}
    )
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.bar_label(drawn, notes, padding=4)
    axes.set_xlim(0, max(spread.high for spread in spreads) * 1.35)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def draw_rule(results: Measurements) -> Figure:
    """Nanoseconds of a call of the rule."""
    rows = results.rule
    figure, axes = plt.subplots(figsize=(7, 2.4))
    notes = [f"{row.ns.median:.0f} ns, {row.times_bare:.1f}×" for row in rows]
    colors = [BARE] + [GOOD] * (len(rows) - 1)
    bars(axes, [row.call for row in rows], [row.ns for row in rows], colors, notes)
    axes.set_title("The rule alone: time of a call, and how many times that of one bare compare_digest", loc="left")
    return figure


def draw_apps(results: Measurements) -> Figure:
    """CPU time per request to each app."""
    groups = by_app(results.apps)
    figure, panels = plt.subplots(len(groups), figsize=(7, 1.6 * len(groups)))
    for axes, (app, rows) in zip(panels, groups.items(), strict=True):
        notes = [f"{row.speed.cpu.median:.0f} µs, {row.speed.rps.median:,.0f} req/s" for row in rows]
        colors = [BARE if row.kind in (Kind.UNCHECKED, Kind.PUBLISHED) else GOOD for row in rows]
        bars(axes, [row.kind for row in rows], [row.speed.cpu for row in rows], colors, notes)
        axes.set_title(app, loc="left", fontweight="bold")
    figure.suptitle("CPU time per request, by kind of request; as shipped, one worker on one core")
    return figure


def draw_growth(results: Measurements) -> Figure:
    """Requests per second by the number of connections, with one worker and two, directly and through the gateway."""
    groups = by_app(results.growth)
    figure, panels = plt.subplots(1, len(groups), figsize=(2.3 * len(groups), 3), sharey=True)
    for axes, (app, rows) in zip(panels, groups.items(), strict=True):
        for via, style in ((Via.DIRECT, "-"), (Via.GATEWAY, ":")):
            for workers, color in ((1, GOOD), (2, BAD)):
                line = [row for row in rows if (row.via, row.workers) == (via, workers)]
                xs, ys = [row.connections for row in line], [row.speed.rps.median for row in line]
                label = f"{via}, {counted(workers, 'worker')}"
                axes.plot(xs, ys, style, color=color, marker="o", markersize=3, label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks([1, 16, 256], ["1", "16", "256"])
        axes.set_title(app, fontweight="bold")
        axes.set_xlabel("connections")
    panels[0].set_ylim(0)
    panels[0].set_ylabel("requests/s")
    figure.suptitle("Direct and through the gateway; on two cores the second worker shares one with load and gateway")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def draw_gateway(results: Measurements) -> Figure:
    """CPU time per request of each gateway, on the most connections."""
    most = max(row.connections for row in results.gateway)
    rows = [row for row in results.gateway if row.connections == most and row.front != Front.DIRECT]
    figure, axes = plt.subplots(figsize=(7, 1.8))
    notes = [f"{row.speed.cpu.median:.0f} µs, {row.speed.rps.median:,.0f} req/s" for row in rows]
    colors = [GOOD if row.front == Front.OURS else BARE for row in rows]
    bars(axes, [row.front for row in rows], [row.speed.cpu for row in rows], colors, notes)
    axes.set_title(f"CPU time per request of a gateway on one core, on {most} connections", loc="left")
    return figure


def draw_replicas(results: Measurements) -> Figure:
    """Requests per second by the number of replicas."""
    figure, axes = plt.subplots(figsize=(4, 3))
    for (app, rows), color in zip(by_app(results.replicas).items(), (GOOD, BAD), strict=True):
        xs, ys = [row.replicas for row in rows], [row.speed.rps.median for row in rows]
        axes.plot(xs, ys, color=color, marker="o", markersize=3, label=app)
    axes.set_xticks(xs)
    axes.set_ylim(0)
    axes.set_xlabel("replicas")
    axes.set_ylabel("requests/s")
    axes.legend(frameon=False)
    axes.set_title(f"Behind the gateway in Docker, on {results.machine.cores} cores", loc="left")
    return figure


def draw_sizes(results: Measurements) -> Figure:
    """How long each app takes to start, and how much room it takes."""
    rows = [row for of_app in by_app(results.sizes).values() for row in of_app]
    shown = {
        "seconds to the first 200": [row.start for row in rows],
        "MB of a worker (PSS)": [Spread.of([row.worker]) for row in rows],
        "MB installed": [Spread.of([row.environment]) for row in rows],
    }
    images = [Spread.of([row.image]) for row in rows if row.image is not None]
    if len(images) == len(rows):
        shown["MB of image, on top of Python's"] = images
    figure, panels = plt.subplots(1, len(shown), figsize=(3 * len(shown), 2.2), sharey=True)
    for axes, (title, spreads) in zip(panels, shown.items(), strict=True):
        notes = [f"{spread.median:.3g}" for spread in spreads]
        bars(axes, [row.app for row in rows], spreads, [GOOD] * len(rows), notes)
        axes.set_title(title, loc="left")
    return figure


def draw_servers(results: Measurements) -> Figure:
    """Requests per second on every server, and whether a required case of the contract failed there."""
    groups = by_app(results.servers)
    heights = [len(rows) for rows in groups.values()]
    figure, panels = plt.subplots(len(groups), figsize=(8, 0.27 * sum(heights) + 2), height_ratios=heights)
    for axes, (app, rows) in zip(panels, groups.items(), strict=True):
        notes = [f"{row.speed.rps.median:,.0f}" for row in rows]
        for place, row in enumerate(rows):
            if row.failed:
                notes[place] += f" · {counted(len(row.failed), 'required case')} failed"
        labels = [f"{row.server}  (shipped)" if row.shipped else row.server for row in rows]
        bars(axes, labels, [row.speed.rps for row in rows], [BAD if row.failed else GOOD for row in rows], notes)
        axes.set_title(app, loc="left", fontweight="bold")
    meanings = [
        Patch(color=GOOD, label="every required case that was checked passed"),
        Patch(color=BAD, label="some required cases failed"),
    ]
    figure.legend(handles=meanings, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle("Requests per second: GET /protected with the secret, one worker on one core, no access log")
    return figure


def draw_profile(results: Measurements) -> Figure:
    """The functions that spend the time that the header in FastAPI's schema costs."""
    rows = results.profile
    figure, axes = plt.subplots(figsize=(8, 0.27 * len(rows) + 1))
    spreads = [Spread.of([row.share]) for row in rows]
    bars(axes, [row.function for row in rows], spreads, [GOOD] * len(rows), [f"{row.share:.1f} %" for row in rows])
    axes.set_title("FastAPI: what the header in the schema costs, by function", loc="left")
    return figure


CHARTS: dict[str, Callable[[Measurements], Figure]] = {
    "rule": draw_rule,
    "apps": draw_apps,
    "profile": draw_profile,
    "growth": draw_growth,
    "gateway": draw_gateway,
    "sizes": draw_sizes,
    "replicas": draw_replicas,
    "servers": draw_servers,
}


def draw(results: Measurements, folder: Path) -> None:
    """Write a chart to a folder for each part that was measured."""
    for part in results.finished():
        figure = CHARTS[part](results)
        figure.set_layout_engine("constrained")
        metadata = {"Date": None, "Description": f"made from data with the SHA-256 {results.digest()}"}
        figure.savefig(folder / f"{part}.svg", facecolor="white", metadata=metadata)
        plt.close(figure)
