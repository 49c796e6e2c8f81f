"""Claims: what decides them, and that the numbers do."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from drrn.study.claims import (
    CLAIMS,
    MARGIN,
    Part,
    accuracy_gained,
    contrast,
    doublings,
    error_left,
    evaluate_claims,
    gap,
    minus,
    missing_experiments,
    psnr,
    units,
)
from drrn.study.experiments import LISTS, Experiment, find_experiments
from drrn.study.intervals import Interval
from drrn.study.result import Result, Results
from drrn.training.logging import Epoch
from tests.study.made_results import made_results


def verdict(results: Results, name: str) -> str:
    return {finding.claim.name: finding.verdict for finding in evaluate_claims(results)}[name]


def by_units(gain: Callable[[int], float]) -> Results:
    return made_results(LISTS["units"], gain=lambda each: gain(each.model.units), noise=0.002)


def by_blocks(gain: Callable[[int], float]) -> Results:
    return made_results(LISTS["blocks"], gain=lambda each: gain(each.model.blocks), noise=0.002)


def one_of(results: Results) -> Result:
    return results.all[0]


def test_every_claim_refers_to_known_experiments() -> None:
    known = {experiment.name for experiment in find_experiments(())}
    assert {name for claim in CLAIMS for part in claim.parts for name in part.weights} <= known
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS) >= 12


@pytest.mark.parametrize(
    ("low", "high", "above", "below", "expected"),
    [
        (0.1, 0.2, 0.0, None, "holds"),
        (-0.2, -0.1, 0.0, None, "does not hold"),
        (-0.1, 0.2, 0.0, None, "undecided"),
        (-0.1, 0.04, None, 0.05, "holds"),
        (0.06, 0.07, None, 0.05, "does not hold"),
        (0.04, 0.06, None, 0.05, "undecided"),
    ],
)
def test_a_part_is_decided_by_its_whole_interval(
    low: float, high: float, above: float | None, below: float | None, expected: str
) -> None:
    part = Part(says="", weights={}, measure=psnr, above=above, below=below)
    assert part.verdict(Interval((low + high) / 2, low, high, 3, (low, high))) == expected
    assert part.verdict(None) == "undecided"


def test_claims_on_units_follow_their_gains() -> None:
    best_at_5 = by_units(lambda units: -0.1 * abs(units - 5))
    assert verdict(best_at_5, "4 to 6 units are best") == "holds"
    ever_better = by_units(lambda units: 0.1 * units)
    assert verdict(ever_better, "4 to 6 units are best") == "does not hold"
    assert verdict(ever_better, "time without gain beyond 6 units") == "does not hold"
    assert verdict(ever_better, "deeper is better") == "holds"
    level = by_units(lambda units: min(units, 6) * 0.1)
    assert verdict(level, "diminishing beyond 6 units") == "holds"
    assert verdict(level, "time without gain beyond 6 units") == "holds"
    assert verdict(by_units(lambda units: units**2 * 0.01), "diminishing beyond 6 units") == "does not hold"


def test_claims_on_blocks_follow_their_gains() -> None:
    plateau = by_blocks(lambda blocks: min(blocks, 4) * 0.1)
    assert verdict(plateau, "plateau after 3 or 4 blocks") == "holds"
    assert verdict(plateau, "time without gain beyond 3 blocks") == "does not hold"
    assert verdict(by_blocks(lambda blocks: blocks * 0.1), "plateau after 3 or 4 blocks") == "does not hold"
    assert verdict(by_blocks(lambda blocks: 0.0), "plateau after 3 or 4 blocks") != "holds"


def test_a_difference_within_noise_is_undecided() -> None:
    results = made_results(LISTS["skip"], gain=lambda each: 0.0, noise=0.2, seeds=4)
    assert verdict(results, "source beats chain") == "undecided"


def test_the_claim_on_sharing_uses_the_margin() -> None:
    def lists(gain: float) -> Results:
        return made_results(LISTS["sharing"], gain=lambda each: 0.0 if each.model.share else gain, noise=0.001)

    assert verdict(lists(MARGIN / 2), "sharing costs little") == "holds"
    assert verdict(lists(MARGIN * 2), "sharing costs little") == "does not hold"


def test_one_seed_or_missing_experiments_decide_nothing() -> None:
    assert {finding.verdict for finding in evaluate_claims(made_results(seeds=1))} == {"undecided"}
    only = made_results(LISTS["skip"])
    found = {finding.claim.name: finding for finding in evaluate_claims(only)}
    assert found["4 to 6 units are best"].verdict == "undecided"
    assert missing_experiments(only, found["deeper is better"].claim) == ["B1U25", "B1U9"]
    assert missing_experiments(only, found["source beats chain"].claim) == []


def test_a_diverged_seed_without_scores_is_left_out() -> None:
    results = made_results(LISTS["skip"], diverged=["chain"])
    assert contrast(results, {"B2U4": 1.0, "chain": -1.0}, psnr) is None


def test_a_contrast_is_the_weighted_sum_over_common_seeds_and_images() -> None:
    results = made_results(LISTS["units"])
    found = contrast(results, minus(units(4, 6), units(1)), psnr)
    assert found
    by_hand = [
        np.mean(results.by_name["B1U4"][seed].psnrs) / 2
        + np.mean(results.by_name["B1U6"][seed].psnrs) / 2
        - np.mean(results.by_name["B1U1"][seed].psnrs)
        for seed in results.seeds
    ]
    assert found.mean == pytest.approx(np.mean(by_hand))
    assert found.low < found.mean < found.high and found.seeds == 3


def with_history(rows: Sequence[tuple[float, float, float]]) -> Result:
    """A result whose epochs have these training PSNR, validation PSNR and validation accuracy."""
    history = tuple(
        Epoch(epoch, 0.1, 1, train, 0.5, 1, val, accuracy) for epoch, (train, val, accuracy) in enumerate(rows)
    )
    return replace(one_of(made_results(LISTS["residual"])), history=history, constant_loss=0.1)


def test_quantities_match_their_definitions() -> None:
    result = with_history([(30, 20, 0.1)] * 5 + [(30, 25, 0.4)] * 5)
    assert gap(result) == pytest.approx([5])
    assert error_left(result) == pytest.approx([10**-2.5 / 0.1])
    assert accuracy_gained(result) == pytest.approx([0.3])
    ended_early = with_history([(30, 20, 0.4)] * 3 + [(30, 20, 0.1)] * 3)
    assert accuracy_gained(ended_early) == pytest.approx([-0.3]), "what learns nothing is ended early"
    assert accuracy_gained(with_history([(30, 20, 0.1)])) is None
    assert doublings(replace(result, cpu_seconds=(1.0, 8.0, 4.0))) == pytest.approx([2])
    empty = replace(result, history=(), cpu_seconds=(), scores=())
    assert [measure(empty) for measure in (gap, error_left, accuracy_gained, doublings, psnr)] == [None] * 5


def test_a_training_that_learned_nothing_is_recognized() -> None:
    def lost(each: Experiment) -> float:
        return -20.0 if each.name == "no residual" else 0.5

    assert verdict(made_results(LISTS["residual"], gain=lost), "no training without residuals") == "holds"
    assert verdict(made_results(LISTS["residual"], gain=lambda each: 0.5), "no training without residuals") == (
        "does not hold"
    )
