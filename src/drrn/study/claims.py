"""The claims of the report and the paper, what decides each, and the verdicts.

A claim holds if all its parts hold. A part compares experiments: a weighted sum of a quantity measured on each must lie
above or below a bound. It is computed for each seed and each image, which all experiments share, so that what is easy
for all of them cancels out. The interval contains the mean over all possible seeds and images with 95 % confidence. A
part holds if the whole interval is on its side of the bound, does not hold if it is all on the other side, and is
otherwise undecided.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Literal, NamedTuple

import numpy as np

from drrn.study.experiments import BASE, CHAIN, NO_RESIDUAL, NOT_SHARED
from drrn.study.intervals import Interval, Values, interval
from drrn.study.result import Result, Results

Verdict = Literal["holds", "does not hold", "undecided"]
Measure = Callable[[Result], Values | None]
"""A quantity of a result: one number, or one per image; None if there is nothing to measure."""

MARGIN = 0.05
"""dB that count as no gain: invisible, and about as much as another seed changes."""
LAST = 5
"""Final epochs that are averaged, since single epochs fluctuate."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One comparison: the weighted sum of a quantity is above, or below, a bound."""

    says: str
    weights: Mapping[str, float]
    """By experiment."""
    measure: Measure
    above: float | None = None
    below: float | None = None
    unit: str = "dB"

    def verdict(self, interval: Interval | None) -> Verdict:
        if interval is None:
            return "undecided"
        bound = self.above if self.above is not None else self.below
        assert bound is not None
        sides = {True: interval.low > bound, False: interval.high < bound}
        wanted = self.above is not None
        return "holds" if sides[wanted] else "does not hold" if sides[not wanted] else "undecided"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of the report or the paper, and the comparisons that decide it."""

    name: str
    source: str
    says: str
    parts: tuple[Part, ...]


class Finding(NamedTuple):
    """The outcome of a claim: an interval and a verdict for each part, and a verdict on the whole."""

    claim: Claim
    intervals: tuple[Interval | None, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def verdict(self) -> Verdict:
        if "does not hold" in self.verdicts:
            return "does not hold"
        return "undecided" if "undecided" in self.verdicts else "holds"


def evaluate_claims(results: Results) -> list[Finding]:
    """A finding for every claim, in the order of the report's sections."""
    findings = []
    for claim in CLAIMS:
        intervals = tuple(contrast(results, part.weights, part.measure) for part in claim.parts)
        verdicts = tuple(part.verdict(interval) for part, interval in zip(claim.parts, intervals, strict=True))
        findings.append(Finding(claim, intervals, verdicts))
    return findings


def contrast(results: Results, weights: Mapping[str, float], measure: Measure) -> Interval | None:
    """The weighted sum of a quantity of experiments; None if fewer than two seeds have all of them."""
    of_seeds: list[Values] = []
    for seed in results.seeds:
        results_of_seed = [results.by_name.get(name, {}).get(seed) for name in weights]
        measured = [values for result in results_of_seed if result and (values := measure(result)) is not None]
        if len(measured) == len(weights):
            terms = [weight * values for weight, values in zip(weights.values(), measured, strict=True)]
            of_seeds.append(np.sum(terms, axis=0))
    if len(of_seeds) < 2:
        return None
    if not results.same_images:
        of_seeds = [values.mean(keepdims=True) for values in of_seeds]
    return interval(np.stack(of_seeds))


def psnr(result: Result) -> Values | None:
    """PSNR in dB, for each image of the first set."""
    return np.array(result.psnrs) if result.psnrs else None


def gap(result: Result) -> Values | None:
    """How much better the network is on training than on held-out patches at the end, in dB."""
    if not result.history:
        return None
    return np.array([np.mean([row.train_psnr - row.val_psnr for row in result.history[-LAST:]])])


def error_left(result: Result) -> Values | None:
    """The validation error of the best epoch, relative to that of one constant color."""
    if not result.history:
        return None
    return np.array([10 ** (-max(row.val_psnr for row in result.history) / 10) / result.constant_loss])


