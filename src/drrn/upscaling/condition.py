"""Classify an image as clean, or degraded by JPEG or noise like a photo: different networks suit the two.

The thresholds are where the models for photos begin to score higher than the others, on images that neither was trained
on (docs/reference/choice.md).
"""

from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.core.color import luma

QUALITY = 87
"""Up to this quality, a JPEG counts as degraded."""
BLOCKINESS = 1.14
"""From this value on, an image counts as degraded: it was once a JPEG."""
NOISE = 2.5
"""In levels of 255. From this value on, an image counts as degraded."""
ENOUGH = 4 << 20
"""Number of pixels to examine; for larger images, the first rows."""
EDGE = 24
"""In levels of 255. Larger steps are edges of objects, not block borders."""
LEAST_BLOCKS = 8
"""Fewest blocks along a side: with fewer, random variation looks like blocks."""
AREA = 16
"""Side of the squares in which noise is measured; it shows best in the flattest ones."""
FLAT = 2
"""Percentage of the squares that count as flat."""
MEDIAN = 0.54
"""Of the absolute values of normal noise with standard deviation 1, in the flattest squares; in all, it is 0.67."""


class Condition(NamedTuple):
    """What has degraded an image, if anything."""

    degraded: bool
    reason: str
    """Such as `JPEG quality 75`."""


CLEAN = Condition(False, "clean")


def condition_of(pixels: NDArray[np.float32], quality: int | None = None) -> Condition:
    """Classify an image.

    Args:
        pixels: (H, W, 1 or 3) in [0, 1].
        quality: of the JPEG it was read from.
    """
    if quality is not None and quality <= QUALITY:
        return Condition(True, f"JPEG quality {quality}")
    colors = pixels[: max(ENOUGH // pixels.shape[1], 1)].transpose(2, 0, 1)
    plane = 255 * (luma(np.ascontiguousarray(colors)) if len(colors) == 3 else colors[0])
    if (noise := noise_level(plane)) >= NOISE:
        return Condition(True, f"noise of {noise:.0f} levels")
    if quality is None and blockiness(plane) >= BLOCKINESS:
        return Condition(True, "blocks of a JPEG")
    return CLEAN if quality is None else Condition(False, f"JPEG quality {quality}")


def noise_level(plane: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of noise in a plane (H, W), in its units: by Immerkaer's filter.

    J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64 (1996). The median of
    each square ignores thin lines; a low percentile of the medians selects flat squares. 0 if no square fits.
    """
    across = plane[:, :-2] - 2 * plane[:, 1:-1] + plane[:, 2:]
    edges = np.abs(across[:-2] - 2 * across[1:-1] + across[2:])
    rows, columns = (side // AREA for side in edges.shape)
    if not rows * columns:
        return 0.0
    squares = edges[: rows * AREA, : columns * AREA].reshape(rows, AREA, columns, AREA).swapaxes(1, 2)
    values, half = squares.reshape(-1, AREA * AREA), AREA * AREA // 2
    values.partition(half, axis=1)  # in place: another copy would take as much memory as the image
    medians = values[:, half]
    # np.percentile's value, without its import of numpy.ma, which takes as long as all of a small picture
    flattest = np.interp(FLAT / 100 * (medians.size - 1), np.arange(medians.size), np.sort(medians))
    return float(flattest / MEDIAN / 6)


def blockiness(plane: NDArray[np.float32]) -> float:
    """The mean step at the borders of 8x8 blocks, divided by that between other pixels: about 1 without blocks.

    Only the part of a step that exceeds its neighbors counts, and steps above `EDGE` are edges of objects. The blocks
    may begin anywhere: the largest of the eight possible positions is taken.
    """
    return float(np.mean([_blockiness_across(each) for each in (plane, plane.T)]))


def _blockiness_across(plane: NDArray[np.float32]) -> float:
    steps = np.abs(np.diff(plane, axis=1))
    jumps = np.maximum(steps[:, 1:-1] - (steps[:, :-2] + steps[:, 2:]) / 2, 0)
    if jumps.shape[1] < LEAST_BLOCKS * 8:
        return 1.0
    jumps[jumps > EDGE] = 0
    by_place = [float(jumps[:, place::8].mean()) for place in range(8)]
    return max(by_place) / max(median(by_place), 1e-3)  # np.median would import numpy.ma too
