"""PSNR on images that models are not trained on: compressed or add_noise, graphics and text."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np

from benchmarks.cards.drawings import DOWNSCALED, DRAWINGS
from drrn.core.color import levels, luma
from drrn.core.metrics import EQUAL, measure_quality
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.degradations import add_noise, compress_jpeg
from drrn.data.pairs import Levels, read_levels, unit
from drrn.media.image import Image
from drrn.upscaling.upscaler import Upscaler

SCALE: Final = 2


@dataclass(frozen=True)
class Robustness:
    """Mean PSNR at x2, in dB, for one kind of image."""

    data: str
    """The name of the set or of the drawing."""
    lr: str
    """How lr was made."""
    psnr: float
    bicubic: float

    @property
    def is_harmed(self) -> bool:
        """Whether bicubic's result is nearer to the original."""
        return self.psnr < self.bicubic


def measure_robustness(
    upscaler: Upscaler, data: str, paths: Sequence[Path], progress: Callable[[str], None] = lambda sentence: None
) -> Iterator[Robustness]:
    """The pictures of the set `data`, from an 8-bit lr that was degraded; then drawings.

    Raises:
        DRRNError: a picture can't be read or is too small.
    """
    originals = [modcrop(read_levels(path, 3), SCALE) for path in paths]
    small = [levels(degrade(unit(hr), SCALE)).astype(np.uint8) for hr in originals]
    for name, degradation in DEGRADATIONS.items():
        progress(f"{data}, {name}")
        scores = [_scores(upscaler, degradation(lr), hr) for lr, hr in zip(small, originals, strict=True)]
        drrn, bicubic = (round(fmean(each), 4) for each in zip(*scores, strict=True))
        yield Robustness(data, name, drrn, bicubic)
    for title, draw in DRAWINGS.items():
        hr = draw()
        for name, downscale in DOWNSCALED.items():
            progress(f"{title}, by {name}")
            drrn, bicubic = (round(each, 4) for each in _scores(upscaler, downscale(hr), hr))
            yield Robustness(title, f"by {name}", drrn, bicubic)


def _scores(upscaler: Upscaler, lr: Levels, hr: Levels) -> tuple[float, float]:
    """Luma PSNR of the model and of bicubic; lr is (3, h, w), hr (3, H, W)."""
    height, width = hr.shape[1:]
    source, original = unit(lr), luma(unit(hr))
    sr = upscaler.upscale(Image(pixels=source.transpose(1, 2, 0)), size=(width, height)).pixels.transpose(2, 0, 1)
    drrn, bicubic = (
        min(measure_quality(luma(each), original, SCALE).psnr, EQUAL)
        for each in (np.ascontiguousarray(sr), imresize(source, height, width).clip(0, 1))
    )
    return drrn, bicubic


def _noise(lr: Levels, sigma: float) -> Levels:
    """The same noise at each call."""
    return add_noise(lr, sigma=sigma, rng=np.random.default_rng(0))


DEGRADATIONS: Final[dict[str, Callable[[Levels], Levels]]] = {
    "rounded to 8 bits": lambda lr: lr,
    **{f"JPEG of quality {quality}": partial(compress_jpeg, quality=quality) for quality in (90, 75, 50)},
    **{f"noise of {sigma} levels": partial(_noise, sigma=sigma) for sigma in (5, 10, 25)},
}
"""Each takes and returns an lr (3, h, w)."""
