"""Results as figures: the report's 1 to 7 again, and those it lacks.

Each is a pure function of `Results`, and None where what it compares was not run. Curves are means over the seeds, one
that has ended being taken to stay as it is, in a band from the least to the greatest; they end in a dot, or in a cross
where a seed diverged.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from statistics import fmean
from textwrap import fill
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from drrn.evaluation.benchmark import Row
from drrn.plotting import DOTTED, INK, LOOK, OTHERS, OURS, STEPS, level, line, logarithmic
from drrn.study.experiments import (
    BASE,
    BLOCKS,
    GRID,
    LOSS,
    NO_GLOBAL,
    NO_LOCAL,
    NO_RESIDUAL,
    RESIDUAL,
    UNITS,
    Experiment,
)
from drrn.study.result import Result, Results, Version, from_text

WIDTH = 7.0
"""Of every figure, in inches."""
STYLES: dict[str, dict[str, Any]] = {
    BASE.name: {"color": OURS, "linestyle": "-"},
    NO_LOCAL.name: {"color": "#0072b2", "linestyle": "--"},
    NO_GLOBAL.name: {"color": "#009e73", "linestyle": "-."},
    NO_RESIDUAL.name: {"color": "#333333", "linestyle": (0, (1, 1))},
}
"""Of lines, told apart by the colour-blind and in print."""
Name = Literal["train_loss", "train_accuracy", "val_loss", "val_accuracy"]
TITLES: dict[Name, str] = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "train_accuracy": "training accuracy",
    "val_accuracy": "validation accuracy",
}
MEASURES = {"PSNR in dB": "more", "SSIM": "more", "MS-SSIM": "more", "FLIP": "less"}
"""What pictures are judged by, and whether more or less of it is better."""


class Point(NamedTuple):
    """An experiment by what it costs and what it gains."""

    cost: float
    psnr: float
    name: str = ""


class Drawing(NamedTuple):
    """A figure, its title, and what is seen on it, for who can't see it."""

    title: str
    alt: str
    draw: Callable[[Results], Figure | None]


def caption(results: Results) -> str:
    """How the numbers came about: budget, width, seeds, data, scale and what bicubic gets there, and commit."""
    runs, bicubic = results.all, results.all[0].bicubic()
    widths = ", ".join(str(width) for width in sorted({run.experiment.model.width for run in runs}))
    commits = ", ".join(sorted({run.commit[:7] for run in runs} - {""}))
    return " · ".join(
        [
            results.budget,
            f"width {widths}",
            results.counted,
            f"{bicubic.data} x{bicubic.scale:g}, bicubic {bicubic.psnr:.2f} dB",
            *([f"commit {commits}"] if commits else []),
        ]
    )


@rc_context(LOOK)
def sheets(results: Results) -> Figure | None:
    shown = _examples(results, BASE)
    if not shown:
        return None
    columns = [{name: versions[place] for name, versions in shown.items()} for place in range(4)]
    return _pictures(_chosen(results, (BASE,)), columns, [""] * 4)


