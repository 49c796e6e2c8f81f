"""Generated results of a study: every list with three seeds, from a formula and seeded noise.

More blocks and units are better, with diminishing gains; experiments without a residual are worse; seeds differ only
by noise.
"""

import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cache
from math import log2

import numpy as np

from drrn.evaluation.benchmark import ImageScore, Row
from drrn.study.experiments import BUDGETS, LISTS, BudgetName, Experiment
from drrn.study.result import Result, Results, StoredVersion, to_text
from drrn.training.logging import Epoch

SETS = {"BSDS500/test": 24.6, "data/Set5": 30.4}
"""The test sets, with the PSNR of bicubic in dB."""
PICTURES = 8
"""Images in each set."""
CONSTANT_LOSS = 0.06
EVERYTHING = tuple({each.name: each for experiments in LISTS.values() for each in experiments}.values())


def gain(experiment: Experiment) -> float:
    """The gain of an experiment over bicubic, in dB, without noise."""
    model = experiment.model
    penalty = 0.6 * (model.skip == "none") + 0.3 * (not model.global_residual)
    penalty += 30 * (model.skip == "none" and not model.global_residual)
    return 0.2 + 0.15 * log2(model.depth) - penalty


def made_results(
    experiments: Sequence[Experiment] = EVERYTHING,
    seeds: int = 3,
    *,
    epochs: int = 6,
    budget: BudgetName = "standard",
    diverged: Collection[str] = (),
    gain: Callable[[Experiment], float] = gain,
    noise: float = 0.02,
) -> Results:
    """The results of `experiments`.

    Args:
        epochs: of the first seed; each further seed stops one epoch earlier, but after no less than one.
        diverged: names of experiments that end after half of their epochs and leave no weights, hence no scores.
        gain: the gain of an experiment over bicubic, in dB.
        noise: its standard deviation over seeds, in dB.
    """
    return Results(
        {
            each.name: {
                seed: _result(each, seed, max(epochs - seed, 1), budget, each.name in diverged, gain(each), noise)
                for seed in range(seeds)
            }
            for each in sorted(experiments, key=lambda each: each.name)
        }
    )


def _result(
    experiment: Experiment, seed: int, epochs: int, budget: BudgetName, diverged: bool, gained: float, noise: float
) -> Result:
    shrunk = BUDGETS[budget].shrink(replace(experiment, seed=seed))
    random = np.random.default_rng([seed, zlib.crc32(experiment.name.encode())])
    gained += noise * random.standard_normal()
    epochs = epochs // 2 if diverged else epochs
    model = shrunk.model
    seconds = tuple((model.macs() * 2e-5 * random.uniform(1.0, 1.1, epochs)).tolist())
    return Result(
        experiment=shrunk,
        budget=budget,
        outcome="diverged" if diverged else "trained",
        reason="the loss is nan" if diverged else "",
        history=tuple(_epoch(model.channels, epoch, gained, random) for epoch in range(epochs)),
        seconds=seconds,
        cpu_seconds=seconds,
        constant_loss=CONSTANT_LOSS,
        gradients={"start": _gradients(shrunk, 0.2, random)}
        | ({} if diverged else {"end": _gradients(shrunk, 0.02, random)}),
        scores=tuple(
            row
            for data, psnr in SETS.items()
            for row in [_row("bicubic", data, psnr, 0)]
            + ([] if diverged else [_row(experiment.name, data, psnr + gained, seed)])
        ),
        seconds_per_megapixel=None if diverged else model.macs() * 1e-4,
        peak_mb=None if diverged else 300.0,
        examples={
            name: (
                StoredVersion("lr (x3 smaller)", _picture(name, 24, 0.0)),
                StoredVersion("bicubic 24.60 dB", _picture(name, 72, 0.08)),
                StoredVersion(f"drrn {24.6 + gained:.2f} dB", _picture(name, 72, 0.04 if gained > 0 else 0.3)),
                StoredVersion("original", _picture(name, 72, 0.0)),
            )
            for name in (("3063", "69000", "302022") if seed == 0 and not diverged else ())
        },
        data={"folders": ["data/T91", "BSDS500/train"], "pictures": 262, "validation_pictures": 29},
        machine={"cpu": "made", "cores": "2", "jobs": 2, "threads": 1, "torch": "2.13.0", "engine": "native"},
        commit="0123456789abcdef0123456789abcdef01234567",
    )


def _epoch(channels: int, epoch: int, gained: float, random: np.random.Generator) -> Epoch:
    """An epoch whose losses fall to the value that follows from the PSNR, or stay above that of a constant image."""
    reached = min(0.003 * 10 ** (-gained / 10), CONSTANT_LOSS)
    loss = reached + (CONSTANT_LOSS - reached) * 0.3 ** (epoch + 1) + 1e-4 * random.uniform()
    accuracy = 1.0 if channels == 1 else 0.97 - 3 * loss
    psnr = -10 * float(np.log10(loss))
    return Epoch(epoch, 1e-3, 1.2 * loss, psnr - 0.8, min(accuracy + 0.002, 1.0), loss, psnr, accuracy)


def _gradients(experiment: Experiment, last: float, random: np.random.Generator) -> tuple[float, ...]:
    """Gradient norms per layer. The last one has `last`; without residuals, earlier ones have less."""
    depth = experiment.model.depth
    falling = 0.7 if experiment.model.skip == "none" else 0.98
    return tuple((last * falling ** np.arange(depth - 1, -1, -1) * random.uniform(0.8, 1.2, depth)).tolist())


def _row(model: str, data: str, psnr: float, seed: int) -> Row:
    """Scores of images, some of which are easy for all models."""
    easy = np.random.default_rng(zlib.crc32(data.encode())).normal(0, 2, PICTURES)
    own = np.random.default_rng([seed, zlib.crc32(f"{model} {data}".encode())]).normal(0, 0.01, PICTURES)
    images = []
    for number, value in enumerate((psnr + easy - easy.mean() + own - own.mean()).tolist()):
        images.append(ImageScore(f"picture {number}", value, value / 35, 0.1, ms_ssim=value / 32, flip=2.5 / value))
    return Row(
        model, "measured", data, 3, psnr, float(np.mean([image.ssim for image in images])), 0.8, 300.0, images=images
    )


@cache
def _picture(name: str, side: int, noise: float) -> str:
    """Stripes in color, with noise."""
    y, x = np.mgrid[0:side, 0:side] / side
    turn = zlib.crc32(name.encode()) % 7
    planes = np.stack([0.5 + 0.4 * np.sin((8 + turn) * (x * (1 + channel) + y * turn)) for channel in range(3)])
    planes += np.random.default_rng(0).normal(0, noise, planes.shape)
    return to_text(planes.clip(0, 1).astype(np.float32))
