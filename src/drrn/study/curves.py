"""Figures of curves: by epoch, by layer, and by the number of units or blocks.

Curves are means over the seeds (a seed that ended early keeps its last value), in a band from minimum to maximum. They
end in a dot, or in a cross if a seed diverged.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from drrn.plotting import INK, LOOK, OURS, level, line, logarithmic
from drrn.study.experiments import BASE, BLOCKS, NO_GLOBAL, NO_LOCAL, NO_RESIDUAL, RESIDUAL, UNITS, Experiment
from drrn.study.layout import new_figure, psnrs_of, select_several, with_dead
from drrn.study.result import Result, Results

STYLES: dict[str, dict[str, Any]] = {
    BASE.name: {"color": OURS, "linestyle": "-"},
    NO_LOCAL.name: {"color": "#0072b2", "linestyle": "--"},
    NO_GLOBAL.name: {"color": "#009e73", "linestyle": "-."},
    NO_RESIDUAL.name: {"color": "#333333", "linestyle": (0, (1, 1))},
}
"""Line styles that remain distinct for the color-blind and in print."""
Column = Literal["train_loss", "train_accuracy", "val_loss", "val_accuracy"]
"""A column of the history."""
TITLES: dict[Column, str] = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "train_accuracy": "training accuracy",
    "val_accuracy": "validation accuracy",
}


@rc_context(LOOK)
def residual_curves(results: Results) -> Figure | None:
    if not (selected := select_several(results, RESIDUAL)):
        return None
    names: list[Column] = ["train_loss", "val_loss"]
    names += ["train_accuracy", "val_accuracy"] if _has_accuracy(selected) else []
    figure = new_figure(selected, 0.8 + 1.2 * len(names))
    panels = figure.subplots(len(names) // 2, 2, sharex=True, sharey="row").flat
    constant = fmean(run.constant_loss for run in selected.all)
    for axes, name in zip(panels, names, strict=True):
        for experiment in selected.by_name:
            runs = selected.of(experiment)
            psnr = f": {fmean(psnrs):.2f} dB on test pictures" if (psnrs := psnrs_of(runs)) else ""
            _plot_curve(axes, runs, name, with_dead(experiment, runs) + psnr, **STYLES[experiment])
        if "loss" in name:
            level(axes, constant, "one constant color")
        axes.label_outer()
    # the first epoch may be far above the others, and would flatten them
    logarithmic(figure.axes[0], most=2 * constant)
    _add_legend(figure)
    return figure


@rc_context(LOOK)
def units_curves(results: Results) -> Figure | None:
    return _plot_sizes(results, UNITS, "units")


@rc_context(LOOK)
def blocks_curves(results: Results) -> Figure | None:
    return _plot_sizes(results, BLOCKS, "blocks")


@rc_context(LOOK)
def gradients(results: Results) -> Figure | None:
    if not (selected := select_several(results, RESIDUAL)):
        return None
    figure = new_figure(selected, 3.4)
    when = {"start": "before training", "end": "after training"}
    for axes, (key, title) in zip(figure.subplots(1, 2, sharey=True), when.items(), strict=True):
        for name in selected.by_name:
            line(axes, [run.gradients.get(key, ()) for run in selected.of(name)], name, **STYLES[name])
        axes.set(title=f"gradient norm {title}", xlabel="layer, from the first to the last")
    logarithmic(figure.axes[0])
    _add_legend(figure)
    return figure


def _plot_sizes(results: Results, experiments: Sequence[Experiment], what: Literal["units", "blocks"]) -> Figure | None:
    """Validation curves by epoch, and PSNR by the number of units or blocks; colors show that number."""
    if not (selected := select_several(results, experiments)):
        return None
    above: list[Column] = ["val_accuracy", "val_loss"] if _has_accuracy(selected) else ["val_loss"]
    figure = new_figure(selected, 5.6)
    panels = figure.subplot_mosaic([[*above], ["psnr"] * len(above)])
    numbers = {each.name: int(getattr(each.model, what)) for each in experiments}
    colors = dict(zip(numbers, colormaps["viridis"](np.linspace(0, 0.85, len(numbers))).tolist(), strict=True))
    numbers = {name: numbers[name] for name in selected.by_name}
    for experiment, number in numbers.items():
        for name in above:
            # no bands: each seed holds out other images, and so many bands would hide the lines
            runs = selected.of(experiment)
            label = with_dead(str(number), runs)
            _plot_curve(panels[name], selected.living(experiment), name, label, band=False, color=colors[experiment])
    logarithmic(panels["val_loss"])
    figure.legend(
        *panels["val_loss"].get_legend_handles_labels(), loc="outside right upper", title=what, title_fontsize=8
    )
    below, psnrs = panels["psnr"], {each: psnrs_of(selected.of(each)) for each in numbers}
    means = {numbers[each]: fmean(values) for each, values in psnrs.items() if values}
    below.plot([*means], [*means.values()], color=INK, linewidth=1, label="mean")
    for each, values in psnrs.items():
        below.plot([numbers[each]] * len(values), values, "o", color=colors[each])
    bicubic = selected.all[0].bicubic().psnr
    level(below, bicubic, f"bicubic {bicubic:.2f} dB")
    below.margins(y=0.15)
    for each in psnrs:  # at the height of bicubic, whose pictures they give
        dead = len(selected.of(each)) - len(selected.living(each))
        below.plot([numbers[each]] * dead, [bicubic] * dead, "x", color=colors[each])
    below.set(title="PSNR on test pictures in dB: a dot per seed, a cross if dead, a line for the mean", xlabel=what)
    below.set_xticks([*numbers.values()])
    return figure


def _plot_curve(
    axes: Axes, runs: Sequence[Result], name: Column, label: str, *, band: bool = True, **look: Any
) -> None:
    """One column of the history by epoch."""
    diverged = sum(run.outcome == "diverged" for run in runs)
    label += f" ({diverged} of {len(runs)} diverged)" if diverged else ""
    values = [[getattr(row, name) for row in run.history] for run in runs]
    line(axes, values, label, "x" if diverged else "o", band=band, **look)
    axes.set(title=TITLES[name], xlabel="epoch")


def _add_legend(figure: Figure) -> None:
    """Add a legend of the lines above all panels."""
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2, handlelength=2.5)


def _has_accuracy(results: Results) -> bool:
    """Whether accuracy means anything: with one channel it is always 1."""
    return any(run.experiment.model.channels == 3 for run in results.all)
