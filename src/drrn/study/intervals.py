"""Confidence intervals for a mean over few seeds and some images, and for a share."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]
"""(seeds, images): every image is measured with every seed."""

CONFIDENCE = 0.95
DRAWS = 10_000


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """The mean of values measured with several seeds on several images, and how sure it is.

    Seeds and images are both random: the variance of the mean is that of a crossed design, estimated by an analysis of
    variance, with Satterthwaite's degrees of freedom and Student's t. With two or three seeds, a bootstrap interval
    misses the truth far more often than it claims (in simulations, which the tests repeat).
    """

    values: Values

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def seeds(self) -> int:
        return len(self.values)

    def interval(self, confidence: float = CONFIDENCE, seeds: int | None = None) -> Interval:
        """The interval that contains the mean over all possible seeds and images with this confidence.

        Args:
            seeds: how wide to expect it with this many seeds; by default, those that were measured.
        """
        values, mean = self.values, self.mean
        measured, images = values.shape
        seeds = seeds or measured
        by_seed, by_image = values.mean(1, keepdims=True), values.mean(0, keepdims=True)
        squares = [
            images * ((by_seed - mean) ** 2).sum(),
            measured * ((by_image - mean) ** 2).sum(),
            ((values - by_seed - by_image + mean) ** 2).sum(),
        ]
        of_seeds, of_images, of_rest = np.array(squares) / _degrees(measured, images)
        # another number of seeds changes how much the images' means differ, and nothing else
        of_images += (seeds / measured - 1) * max(of_images - of_rest, 0)
        by_source = np.array([of_seeds, of_images, of_rest])
        variance = max(of_seeds + of_images - of_rest, of_seeds, of_images)  # never below either alone
        reach = 0.0
        if variance > 0:
            degrees = max(variance**2 / (by_source**2 / _degrees(seeds, images)).sum(), 1)
            reach = float(stats.t.ppf((1 + confidence) / 2, degrees) * np.sqrt(variance / (seeds * images)))
        return Interval(mean - reach, mean + reach)

    def bootstrap(self) -> Interval:
        """The middle 95 % of the mean when seeds and images are resampled: too narrow, and not used for verdicts."""
        rng = np.random.default_rng(0)
        seeds, images = self.values.shape
        by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), DRAWS)  # how often each is drawn
        by_image = rng.multinomial(images, np.full(images, 1 / images), DRAWS)
        means = ((by_seed @ self.values) * by_image).sum(1) / self.values.size
        low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return Interval(float(low), float(high))


def _degrees(seeds: int, images: int) -> NDArray[np.int64]:
    """Degrees of freedom of the seeds, of the images, and of the rest."""
    return np.array([seeds - 1, images - 1, (seeds - 1) * (images - 1)]).clip(1)


def share_interval(count: int, total: int) -> Interval:
    """The exact 95 % interval (Clopper and Pearson) of a share of which `count` of `total` were seen."""
    low, high = stats.binomtest(count, total).proportion_ci(CONFIDENCE, "exact")
    return Interval(float(low), float(high))


def greater_share(first: tuple[int, int], second: tuple[int, int]) -> float:
    """The probability of shares at least as far apart if the first is not greater: Fisher's exact test.

    Args:
        first, second: how many, of how many.
    """
    table = [[count, total - count] for count, total in (first, second)]
    return float(stats.fisher_exact(table, "greater").pvalue)
