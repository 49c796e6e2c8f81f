"""How sure a mean over few seeds and some pictures is."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Values = NDArray[np.float64]
"""(seeds, pictures), each picture being judged from every seed."""

CONFIDENCE = 0.95
DRAWS = 10_000


class Interval(NamedTuple):
    """A mean over seeds and pictures, and where that of all seeds and pictures there could be lies."""

    mean: float
    low: float
    high: float
    seeds: int
    bootstrap: tuple[float, float]
    """The same by drawing seeds and pictures again. It is too narrow with few seeds, and decides nothing."""


def interval(values: Values) -> Interval:
    """The mean of `values`, with its interval of confidence.

    Both seeds and pictures are random: the variance of the mean is that of a crossed layout, estimated by an analysis
    of variance, with Satterthwaite's degrees of freedom and Student's t. With two or three seeds a bootstrap's interval
    leaves the truth out far more often than it says (in simulations, which the tests repeat).
    """
    seeds, pictures = values.shape
    mean, by_seed, by_picture = values.mean(), values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    free = np.array([seeds - 1, pictures - 1, (seeds - 1) * (pictures - 1)]).clip(1)
    squares = [
        pictures * ((by_seed - mean) ** 2).sum(),
        seeds * ((by_picture - mean) ** 2).sum(),
        ((values - by_seed - by_picture + mean) ** 2).sum(),
    ]
    of_seeds, of_pictures, of_rest = by_source = np.array(squares) / free
    variance = max(of_seeds + of_pictures - of_rest, of_seeds, of_pictures)  # never below that of either alone
    reach = 0.0
    if variance > 0:
        degrees = max(variance**2 / (by_source**2 / free).sum(), 1)
        reach = float(student.ppf((1 + CONFIDENCE) / 2, degrees) * np.sqrt(variance / values.size))
    return Interval(float(mean), float(mean - reach), float(mean + reach), seeds, bootstrap(values))


def bootstrap(values: Values) -> tuple[float, float]:
    """The middle 95 % of the means of `values`, seeds and pictures being drawn again with replacement."""
    chance = np.random.default_rng(0)
    seeds, pictures = values.shape
    by_seed = chance.multinomial(seeds, np.full(seeds, 1 / seeds), DRAWS)  # how often each is drawn
    by_picture = chance.multinomial(pictures, np.full(pictures, 1 / pictures), DRAWS)
    means = ((by_seed @ values) * by_picture).sum(1) / values.size
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
