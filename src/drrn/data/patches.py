"""Patches of many images, cut in bulk.

All images lie end to end in one array. A patch is a corner and two strides, for its rows and its columns; flipped or
rotated, it has another corner and other strides. A batch is one gather, without a loop over patches.

A step's patches depend only on the seed, the epoch and the step, so a training can resume at any step.
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

ORIENTATIONS = 8
"""Rotations and flips of a square."""


@dataclass(frozen=True)
class Pool:
    """Images end to end: pixel (y, x) of image p is at `start[p] + y * width[p] + x`."""

    ilr: NDArray[np.float16]  # (channels, pixels of all images)
    hr: NDArray[np.uint8]
    start: Index  # (images,), like the next two; several images may share one start
    height: Index
    width: Index
    step: Index
    """Patches start at multiples of it: 1, or the integer scale they are aligned to."""

    @classmethod
    def from_pairs(cls, pairs: Iterable[Pair], align: bool = False) -> "Pool":
        """A pair given twice becomes two images that share their pixels.

        Args:
            align: start patches at whole pixels of lr if the scale is an integer.
        """
        pairs = list(pairs)
        distinct = list({id(pair): pair for pair in pairs}.values())
        ends = np.cumsum([pair.hr[0].size for pair in distinct])
        starts = {id(pair): end - pair.hr[0].size for pair, end in zip(distinct, ends, strict=True)}
        return cls(
            ilr=np.concatenate([pair.ilr.reshape(len(pair.ilr), -1) for pair in distinct], axis=1),
            hr=np.concatenate([pair.hr.reshape(len(pair.hr), -1) for pair in distinct], axis=1),
            start=np.array([starts[id(pair)] for pair in pairs], np.int64),
            height=np.array([pair.hr.shape[1] for pair in pairs], np.int64),
            width=np.array([pair.hr.shape[2] for pair in pairs], np.int64),
            step=np.array([int(pair.scale) if align and pair.scale == int(pair.scale) else 1 for pair in pairs]),
        )


def grid(pool: Pool, size: int, stride: int) -> Index:
    """The patches of `size` whose corners lie `stride` apart, from each image's first pixel: (N, 2).

    For aligned patches, the stride is rounded down to a multiple of the image's `step`.

    Returns:
        One row per patch: the position of its corner in the pool, and the width of its image.

    Raises:
        DataError: no image is as large as a patch.
    """
    patches = []
    for start, height, width, step in zip(pool.start, pool.height, pool.width, pool.step, strict=True):
        apart = max(stride // step, 1) * step
        rows = np.arange(0, height - size + 1, apart)
        corners = start + rows[:, None] * width + np.arange(0, width - size + 1, apart)
        patches.append(np.stack([corners.ravel(), np.full(corners.size, width)], axis=1))
    all_patches = np.concatenate(patches)
    if not len(all_patches):
        raise _too_small(size)
    return all_patches


def cut(pool: Pool, patches: Index, orientations: Index, size: int) -> Batch:
    """Cut patches (N, 2), as returned by `grid`, each flipped and rotated by its orientation (N,); 0 leaves it."""
    corner, across = patches.T
    down, right = across, np.ones_like(across)
    down, right = np.where(orientations & 4, right, down), np.where(orientations & 4, down, right)  # transposed
    corner = corner + (size - 1) * (np.where(orientations & 1, down, 0) + np.where(orientations & 2, right, 0))
    down, right = np.where(orientations & 1, -down, down), np.where(orientations & 2, -right, right)
    steps = np.arange(size)
    places = corner[:, None, None] + steps[:, None] * down[:, None, None] + steps * right[:, None, None]
    ilr, hr = pool.ilr[:, places].swapaxes(0, 1), pool.hr[:, places].swapaxes(0, 1)
    return ilr.astype(np.float32), unit(hr)


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Chooses the patches of each training step."""

    pool: Pool
    size: int
    """Side of a patch, in pixels of hr."""
    stride: int
    """Distance of patches on the grid, each seen once per epoch; 0 draws patches anywhere."""
    batch_size: int
    epoch_steps: int
    """Steps per epoch; 0 for as many as the patches of the grid fill."""
    augment: bool
    """Rotate and flip each patch at random."""
    seed: int
    renew: Callable[[int], NDArray[np.float16]] | None = None
    """Returns the pool's ilr for an epoch, if they differ between epochs."""

    @cached_property
    def patches(self) -> Index:
        """The patches of the grid; if patches are drawn anywhere, those of a grid without overlap."""
        return grid(self.pool, self.size, self.stride or self.size)

    @property
    def steps(self) -> int:
        """Steps per epoch. Patches that do not fill a batch are left out of the epoch."""
        return self.epoch_steps or max(len(self.patches) // self.batch_size, 1)

    def for_epoch(self, epoch: int, size: int, batch_size: int) -> "Sampler":
        """This sampler for one epoch: with the given patch and batch size, and the ilr of that epoch."""
        pool = replace(self.pool, ilr=self.renew(epoch)) if self.renew else self.pool
        return replace(self, pool=pool, size=size, batch_size=batch_size)

    def batch(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Batch:
        """The share of process `rank` of `world` in the `batch_size` patches of a step."""
        rng = np.random.default_rng([self.seed, epoch, step])
        if self.stride:
            order = _order(self.seed, epoch, len(self.patches))
            positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
            patches = self.patches[order.take(positions, mode="wrap")]
        else:
            patches = draw_anywhere(self.pool, self.size, self.batch_size, rng)
        orientations = rng.integers(0, ORIENTATIONS if self.augment else 1, len(patches))
        return cut(self.pool, patches[rank::world], orientations[rank::world], self.size)


def draw_anywhere(pool: Pool, size: int, count: int, rng: np.random.Generator) -> Index:
    """Draw `count` patches, uniformly over all positions in all images: (count, 2), as in `grid`.

    Raises:
        DataError: as `grid`.
    """
    down, across = ((np.maximum(side - size, -1) // pool.step + 1) for side in (pool.height, pool.width))
    ends = np.cumsum(down * across)
    if not ends[-1]:
        raise _too_small(size)
    position = rng.integers(0, ends[-1], count)
    image = np.searchsorted(ends, position, side="right")
    row, column = np.divmod(position - ends[image], across[image])
    row += down[image]  # positions were counted back from the image's end
    row, column = row * pool.step[image], column * pool.step[image]
    return np.stack([pool.start[image] + row * pool.width[image] + column, pool.width[image]], axis=1)


def _too_small(size: int) -> DataError:
    return DataError(f"No picture is as large as a patch of {size}x{size}. Give larger pictures, or a smaller --patch.")


@lru_cache(maxsize=1)
def _order(seed: int, epoch: int, patches: int) -> Index:
    return np.random.default_rng([seed, epoch]).permutation(patches)
