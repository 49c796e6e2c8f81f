"""What a network makes of a picture in its eight positions: flipped and turned, and put upright again.

Trained kernels are not symmetric, so the eight results are not the same. Their mean is as a rule nearer to the
original than each ("enhanced prediction" in Timofte, Rothe and Van Gool, "Seven ways to improve example-based single
image super resolution", CVPR 2016), and their spread says where the network does not agree with itself.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from drrn.engines.engine import Planes

ORIENTATIONS = [(flipped, quarters) for flipped in (False, True) for quarters in range(4)]
"""Whether a picture is flipped, and by how many quarters it is turned then. The first leaves it as it is."""


class Ensemble(NamedTuple):
    """All are (channels, H, W), not clipped."""

    plain: Planes
    """The result of the picture as it is."""
    mean: Planes
    deviation: Planes
    """The standard deviation over the eight."""


def orient(planes: Planes, flipped: bool, quarters: int) -> Planes:
    """A view of (channels, H, W), or of (channels, W, H) by odd `quarters`."""
    return np.rot90(planes[..., ::-1] if flipped else planes, quarters, axes=(-2, -1))


def undo_orientation(planes: Planes, flipped: bool, quarters: int) -> Planes:
    """A view: the inverse of `turned`."""
    back = np.rot90(planes, -quarters, axes=(-2, -1))
    return back[..., ::-1] if flipped else back


def run_ensemble(run: Callable[[Planes], Planes], ilr: Planes) -> Ensemble:
    """`run` the eight turns of ilr, (channels, H, W) each, and put what comes out upright.

    Args:
        run: gives new planes of the same shape, which are written on.

    Results that are equal to the last bit have that mean, and no deviation.
    """
    plain = run(ilr)
    mean, squares = plain.copy(), np.zeros_like(plain)
    for count, turn in enumerate(ORIENTATIONS[1:], start=2):
        apart = undo_orientation(run(orient(ilr, *turn)), *turn)
        apart -= mean
        mean += apart / count
        np.square(apart, out=apart)  # by Welford: a mean of squares less a squared mean would be the noise of rounding
        apart *= (count - 1) / count
        squares += apart
        del apart  # or it would still be held while the next turn runs
    squares /= len(ORIENTATIONS)
    return Ensemble(plain, mean, np.sqrt(squares, out=squares))
