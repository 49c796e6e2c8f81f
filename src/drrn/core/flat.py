"""Flat stays flat: an area that is constant over the network's whole reach is returned unchanged.

Networks with `DRRNConfig.flat` guarantee this by themselves. Others change a constant slightly, partly because they pad
with zeros at the border. Where the network sees only one value there is nothing to restore, so its output is replaced.
"""

from math import ceil

import numpy as np
from numpy.typing import NDArray

from drrn.core.resize import Float, Place

ROWS = 64
"""Rows of the result processed at once."""
BICUBIC = 3
"""Source pixels that ilr depends on beyond the nearest one, plus one for rounding."""


def needed_source(place: Place, whole: tuple[int, int], size: tuple[int, int], halo: int) -> Place:
    """The part of the source that `keep_flat` needs for `place` of the result.

    Args:
        place: rows and columns of the enlarged planes.
        whole: (height, width) of the source.
        size: (height, width) of its enlargement.
        halo: the reach of the network, in pixels of the enlargement.
    """
    rows, columns = (
        slice(max(_nearest(kept.start, m, n) - reach, 0), min(_nearest(kept.stop - 1, m, n) + reach + 1, m))
        for kept, m, n, reach in zip(place, whole, size, _reach(whole, size, halo), strict=True)
    )
    return rows, columns


def keep_flat(
    sr: NDArray[Float],
    place: Place,
    source: NDArray[Float],
    around: Place,
    whole: tuple[int, int],
    size: tuple[int, int],
    halo: int,
) -> None:
    """Copy the source back into `sr` wherever it is constant over the network's whole reach, up to the border.

    Args:
        sr: (channels, h, w), `place` of the enlarged planes; changed in place.
        source: (channels, H, W), `around` of the source: the part that `needed_source` names, or more.
        whole, size, halo: as in `needed_source`.
    """
    rows = place[0]
    if rows.stop - rows.start > ROWS:  # limits the memory of the counts
        for top in range(rows.start, rows.stop, ROWS):
            some = slice(top, min(top + ROWS, rows.stop))
            lines = needed_source((some, place[1]), whole, size, halo)[0]
            part = source[:, lines.start - around[0].start : lines.stop - around[0].start]
            piece = sr[:, some.start - rows.start : some.stop - rows.start]
            keep_flat(piece, (some, place[1]), part, (lines, around[1]), whole, size, halo)
        return
    reach = _reach(whole, size, halo)
    near, low, high = [], [], []  # the source line of each line of the place; the reach around each line
    for kept, part_of, m, n, far in zip(place, around, whole, size, reach, strict=True):
        lines_near = _nearest(np.arange(kept.start, kept.stop), m, n)
        each = np.arange(lines_near[0], lines_near[-1] + 1)
        near.append((lines_near - part_of.start, lines_near - each[0]))
        low.append(np.maximum(each - far, 0) - part_of.start)
        high.append(np.minimum(each + far, m - 1) - part_of.start)
    steps_down = (source[:, 1:] != source[:, :-1]).any(axis=0)
    changes = _within(steps_down, low[0], high[0], low[1], high[1] + 1)
    steps_across = (source[:, :, 1:] != source[:, :, :-1]).any(axis=0)
    changes += _within(steps_across, low[0], high[0] + 1, low[1], high[1])
    flat = changes == 0
    if not flat.any():
        return
    (down, row), (across, column) = near
    mask = flat[row][:, column]
    for plane, original in zip(sr, source, strict=True):
        np.copyto(plane, original[down][:, across], where=mask)


def _reach(whole: tuple[int, int], size: tuple[int, int], halo: int) -> tuple[int, int]:
    """The reach of the network, in pixels of the source, down and across."""
    down, across = (ceil(halo * m / n) + BICUBIC for m, n in zip(whole, size, strict=True))
    return down, across


def _nearest(line: NDArray[np.intp] | int, m: int, n: int) -> NDArray[np.intp]:
    """The line of m nearest to a line of n, in integers."""
    return (2 * np.asarray(line) + 1) * m // (2 * n)


def _within(
    marks: NDArray[np.bool_],
    top: NDArray[np.intp],
    bottom: NDArray[np.intp],
    left: NDArray[np.intp],
    right: NDArray[np.intp],
) -> NDArray[np.int32]:
    """The number of marks in rows top..bottom - 1 and columns left..right - 1, for all pairs of both; exact."""
    sums = np.zeros((marks.shape[0] + 1, marks.shape[1] + 1), np.int32)
    np.cumsum(marks, axis=0, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    below, above = sums[bottom], sums[top]
    return below[:, right] - below[:, left] - above[:, right] + above[:, left]