def accuracy_gained(result: Result) -> Values | None:
    """Validation accuracy at the end minus that at the beginning.

    Averaged over the last and the first `LAST` epochs, or over halves of a shorter history: a network that learns
    nothing stops early.
    """
    count = min(LAST, len(result.history) // 2)
    if not count or result.experiment.model.channels == 1:
        return None
    accuracy = [row.val_accuracy for row in result.history]
    return np.array([np.mean(accuracy[-count:]) - np.mean(accuracy[:count])])


def doublings(result: Result) -> Values | None:
    """Base-2 logarithm of the median CPU seconds of an epoch."""
    return np.array([log2(float(np.median(result.cpu_seconds)))]) if result.cpu_seconds else None


def mean_of(*names: str, times: float = 1.0) -> dict[str, float]:
    return {name: times / len(names) for name in names}


def units(*counts: int, times: float = 1.0) -> dict[str, float]:
    return mean_of(*(f"B1U{count}" for count in counts), times=times)


def blocks(*counts: int, times: float = 1.0) -> dict[str, float]:
    return mean_of(*(f"B{count}U3" for count in counts), times=times)


def minus(these: Mapping[str, float], those: Mapping[str, float]) -> dict[str, float]:
    """The weights of a difference."""
    return {name: these.get(name, 0.0) - those.get(name, 0.0) for name in dict.fromkeys([*these, *those])}


def no_gain(says: str, weights: Mapping[str, float]) -> Part:
    return Part(says=f"{says} gain less than {MARGIN:g} dB", weights=weights, measure=psnr, below=MARGIN)


def longer(says: str, weights: Mapping[str, float]) -> Part:
    return Part(
        says=f"{says} take at least 1.2 times as long per epoch",
        weights=weights,
        measure=doublings,
        above=log2(1.2),
        unit="doublings",
    )


def better(says: str, these: Mapping[str, float], those: Mapping[str, float]) -> Part:
    return Part(says=says, weights=minus(these, those), measure=psnr, above=0)


ONE, NONE = {BASE.name: 1.0}, {NO_RESIDUAL.name: 1.0}

CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="residuals help",
        source="report, 4.1",
        says="Residual connections significantly improve performance.",
        parts=(better("both residuals are better than none", ONE, NONE),),
    ),
    Claim(
        name="no training without residuals",
        source="report, 4.1",
        says="Without residual connections the loss stays flat, near 0.0755.",
        parts=(
            Part(
                says="without residuals, at least 0.9 of one constant color's error remains",
                weights=NONE,
                measure=error_left,
                above=0.9,
                unit="of it",
            ),
            Part(says="with them, less than half", weights=ONE, measure=error_left, below=0.5, unit="of it"),
        ),
    ),
    Claim(
        name="accuracy falls without residuals",
        source="report, 4.1",
        says="Without residual connections accuracy falls with the epochs.",
        parts=(
            Part(
                says="validation accuracy is lower in the last 5 epochs than in the first 5 (halves, if fewer than 10)",
                weights=NONE,
                measure=accuracy_gained,
                below=0,
                unit="",
            ),
        ),
    ),
    Claim(
        name="4 to 6 units are best",
        source="report, 4.2",
        says="4 to 6 residual units a block give higher accuracy and lower loss.",
        parts=(
            better("4, 5 and 6 units are better than 1, 2 and 3", units(4, 5, 6), units(1, 2, 3)),
            better("4, 5 and 6 units are better than 8, 10 and 12", units(4, 5, 6), units(8, 10, 12)),
        ),
    ),
    Claim(
        name="diminishing beyond 6 units",
        source="report, 4.2",
        says="Beyond 6 units there are diminishing returns.",
        parts=(
            better(
                "another unit gains more from 1 to 6 than from 6 to 12",
                minus(units(6, times=1 / 5), units(1, times=1 / 5)),
                minus(units(12, times=1 / 6), units(6, times=1 / 6)),
            ),
        ),
    ),
    Claim(
        name="10 to 12 units overfit",
        source="report, 4.2",
        says="Models with 10 to 12 units show signs of overfitting.",
        parts=(
            Part(
                says="10 and 12 units fit the training patches better relative to held-out ones than 4, 5 and 6",
                weights=minus(units(10, 12), units(4, 5, 6)),
                measure=gap,
                above=0,
            ),
            better("10 and 12 units are worse than 4, 5 and 6", units(4, 5, 6), units(10, 12)),
        ),
    ),
    Claim(
        name="plateau after 3 or 4 blocks",
        source="report, 4.3",
        says="More blocks are better at first; the gain ends after 3 or 4.",
        parts=(
            better("3 blocks are better than 1", blocks(3), blocks(1)),
            no_gain("5 and 6 blocks over 4", minus(blocks(5, 6), blocks(4))),
        ),
    ),
    Claim(
        name="time without gain beyond 6 units",
        source="report, 4.4",
        says="Beyond 6 units training takes longer for marginal gains.",
        parts=(
            longer("12 units over 6", minus(units(12), units(6))),
            no_gain("12 units over 6", minus(units(12), units(6))),
        ),
    ),
    Claim(
        name="time without gain beyond 3 blocks",
        source="report, 4.4",
        says="Beyond 3 blocks training takes longer for marginal gains.",
        parts=(
            longer("6 blocks over 3", minus(blocks(6), blocks(3))),
            no_gain("6 blocks over 3", minus(blocks(6), blocks(3))),
        ),
    ),
    Claim(
        name="sharing costs little",
        source="paper, discussion",
        says="Sharing weights between units costs no quality: 33.99 against 33.97 dB without, Set5 x3.",
        parts=(no_gain("separate weights for each unit", minus(mean_of(NOT_SHARED.name), ONE)),),
    ),
    Claim(
        name="source beats chain",
        source="paper, discussion",
        says="Skips from the block's first features beat a chain of residual units: 33.99 against 33.95 dB, Set5 x3.",
        parts=(better("source is better than chain", ONE, mean_of(CHAIN.name)),),
    ),
    Claim(
        name="deeper is better",
        source="paper, table 2",
        says="25 units are better than 9: 34.03 against 33.93 dB, Set5 x3.",
        parts=(better("25 units are better than 9", units(25), units(9)),),
    ),
)


def missing_experiments(results: Results, claim: Claim) -> Sequence[str]:
    """The experiments that a claim needs and that were not run."""
    names = dict.fromkeys(name for part in claim.parts for name in part.weights)
    return [name for name in names if name not in results.by_name]
