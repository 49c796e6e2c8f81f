"""Patches of many pictures, cut in bulk.

The pictures lie end to end in one array. A patch is then a corner and two strides, one for its rows and one for its
columns; mirrored or turned, it is another corner and other strides. A batch is one gather, with no loop over patches.

What a step sees follows from the seed, the epoch and the step alone, so a training can go on at any step.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from drrn.data.pairs import Pair, unit
from drrn.errors import DataError

Index = NDArray[np.int64]
Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
"""(ilr, hr), each (N, channels, size, size) in [0, 1]."""

TURNS = 8
"""The turns and mirrorings of a square."""


@dataclass(frozen=True)
class Pool:
    """Pictures end to end: pixel (y, x) of picture p is at `start[p] + y * width[p] + x`."""

    ilr: NDArray[np.float16]  # (channels, pixels of all pictures)
    hr: NDArray[np.uint8]
    start: Index  # (pictures,), as the next two; several may begin at one place
    height: Index
    width: Index
    step: Index
    """Patches begin at multiples of it: 1, or the whole scale that they are aligned to."""

    @classmethod
    def from_pairs(cls, pairs: Iterable[Pair], align: bool = False) -> "Pool":
        """A pair that comes again is another picture with the same pixels, which are kept once.

        Args:
            align: let patches begin at whole pixels of lr, where the scale is a whole number.
        """
        given = list(pairs)
        kept = list({id(pair): pair for pair in given}.values())
        ends = np.cumsum([pair.hr[0].size for pair in kept])
        starts = {id(pair): end - pair.hr[0].size for pair, end in zip(kept, ends, strict=True)}
        return cls(
            ilr=np.concatenate([pair.ilr.reshape(len(pair.ilr), -1) for pair in kept], axis=1),
            hr=np.concatenate([pair.hr.reshape(len(pair.hr), -1) for pair in kept], axis=1),
            start=np.array([starts[id(pair)] for pair in given], np.int64),
            height=np.array([pair.hr.shape[1] for pair in given], np.int64),
            width=np.array([pair.hr.shape[2] for pair in given], np.int64),
            step=np.array([int(pair.scale) if align and pair.scale == int(pair.scale) else 1 for pair in given]),
        )


def grid(pool: Pool, size: int, stride: int) -> Index:
    """The patches of `size` whose corners lie `stride` apart, from each picture's first pixel: (N, 2).

    Where patches are aligned, the stride is the next smaller multiple of the picture's `step`.

    Returns:
        A row a patch: the place of its corner in the pool, and the width of its picture.

    Raises:
        DataError: no picture is as large as a patch.
    """
    patches = []
    for start, height, width, step in zip(pool.start, pool.height, pool.width, pool.step, strict=True):
        apart = max(stride // step, 1) * step
        rows = np.arange(0, height - size + 1, apart)
        corners = start + rows[:, None] * width + np.arange(0, width - size + 1, apart)
        patches.append(np.stack([corners.ravel(), np.full(corners.size, width)], axis=1))
    found = np.concatenate(patches)
    if not len(found):
        raise _too_small(size)
    return found


def cut(pool: Pool, patches: Index, turns: Index, size: int) -> Batch:
    """The patches (N, 2) of `grid`, each turned by its number in `turns` (N,), 0 being as it is."""
    corner, across = patches.T
    down, right = across, np.ones_like(across)
    down, right = np.where(turns & 4, right, down), np.where(turns & 4, down, right)  # transposed
    corner = corner + (size - 1) * (np.where(turns & 1, down, 0) + np.where(turns & 2, right, 0))
    down, right = np.where(turns & 1, -down, down), np.where(turns & 2, -right, right)
    steps = np.arange(size)
    places = corner[:, None, None] + steps[:, None] * down[:, None, None] + steps * right[:, None, None]
    ilr, hr = pool.ilr[:, places].swapaxes(0, 1), pool.hr[:, places].swapaxes(0, 1)
    return ilr.astype(np.float32), unit(hr)


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Which patches each step of a training sees."""

    pool: Pool
    size: int
    """Side of a patch, in pixels of hr."""
    stride: int
    """Distance of the patches on the grid, each seen once an epoch; 0 draws patches anywhere."""
    batch_size: int
    epoch_steps: int
    """Steps of an epoch; 0 for as many as the grid's patches fill."""
    augment: bool
    """Turn and mirror each patch at random: in the long run all eight ways."""
    seed: int
    renew: Callable[[int], NDArray[np.float16]] | None = None
    """Gives the pool's ilr of an epoch, where they are others in each."""

    @cached_property
    def patches(self) -> Index:
        """The patches of the grid; where they are drawn anywhere, those of a grid without overlap."""
        return grid(self.pool, self.size, self.stride or self.size)

    @property
    def steps(self) -> int:
        """Steps of one epoch. Patches that fill no batch wait for another epoch's order."""
        return self.epoch_steps or max(len(self.patches) // self.batch_size, 1)

    def for_epoch(self, epoch: int, size: int, batch_size: int) -> "Sampler":
        """The same for one epoch, with patches of that size and number, and the ilr of that epoch."""
        pool = replace(self.pool, ilr=self.renew(epoch)) if self.renew else self.pool
        return replace(self, pool=pool, size=size, batch_size=batch_size)

    def batch(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Batch:
        """What process `rank` of `world` sees of the `batch_size` patches of a step."""
        chance = np.random.default_rng([self.seed, epoch, step])
        if self.stride:
            order = _order(self.seed, epoch, len(self.patches))
            seen = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
            chosen = self.patches[order.take(seen, mode="wrap")]
        else:
            chosen = anywhere(self.pool, self.size, self.batch_size, chance)
        turns = chance.integers(0, TURNS if self.augment else 1, len(chosen))
        return cut(self.pool, chosen[rank::world], turns[rank::world], self.size)


def anywhere(pool: Pool, size: int, count: int, chance: np.random.Generator) -> Index:
    """`count` patches, every place of every picture being as likely as any other: (count, 2), as `grid`.

    Raises:
        DataError: as `grid`.
    """
    down, across = ((np.maximum(side - size, -1) // pool.step + 1) for side in (pool.height, pool.width))
    ends = np.cumsum(down * across)
    if not ends[-1]:
        raise _too_small(size)
    place = chance.integers(0, ends[-1], count)
    picture = np.searchsorted(ends, place, side="right")
    row, column = np.divmod(place - ends[picture], across[picture])
    row += down[picture]  # places were counted back from the picture's end
    row, column = row * pool.step[picture], column * pool.step[picture]
    return np.stack([pool.start[picture] + row * pool.width[picture] + column, pool.width[picture]], axis=1)


def _too_small(size: int) -> DataError:
    return DataError(f"No picture is as large as a patch of {size}x{size}. Give larger ones, or a smaller --patch.")


@lru_cache(maxsize=1)
def _order(seed: int, epoch: int, patches: int) -> Index:
    return np.random.default_rng([seed, epoch]).permutation(patches)
