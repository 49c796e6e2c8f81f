"""Choose among several models for each file: by its condition, and the best that meets the time limit.

The best is the one with the highest PSNR on its card. This only ranks finished models for users without time to try
them; it played no part in training them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drrn.errors import DRRNError, UsageError
from drrn.upscaling.cost import Estimate
from drrn.upscaling.formats.job import Job
from drrn.upscaling.upscaler import Upscaler
from drrn.weights.store import Weights, load, names

BUDGET = 30.0
"""Default time limit in seconds per file."""
RANKED_ON = "Set5"
"""The data set whose PSNR ranks models: every card has it."""


@dataclass(frozen=True)
class Choice:
    """The model chosen for a file."""

    index: int
    """Position of its upscaler among those to choose from."""
    upscaler: Upscaler
    cost: Estimate
    budget: float | None = None
    """The time limit in seconds; None if there is none."""
    condition: str = ""
    """The condition it was chosen for, as `JPEG quality 75`; empty if the model was named."""

    @property
    def within_budget(self) -> bool:
        return self.budget is None or self.cost.seconds <= self.budget


def choose(job: Job, upscalers: Sequence[Upscaler]) -> Choice:
    """Choose the best of `upscalers` whose expected time is within the job's budget; the fastest if none is.

    If some of them are for photos, only those or only the others are considered, depending on whether the file is
    degraded or clean. Models not trained for the scale are considered only if none was, and models that need too much
    memory never.

    Raises:
        UsageError: all need too much memory.
        DRRNError: the file is damaged.
    """
    fitting, condition = list(upscalers), ""
    if len({each.weights.for_photos for each in upscalers}) > 1:
        degraded, condition = job.format.condition(job)
        fitting = [each for each in upscalers if each.weights.for_photos == degraded]
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
    """Return the fastest packaged model for the job, if it takes less than half the time of the chosen one.

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
    """Return a warning if a side is enlarged by a scale that `weights` were not trained for; otherwise nothing."""
    return next(filter(None, map(weights.outside, job.scales)), "")


def trained_for(job: Job) -> str:
    """Return the first packaged model trained for the job's scale; empty if there is none."""
    return next((name for name in names() if not outside_training(job, load(name))), "")


def scores(weights: Weights) -> dict[float, float]:
    """Return the PSNR on `RANKED_ON` by scale, from the card."""
    return {row["scale"]: row["psnr"] for row in weights.card.get("scores", []) if row["data"] == RANKED_ON}


def _psnr(weights: Weights, scale: float) -> float:
    """Return the PSNR at the nearest scored scale; minus infinity if there is none."""
    known = scores(weights)
    return known[min(known, key=lambda each: abs(each - scale))] if known else float("-inf")
