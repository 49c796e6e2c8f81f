"""Run a network on an image in all eight orientations (flips and rotations), and turn the results upright again.

Trained kernels are not symmetric, so the eight results differ. Their mean is usually closer to the original than each
of them ("enhanced prediction" in Timofte, Rothe and Van Gool, "Seven ways to improve example-based single image super
resolution", CVPR 2016), and their spread shows where the network disagrees with itself.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from drrn.engines.engine import Planes

ORIENTATIONS = [(flipped, quarters) for flipped in (False, True) for quarters in range(4)]
"""Whether the image is flipped, and by how many quarter turns it is rotated afterwards. The first changes nothing."""


class Ensemble(NamedTuple):
    """All are (channels, H, W), not clipped."""

    plain: Planes
    """The result for the image as it is."""
    mean: Planes
    deviation: Planes
    """The standard deviation over the eight orientations."""


def orient(planes: Planes, flipped: bool, quarters: int) -> Planes:
    """Return a view of (channels, H, W), transposed to (channels, W, H) for an odd number of `quarters`."""
    return np.rot90(planes[..., ::-1] if flipped else planes, quarters, axes=(-2, -1))


def undo_orientation(planes: Planes, flipped: bool, quarters: int) -> Planes:
    """Return a view: the inverse of `orient`."""
    back = np.rot90(planes, -quarters, axes=(-2, -1))
    return back[..., ::-1] if flipped else back


def run_ensemble(run: Callable[[Planes], Planes], ilr: Planes) -> Ensemble:
    """Run `run` on the eight orientations of ilr (channels, H, W), and turn the results upright.

    Results that are equal to the last bit have that mean, and no deviation.

    Args:
        run: returns new planes of the same shape, which are overwritten.
    """
    plain = run(ilr)
    mean, squares = plain.copy(), np.zeros_like(plain)
    for count, turn in enumerate(ORIENTATIONS[1:], start=2):
        apart = undo_orientation(run(orient(ilr, *turn)), *turn)
        apart -= mean
        mean += apart / count
        np.square(
            apart, out=apart
        )  # Welford's algorithm: subtracting the squared mean from the mean square would leave rounding errors
        apart *= (count - 1) / count
        squares += apart
        del apart  # otherwise it would stay in memory during the next run
    squares /= len(ORIENTATIONS)
    return Ensemble(plain, mean, np.sqrt(squares, out=squares))
