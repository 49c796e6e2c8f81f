"""What a search found, and what it leaves of it: a pure function of its trials, written again after each."""

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
from drrn.tuning.space import VARIED, Space, chosen, suggest

ENOUGH = 10
"""Finished trials from which importances are told: PED-ANOVA asks for five good ones, to compare with the others."""


class Tried(NamedTuple):
    """A trial as it stands."""

    number: int
    state: str
    """complete, pruned, failed (with the reason) or unfinished."""
    values: dict[str, Any]
    """What it tries: `VARIED`; none or some where it has hardly begun."""
    psnr: float | None
    """Of the pixels held out, in dB: the best epoch's, or the last one's where it was pruned."""
    macs: int | None
    """Multiply-adds for each pixel of the enlarged picture."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A search: its trials in their order, and what they share."""

    tried: list[Tried]
    space: Space
    model: DRRNConfig
    train: TrainConfig
    both: bool
    """Whether few multiply-adds are wanted, too."""

    @property
    def finished(self) -> list[Tried]:
        return [each for each in self.tried if each.state in ("complete", "pruned")]

    @property
    def complete(self) -> list[Tried]:
        return [each for each in self.tried if each.state == "complete"]

    @property
    def unfinished(self) -> list[Tried]:
        return [each for each in self.tried if each.state == "unfinished"]

    @property
    def best(self) -> Tried | None:
        """The first of the highest PSNR."""
        return max(self.complete, key=lambda each: each.psnr or 0, default=None)

    @property
    def front(self) -> list[Tried]:
        """The trials to which none is better in one way and as good in the other, the cheapest first."""
        front: list[Tried] = []
        for each in sorted(self.complete, key=lambda each: (each.macs or 0, -(each.psnr or 0))):
            if not front or (each.psnr or 0) > (front[-1].psnr or 0):
                front.append(each)
        return front

    def preset(self, tried: Tried) -> dict[str, Any]:
        """What `drrn train --config` takes, and where it is from."""
        model, train = chosen(tried.values, self.model, self.train)
        about = {"trial": tried.number, "psnr": round(tried.psnr or 0, 4), "macs": tried.macs}
        return {"model": model.to_dict(), "train": asdict(train), **about}

    def to_csv(self) -> str:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["trial", "state", "psnr", "macs", *VARIED, "reason"])
        for each in self.tried:
            psnr = "" if each.psnr is None else f"{each.psnr:.4f}"
            values = [each.values.get(name, "") for name in VARIED]
            rows.writerow([each.number, each.state, psnr, each.macs, *values, each.reason])
        return text.getvalue()


def leave(found: Found, run: Path, *, drawn: bool = False) -> None:
    """Write what was found to the folder `run`; the pictures too, if `drawn`.

    Raises:
        DRRNError: a file can't be written.
    """
    write_text(run / "trials.csv", found.to_csv())
    if found.best:
        write_text(run / "best.json", json.dumps(found.preset(found.best), indent=2) + "\n")
        if found.both:
            front = [found.preset(each) for each in found.front]
            write_text(run / "front.json", json.dumps(front, indent=2) + "\n")
    if drawn and found.best:
        _draw(run / "history", draw_history, found)
        if found.both:
            _draw(run / "front", draw_front, found)
        if importances(found):
            _draw(run / "importance", draw_importance, found)


def importances(found: Found) -> dict[str, float]:
    """How much each varied field decides whether a trial is among the good ones, by PED-ANOVA; of a sum of 1.

    The good ones are the best tenth, and five at least. Pruned trials count with the PSNR at which they were stopped.
    Nothing where fewer than `ENOUGH` are finished, or nothing varies.
    """
    trials = [each for each in found.finished if each.psnr is not None]
    if len(trials) < ENOUGH:
        return {}
    example = FixedTrial(trials[0].values)
    suggest(example, found.space)
    kinds = {name: kind for name, kind in example.distributions.items() if not kind.single()}
    if not kinds:
        return {}
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        create_trial(value=each.psnr, params={name: each.values[name] for name in kinds}, distributions=kinds)
        for each in trials
    )
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, 5 / len(trials)))
    found_out = get_param_importances(study, evaluator=evaluator)
    return {name: found_out[name] for name in sorted(kinds, key=lambda name: -found_out[name])}


def draw_history(found: Found) -> Figure:
    """PSNR of each trial, and of the best one so far; what is far below the complete ones lies on the axis."""
    figure, axes = _figure("Validation PSNR of each trial", "trial", "PSNR (dB)")
    scores = [each.psnr or 0 for each in found.complete]
    floor = min(scores) - max(0.2 * (max(scores) - min(scores)), 0.05)
    ends = [each.number for each in found.complete] + [found.tried[-1].number]
    axes.step(
        ends, [*accumulate(scores, max), max(scores)], where="post", color=OURS, linewidth=1.2, label="best so far"
    )
    _points(axes, found, lambda each: (each.number, max(each.psnr or 0, floor)))
    axes.set_ylim(bottom=floor)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)
    return figure


def draw_front(found: Found) -> Figure:
    """PSNR against multiply-adds, and the line of those that none surpasses, with the numbers of their trials."""
    figure, axes = _figure("PSNR against cost", "thousands of multiply-adds a pixel", "validation PSNR (dB)")
    line = [((each.macs or 0) / 1000, each.psnr or 0) for each in found.front]
    axes.step(*zip(*line, strict=True), where="post", color=OURS, linewidth=1.2, label="front")
    _points(axes, found, lambda each: ((each.macs or 0) / 1000, each.psnr or 0))
    for each, place in zip(found.front, line, strict=True):
        axes.annotate(f"{each.number}", place, xytext=(0, 5), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(PLAIN)
    axes.minorticks_off()
    _legend(axes)
    return figure


def draw_importance(found: Found) -> Figure:
    """A bar for each varied field."""
    shares = importances(found)
    figure, axes = _figure(f"What decides the PSNR, from {len(found.finished)} trials", "share of the importance", "")
    names = [name.replace("_", " ") for name in shares]
    axes.barh(names, list(shares.values()), color=OURS, height=0.7)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    return figure


def _points(axes: Axes, found: Found, place: Callable[[Tried], tuple[float, float]]) -> None:
    """Complete trials as discs, pruned ones as circles, failed ones as crosses."""
    for state, marker, face in (("complete", "o", OTHERS), ("pruned", "o", "none"), ("failed", "x", OTHERS)):
        trials = [each for each in found.tried if each.state == state and (each.psnr is not None or not found.both)]
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


def _draw(path: Path, draw: Callable[[Found], Figure], found: Found) -> None:
    """Write a drawing as .png and .svg, the same bytes for the same trials."""
    figure = draw(found)
    for suffix in (".png", ".svg"):
        save(figure, path.with_suffix(suffix))