@rc_context(LOOK)
def residual_curves(results: Results) -> Figure | None:
    if not (chosen := _compared(results, RESIDUAL)):
        return None
    names: list[Name] = ["train_loss", "val_loss"]
    names += ["train_accuracy", "val_accuracy"] if _has_accuracy(chosen) else []
    figure = _figure(chosen, 0.8 + 1.2 * len(names))
    panels = figure.subplots(len(names) // 2, 2, sharex=True, sharey="row").flat
    constant = fmean(run.constant_loss for run in chosen.all)
    for axes, name in zip(panels, names, strict=True):
        for experiment in chosen.by_name:
            runs = chosen.of(experiment)
            psnr = f": {fmean(psnrs):.2f} dB on test pictures" if (psnrs := _psnrs(runs)) else ""
            _curve(axes, runs, name, experiment + psnr, **STYLES[experiment])
        if "loss" in name:
            level(axes, constant, "what one constant colour gets")
        axes.label_outer()
    # the first epoch of a training may be far above, which would flatten all the others
    logarithmic(figure.axes[0], most=2 * constant)
    _names(figure)
    return figure


@rc_context(LOOK)
def residual_pictures(results: Results) -> Figure | None:
    found = {each.name: shown for each in RESIDUAL if (shown := _examples(results, each))}
    if len(found) < 2:
        return None
    columns = [{name: versions[-1] for name, versions in next(iter(found.values())).items()}]
    columns += [{name: versions[2] for name, versions in shown.items()} for shown in found.values()]
    return _pictures(_chosen(results, RESIDUAL), columns, ["", *found])


@rc_context(LOOK)
def units_curves(results: Results) -> Figure | None:
    return _sizes(results, UNITS, "units")


@rc_context(LOOK)
def blocks_curves(results: Results) -> Figure | None:
    return _sizes(results, BLOCKS, "blocks")


@rc_context(LOOK)
def grid(results: Results) -> Figure | None:
    if not (chosen := _compared(results, GRID)):
        return None
    blocks = sorted({each.model.blocks for each in GRID})
    units = sorted({each.model.units for each in GRID})
    psnrs = [[_psnrs(chosen.of(f"B{b}U{u}")) for u in units] for b in blocks]
    means = np.array([[fmean(cell) if cell else np.nan for cell in row] for row in psnrs])
    figure = _figure(chosen, 3.2)
    axes = figure.subplots()
    image = axes.imshow(means, cmap="Blues", aspect="auto")
    for row, cells in enumerate(psnrs):
        for column, cell in enumerate(cells):
            red, green, blue, _ = image.to_rgba(means[row, column])
            text = f"{fmean(cell):.2f}" if cell else "none"
            text += f"\n{min(cell):.2f} to {max(cell):.2f}" if len(cell) > 1 else ""
            colour = "white" if cell and 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else INK
            axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set(xlabel="units in a block", ylabel="blocks", title="PSNR in dB, the mean of the seeds and their range")
    axes.set_xticks(range(len(units)), [str(each) for each in units])
    axes.set_yticks(range(len(blocks)), [str(each) for each in blocks])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    return figure


@rc_context(LOOK)
def trade_off(results: Results) -> Figure | None:
    chosen = _compared(results, (*UNITS, *BLOCKS, *GRID))
    costs: dict[str, Callable[[Result], float]] = {
        "CPU seconds of the training": lambda run: run.training_seconds,
        "multiply-adds a pixel": lambda run: run.macs,
        "parameters": lambda run: run.experiment.model.parameters,
    }
    trained = [runs for name in chosen.by_name if _psnrs(runs := chosen.of(name))] if chosen else []
    if not chosen or len(trained) < 2:
        return None
    figure = _figure(chosen, 7.4)
    for axes, (what, cost) in zip(figure.subplots(3, sharey=True), costs.items(), strict=True):
        found = [Point(fmean(map(cost, runs)), fmean(_psnrs(runs)), runs[0].name) for runs in trained]
        points = [each for each in found if each.cost]  # times may have been lost
        best = front(points)
        axes.plot([each.cost for each in points], [each.psnr for each in points], "o", color=OTHERS)
        axes.plot([each.cost for each in best], [each.psnr for each in best], "o-", color=OURS, drawstyle="steps-post")
        axes.set(xlabel=what, ylabel="PSNR in dB")
        logarithmic(axes, "x")
        _named(axes, best)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.3 * (high - low))  # room for the names
    figure.axes[0].set_title("On the line: those that no cheaper one equals")
    return figure


