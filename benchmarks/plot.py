"""A report of speed and memory as one figure."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report import Growth, Report, Row
from drrn.plotting import INK, OTHERS, OURS, PLAIN, grid, save, style
from drrn.tables import number

WIDTH = 11.0
BAR = 0.24
"""Inches from one bar to the next."""
FRAME = 0.9
"""Inches of a panel above and below its bars."""


def plot(report: Report, path: Path, *, overwrite: bool = True) -> None:
    """Draw the report and write it as .png, .svg or .pdf.

    Raises:
        DRRNError: the suffix is another, or the file can't be written.
    """
    save(draw(report), path, overwrite=overwrite)


def draw(report: Report) -> Figure:
    """Bars for the runners of each network, bars for all networks, and lines for growth."""
    panels = [report.of("runners", name) for name in report.networks]
    pairs = [panels[index : index + 2] for index in range(0, len(panels), 2)]
    networks = fastest(report.of("networks"))
    heights = [BAR * max(map(len, pair)) + FRAME for pair in pairs]
    heights += [BAR * len(networks) + FRAME] * bool(networks) + [2.8] * bool(report.growth)
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    for line, pair in enumerate(pairs):
        for column, rows in enumerate(pair):
            labels = [row.runner for row in rows]
            title = f"{rows[0].network}: {rows[0].macs / 1000:,.0f}k multiply-adds per pixel"
            bars(figure.add_subplot(grid[line, column]), rows, labels, title)
    if networks:
        labels = [f"{row.network} ({row.runner})" for row in networks]
        title = "Networks, each by the fastest that ran it"
        bars(figure.add_subplot(grid[len(pairs), :]), networks, labels, title)
    if report.growth:
        time, memory = (figure.add_subplot(grid[-1, column]) for column in (0, 1))
        name = report.growth[0].network
        lines(time, report.growth, [each.seconds for each in report.growth], f"{name}: seconds")
        time.set_yscale("log")
        time.yaxis.set_major_formatter(PLAIN)
        time.minorticks_off()
        lines(memory, report.growth, [each.peak_mb for each in report.growth], f"{name}: peak MB")
        memory.set_ylim(bottom=0)
    return figure


def fastest(rows: Sequence[Row]) -> list[Row]:
    """The fastest row of each network, in the order of the rows."""
    best: dict[str, Row] = {}
    for row in rows:
        other = best.get(row.network)
        if other is None or row.seconds_per_megapixel < other.seconds_per_megapixel:
            best[row.network] = row
    return list(best.values())


def bars(axes: Axes, rows: Sequence[Row], labels: Sequence[str], title: str) -> None:
    """Seconds per megapixel on a logarithmic axis, the first row on top."""
    values = [row.seconds_per_megapixel for row in rows]
    colors = [OURS if row.runner == "native" else OTHERS for row in rows]
    axes.barh(range(len(rows)), values, color=colors, height=0.72)
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 3, max(values) * 3)
    for place, value in enumerate(values):
        ratio = f"   {number(value / values[0])}x" if place else ""
        axes.annotate(
            f"{number(value)}{ratio}",
            (value, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
        )
    axes.set_xlabel("seconds per megapixel", fontsize=8)
    _clean(axes, title)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def lines(axes: Axes, growth: Sequence[Growth], values: Sequence[float], title: str) -> None:
    """A line per runner over megapixels."""
    for runner in dict.fromkeys(each.runner for each in growth):
        points = [(each.megapixels, value) for each, value in zip(growth, values, strict=True) if each.runner == runner]
        color = OURS if runner == "native" else OTHERS
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=color, label=runner)
    axes.set_xscale("log")
    axes.set_xlabel("megapixels", fontsize=8)
    grid(axes)
    axes.legend(frameon=False, fontsize=8)
    _clean(axes, title)


def _clean(axes: Axes, title: str) -> None:
    style(axes, title)
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(PLAIN)
