"""Degrade images like photos: blur, other downscaling kernels, noise and JPEG.

All randomness comes from the generator passed in, so the same seed degrades an image the same way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, pi
from pathlib import Path
from typing import Literal

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image as Pillow

from drrn.core.color import levels, luma
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.pairs import Levels, read_levels, unit

Planes = NDArray[np.float32]
Generator = np.random.Generator

KERNELS = {"bilinear": "BILINEAR", "lanczos": "LANCZOS"}
"""Pillow's antialiased kernels."""


@dataclass(frozen=True, kw_only=True)
class Strength:
    """How strong each degradation is at most, and how often it comes."""

    blur: float
    """Standard deviation of the Gaussian along its longer axis, in pixels of lr."""
    noise: float
    """Standard deviation of Gaussian noise, and of Poisson noise at white, in levels of 255."""
    quality: tuple[int, int]
    """The lowest and the highest JPEG quality."""
    other_kernels: float
    """Probability of downscaling by area, bilinear or Lanczos, each alike, instead of by bicubic."""
    odds: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Probabilities of blur, noise and JPEG, drawn independently."""


def degrade_photo(hr: Levels, scale: float, strength: Strength, rng: Generator) -> Levels:
    """The lr of `hr` (3, H, W) as a photo: (3, h, w), each side divided by `scale` and rounded.

    The image is blurred and downscaled, then noise and JPEG follow in random order.
    """
    planes, other = unit(hr), strength.other_kernels
    blurred, *damaged = strength.odds
    if rng.random() >= 1 - blurred:  # not `< blurred`: earlier trainings drew this way
        longer = rng.uniform(0, strength.blur) * scale
        planes = blur(planes, (longer, longer * rng.uniform(0.5, 1.0)), rng.uniform(0, pi))
    kernel = rng.choice(["bicubic", "area", *KERNELS], p=[1 - other, *[other / 3] * 3])
    lr = levels(downscale(planes, scale, kernel)).astype(np.uint8)
    damages: list[Callable[[Levels], Levels]] = [
        partial(add_noise, sigma=rng.uniform(0, strength.noise), poisson=rng.random() < 0.5, rng=rng),
        partial(
            compress_jpeg, quality=int(rng.integers(*strength.quality, endpoint=True)), subsampled=rng.random() < 0.7
        ),
    ]
    for index in rng.permutation(len(damages)):
        if rng.random() >= 1 - damaged[index]:
            lr = damages[index](lr)
    return lr


def blur(planes: Planes, sigmas: tuple[float, float], angle: float) -> Planes:
    """Convolve (C, H, W) with a Gaussian of these standard deviations in pixels, the first along `angle` in radians.

    The image is reflected beyond its border.
    """
    margin = ceil(4 * max(sigmas))
    padded = np.pad(planes, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")
    height, width = padded.shape[1:]
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    gain = np.exp(-2 * pi**2 * ((sigmas[0] * along) ** 2 + (sigmas[1] * across) ** 2))
    smooth = np.fft.irfft2(np.fft.rfft2(padded) * gain, s=(height, width))
    return smooth[:, margin : height - margin, margin : width - margin].astype(np.float32)


def downscale(planes: Planes, scale: float, kernel: str) -> Planes:
    """(C, H, W) -> (C, h, w), each side divided by `scale` and rounded.

    Args:
        kernel: bicubic (MATLAB's), area (the mean of what a pixel covers), or one of `KERNELS`.
    """
    if kernel == "bicubic":
        return degrade(planes, scale)
    height, width = (max(round(side / scale), 1) for side in planes.shape[1:])
    if kernel == "area":
        return _mean_rows(_mean_rows(planes, height).swapaxes(1, 2), width).swapaxes(1, 2)
    resampling = Pillow.Resampling[KERNELS[kernel]]
    return np.stack([np.asarray(Pillow.fromarray(plane).resize((width, height), resampling)) for plane in planes])


def _mean_rows(planes: Planes, count: int) -> Planes:
    """(C, H, W) -> (C, count, W): the mean over the area of each new row."""
    height = planes.shape[1]
    integral = np.concatenate([np.zeros_like(planes[:, :1]), planes], axis=1).cumsum(axis=1, dtype=np.float64)
    borders = np.linspace(0, height, count + 1)
    before = np.minimum(borders.astype(np.intp), height - 1)
    part = (borders - before)[:, None]
    at = integral[:, before] * (1 - part) + integral[:, before + 1] * part
    return (np.diff(at, axis=1) * (count / height)).astype(np.float32)


def add_noise(lr: Levels, *, sigma: float, poisson: bool = False, rng: Generator) -> Levels:
    """Add noise of `sigma` levels to (C, h, w), independent in each channel; `poisson` noise grows with brightness."""
    spread = sigma * np.sqrt(unit(lr)) if poisson else sigma
    return np.rint((lr + spread * rng.standard_normal(lr.shape)).clip(0, 255)).astype(np.uint8)


def compress_jpeg(lr: Levels, *, quality: int, subsampled: bool = True) -> Levels:
    """Encode (3, h, w) as JPEG in memory and decode it, with chroma 4:2:0 or 4:4:4."""
    file = pyvips.Image.new_from_array(np.ascontiguousarray(lr.transpose(1, 2, 0))).jpegsave_buffer(
        Q=quality, subsample_mode="on" if subsampled else "off"
    )
    return np.asarray(pyvips.Image.jpegload_buffer(file).numpy()).transpose(2, 0, 1)


class PhotoDegradations:
    """The ilr of a training's images after photo degradations, new ones in each epoch."""

    def __init__(
        self, paths: Sequence[Path], scales: Sequence[float], channels: Literal[1, 3], strength: Strength, seed: int
    ):
        """Read the images.

        Raises:
            ImageError: a file can't be read as an image.
        """
        self.originals = [read_levels(path, 3) for path in paths]
        self.scales = list(dict.fromkeys(scales))
        self.channels, self.strength, self.seed = channels, strength, seed

    def ilr(self, epoch: int) -> NDArray[np.float16]:
        """(channels, pixels of all images): images in order, each at all scales, as `make_pairs` yields them."""
        planes = []
        for index, original in enumerate(self.originals):
            for number, scale in enumerate(self.scales):
                hr = modcrop(original, scale)
                rng = np.random.default_rng([self.seed, epoch, index, number])
                lr = unit(degrade_photo(hr, scale, self.strength, rng))
                visible = luma(lr)[None] if self.channels == 1 else lr
                planes.append(imresize(visible, *hr.shape[1:]).astype(np.float16).reshape(self.channels, -1))
        return np.concatenate(planes, axis=1)
