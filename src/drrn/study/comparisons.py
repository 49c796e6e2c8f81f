"""Figures that compare experiments: by size, by cost and gain, and by loss."""

from collections.abc import Callable, Iterable
from math import inf
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from drrn.evaluation.benchmark import Row
from drrn.plotting import DOTTED, INK, LOOK, OTHERS, OURS, STEPS, logarithmic
from drrn.study.experiments import BASE, BLOCKS, GRID, LOSS, UNITS
from drrn.study.layout import WIDTH, new_figure, psnrs_of, select_several, with_dead
from drrn.study.result import Result, Results

METRICS = {"PSNR in dB": "more", "SSIM": "more", "MS-SSIM": "more", "FLIP": "less"}
"""Image metrics, and whether more or less is better."""


class Point(NamedTuple):
    """An experiment by its cost and its gain."""

    cost: float
    psnr: float
    name: str = ""


@rc_context(LOOK)
def grid(results: Results) -> Figure | None:
    if not (selected := select_several(results, GRID)):
        return None
    blocks = sorted({each.model.blocks for each in GRID})
    units = sorted({each.model.units for each in GRID})
    runs = [[selected.of(f"B{b}U{u}") for u in units] for b in blocks]
    psnrs = [[psnrs_of(cell) for cell in row] for row in runs]
    means = np.array([[fmean(cell) if cell else np.nan for cell in row] for row in psnrs])
    figure = new_figure(selected, 3.2)
    axes = figure.subplots()
    image = axes.imshow(means, cmap="Blues", aspect="auto")
    for row, cells in enumerate(psnrs):
        for column, cell in enumerate(cells):
            red, green, blue, _ = image.to_rgba(means[row, column])
            text = f"{fmean(cell):.2f}" if cell else "none"
            text += f"\n{min(cell):.2f} to {max(cell):.2f}" if len(cell) > 1 else ""
            text = with_dead(text, runs[row][column], "\n")
            color = "white" if cell and 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else INK
            axes.text(column, row, text, ha="center", va="center", color=color)
    axes.set(xlabel="units in a block", ylabel="blocks", title="PSNR in dB: mean of the seeds and their range")
    axes.set_xticks(range(len(units)), [str(each) for each in units])
    axes.set_yticks(range(len(blocks)), [str(each) for each in blocks])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    return figure


@rc_context(LOOK)
def trade_off(results: Results) -> Figure | None:
    selected = select_several(results, (*UNITS, *BLOCKS, *GRID))
    costs: dict[str, Callable[[Result], float]] = {
        "CPU seconds of the training": lambda run: run.training_seconds,
        "multiply-adds a pixel": lambda run: run.macs,
        "parameters": lambda run: run.experiment.model.parameters,
    }
    trained = [runs for name in selected.by_name if psnrs_of(runs := selected.living(name))] if selected else []
    if not selected or len(trained) < 2:
        return None
    figure = new_figure(selected, 7.4)
    for axes, (quantity, cost) in zip(figure.subplots(3, sharey=True), costs.items(), strict=True):
        points = [Point(fmean(map(cost, runs)), fmean(psnrs_of(runs)), runs[0].name) for runs in trained]
        points = [each for each in points if each.cost]  # times may be missing
        best = front(points)
        axes.plot([each.cost for each in points], [each.psnr for each in points], "o", color=OTHERS)
        axes.plot([each.cost for each in best], [each.psnr for each in best], "o-", color=OURS, drawstyle="steps-post")
        axes.set(xlabel=quantity, ylabel="PSNR in dB")
        logarithmic(axes, "x")
        _label_points(axes, best)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.3 * (high - low))  # room for the names
    figure.axes[0].set_title("On the line: no cheaper network is as good")
    return figure


def front(points: Iterable[Point]) -> list[Point]:
    """The Pareto front of cost and PSNR, cheapest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda each: (each.cost, -each.psnr)):
        if not best or point.psnr > best[-1].psnr or point[:2] == best[-1][:2]:
            best.append(point)
    return best


@rc_context(LOOK)
def losses(results: Results) -> Figure | None:
    selected = select_several(results, LOSS)
    if not selected or BASE.name not in selected.by_name:
        return None
    base = selected.by_name[BASE.name]
    mse = {seed: _metrics(row) for seed, run in base.items() if run.failure != "dead" and (row := run.row())}
    names = [name for name in selected.by_name if name != BASE.name]
    figure = new_figure(selected, 1.6 + 0.5 * len(names))
    for axes, metric in zip(figure.subplots(2, 2, sharey=True).flat, METRICS, strict=True):
        for place, name in enumerate(names):
            living = {seed: run for seed, run in selected.by_name[name].items() if run.failure != "dead"}
            rows = {seed: row for seed, run in living.items() if (row := run.row()) and seed in mse}
            gained = [_metrics(row)[metric] - mse[seed][metric] for seed, row in rows.items()]
            axes.plot(gained, [place] * len(gained), "o", color=OURS, alpha=0.6, markeredgewidth=0)
            if len(gained) > 1:
                axes.plot(fmean(gained), place, "|", color=INK, markersize=14, markeredgewidth=1.5)
        axes.axvline(0, **DOTTED)
        axes.set_title(f"{metric}, {METRICS[metric]} is better")
        axes.set_yticks(range(len(names)), [with_dead(name, selected.of(name), "\n") for name in names])
        axes.margins(y=0.15)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    figure.axes[0].invert_yaxis()
    figure.suptitle(
        "Difference from MSE (dotted line): a dot per seed, a bar for the mean", x=0.01, ha="left", fontsize=9
    )
    return figure


def _metrics(row: Row) -> dict[str, float]:
    """The mean of each of `METRICS`; NaN if no image has it."""
    similar = [image.ms_ssim for image in row.images if image.ms_ssim is not None]
    different = [image.flip for image in row.images if image.flip is not None]
    means = (fmean(values) if values else float("nan") for values in (similar, different))
    return dict(zip(METRICS, (row.psnr, row.ssim, *means), strict=True))


def _label_points(axes: Axes, points: Iterable[Point]) -> None:
    """Write the names above the points, from left to right without overlap."""
    low, high = np.log(axes.get_xlim())
    last = -inf
    for point in points:
        at = (np.log(point.cost) - low) / (high - low) * 0.9 * WIDTH * 72  # the width of the axes, in points
        last = max(at, last + 10)
        above: dict[str, Any] = {
            "xytext": (last - at, 5),
            "textcoords": "offset points",
            "ha": "center",
            "va": "bottom",
        }
        axes.annotate(point.name, point[:2], **above, rotation=90, fontsize=8)
