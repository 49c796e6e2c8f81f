"""Check whether a result is true to its source, and whether the network agrees with itself, in numbers and in maps.

Neither check knows the original. A result that is reduced again should equal its source; invented texture that is finer
than the source's pixels goes unnoticed. And all eight orientations may be wrong in the same way.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.core.color import levels, luma
from drrn.core.metrics import psnr
from drrn.core.resize import imresize
from drrn.media.image import Image
from drrn.upscaling.planes import Plane
from drrn.upscaling.size import Size
from drrn.upscaling.transparency import fill_transparent
from drrn.upscaling.upscaler import Upscaler

WHITE = 5
"""The value shown as white in a map, in levels of 255; 0 is black."""


@dataclass(frozen=True)
class Checks:
    """The checks to perform on a result."""

    disagreement: bool = False
    check: bool = False
    check_map: bool = False
    """Needs `check`."""

    def maps(self, target: Path) -> list[Path]:
        """Return the files of the maps: photo_x2_check.png and photo_x2_disagreement.png for photo_x2.png."""
        kinds = [("check", self.check_map), ("disagreement", self.disagreement)]
        return [target.with_name(f"{target.stem}_{kind}.png") for kind, is_wanted in kinds if is_wanted]


class RoundTrip(NamedTuple):
    """The difference between a source and its enlargement reduced to the same size, including borders.

    Both are rounded to 8 bits. Colors under full transparency count as equal.
    """

    psnr: float
    """Of luma, in dB; infinite if they are equal."""
    differences: Plane
    """(h, w): the largest difference of the channels and alpha, in levels of 255."""

    @property
    def largest(self) -> int:
        return int(self.differences.max())


class CheckResult(NamedTuple):
    """The results of the checks."""

    check: RoundTrip | None = None
    bicubic: RoundTrip | None = None
    """The same for a bicubic enlargement to the same size."""
    disagreement: Plane | None = None
    """(H, W): standard deviation in levels of 255."""

    def maps(self, checks: Checks) -> list[Image]:
        """Return the maps in the order of `checks.maps`."""
        planes = [self.check.differences if self.check and checks.check_map else None, self.disagreement]
        return [heat_map(plane) for plane in planes if plane is not None]


def enlarge(
    upscaler: Upscaler,
    image: Image,
    size: Size,
    checks: Checks,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Image, CheckResult]:
    """Enlarge an image and perform the checks in `checks`.

    Raises:
        DRRNError: as `Upscaler.upscale`.
    """
    found = CheckResult()
    if checks.disagreement:
        result, apart = upscaler.upscale_with_disagreement(image, size=size, progress=progress)
        found = found._replace(disagreement=apart * 255)
    else:
        result = upscaler.upscale(image, size=size, progress=progress)
    if checks.check:
        bicubic = check_bicubic(image, result.width, result.height)
        found = found._replace(check=check(image, result), bicubic=bicubic)
    return result, found


def check(source: Image, result: Image) -> RoundTrip:
    """Reduce `result` to the size of `source` by MATLAB's bicubic, and compare.

    Raises:
        ValueError: one has colors or alpha that the other lacks.
    """
    if (source.pixels.shape[2], source.alpha is None) != (result.pixels.shape[2], result.alpha is None):
        raise ValueError("`source` and `result` must both be gray or RGB, and both have alpha or none.")
    return _compared(source, _planes(result.pixels, result.alpha))


def check_bicubic(source: Image, width: int, height: int) -> RoundTrip:
    """Run `check` on the bicubic enlargement to that size, as a reference."""
    pixels = (
        source.pixels if source.alpha is None else fill_transparent(source.pixels, source.alpha)
    )  # as `Upscaler` does
    planes = _planes(pixels, source.alpha)
    return _compared(source, (imresize(plane, height, width).clip(0, 1) for plane in planes))


def heat_map(apart: Plane) -> Image:
    """Draw levels (H, W) as gray: 0 is black, and `WHITE` or more is white."""
    return Image(pixels=(apart[..., None] / WHITE).clip(0, 1))


def _compared(source: Image, larger: Iterable[Plane]) -> RoundTrip:
    theirs = list(_planes(source.pixels, source.alpha))
    hidden = np.zeros(theirs[0].shape, bool) if source.alpha is None else source.alpha == 0
    colors = source.pixels.shape[2]
    ours = []
    for index, plane in enumerate(
        larger
    ):  # one plane at a time: all at once would take more memory than the enlargement
        back = imresize(plane, *hidden.shape)
        ours.append(np.where(hidden, theirs[index], back) if index < colors else back)
    return RoundTrip(
        psnr(_luma(ours[:colors]), _luma(theirs[:colors])),
        np.abs(levels(np.stack(ours)) - levels(np.stack(theirs))).max(axis=0),
    )


def _planes(pixels: NDArray[np.float32], alpha: Plane | None) -> Iterator[Plane]:
    """Split (H, W, C) and alpha into planes (H, W)."""
    yield from pixels.transpose(2, 0, 1)
    if alpha is not None:
        yield alpha


def _luma(colors: list[Plane]) -> NDArray[np.float64]:
    """Return luma rounded to 8-bit levels."""
    planes = np.stack(colors).astype(np.float64)
    return levels(planes[0] if len(planes) == 1 else luma(planes))
