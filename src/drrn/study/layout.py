"""Shared by all figures of a study: width, caption, and the selection of results."""

from collections.abc import Iterable
from textwrap import fill

from matplotlib.figure import Figure

from drrn.study.experiments import Experiment
from drrn.study.result import Result, Results

WIDTH = 7.0
"""Of every figure, in inches."""


def new_figure(results: Results, height: float) -> Figure:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.supxlabel(fill(caption(results), 105), x=0.01, ha="left", fontsize=8, color="#666666")
    return figure


def caption(results: Results) -> str:
    """Where the numbers come from: budget, width, seeds, data, scale, bicubic's PSNR, and commit."""
    runs, bicubic = results.all, results.all[0].bicubic()
    widths = ", ".join(str(width) for width in sorted({run.experiment.model.width for run in runs}))
    commits = ", ".join(sorted({run.commit[:7] for run in runs} - {""}))
    return " · ".join(
        [
            results.budget,
            f"width {widths}",
            results.seed_counts,
            f"{bicubic.data} x{bicubic.scale:g}, bicubic {bicubic.psnr:.2f} dB",
            *([f"commit {commits}"] if commits else []),
        ]
    )


def select(results: Results, experiments: Iterable[Experiment]) -> Results:
    """The results of those `experiments` that were run, in this order."""
    names = dict.fromkeys(each.name for each in experiments)
    return Results({name: results.by_name[name] for name in names if name in results.by_name})


def select_several(results: Results, experiments: Iterable[Experiment]) -> Results | None:
    """`select`, or None if it finds fewer than two experiments."""
    selected = select(results, experiments)
    return selected if len(selected.by_name) > 1 else None


def psnrs_of(runs: Iterable[Result]) -> list[float]:
    """Of the networks that are not dead: a mean over dead and living ones describes neither."""
    return [run.psnr for run in runs if run.psnr is not None and run.failure != "dead"]


def with_dead(label: str, runs: Iterable[Result], separator: str = " ") -> str:
    """The label, and how many of these networks are dead."""
    failures = [run.failure for run in runs]
    dead = failures.count("dead")
    return f"{label}{separator}({dead} of {len(failures)} dead)" if dead else label