def front(points: Iterable[Point]) -> list[Point]:
    """Those than which none gains more for less, or as much for less, or more for as much; the cheapest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda each: (each.cost, -each.psnr)):
        if not best or point.psnr > best[-1].psnr or point[:2] == best[-1][:2]:
            best.append(point)
    return best


@rc_context(LOOK)
def gradients(results: Results) -> Figure | None:
    if not (chosen := _compared(results, RESIDUAL)):
        return None
    figure = _figure(chosen, 3.4)
    when = {"start": "before the training", "end": "after it"}
    for axes, (key, title) in zip(figure.subplots(1, 2, sharey=True), when.items(), strict=True):
        for name in chosen.by_name:
            line(axes, [run.gradients.get(key, ()) for run in chosen.of(name)], name, **STYLES[name])
        axes.set(title=f"norm of the gradient {title}", xlabel="layer, from the first to the last")
    logarithmic(figure.axes[0])
    _names(figure)
    return figure


@rc_context(LOOK)
def losses(results: Results) -> Figure | None:
    chosen = _compared(results, LOSS)
    if not chosen or BASE.name not in chosen.by_name:
        return None
    mse = {seed: _measures(row) for seed, run in chosen.by_name[BASE.name].items() if (row := run.row())}
    names = [name for name in chosen.by_name if name != BASE.name]
    figure = _figure(chosen, 1.6 + 0.5 * len(names))
    for axes, measure in zip(figure.subplots(2, 2, sharey=True).flat, MEASURES, strict=True):
        for place, name in enumerate(names):
            rows = {seed: row for seed, run in chosen.by_name[name].items() if (row := run.row()) and seed in mse}
            gained = [_measures(row)[measure] - mse[seed][measure] for seed, row in rows.items()]
            axes.plot(gained, [place] * len(gained), "o", color=OURS, alpha=0.6, markeredgewidth=0)
            if len(gained) > 1:
                axes.plot(fmean(gained), place, "|", color=INK, markersize=14, markeredgewidth=1.5)
        axes.axvline(0, **DOTTED)
        axes.set_title(f"{measure}, {MEASURES[measure]} is better")
        axes.set_yticks(range(len(names)), names)
        axes.margins(y=0.15)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    figure.axes[0].invert_yaxis()
    figure.suptitle(
        "Each loss less MSE, which is the dotted line; a dot a seed, a bar their mean", x=0.01, ha="left", fontsize=9
    )
    return figure


FIGURES: dict[str, Drawing] = {
    "sheets": Drawing(
        "Enlarged pictures (the report's figures 1 to 3)",
        f"Parts of test pictures, a row each: made smaller, enlarged by bicubic, by {BASE.name}, and the original.",
        sheets,
    ),
    "residual_curves": Drawing(
        "With and without residuals (the report's figure 4)",
        "Loss and accuracy by epoch, in training and in validation, with all residuals, without the local ones, "
        "without the global one and with none; a dotted line where a network that learnt one constant colour would be.",
        residual_curves,
    ),
    "residual_pictures": Drawing(
        "Pictures with and without residuals (the report's figure 5)",
        "The same parts of test pictures, a row each: the original, and as enlarged with all residuals, without the "
        "local ones, without the global one and with none.",
        residual_pictures,
    ),
    "units_curves": Drawing(
        "Residual units (the report's figure 6)",
        "Validation accuracy and loss by epoch, a line for each number of units in one block, and below them PSNR on "
        "test pictures by the number of units, with bicubic's as a dotted line.",
        units_curves,
    ),
    "blocks_curves": Drawing(
        "Recursive blocks (the report's figure 7)",
        "Validation accuracy and loss by epoch, a line for each number of blocks of three units, and below them PSNR "
        "on test pictures by the number of blocks, with bicubic's as a dotted line.",
        blocks_curves,
    ),
    "grid": Drawing(
        "Blocks and units together",
        "A table of PSNR on test pictures: a row for each number of blocks, a column for each number of units.",
        grid,
    ),
    "trade_off": Drawing(
        "What blocks and units cost and gain (the report's section 4.4)",
        "PSNR on test pictures by CPU seconds of the training, by multiply-adds a pixel and by parameters, a dot for "
        "each number of blocks and units; a line joins those that none beats at their price.",
        trade_off,
    ),
    "gradients": Drawing(
        "How much of the gradient reaches each layer",
        "The norm of the gradient at each layer, before and after the training, with all residuals, without the "
        "local ones, without the global one and with none. A line that falls to the foot is a gradient of 0.",
        gradients,
    ),
    "losses": Drawing(
        "Other losses than MSE",
        "PSNR, SSIM, MS-SSIM and FLIP of networks trained by other losses, less those of the one trained by MSE.",
        losses,
    ),
}


def draw(results: Results) -> dict[str, Figure]:
    """The figures that the results suffice for, by their names in `FIGURES`, in that order."""
    return {name: figure for name, drawing in FIGURES.items() if (figure := drawing.draw(results))}


def _measures(row: Row) -> dict[str, float]:
    """By `MEASURES`; not a number where no picture has one."""
    similar = [image.ms_ssim for image in row.images if image.ms_ssim is not None]
    different = [image.flip for image in row.images if image.flip is not None]
    means = (fmean(values) if values else float("nan") for values in (similar, different))
    return dict(zip(MEASURES, (row.psnr, row.ssim, *means), strict=True))


def _chosen(results: Results, experiments: Iterable[Experiment]) -> Results:
    """Those of `experiments` that were run, in that order."""
    names = dict.fromkeys(each.name for each in experiments)
    return Results({name: results.by_name[name] for name in names if name in results.by_name})


def _compared(results: Results, experiments: Iterable[Experiment]) -> Results | None:
    """The same, where there are two at least."""
    chosen = _chosen(results, experiments)
    return chosen if len(chosen.by_name) > 1 else None


def _psnrs(runs: Iterable[Result]) -> list[float]:
    return [run.psnr for run in runs if run.psnr is not None]


def _has_accuracy(results: Results) -> bool:
    """Whether it says anything: of one channel it is always 1."""
    return any(run.experiment.model.channels == 3 for run in results.all)


def _figure(results: Results, height: float) -> Figure:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.supxlabel(fill(caption(results), 105), x=0.01, ha="left", fontsize=8, color="#666666")
    return figure


def _sizes(results: Results, experiments: Sequence[Experiment], what: Literal["units", "blocks"]) -> Figure | None:
    """Curves of validation by epoch, and PSNR by the number of units or blocks, which the colours stand for."""
    if not (chosen := _compared(results, experiments)):
        return None
    above: list[Name] = ["val_accuracy", "val_loss"] if _has_accuracy(chosen) else ["val_loss"]
    figure = _figure(chosen, 5.6)
    panels = figure.subplot_mosaic([[*above], ["psnr"] * len(above)])
    numbers = {each.name: int(getattr(each.model, what)) for each in experiments}
    colours = dict(zip(numbers, colormaps["viridis"](np.linspace(0, 0.85, len(numbers))).tolist(), strict=True))
    numbers = {name: numbers[name] for name in chosen.by_name}
    for experiment, number in numbers.items():
        for name in above:
            # without bands: the seeds hold out other pictures each, and so many bands would hide the lines
            _curve(panels[name], chosen.of(experiment), name, str(number), band=False, color=colours[experiment])
    logarithmic(panels["val_loss"])
    figure.legend(
        *panels["val_loss"].get_legend_handles_labels(), loc="outside right upper", title=what, title_fontsize=8
    )
    below, psnrs = panels["psnr"], {each: _psnrs(chosen.of(each)) for each in numbers}
    means = {numbers[each]: fmean(values) for each, values in psnrs.items() if values}
    below.plot([*means], [*means.values()], color=INK, linewidth=1, label="mean")
    for each, values in psnrs.items():
        below.plot([numbers[each]] * len(values), values, "o", color=colours[each])
    bicubic = chosen.all[0].bicubic().psnr
    level(below, bicubic, f"bicubic {bicubic:.2f} dB")
    below.margins(y=0.15)
    below.set(title="PSNR on test pictures in dB, a dot a seed, the line their mean", xlabel=what)
    below.set_xticks([*numbers.values()])
    return figure


def _curve(axes: Axes, runs: Sequence[Result], name: Name, label: str, *, band: bool = True, **style: Any) -> None:
    """A value of the history by epoch."""
    diverged = sum(run.outcome == "diverged" for run in runs)
    label += f" ({diverged} of {len(runs)} diverged)" if diverged else ""
    values = [[getattr(row, name) for row in run.history] for run in runs]
    line(axes, values, label, "x" if diverged else "o", band=band, **style)
    axes.set(title=TITLES[name], xlabel="epoch")


def _named(axes: Axes, points: Iterable[Point]) -> None:
    """Names above points from left to right, those of near ones beside each other."""
    low, high = np.log(axes.get_xlim())
    last = -inf
    for point in points:
        at = (np.log(point.cost) - low) / (high - low) * 0.9 * WIDTH * 72  # the axes being so wide, in points
        last = max(at, last + 10)
        above: dict[str, Any] = {
            "xytext": (last - at, 5),
            "textcoords": "offset points",
            "ha": "center",
            "va": "bottom",
        }
        axes.annotate(point.name, point[:2], **above, rotation=90, fontsize=8)


def _names(figure: Figure) -> None:
    """Of the lines, above all panels."""
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2, handlelength=2.5)


def _examples(results: Results, experiment: Experiment) -> Mapping[str, tuple[Version, ...]]:
    """What is shown of an experiment, by its first seed that has something."""
    return next((run.examples for run in results.of(experiment.name) if run.examples), {})


def _pictures(results: Results, columns: Sequence[Mapping[str, Version]], heads: Sequence[str]) -> Figure:
    """A column each, a row a picture, all as large as the first of their row."""
    names = [*columns[0]]
    side = WIDTH / len(columns) - 0.1
    figure = _figure(results, (side + 0.25 + 0.15 * any(heads)) * len(names) + 0.25)
    for row, panels in zip(names, figure.subplots(len(names), len(columns), squeeze=False), strict=True):
        for axes, column, head in zip(panels, columns, heads, strict=True):
            if row in column:
                axes.imshow(from_text(column[row].picture), interpolation="none", extent=(0, 1, 0, 1))
                title = f"{head}\n{column[row].caption.removeprefix('drrn ')}" if head else column[row].caption
                axes.set_title(title, fontsize=8)
            axes.set_axis_off()
    return figure
