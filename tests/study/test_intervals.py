"""Intervals: they cover as often as they say."""

import numpy as np
import pytest

from drrn.study import intervals
from drrn.study.intervals import Interval, bootstrap, interval


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(
    ("of_seed", "of_picture", "of_both", "pictures"),
    [(1, 0, 0, 1), (1, 0, 0.5, 20), (0, 1, 0.5, 20), (0.3, 1, 1, 20), (1, 1, 1, 20)],
)
def test_an_interval_has_its_stated_coverage(
    seeds: int, of_seed: float, of_picture: float, of_both: float, pictures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "DRAWS", 2)
    rng, inside = np.random.default_rng(1), 0
    for _ in range(300):
        values = of_seed * rng.normal(size=(seeds, 1)) + of_picture * rng.normal(size=(1, pictures))
        found = interval(values + of_both * rng.normal(size=(seeds, pictures)))
        inside += found.low < 0 < found.high
    assert 0.86 < inside / 300 <= 0.99


def test_an_interval_of_equal_values_is_a_point() -> None:
    assert interval(np.full((3, 5), 2.0)) == Interval(2, 2, 2, 3, (2, 2))


def test_an_interval_over_seeds_alone_is_students_t() -> None:
    found = interval(np.array([[1.0], [2.0], [3.0]]))
    assert (found.low, found.high) == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), abs=1e-4)


def test_a_bootstrap_resamples_seeds_and_images() -> None:
    rng = np.random.default_rng(0)
    seeds, pictures = rng.normal(size=(12, 1)), rng.normal(size=(1, 15))
    values = seeds + pictures
    low, high = bootstrap(values)
    reach = 1.96 * np.sqrt(seeds.var() / 12 + pictures.var() / 15)
    assert (high - low) / 2 == pytest.approx(reach, rel=0.1) and (low + high) / 2 == pytest.approx(
        values.mean(), abs=0.1
    )
    assert bootstrap(values) == (low, high), "the same again"


@pytest.mark.parametrize("seeds", [2, 3])
def test_a_bootstrap_with_few_seeds_covers_less_than_stated(seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "DRAWS", 500)
    rng = np.random.default_rng(1)
    found = [interval(rng.normal(size=(seeds, 1))) for _ in range(300)]
    assert sum(each.bootstrap[0] < 0 < each.bootstrap[1] for each in found) / 300 < 0.85
