"""Draw what was measured, as SVG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tests.bench.tables import digest

Data = dict[str, Any]
GOOD, BAD, BARE, INK = "#2f6fb3", "#d9822b", "#9aa5b1", "#1f2933"
matplotlib.use("svg")
plt.rcParams.update(
    {
        "svg.hashsalt": "bench",  # the same data is the same file
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


def bars(
    axes: Axes, labels: Sequence[str], spreads: Sequence[Data], colors: Sequence[str], notes: Sequence[str]
) -> None:
    """Draw horizontal bars from the top down: medians, quartiles as whiskers, and a note at the end of each."""
    medians = [each["median"] for each in spreads]
    errors = [[each["median"] - each["low"] for each in spreads], [each["high"] - each["median"] for each in spreads]]
    drawn = axes.barh(
        range(len(labels)), medians, xerr=errors, color=colors, height=0.68, ecolor=INK, error_kw={"lw": 0.8}
    )
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.bar_label(drawn, notes, padding=4)
    axes.set_xlim(0, max(each["high"] for each in spreads) * 1.35)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def by(rows: list[Data], name: str) -> dict[str, list[Data]]:
    """Return rows under the value of one of their columns, in their order."""
    found: dict[str, list[Data]] = {}
    for row in rows:
        found.setdefault(str(row[name]), []).append(row)
    return found


def draw_rule(rows: list[Data]) -> Figure:
    """Nanoseconds of a call of the rule."""
    figure, axes = plt.subplots(figsize=(7, 2.4))
    notes = [f"{row['ns']['median']:.0f} ns, {row['times']:.1f}×" for row in rows]
    colors = [BARE] + [GOOD] * (len(rows) - 1)
    bars(axes, [row["what"] for row in rows], [row["ns"] for row in rows], colors, notes)
    axes.set_title("The rule alone: time of a call, and how often one bare compare_digest fits into it", loc="left")
    return figure


def draw_apps(rows: list[Data]) -> Figure:
    """CPU time of a request to each app."""
    groups = by(rows, "app")
    figure, panels = plt.subplots(len(groups), figsize=(7, 1.6 * len(groups)))
    for axes, (app, of_app) in zip(panels, groups.items(), strict=True):
        notes = [f"{row['cpu']['median']:.0f} µs, {row['rps']['median']:,.0f} req/s" for row in of_app]
        colors = [BARE if row["what"] in ("unchecked", "pasted") else GOOD for row in of_app]
        bars(axes, [row["what"] for row in of_app], [row["cpu"] for row in of_app], colors, notes)
        axes.set_title(app, loc="left", fontweight="bold")
    figure.suptitle("CPU time of a request, by what is asked; as shipped, one worker on one core")
    return figure


def draw_growth(rows: list[Data]) -> Figure:
    """Requests a second by the number of connections, with one worker and two, directly and through the gateway."""
    groups = by(rows, "app")
    figure, panels = plt.subplots(1, len(groups), figsize=(2.3 * len(groups), 3), sharey=True)
    for axes, (app, of_app) in zip(panels, groups.items(), strict=True):
        for via, style in (("direct", "-"), ("gateway", ":")):
            for workers, color in ((1, GOOD), (2, BAD)):
                line = [row for row in of_app if (row["via"], row["workers"]) == (via, workers)]
                xs, ys = [row["connections"] for row in line], [row["rps"]["median"] for row in line]
                label = f"{via}, {workers} worker{'s' * (workers > 1)}"
                axes.plot(xs, ys, style, color=color, marker="o", markersize=3, label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks([1, 16, 256], ["1", "16", "256"])
        axes.set_title(app, fontweight="bold")
        axes.set_xlabel("connections")
    panels[0].set_ylim(0)
    panels[0].set_ylabel("requests/s")
    figure.suptitle("Directly and through the gateway; with two cores the second worker is on that of load and gateway")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def draw_sizes(rows: list[Data]) -> Figure:
    """How long each app takes to start, and how much room it takes."""
    shown = {"start": "seconds to the first 200", "worker": "MB of a worker (PSS)", "environment": "MB installed"}
    shown |= {"image": "MB of image, on top of Python's"} if all(row["image"] for row in rows) else {}
    figure, panels = plt.subplots(1, len(shown), figsize=(3 * len(shown), 2.2), sharey=True)
    for axes, (column, title) in zip(panels, shown.items(), strict=True):
        values = [
            row[column] if column == "start" else dict.fromkeys(("low", "median", "high"), row[column]) for row in rows
        ]
        notes = [f"{value['median']:.3g}" for value in values]
        bars(axes, [row["app"] for row in rows], values, [GOOD] * len(rows), notes)
        axes.set_title(title, loc="left")
    return figure


def draw_servers(rows: list[Data]) -> Figure:
    """Requests a second on every server, and whether a required case of the contract fails there."""
    groups = by(rows, "app")
    heights = [len(of_app) for of_app in groups.values()]
    figure, panels = plt.subplots(len(groups), figsize=(8, 0.27 * sum(heights) + 2), height_ratios=heights)
    for axes, (app, of_app) in zip(panels, groups.items(), strict=True):
        failed = [len(row["failed"]) for row in of_app]
        notes = [
            f"{row['rps']['median']:,.0f}" + (f" · {count} required case{'s' * (count > 1)} failed" if count else "")
            for row, count in zip(of_app, failed, strict=True)
        ]
        labels = [row["server"] + "  (shipped)" * row["shipped"] for row in of_app]
        bars(axes, labels, [row["rps"] for row in of_app], [BAD if count else GOOD for count in failed], notes)
        axes.set_title(app, loc="left", fontweight="bold")
    meanings = [
        Patch(color=GOOD, label="every required case passed that was put"),
        Patch(color=BAD, label="some failed"),
    ]
    figure.legend(handles=meanings, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle("Requests a second of /protected with the secret, one worker on one core, no access log")
    return figure


CHARTS = {"rule": draw_rule, "apps": draw_apps, "growth": draw_growth, "sizes": draw_sizes, "servers": draw_servers}


def draw(data: Data, folder: Path) -> None:
    """Write a chart to a folder for each part of the data."""
    for part in CHARTS.keys() & data.keys():
        figure = CHARTS[part](data[part])
        figure.set_layout_engine("constrained")
        told = {"Date": None, "Description": f"made from data with the SHA-256 {digest(data)}"}
        figure.savefig(folder / f"{part}.svg", facecolor="white", metadata=told)
        plt.close(figure)
