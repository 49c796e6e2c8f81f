"""How a model does on what it was not trained on: an lr that was compressed or is noisy, graphics and text."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np

from drrn.core.color import levels, luma
from drrn.core.metrics import EQUAL, judge
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.degradations import jpeg, noisy
from drrn.data.pairs import Levels, read_levels, unit
from drrn.evaluation.cards.drawings import DRAWINGS, SHRUNK
from drrn.media.image import Image
from drrn.upscaling.upscaler import Upscaler

SCALE: Final = 2

Spoil = Callable[[Levels], Levels]
"""lr as it is, (3, h, w), to lr as it is given."""


@dataclass(frozen=True)
class Robustness:
    """Twice as large, from an lr that is not what models are trained on, or of a picture that is no photograph."""

    data: str
    """The first set, or what was drawn."""
    lr: str
    """What was done to it."""
    psnr: float
    bicubic: float

    @property
    def harms(self) -> bool:
        """Whether bicubic is nearer to the original."""
        return self.psnr < self.bicubic


def robustness(
    upscaler: Upscaler, data: str, paths: Sequence[Path], note: Callable[[str], None] = lambda what: None
) -> Iterator[Robustness]:
    """The pictures of `paths`, called `data`, from lr of 8 bits that were spoilt; then drawings.

    Raises:
        DRRNError: a picture can't be read or is too small, or Pillow is missing.
    """
    originals = [modcrop(read_levels(path, 3), SCALE) for path in paths]
    small = [levels(degrade(unit(hr), SCALE)).astype(np.uint8) for hr in originals]
    for name, spoil in SPOILT.items():
        note(f"{data}, {name}")
        scores = [_scores(upscaler, spoil(lr), hr) for lr, hr in zip(small, originals, strict=True)]
        ours, bicubic = (round(fmean(each), 4) for each in zip(*scores, strict=True))
        yield Robustness(data, name, ours, bicubic)
    for title, draw in DRAWINGS.items():
        hr = draw()
        for name, shrink in SHRUNK.items():
            note(f"{title}, by {name}")
            ours, bicubic = (round(each, 4) for each in _scores(upscaler, shrink(hr), hr))
            yield Robustness(title, f"by {name}", ours, bicubic)


def _scores(upscaler: Upscaler, lr: Levels, hr: Levels) -> tuple[float, float]:
    """PSNR of the model and of bicubic, on luma of (3, H, W)."""
    height, width = hr.shape[1:]
    given = unit(lr)
    sr = upscaler.upscale(Image(pixels=given.transpose(1, 2, 0)), size=(width, height)).pixels.transpose(2, 0, 1)
    theirs = luma(unit(hr))
    ours, bicubic = (
        min(judge(luma(each), theirs, SCALE).psnr, EQUAL)
        for each in (np.ascontiguousarray(sr), imresize(given, height, width).clip(0, 1))
    )
    return ours, bicubic


def _noise(lr: Levels, sigma: float) -> Levels:
    """The same at each call."""
    return noisy(lr, sigma=sigma, rng=np.random.default_rng(0))


SPOILT: Final[dict[str, Spoil]] = {
    "rounded to 8 bits": lambda lr: lr,
    **{f"JPEG of quality {quality}": partial(jpeg, quality=quality) for quality in (90, 75, 50)},
    **{f"noise of {sigma} levels": partial(_noise, sigma=sigma) for sigma in (5, 10, 25)},
}
"""What is done to lr."""
