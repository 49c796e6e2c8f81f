"""Intervals have their stated coverage."""

import numpy as np
import pytest

from drrn.study import intervals
from drrn.study.intervals import Estimate, Interval, greater_share, share_interval


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(
    ("of_seed", "of_picture", "of_both", "pictures"),
    [(1, 0, 0, 1), (1, 0, 0.5, 20), (0, 1, 0.5, 20), (0.3, 1, 1, 20), (1, 1, 1, 20)],
)
def test_an_interval_has_its_stated_coverage(
    seeds: int, of_seed: float, of_picture: float, of_both: float, pictures: int
) -> None:
    rng, inside = np.random.default_rng(1), 0
    for _ in range(300):
        values = of_seed * rng.normal(size=(seeds, 1)) + of_picture * rng.normal(size=(1, pictures))
        interval = Estimate(values + of_both * rng.normal(size=(seeds, pictures))).interval()
        inside += interval.low < 0 < interval.high
    assert 0.86 < inside / 300 <= 0.99


def test_an_interval_of_equal_values_is_a_point() -> None:
    point = Estimate(np.full((3, 5), 2.0))
    assert (point.mean, point.seeds) == (2, 3)
    assert point.interval() == point.bootstrap() == Interval(2, 2)


def test_an_interval_over_seeds_alone_is_students_t() -> None:
    interval = Estimate(np.array([[1.0], [2.0], [3.0]])).interval()
    assert (interval.low, interval.high) == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), abs=1e-4)


def test_a_bootstrap_resamples_seeds_and_images() -> None:
    rng = np.random.default_rng(0)
    seeds, pictures = rng.normal(size=(12, 1)), rng.normal(size=(1, 15))
    values = seeds + pictures
    low, high = Estimate(values).bootstrap()
    half_width = 1.96 * np.sqrt(seeds.var() / 12 + pictures.var() / 15)
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.1) and (low + high) / 2 == pytest.approx(
        values.mean(), abs=0.1
    )
    assert Estimate(values).bootstrap() == (low, high), "the same again"


@pytest.mark.parametrize("seeds", [2, 3])
def test_a_bootstrap_with_few_seeds_covers_less_than_stated(seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "DRAWS", 500)
    rng = np.random.default_rng(1)
    bounds = [Estimate(rng.normal(size=(seeds, 1))).bootstrap() for _ in range(300)]
    assert sum(each.low < 0 < each.high for each in bounds) / 300 < 0.85


def test_the_interval_of_more_seeds_is_as_wide_as_those_seeds_make_it() -> None:
    rng = np.random.default_rng(2)

    def measured(seeds: int) -> Estimate:
        values = rng.normal(size=(seeds, 1)) + 0.5 * rng.normal(size=(1, 20)) + rng.normal(size=(seeds, 20))
        return Estimate(values)

    def half_width(interval: Interval) -> float:
        return interval.high - interval.low

    expected = np.median([half_width(measured(4).interval(seeds=16)) for _ in range(200)])
    assert expected == pytest.approx(np.median([half_width(measured(16).interval()) for _ in range(200)]), rel=0.1)
    four = measured(4)
    assert four.interval(seeds=4) == four.interval()
    assert four.interval(0.9).low > four.interval().low, "less confidence, a narrower interval"


def test_no_number_of_seeds_removes_the_scatter_of_the_images() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1, 10)) + 0.01 * rng.normal(size=(3, 10))
    low, high = Estimate(values).interval(seeds=10**6)
    assert (high - low) / 2 == pytest.approx(2.262 * values.mean(0).std(ddof=1) / 10**0.5, rel=0.05)


def test_a_share_has_the_exact_interval() -> None:
    assert share_interval(0, 3) == pytest.approx((0, 1 - 0.025 ** (1 / 3)))
    assert share_interval(3, 3) == pytest.approx((0.025 ** (1 / 3), 1))


def test_shares_are_compared_by_the_number_of_ways() -> None:
    assert greater_share((3, 3), (0, 3)) == pytest.approx(1 / 20)  # one of 6 over 3
    assert greater_share((4, 4), (0, 4)) == pytest.approx(1 / 70)
    assert greater_share((0, 3), (3, 3)) == pytest.approx(1)
