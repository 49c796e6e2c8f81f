"""The result of a search and its files: a pure function of the trials, rewritten after each one."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FixedTrial, create_trial

from drrn.atomic import write_text
from drrn.core.config import DRRNConfig
from drrn.plotting import OTHERS, OURS, PLAIN, save, style
from drrn.training.config import TrainConfig
from drrn.tuning.space import VARIED, Space, apply_values, suggest

MIN_TRIALS = 10
"""Finished trials needed for importances: PED-ANOVA compares at least five good ones with the others."""


class TrialResult(NamedTuple):
    """A trial in its current state."""

    number: int
    state: str
    """complete, pruned, failed (with the reason) or unfinished."""
    values: dict[str, Any]
    """Its value for each of `VARIED`; incomplete if it has only just started."""
    psnr: float | None
    """On the held-out pixels, in dB: of the best epoch, or of the last one if pruned."""
    macs: int | None
    """Multiply-adds for each pixel of the enlarged image."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The trials of a search in their order, and what they share."""

    trials: list[TrialResult]
    space: Space
    model: DRRNConfig
    config: TrainConfig
    minimizes_macs: bool
    """Whether few multiply-adds are an objective, too."""

    @property
    def finished(self) -> list[TrialResult]:
        return [each for each in self.trials if each.state in ("complete", "pruned")]

    @property
    def complete(self) -> list[TrialResult]:
        return [each for each in self.trials if each.state == "complete"]

    @property
    def unfinished(self) -> list[TrialResult]:
        return [each for each in self.trials if each.state == "unfinished"]

    @property
    def best(self) -> TrialResult | None:
        """The first trial with the highest PSNR."""
        return max(self.complete, key=lambda each: each.psnr or 0, default=None)

    @property
    def front(self) -> list[TrialResult]:
        """The Pareto front of multiply-adds and PSNR, cheapest first."""
        front: list[TrialResult] = []
        for each in sorted(self.complete, key=lambda each: (each.macs or 0, -(each.psnr or 0))):
            if not front or (each.psnr or 0) > (front[-1].psnr or 0):
                front.append(each)
        return front

    def preset(self, trial: TrialResult) -> dict[str, Any]:
        """A config for `drrn train --config`, with its origin."""
        model, config = apply_values(trial.values, self.model, self.config)
        origin = {"trial": trial.number, "psnr": round(trial.psnr or 0, 4), "macs": trial.macs}
        return {"model": model.to_dict(), "train": asdict(config), **origin}

    def to_csv(self) -> str:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["trial", "state", "psnr", "macs", *VARIED, "reason"])
        for each in self.trials:
            psnr = "" if each.psnr is None else f"{each.psnr:.4f}"
            values = [each.values.get(name, "") for name in VARIED]
            rows.writerow([each.number, each.state, psnr, each.macs, *values, each.reason])
        return text.getvalue()


def write_results(result: SearchResult, run: Path, *, with_figures: bool = False) -> None:
    """Write tables and presets to the folder `run`, and figures if asked for.

    Raises:
        DRRNError: a file can't be written.
    """
    write_text(run / "trials.csv", result.to_csv())
    if result.best:
        write_text(run / "best.json", json.dumps(result.preset(result.best), indent=2) + "\n")
        if result.minimizes_macs:
            front = [result.preset(each) for each in result.front]
            write_text(run / "front.json", json.dumps(front, indent=2) + "\n")
    if with_figures and result.best:
        _draw(run / "history", draw_history, result)
        if result.minimizes_macs:
            _draw(run / "front", draw_front, result)
        if importances(result):
            _draw(run / "importance", draw_importance, result)


def importances(result: SearchResult) -> dict[str, float]:
    """How much each varied field decides whether a trial is good, by PED-ANOVA; the shares sum to 1.

    Good trials are the best tenth, at least five. Pruned trials count with the PSNR at which they were stopped. Empty
    if fewer than `MIN_TRIALS` are finished, or nothing varies.
    """
    trials = [each for each in result.finished if each.psnr is not None]
    if len(trials) < MIN_TRIALS:
        return {}
    example = FixedTrial(trials[0].values)
    suggest(example, result.space)
    kinds = {name: kind for name, kind in example.distributions.items() if not kind.single()}
    if not kinds:
        return {}
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        create_trial(value=each.psnr, params={name: each.values[name] for name in kinds}, distributions=kinds)
        for each in trials
    )
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, 5 / len(trials)))
    shares = get_param_importances(study, evaluator=evaluator)
    return {name: shares[name] for name in sorted(kinds, key=lambda name: -shares[name])}


def draw_history(result: SearchResult) -> Figure:
    """PSNR of each trial and of the best so far; trials far below the complete ones are drawn on the axis."""
    figure, axes = _figure("Validation PSNR of each trial", "trial", "PSNR (dB)")
    scores = [each.psnr or 0 for each in result.complete]
    floor = min(scores) - max(0.2 * (max(scores) - min(scores)), 0.05)
    ends = [each.number for each in result.complete] + [result.trials[-1].number]
    axes.step(
        ends, [*accumulate(scores, max), max(scores)], where="post", color=OURS, linewidth=1.2, label="best so far"
    )
    _points(axes, result, lambda each: (each.number, max(each.psnr or 0, floor)))
    axes.set_ylim(bottom=floor)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)
    return figure


def draw_front(result: SearchResult) -> Figure:
    """PSNR against multiply-adds, with the Pareto front and the numbers of its trials."""
    figure, axes = _figure("PSNR against cost", "thousands of multiply-adds a pixel", "validation PSNR (dB)")
    line = [((each.macs or 0) / 1000, each.psnr or 0) for each in result.front]
    axes.step(*zip(*line, strict=True), where="post", color=OURS, linewidth=1.2, label="front")
    _points(axes, result, lambda each: ((each.macs or 0) / 1000, each.psnr or 0))
    for each, place in zip(result.front, line, strict=True):
        axes.annotate(f"{each.number}", place, xytext=(0, 5), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(PLAIN)
    axes.minorticks_off()
    _legend(axes)
    return figure


def draw_importance(result: SearchResult) -> Figure:
    """One bar for each varied field."""
    shares = importances(result)
    figure, axes = _figure(f"What decides the PSNR, from {len(result.finished)} trials", "share of the importance", "")
    names = [name.replace("_", " ") for name in shares]
    axes.barh(names, list(shares.values()), color=OURS, height=0.7)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    return figure


def _points(axes: Axes, result: SearchResult, place: Callable[[TrialResult], tuple[float, float]]) -> None:
    """Complete trials as filled circles, pruned ones as open circles, failed ones as crosses."""
    for state, marker, face in (("complete", "o", OTHERS), ("pruned", "o", "none"), ("failed", "x", OTHERS)):
        trials = [
            each
            for each in result.trials
            if each.state == state and (each.psnr is not None or not result.minimizes_macs)
        ]
        if trials:
            x, y = zip(*map(place, trials), strict=True)
            axes.plot(x, y, marker, color=OTHERS, markerfacecolor=face, markersize=5, clip_on=False, label=state)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def _figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    style(axes, title)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    return figure, axes


def _draw(path: Path, draw: Callable[[SearchResult], Figure], result: SearchResult) -> None:
    """Write a figure as .png and .svg; the same trials give the same bytes."""
    figure = draw(result)
    for suffix in (".png", ".svg"):
        save(figure, path.with_suffix(suffix))
