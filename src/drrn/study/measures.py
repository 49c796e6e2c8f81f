"""What is measured on a result: each measure returns one number, or one per image."""

from collections.abc import Callable, Mapping, Sequence
from math import log2, log10

import numpy as np

from drrn.study.intervals import Estimate, Values
from drrn.study.result import Result, Results

Measure = Callable[[Result], Values | None]
"""None if there is nothing to measure."""

LAST = 5
"""Final epochs that are averaged, since single epochs fluctuate."""


def contrast(results: Results, weights: Mapping[str, float], measure: Measure) -> Estimate | None:
    """The weighted sum of a quantity of experiments; None if fewer than two seeds have all of them.

    It is computed for each seed and each image, which all experiments share, so that what is easy for all of them
    cancels out.
    """
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
    return Estimate(np.stack(of_seeds))


def psnr(result: Result) -> Values | None:
    """PSNR in dB, for each image of the first set."""
    return np.array(result.psnrs) if result.psnrs else None


def psnr_if_alive(result: Result) -> Values | None:
    """`psnr`, but None for a dead network: it says nothing about the size or the loss that it was to test."""
    return None if result.failure == "dead" else psnr(result)


def gap(result: Result) -> Values | None:
    """How much better the network is on training than on held-out patches at the end, in dB; None if it is dead."""
    if not result.history or result.failure == "dead":
        return None
    return np.array([np.mean([row.train_psnr - row.val_psnr for row in result.history[-LAST:]])])


def error_left(result: Result) -> Values | None:
    """The validation error of the best epoch, relative to that of one constant color."""
    return None if result.error_left is None else np.array([result.error_left])


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


def gradient_at_start(result: Result) -> Values | None:
    """Base-10 logarithm of the share of the gradient that arrives at the first layer, before training."""
    return _arriving(result.gradients.get("start", ()))


def gradient_at_end(result: Result) -> Values | None:
    """The same after training; None for a dead network, whose gradients are 0."""
    return None if result.failure == "dead" else _arriving(result.gradients.get("end", ()))


def _arriving(norms: Sequence[float]) -> Values | None:
    """The norm at the first layer, relative to that at the last layer of the same width."""
    if len(norms) < 3 or not norms[-2]:
        return None
    return np.array([log10(max(norms[0] / norms[-2], 1e-12))])


def mean_of(*names: str, times: float = 1.0) -> dict[str, float]:
    return {name: times / len(names) for name in names}


def units(*counts: int, times: float = 1.0) -> dict[str, float]:
    return mean_of(*(f"B1U{count}" for count in counts), times=times)


def blocks(*counts: int, times: float = 1.0) -> dict[str, float]:
    return mean_of(*(f"B{count}U3" for count in counts), times=times)


def minus(these: Mapping[str, float], those: Mapping[str, float]) -> dict[str, float]:
    """The weights of a difference."""
    return {name: these.get(name, 0.0) - those.get(name, 0.0) for name in dict.fromkeys([*these, *those])}
