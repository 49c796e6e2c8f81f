"""Confidence intervals for a mean over few seeds and some images."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Values = NDArray[np.float64]
"""(seeds, images): every image is measured with every seed."""

CONFIDENCE = 0.95
DRAWS = 10_000


class Interval(NamedTuple):
    """The mean over the measured seeds and images, with a confidence interval for all possible ones."""

    mean: float
    low: float
    high: float
    seeds: int
    bootstrap: tuple[float, float]
    """The bootstrap interval: too narrow with few seeds, and not used for verdicts."""


def interval(values: Values) -> Interval:
    """The mean of `values` with its confidence interval.

    Seeds and images are both random: the variance of the mean is that of a crossed design, estimated by an analysis of
    variance, with Satterthwaite's degrees of freedom and Student's t. With two or three seeds, a bootstrap interval
    misses the truth far more often than it claims (in simulations, which the tests repeat).
    """
    seeds, images = values.shape
    mean, by_seed, by_image = values.mean(), values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    free = np.array([seeds - 1, images - 1, (seeds - 1) * (images - 1)]).clip(1)
    squares = [
        images * ((by_seed - mean) ** 2).sum(),
        seeds * ((by_image - mean) ** 2).sum(),
        ((values - by_seed - by_image + mean) ** 2).sum(),
    ]
    of_seeds, of_images, of_rest = by_source = np.array(squares) / free
    variance = max(of_seeds + of_images - of_rest, of_seeds, of_images)  # never below either alone
    reach = 0.0
    if variance > 0:
        degrees = max(variance**2 / (by_source**2 / free).sum(), 1)
        reach = float(student.ppf((1 + CONFIDENCE) / 2, degrees) * np.sqrt(variance / values.size))
    return Interval(float(mean), float(mean - reach), float(mean + reach), seeds, bootstrap(values))


def bootstrap(values: Values) -> tuple[float, float]:
    """The middle 95 % of the mean of `values` when seeds and images are resampled with replacement."""
    rng = np.random.default_rng(0)
    seeds, images = values.shape
    by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), DRAWS)  # how often each is drawn
    by_image = rng.multinomial(images, np.full(images, 1 / images), DRAWS)
    means = ((by_seed @ values) * by_image).sum(1) / values.size
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
