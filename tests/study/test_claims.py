"""Claims: which numbers decide them, and how."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from drrn.study.claims import CLAIMS, evaluate_claims
from drrn.study.experiments import LISTS, Experiment, find_experiments
from drrn.study.findings import WEAKEST_FIRST, Claim, Finding
from drrn.study.intervals import Estimate
from drrn.study.measures import (
    accuracy_gained,
    contrast,
    doublings,
    error_left,
    gap,
    gradient_at_end,
    gradient_at_start,
    minus,
    psnr,
    psnr_if_alive,
    units,
)
from drrn.study.parts import MARGIN, Difference, MoreFailures, NearFront, NoGain, Outcome, Verdict
from drrn.study.result import Result, Results
from drrn.training.logging import Epoch
from tests.study.made_results import made_results


def verdict(results: Results, name: str) -> str:
    return {finding.claim.name: finding.verdict for finding in evaluate_claims(results)}[name]


def by_units(gain: Callable[[int], float]) -> Results:
    return made_results(LISTS["units"], gain=lambda each: 1 + gain(each.model.units), noise=0.002)


def by_blocks(gain: Callable[[int], float]) -> Results:
    return made_results(LISTS["blocks"], gain=lambda each: 1 + gain(each.model.blocks), noise=0.002)


def one_of(results: Results) -> Result:
    return results.all[0]


def test_every_claim_refers_to_known_experiments() -> None:
    experiments = {experiment.name for experiment in find_experiments(())}
    assert {name for claim in CLAIMS for part in claim.parts for name in part.names} <= experiments
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS) == 16
    assert {claim.section for claim in CLAIMS} <= LISTS.keys()


def spread(mean: float, half_width: float, seeds: int = 3, confidence: float = 0.95) -> Estimate:
    """An estimate whose interval of this confidence has this half-width."""
    values = np.linspace(-1, 1, seeds)[:, None]
    unit = Estimate(values).interval(confidence).high
    return Estimate(mean + values * (half_width / unit if unit else 0))


@pytest.mark.parametrize(
    ("mean", "half_width", "above", "below", "expected"),
    [
        (0.15, 0.05, 0.0, None, "holds"),
        (-0.15, 0.05, 0.0, None, "does not hold"),
        (0.05, 0.15, 0.0, None, "cannot be told"),
        (-0.03, 0.07, None, 0.05, "holds"),
        (0.065, 0.005, None, 0.05, "does not hold"),
        (0.05, 0.01, None, 0.05, "cannot be told"),
    ],
)
def test_a_difference_is_decided_by_its_whole_interval(
    mean: float, half_width: float, above: float | None, below: float | None, expected: str
) -> None:
    part = Difference(says="", weights={}, measure=psnr, above=above, below=below)
    assert part.verdict(spread(mean, half_width)) == expected


@pytest.mark.parametrize(
    ("mean", "half_width", "expected"),
    [
        (0.0, 0.049, "too small to matter"),
        (0.03, 0.01, "too small to matter"),  # above 0 for sure, and below the margin, too
        (-0.03, 0.01, "too small to matter"),
        (0.0, 0.051, "cannot be told"),
        (0.06, 0.045, "holds"),
        (-0.06, 0.01, "does not hold"),
    ],
)
def test_a_difference_within_the_margin_by_both_one_sided_tests_is_too_small(
    mean: float, half_width: float, expected: str
) -> None:
    part = Difference(says="", weights={}, measure=psnr, above=0, margin=MARGIN)
    assert part.verdict(spread(mean, half_width, seeds=40, confidence=0.90)) == expected


@pytest.mark.parametrize(
    ("mean", "half_width", "expected"),
    [
        (0.0, 0.049, "holds"),
        (-0.3, 0.2, "holds"),  # a loss is no gain
        (0.0, 0.051, "cannot be told"),
        (0.06, 0.009, "does not hold"),
        (0.06, 0.02, "cannot be told"),
    ],
)
def test_no_gain_is_tested_in_one_direction(mean: float, half_width: float, expected: str) -> None:
    assert NoGain(says="", weights={}).verdict(spread(mean, half_width, confidence=0.90)) == expected


def test_no_gain_says_whether_a_loss_is_excluded() -> None:
    def details(gain: float) -> str:
        results = made_results(LISTS["sharing"], gain=lambda each: 1.0 if each.model.share else 1 + gain, noise=0.001)
        return NoGain(says="", weights={"not shared": 1, "B2U4": -1}).decide(results).details

    assert "a loss of 0.05 dB is excluded, too" in details(0.0)
    assert "a loss of 0.05 dB is not excluded" in details(-0.1)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "cannot be told"], "cannot be told"),
        (["cannot be told", "too small to matter"], "too small to matter"),
        (["not run", "does not hold"], "does not hold"),
        (["not run", "cannot be told"], "not run"),
    ],
)
def test_a_claim_is_as_strong_as_its_weakest_part(verdicts: list[Verdict], expected: str) -> None:
    claim = Claim(name="", source="", says="", clause="", section="", parts=())
    assert Finding(claim, tuple(Outcome(each) for each in verdicts)).verdict == expected
    assert {*WEAKEST_FIRST} == {*get_args(Verdict)}


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


def test_a_difference_within_noise_cannot_be_told() -> None:
    results = made_results(LISTS["skip"], gain=lambda each: 2.0, noise=0.2, seeds=4)
    assert verdict(results, "source beats chain") == "cannot be told"


def test_the_claim_on_sharing_uses_the_margin() -> None:
    def lists(gain: float) -> Results:
        return made_results(LISTS["sharing"], gain=lambda each: 1.0 if each.model.share else 1 + gain, noise=0.001)

    assert verdict(lists(MARGIN / 2), "sharing costs little") == "holds"
    assert verdict(lists(MARGIN * 2), "sharing costs little") == "does not hold"


def test_one_seed_decides_nothing_and_what_was_not_run_says_so() -> None:
    assert {finding.verdict for finding in evaluate_claims(made_results(seeds=1))} == {"cannot be told"}
    only = made_results(LISTS["skip"])
    findings = {finding.claim.name: finding for finding in evaluate_claims(only)}
    assert findings["4 to 6 units are best"].verdict == "not run"
    assert findings["deeper is better"].outcomes == (Outcome("not run", details="B1U25, B1U9 not run"),)
    assert findings["source beats chain"].verdict != "not run"


def test_what_cannot_be_told_names_the_seeds_that_would_decide() -> None:
    part = Difference(says="", weights={"chain": -1.0, "B2U4": 1.0}, measure=psnr, above=0, margin=MARGIN)

    def outcome(seeds: int) -> Outcome:
        return part.decide(
            made_results(LISTS["skip"], seeds, gain=lambda each: 2 + 0.1 * (each.name == "B2U4"), noise=0.1)
        )

    few = outcome(4)
    assert few.verdict == "cannot be told"
    assert few.seeds and 4 < few.seeds < 60 and few.expected == "holds"
    assert few.missing == f"about {few.seeds} seeds would decide"
    assert outcome(60).verdict == "holds" and not outcome(60).missing


def test_a_claim_needs_the_seeds_of_its_slowest_part_unless_one_refutes_it() -> None:
    claim = Claim(name="", source="", says="", clause="", section="", parts=())

    def missing(*outcomes: Outcome) -> str:
        return Finding(claim, outcomes).missing

    quick, slow = (Outcome("cannot be told", seeds=seeds, expected="holds") for seeds in (5, 9))
    assert missing(quick, slow, Outcome("holds")) == "about 9 seeds would decide"
    assert missing(quick, slow._replace(expected="does not hold")) == "about 9 seeds would decide"
    assert missing(slow, quick._replace(expected="too small to matter")) == "about 5 seeds would decide"
    assert missing(quick, Outcome("cannot be told", reason="why")) == "why"
    assert missing(Outcome("holds")) == ""


def test_dead_networks_are_left_out_of_comparisons_of_quality_but_not_of_survival() -> None:
    results = made_results(LISTS["skip"], seeds=4, noise=0)
    first = results.by_name["chain"][0]
    bicubic = first.bicubic()
    dead = replace(first, scores=(bicubic, replace(bicubic, model="chain")))
    assert (dead.failure, first.failure) == ("dead", None)
    with_dead = Results({**results.by_name, "chain": {**results.by_name["chain"], 0: dead}})
    weights = {"B2U4": 1.0, "chain": -1.0}
    for measure, seeds in ((psnr_if_alive, 3), (psnr, 4)):
        estimate = contrast(with_dead, weights, measure)
        assert estimate and estimate.seeds == seeds
    assert gap(dead) is None and gradient_at_end(dead) is None


def test_a_network_of_one_color_is_dead_and_one_below_bicubic_is_not() -> None:
    results = made_results(LISTS["residual"], 1, noise=0, gain=lambda each: -20 if each.name == "no residual" else -0.5)
    assert [results.of(each.name)[0].failure for each in LISTS["residual"]] == [
        "no better than bicubic",
        "no better than bicubic",
        "no better than bicubic",
        "dead",
    ]
    assert made_results(LISTS["residual"], 1, diverged=["no residual"]).of("no residual")[0].failure == "diverged"


def test_more_failures_are_told_by_fishers_test() -> None:
    def outcome(seeds: int, fragile: float, stable: float) -> Outcome:
        results = made_results(
            LISTS["residual"], seeds, noise=0, gain=lambda each: stable if each.name == "B2U4" else fragile
        )
        return MoreFailures(says="", fragile="no residual", stable="B2U4").decide(results)

    few = outcome(3, -1, 1)
    assert (few.verdict, few.seeds, few.expected) == ("cannot be told", 4, "holds")
    assert few.measured == "3 of 3 (29 to 100 %) against 0 of 3 (0 to 71 %)"
    assert outcome(4, -1, 1).verdict == "holds"
    assert outcome(4, 1, -1).verdict == "does not hold"


def test_a_network_is_near_the_front_if_none_as_cheap_is_better_by_the_margin() -> None:
    def verdict(gain: Callable[[Experiment], float], name: str = "B2U4") -> Verdict:
        results = made_results((*LISTS["grid"], *LISTS["units"]), gain=gain, noise=0.001)
        return NearFront(says="", name=name).decide(results).verdict

    assert verdict(lambda each: 0.2) == "holds"
    assert verdict(lambda each: 0.2 + 0.04 * (each.name == "B1U2")) == "holds"
    assert verdict(lambda each: 0.2 + 0.1 * (each.name == "B1U2")) == "does not hold"
    assert verdict(lambda each: 0.2 + 0.1 * (each.name == "B3U6")) == "holds", "it costs more"


def test_a_vanished_gradient_is_seen_in_the_norms_of_the_layers() -> None:
    result = one_of(made_results(LISTS["residual"]))
    norms = {"start": (1e-5, 1e-4, 1e-2, 1.0), "end": (2e-2, 1e-4, 1e-2, 1.0)}
    result = replace(result, gradients=norms)
    assert gradient_at_start(result) == pytest.approx([-3])  # the last layer has other channels
    assert gradient_at_end(result) == pytest.approx([np.log10(2)])
    assert gradient_at_start(replace(result, gradients={})) is None
    assert verdict(made_results(LISTS["residual"]), "gradients vanish without residuals") == "holds"


def test_a_diverged_seed_without_scores_is_left_out() -> None:
    results = made_results(LISTS["skip"], diverged=["chain"])
    assert contrast(results, {"B2U4": 1.0, "chain": -1.0}, psnr) is None


def test_a_contrast_is_the_weighted_sum_over_common_seeds_and_images() -> None:
    results = made_results(LISTS["units"])
    estimate = contrast(results, minus(units(4, 6), units(1)), psnr)
    assert estimate
    by_hand = [
        np.mean(results.by_name["B1U4"][seed].psnrs) / 2
        + np.mean(results.by_name["B1U6"][seed].psnrs) / 2
        - np.mean(results.by_name["B1U1"][seed].psnrs)
        for seed in results.seeds
    ]
    assert estimate.mean == pytest.approx(np.mean(by_hand))
    assert estimate.interval().low < estimate.mean < estimate.interval().high and estimate.seeds == 3


def with_history(rows: Sequence[tuple[float, float, float]]) -> Result:
    """A result with these training PSNR, validation PSNR and validation accuracy per epoch."""
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
