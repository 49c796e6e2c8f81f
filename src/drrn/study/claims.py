"""The claims of the report and the paper, and what decides each."""

from collections.abc import Mapping
from math import log2, log10

from drrn.study.experiments import BASE, CHAIN, NO_RESIDUAL, NOT_SHARED
from drrn.study.findings import Claim, Finding
from drrn.study.measures import (
    Measure,
    accuracy_gained,
    blocks,
    doublings,
    error_left,
    gap,
    gradient_at_end,
    gradient_at_start,
    mean_of,
    minus,
    psnr,
    psnr_if_alive,
    units,
)
from drrn.study.parts import MARGIN, Difference, MoreFailures, NearFront, NoGain, Part
from drrn.study.result import Results

VANISHED = 0.01
"""A gradient has vanished if less than this share of it arrives at the first layer."""


def evaluate_claims(results: Results) -> list[Finding]:
    """A finding for every claim, in the order of the report's sections."""
    return [Finding(claim, tuple(part.decide(results) for part in claim.parts)) for claim in CLAIMS]


def longer(says: str, weights: Mapping[str, float]) -> Part:
    return Difference(
        says=f"{says} take at least 1.2 times as long per epoch",
        weights=weights,
        measure=doublings,
        above=log2(1.2),
        unit="doublings",
    )


def no_gain(says: str, weights: Mapping[str, float]) -> Part:
    return NoGain(says=f"{says} gain less than {MARGIN:g} dB", weights=weights)


def better(says: str, these: Mapping[str, float], those: Mapping[str, float], measure: Measure = psnr_if_alive) -> Part:
    return Difference(says=says, weights=minus(these, those), measure=measure, above=0, margin=MARGIN)


def arriving(
    says: str, weights: Mapping[str, float], measure: Measure, *, above: float | None = None, below: float | None = None
) -> Part:
    """Compare the share of the gradient at the last layer that reaches the first."""
    bound = above if above is not None else below
    assert bound is not None
    return Difference(
        says=f"{says} {'more' if above else 'less'} than {100 * bound:g} % of the gradient arrives at the first layer",
        weights=weights,
        measure=measure,
        above=None if above is None else log10(above),
        below=None if below is None else log10(below),
        unit="decades",
    )


ONE, NONE = {BASE.name: 1.0}, {NO_RESIDUAL.name: 1.0}

CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="residuals help",
        source="report, 4.1",
        says="Residual connections significantly improve performance.",
        clause="residual connections improve performance",
        section="residual",
        parts=(better("both residuals are better than none (a dead network counts)", ONE, NONE, psnr),),
    ),
    Claim(
        name="no training without residuals",
        source="report, 4.1",
        says="Without residual connections the loss stays flat, near 0.0755.",
        clause="without residual connections nothing is learned",
        section="residual",
        parts=(
            Difference(
                says="without residuals, at least 0.9 of one constant color's error remains",
                weights=NONE,
                measure=error_left,
                above=0.9,
                unit="of it",
            ),
            Difference(says="with them, less than half", weights=ONE, measure=error_left, below=0.5, unit="of it"),
        ),
    ),
    Claim(
        name="accuracy falls without residuals",
        source="report, 4.1",
        says="Without residual connections accuracy falls with the epochs.",
        clause="without residual connections accuracy falls with the epochs",
        section="residual",
        parts=(
            Difference(
                says="validation accuracy is lower in the last 5 epochs than in the first 5 (halves, if fewer than 10)",
                weights=NONE,
                measure=accuracy_gained,
                below=0,
                unit="",
            ),
        ),
    ),
    Claim(
        name="gradients vanish without residuals",
        source="report, 4.1",
        says="Without residual connections gradients decay exponentially towards the first layers.",
        clause="without residual connections gradients vanish on their way to the first layers",
        section="residual",
        parts=(
            arriving("without residuals, before training,", NONE, gradient_at_start, below=VANISHED),
            arriving("with both, before training,", ONE, gradient_at_start, above=VANISHED),
        ),
    ),
    Claim(
        name="early layers are not trained without residuals",
        source="report, 4.1",
        says="Without residual connections the first layers get no meaningful updates during training.",
        clause="without residual connections the first layers are not trained",
        section="residual",
        parts=(arriving("without residuals, after training,", NONE, gradient_at_end, below=VANISHED),),
    ),
    Claim(
        name="4 to 6 units are best",
        source="report, 4.2",
        says="4 to 6 residual units a block give higher accuracy and lower loss.",
        clause="4 to 6 units a block are best",
        section="units",
        parts=(
            better("4, 5 and 6 units are better than 1, 2 and 3", units(4, 5, 6), units(1, 2, 3)),
            better("4, 5 and 6 units are better than 8, 10 and 12", units(4, 5, 6), units(8, 10, 12)),
        ),
    ),
    Claim(
        name="diminishing beyond 6 units",
        source="report, 4.2",
        says="Beyond 6 units there are diminishing returns.",
        clause="returns diminish beyond 6 units",
        section="units",
        parts=(
            Difference(
                says="another unit gains more from 1 to 6 than from 6 to 12",
                weights=minus(
                    minus(units(6, times=1 / 5), units(1, times=1 / 5)),
                    minus(units(12, times=1 / 6), units(6, times=1 / 6)),
                ),
                measure=psnr_if_alive,
                above=0,
                unit="dB a unit",
            ),
        ),
    ),
    Claim(
        name="10 to 12 units overfit",
        source="report, 4.2",
        says="Models with 10 to 12 units show signs of overfitting.",
        clause="10 to 12 units overfit",
        section="units",
        parts=(
            Difference(
                says="10 and 12 units fit the training patches better relative to held-out ones than 4, 5 and 6",
                weights=minus(units(10, 12), units(4, 5, 6)),
                measure=gap,
                above=0,
                margin=MARGIN,
            ),
            better("10 and 12 units are worse than 4, 5 and 6", units(4, 5, 6), units(10, 12)),
        ),
    ),
    Claim(
        name="plateau after 3 or 4 blocks",
        source="report, 4.3",
        says="More blocks are better at first; the gain ends after 3 or 4.",
        clause="more blocks help only up to 3 or 4",
        section="blocks",
        parts=(
            better("3 blocks are better than 1", blocks(3), blocks(1)),
            no_gain("5 and 6 blocks over 4", minus(blocks(5, 6), blocks(4))),
        ),
    ),
    Claim(
        name="time without gain beyond 6 units",
        source="report, 4.4",
        says="Beyond 6 units training takes longer for marginal gains.",
        clause="beyond 6 units training takes longer for marginal gains",
        section="units",
        parts=(
            longer("12 units over 6", minus(units(12), units(6))),
            no_gain("12 units over 6", minus(units(12), units(6))),
        ),
    ),
    Claim(
        name="time without gain beyond 3 blocks",
        source="report, 4.4",
        says="Beyond 3 blocks training takes longer for marginal gains.",
        clause="beyond 3 blocks training takes longer for marginal gains",
        section="blocks",
        parts=(
            longer("6 blocks over 3", minus(blocks(6), blocks(3))),
            no_gain("6 blocks over 3", minus(blocks(6), blocks(3))),
        ),
    ),
    Claim(
        name="residuals stabilize",
        source="report, 5",
        says="Residual connections significantly improve the stability of training.",
        clause="residual connections make training more stable",
        section="residual",
        parts=(
            MoreFailures(
                says="more trainings fail without residuals than with both (dead, diverged or no better than bicubic)",
                fragile=NO_RESIDUAL.name,
                stable=BASE.name,
            ),
        ),
    ),
    Claim(
        name="4 to 6 units in 2 or 3 blocks are a good trade-off",
        source="report, 5",
        says="4 to 6 units in each of 2 or 3 blocks are a good trade-off of quality and cost.",
        clause="4 to 6 units in each of 2 or 3 blocks are a good trade-off",
        section="grid",
        parts=tuple(
            NearFront(
                says=f"{name} is less than {MARGIN:g} dB below every network of as many multiply-adds or fewer",
                name=name,
            )
            for name in ("B2U4", "B2U6", "B3U4", "B3U6")
        ),
    ),
    Claim(
        name="sharing costs little",
        source="paper, discussion",
        says="Sharing weights between units costs no quality: 33.99 against 33.97 dB without, Set5 x3.",
        clause="sharing weights between units costs no quality",
        section="sharing",
        parts=(no_gain("separate weights for each unit", minus(mean_of(NOT_SHARED.name), ONE)),),
    ),
    Claim(
        name="source beats chain",
        source="paper, discussion",
        says="Skips from the block's first features beat a chain of residual units: 33.99 against 33.95 dB, Set5 x3.",
        clause="skips from the block's first features beat a chain of units",
        section="skip",
        parts=(better("source is better than chain", ONE, mean_of(CHAIN.name)),),
    ),
    Claim(
        name="deeper is better",
        source="paper, table 2",
        says="25 units are better than 9: 34.03 against 33.93 dB, Set5 x3.",
        clause="25 units are better than 9",
        section="units",
        parts=(better("25 units are better than 9", units(25), units(9)),),
    ),
)
