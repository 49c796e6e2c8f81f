"""Bring colors back into [0, 1] without changing local brightness.

The network sharpens luma, but chroma is enlarged by bicubic and stays blurred. At the edges of saturated colors the two
do not match, and R, G or B leaves [0, 1]. Clipping alone then shifts the mean: next to a green stripe negative red
becomes 0, while the stripe keeps the positive red that balanced it. An RGB model that leaves its range does the same.

The rule: nearby pixels compensate for the light that clipping adds to a channel or takes from it, by moving towards the
color of the source pixel they lie in. This ensures:

* where nothing is clipped nearby, nothing changes,
* no channel leaves the range between its clipped value and the value of its source pixel,
* each channel keeps the sum over the image that it had before clipping, as far as the nearby pixels have room.

At most the saturation of the surrounding source pixels is compensated. Where they are gray, pixels are only clipped:
overshoot at the edges of black text is not an error of color.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.core.resize import Float, Place

REACH = 5
"""How many source pixels away a pixel can matter: two rounds, each of two sums over 3x3, and the colors around."""


class Window(NamedTuple):
    """What the result at one place of the enlarged image depends on."""

    source: Place
    """Rows and columns of the source image."""
    outer: Place
    """Rows and columns of the enlarged image that `source` covers."""
    inner: Place
    """The place itself, relative to `outer`."""
    cells: tuple[NDArray[np.intp], NDArray[np.intp]]
    """For each row and each column of `outer`, the one of `source` it lies in."""


def window(place: Place, whole: tuple[int, int], size: tuple[int, int]) -> Window:
    """Return the window of a place when an image of (height, width) `whole` is enlarged to `size`, no side smaller."""
    rows, columns = (_axis(*axis) for axis in zip(place, whole, size, strict=True))
    return Window((rows[0], columns[0]), (rows[1], columns[1]), (rows[2], columns[2]), (rows[3], columns[3]))


def clip(colors: NDArray[Float], source: NDArray[Float], at: Window) -> NDArray[Float]:
    """Return the colors at one place, brought into [0, 1] by the rule above.

    The result is the same to the bit however the image is divided into places.

    Args:
        colors: (3, H, W) at `at.outer` of the enlarged image, not clipped.
        source: (3, h, w) at `at.source` of the source image.
        at: the place's `window`.

    Returns:
        (3, H, W) at `at.inner`, new.
    """
    clipped = colors[:, *at.inner].clip(0, 1)
    outside = [(plane.min() < 0, plane.max() > 1) for plane in colors]
    if not np.any(outside):
        return clipped
    starts = [np.flatnonzero(np.diff(cells, prepend=-1)) for cells in at.cells]
    rows, columns = at.cells
    counted = _highest(source.max(axis=0) - source.min(axis=0))[rows][:, columns]  # upper limit of what is compensated
    for result, plane, goal, ends in zip(clipped, colors, source, outside, strict=True):
        for sign, end in zip((-1, 1), ends, strict=True):
            if not end:
                continue
            beyond = plane - 1 if sign > 0 else -plane
            taken = _sums(np.minimum(np.maximum(beyond, 0, out=beyond), counted, out=beyond), starts)
            if not taken.any():
                continue
            room = goal.clip(0, 1)[rows][:, columns] - plane.clip(0, 1)
            room = np.maximum(sign * room, 0, out=room)
            share = _share(taken, _sums(room, starts))[rows[at.inner[0]]][:, columns[at.inner[1]]]
            result += sign * share * room[*at.inner]
    return clipped


def ready(rows: int, n_in: int, n_out: int) -> int:
    """Return how many of the first rows (or columns) `clip` can compute once the first `rows` of `n_out` exist."""
    return rows if rows == n_out else _start(max(int(_cell(np.array(rows), n_in, n_out)) - REACH, 0), n_in, n_out)


def needed(rows: int, n_in: int, n_out: int) -> int:
    """Return the first row (or column) on which `clip` depends from row `rows` of `n_out` on."""
    return _axis(slice(rows, rows + 1), n_in, n_out)[1].start


def _cell(index: NDArray[np.intp], n_in: int, n_out: int) -> NDArray[np.intp]:
    """Return the source sample, of `n_in`, in which the center of each sample `index` of `n_out` lies.

    A center on the boundary between two belongs to the one nearer to the middle, so that flipping the image flips the
    cells; in the exact middle, which occurs for an odd number from an even one, to the right or lower one.
    """
    left = np.minimum(index, n_out - 1 - index)
    cell = (2 * left + 1) * n_in // (2 * n_out)
    return np.where(left == index, cell, n_in - 1 - cell)


def _axis(place: slice, n_in: int, n_out: int) -> tuple[slice, slice, slice, NDArray[np.intp]]:
    first, last = (int(_cell(np.array(index), n_in, n_out)) for index in (place.start, place.stop - 1))
    source = slice(max(first - REACH, 0), min(last + 1 + REACH, n_in))
    outer = slice(_start(source.start, n_in, n_out), _start(source.stop, n_in, n_out))
    cells = _cell(np.arange(outer.start, outer.stop), n_in, n_out) - source.start
    return source, outer, slice(place.start - outer.start, place.stop - outer.start), cells


def _start(index: int, n_in: int, n_out: int) -> int:
    """The first sample that lies in source sample `index` or after it."""
    if 2 * index > n_in:
        return n_out - _start(n_in - index, n_in, n_out)
    return -((n_in - 2 * n_out * index) // (2 * n_in))


def _sums(plane: NDArray[Float], starts: list[NDArray[np.intp]]) -> NDArray[Float]:
    """Sums over cells that begin at these rows and columns: (H, W) -> (h, w)."""
    return _sums_of_rows(_sums_of_rows(plane, starts[0]).T, starts[1]).T


def _sums_of_rows(x: NDArray[Float], starts: NDArray[np.intp]) -> NDArray[Float]:
    lengths = np.diff(starts, append=len(x))
    sums = x[starts]
    for row in range(1, lengths.max()):  # np.add.reduceat takes 20 times as long
        longer = np.flatnonzero(lengths > row)
        if len(longer) == len(starts):
            sums += x[starts + row]
        else:
            sums[longer] += x[starts[longer] + row]
    return sums


def _share(taken: NDArray[Float], room: NDArray[Float]) -> NDArray[Float]:
    """Return the share of its room that the pixels of each cell use, (h, w) in [0, 1].

    A cell from which light was taken asks all pixels of its 3x3 cells for the same share of their room. Where the
    shares asked of a cell exceed 1, it gives all it has, and the cells that got too little ask once more.

    Args:
        taken: (h, w), the light to compensate for in each cell.
        room: (h, w), what the pixels of each cell can give.
    """
    share = np.zeros_like(room)
    for _ in range(2):
        left = (1 - share) * room
        around = np.maximum(_box(left), taken.dtype.type(1e-9))
        asked = _box(taken / around)
        taken = taken * np.maximum(1 - _box(left / np.maximum(asked, 1)) / around, 0)
        share += (1 - share) * np.minimum(asked, 1)
    return share


def _box(x: NDArray[Float]) -> NDArray[Float]:
    """Sums over 3x3; zeros beyond the edge."""
    x = np.pad(x, 1)
    rows = x[:-2] + x[1:-1] + x[2:]
    return rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]


def _highest(x: NDArray[Float]) -> NDArray[Float]:
    """The highest value within 3x3."""
    x = np.pad(x, 1, mode="edge")
    rows = np.maximum(np.maximum(x[:-2], x[1:-1]), x[2:])
    return np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
