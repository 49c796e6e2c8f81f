"""Which of several models enlarges a file: one for its condition, and the best that is done within the time for it.

The best is the one of the highest PSNR on its card. That ranks models that are finished, for whoever has no time to try
them; it takes no part in how they became so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drrn.errors import DRRNError, UsageError
from drrn.upscaling.cost import Estimate
from drrn.upscaling.formats.job import Job
from drrn.upscaling.upscaler import Upscaler
from drrn.weights.store import Weights, load, names

BUDGET = 30.0
"""Seconds for each file, where nothing else is said."""
RANKED_ON = "Set5"
"""The set whose PSNR ranks models: every card has it."""


@dataclass(frozen=True)
class Choice:
    """The model that a file gets."""

    index: int
    """Of its upscaler, among those that there were."""
    upscaler: Upscaler
    cost: Estimate
    budget: float | None = None
    """Seconds that it was chosen for; None where there is no limit."""
    condition: str = ""
    """What it was chosen for, as in `JPEG quality 75`; empty where one was named."""

    @property
    def within_budget(self) -> bool:
        return self.budget is None or self.cost.seconds <= self.budget


def choose(job: Job, upscalers: Sequence[Upscaler]) -> Choice:
    """Of `upscalers` the best whose expected seconds are within the job's budget; the fastest where none's are.

    Where some are for photos, only these or only the others count, as the file is spoilt or clean. Those that were not
    trained for such a scale are left out where one was, and so are those that need too much memory.

    Raises:
        UsageError: all need too much memory.
        DRRNError: the file is damaged.
    """
    fitting, condition = list(upscalers), ""
    if len({each.weights.for_photos for each in upscalers}) > 1:
        spoilt, condition = job.format.condition(job)
        fitting = [each for each in upscalers if each.weights.for_photos == spoilt]
    trained = [each for each in fitting if not outside_training(job, each.weights)] or fitting
    ranked = sorted(trained, key=lambda each: _psnr(each.weights, max(job.scales)), reverse=True)
    slower: list[Choice] = []
    refused: UsageError | None = None
    for upscaler in ranked:
        try:
            cost = job.format.estimate(job, upscaler)
        except UsageError as error:
            refused = refused or error
            continue
        choice = Choice(upscalers.index(upscaler), upscaler, cost, job.options.budget, condition)
        if choice.within_budget:
            return choice
        slower.append(choice)
    if refused and not slower:
        raise refused
    return min(slower, key=lambda choice: choice.cost.seconds)


def find_faster(job: Job, choice: Choice, ready: Callable[[str], Upscaler]) -> Choice | None:
    """The fastest packaged model for the job, if it takes less than half the time of the chosen one.

    Args:
        ready: makes an upscaler for a packaged model, with the options of the chosen one.
    """
    photos = choice.upscaler.weights.for_photos
    packaged = (weights for weights in map(load, names()) if weights.for_photos == photos)
    trained = [weights for weights in packaged if not outside_training(job, weights)]
    if not trained:
        return None
    least = min(trained, key=lambda weights: weights.config.macs())
    if least.config.macs() * 2 > choice.upscaler.weights.config.macs(choice.upscaler.units):
        return None
    try:
        upscaler = ready(least.name)
        other = Choice(choice.index, upscaler, job.format.estimate(job, upscaler))
    except DRRNError:  # it can't run that many units, or needs too much memory
        return None
    return other if 2 * other.cost.seconds < choice.cost.seconds else None


def outside_training(job: Job, weights: Weights) -> str:
    """What to say where a side grows as `weights` were not trained for; nothing else."""
    return next(filter(None, map(weights.outside, job.scales)), "")


def trained_for(job: Job) -> str:
    """The first packaged model that was; empty where none was."""
    return next((name for name in names() if not outside_training(job, load(name))), "")


def scores(weights: Weights) -> dict[float, float]:
    """PSNR on `RANKED_ON` by scale, as the card has it."""
    return {row["scale"]: row["psnr"] for row in weights.card.get("scores", []) if row["data"] == RANKED_ON}


def _psnr(weights: Weights, scale: float) -> float:
    """At the scored scale that is nearest; less than any where there is none."""
    known = scores(weights)
    return known[min(known, key=lambda each: abs(each - scale))] if known else float("-inf")
