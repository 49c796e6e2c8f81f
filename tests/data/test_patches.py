"""Patches are the windows and orientations that they claim to be, each as likely as any other."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drrn.data.pairs import Pair, pictures_in
from drrn.data.patches import ORIENTATIONS, Pool, Sampler, cut, draw_anywhere, grid
from drrn.errors import DataError
from drrn.media.images.files import probe

PAPER = {2: 71_875, 3: 71_704, 4: 71_761}
"""Number of patches of T91 and BSDS500/train, of side 31 at stride 21, as the authors' script counts them."""


def pair_of(height: int, width: int, channels: int = 1, seed: int = 0) -> Pair:
    rng = np.random.default_rng(seed)
    hr = rng.integers(0, 256, (channels, height, width), np.uint8)
    ilr = rng.random((channels, height, width)).astype(np.float16)
    return Pair(f"{height}x{width}", 2, ilr[:, ::2, ::2], ilr, hr)


def sized(sizes: list[tuple[int, int]]) -> Pool:
    """A pool of images with sizes but without pixels."""
    height, width = np.array(sizes, np.int64).T
    empty = np.zeros((1, 0))
    start = np.cumsum(height * width) - height * width
    return Pool(empty.astype(np.float16), empty.astype(np.uint8), start, height, width, np.ones_like(start))


def sampler_of(pool: Pool, **changes: int | bool) -> Sampler:
    settings = {"size": 3, "stride": 3, "batch_size": 4, "epoch_steps": 0, "augment": False, "seed": 0} | changes
    return Sampler(pool=pool, **settings)  # type: ignore[arg-type]


sizes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4)


# --- the grid ---


def test_there_are_as_many_patches_as_in_the_paper(data: Path) -> None:
    heads = [probe(path) for path in pictures_in([data / "T91", data / "BSDS500/train"])]
    for scale, count in PAPER.items():
        pool = sized([(head.height // scale * scale, head.width // scale * scale) for head in heads])
        assert len(grid(pool, 31, 21)) == count


@given(sizes, st.integers(1, 5), st.integers(1, 6), st.sampled_from([1, 3]))
@settings(deadline=None)
def test_grid_patches_match_a_written_out_loop(
    shapes: list[tuple[int, int]], size: int, stride: int, channels: int
) -> None:
    pairs = [pair_of(*shape, channels, seed) for seed, shape in enumerate(shapes)]
    ilr, hr = [], []
    for pair in pairs:  # pictures smaller than a patch are passed over
        for y in range(0, pair.hr.shape[1] - size + 1, stride):
            for x in range(0, pair.hr.shape[2] - size + 1, stride):
                ilr.append(pair.ilr[:, y : y + size, x : x + size])
                hr.append(pair.hr[:, y : y + size, x : x + size])
    pool = Pool.from_pairs(iter(pairs))
    if not hr:
        with pytest.raises(DataError, match=rf"^No picture is as large as a patch of {size}x{size}\."):
            grid(pool, size, stride)
        return
    patches = grid(pool, size, stride)
    ours = cut(pool, patches, np.zeros(len(patches), np.int64), size)
    assert ours[0].dtype == ours[1].dtype == np.float32
    assert ours[0].shape == ours[1].shape == (len(hr), channels, size, size)
    assert np.array_equal(ours[0], np.array(ilr))
    assert np.array_equal(ours[1], (np.array(hr) / 255).astype(np.float32))


def test_a_repeated_pair_is_drawn_twice_and_stored_once() -> None:
    one, other = pair_of(9, 12, seed=3), pair_of(12, 7, seed=5)
    once = Pool.from_pairs([one, other, one])
    copied = Pool.from_pairs([one, other, one._replace(name="copy")])
    assert once.hr.size == copied.hr.size - one.hr.size and once.ilr.size == once.hr.size
    assert len(grid(once, 4, 2)) == len(grid(copied, 4, 2))
    for stride in (0, 2):
        ours, theirs = (
            Sampler(pool=pool, size=4, stride=stride, batch_size=9, epoch_steps=3, augment=True, seed=0)
            for pool in (once, copied)
        )
        for step in range(3):
            assert all(map(np.array_equal, ours.batch(0, step), theirs.batch(0, step)))


# --- the turns ---


@pytest.mark.parametrize("channels", [1, 3])
def test_an_oriented_patch_is_the_patch_flipped_and_rotated(channels: int) -> None:
    pool = Pool.from_pairs([pair_of(5, 9, channels), pair_of(8, 6, channels, seed=1)])
    patches = grid(pool, 4, 1)
    straight = cut(pool, patches, np.zeros(len(patches), np.int64), 4)
    found = []
    for turn in range(ORIENTATIONS):
        ours = cut(pool, patches, np.full(len(patches), turn), 4)
        wanted = candidates(straight[0])
        which = [i for i, candidate in enumerate(wanted) if np.array_equal(ours[0], candidate)]
        assert len(which) == 1  # the same orientation for ilr and hr
        assert np.array_equal(ours[1], candidates(straight[1])[which[0]])
        found += which
    assert found[0] == 0 and sorted(found) == list(range(8))  # the first is as it is, and no two are the same


def candidates(patches: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The eight orientations, by quarter turns with and without mirroring."""
    return [
        np.rot90(sides, quarters, axes=(-2, -1)) for sides in (patches, patches[..., ::-1]) for quarters in range(4)
    ]


@given(st.lists(st.integers(0, 7), min_size=1, max_size=9), st.integers(0, 99))
@settings(deadline=None)
def test_each_patch_of_a_batch_has_its_own_orientation(turns: list[int], seed: int) -> None:
    pool = Pool.from_pairs([pair_of(7, 5, 3)])
    patches = grid(pool, 3, 1)
    chosen = patches[np.random.default_rng(seed).integers(0, len(patches), len(turns))]
    together = cut(pool, chosen, np.array(turns), 3)
    for i, turn in enumerate(turns):
        alone = cut(pool, chosen[i : i + 1], np.array([turn]), 3)
        assert np.array_equal(together[0][i], alone[0][0]) and np.array_equal(together[1][i], alone[1][0])


# --- anywhere ---


@given(sizes, st.integers(1, 5), st.integers(0, 2**32))
@settings(deadline=None, max_examples=60)
def test_random_patches_are_exactly_all_windows(shapes: list[tuple[int, int]], size: int, seed: int) -> None:
    pool = sized(shapes)
    try:
        windows = {tuple(row) for row in grid(pool, size, 1).tolist()}
    except DataError:
        with pytest.raises(DataError, match=rf"^No picture is as large as a patch of {size}x{size}\."):
            draw_anywhere(pool, size, 5, np.random.default_rng(seed))
        return
    drawn = draw_anywhere(pool, size, 40 * len(windows), np.random.default_rng(seed))
    assert {tuple(row) for row in drawn.tolist()} == windows


class InOrder(np.random.Generator):
    """A generator that draws every number once, in order, so that its results are known exactly."""

    def integers(self, low, high=None, size=None, **options):  # type: ignore[no-untyped-def, override]
        assert low == 0 and size == 2 * high
        return np.arange(size) % high


@given(sizes, st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_all_positions_in_all_images_are_equally_likely(shapes: list[tuple[int, int]], size: int) -> None:
    pool = sized(shapes)
    places = sum(max(h - size + 1, 0) * max(w - size + 1, 0) for h, w in shapes)
    if places:
        drawn = draw_anywhere(pool, size, 2 * places, InOrder(np.random.PCG64()))
        count = Counter(tuple(row) for row in drawn.tolist())
        assert count == {tuple(row): 2 for row in grid(pool, size, 1).tolist()}


# --- the sampler ---

POOL = Pool.from_pairs([pair_of(9, 12, seed=3), pair_of(2, 40, seed=4), pair_of(12, 3, seed=5)])  # 12 + 0 + 4 patches


def seen(sampler: Sampler, epoch: int) -> list[bytes]:
    steps = [sampler.batch(epoch, step) for step in range(sampler.steps)]
    return [patch.tobytes() for _, hr in steps for patch in hr]


def test_an_epoch_of_the_grid_sees_each_patch_once() -> None:
    sampler = sampler_of(POOL)
    every = cut(POOL, sampler.patches, np.zeros(16, np.int64), 3)[1]
    assert sampler.steps == 4
    for epoch in range(3):
        assert Counter(seen(sampler, epoch)) == Counter(patch.tobytes() for patch in every)
    assert seen(sampler, 0) != seen(sampler, 1)  # in another order


def test_leftover_patches_wait_for_another_epoch() -> None:
    sampler = sampler_of(POOL, batch_size=5)
    assert sampler.steps == 3
    once = [set(seen(sampler, epoch)) for epoch in range(8)]
    assert all(len(patches) == 15 for patches in once)
    assert len(set().union(*once)) == 16


def test_a_grid_smaller_than_a_batch_fills_it_again() -> None:
    sampler = sampler_of(POOL, batch_size=40)
    assert sampler.steps == 1
    assert sorted(Counter(seen(sampler, 0)).values()) == [2] * 8 + [3] * 8


def test_more_steps_than_the_grid_fills_wrap_around() -> None:
    sampler = sampler_of(POOL, epoch_steps=6)
    assert sampler.steps == 6
    assert sorted(Counter(seen(sampler, 0)).values()) == [1] * 8 + [2] * 8


samplers = st.builds(
    sampler_of,
    st.just(POOL),
    stride=st.sampled_from([0, 2, 3]),
    batch_size=st.integers(1, 9),
    epoch_steps=st.sampled_from([0, 5]),
    augment=st.booleans(),
    seed=st.integers(0, 2**40),
)


@given(samplers, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
@settings(deadline=None)
def test_a_batch_depends_only_on_seed_epoch_and_step(sampler: Sampler, epoch: int, step: int, before: int) -> None:
    again = Sampler(**{name: getattr(sampler, name) for name in sampler.__dataclass_fields__})
    again.batch(before, before)  # earlier batches must have no effect
    for ours, theirs in zip(sampler.batch(epoch, step), again.batch(epoch, step), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("stride", [0, 3])
def test_another_seed_epoch_or_step_gives_another_batch(stride: int, augment: bool) -> None:
    sampler, other = (sampler_of(POOL, stride=stride, augment=augment, seed=seed) for seed in (1, 2))
    first = sampler.batch(1, 2)[0]
    for another in (other.batch(1, 2), sampler.batch(2, 2), sampler.batch(1, 3), sampler.batch(2, 1)):
        assert not np.array_equal(first, another[0])


@given(samplers, st.integers(0, 3), st.integers(0, 3), st.integers(1, 4))
@settings(deadline=None)
def test_ranks_divide_the_batch(sampler: Sampler, epoch: int, step: int, world: int) -> None:
    whole = sampler.batch(epoch, step)
    shares = [sampler.batch(epoch, step, rank, world) for rank in range(world)]
    for i in range(2):
        assert sum(len(share[i]) for share in shares) == sampler.batch_size
        for rank, share in enumerate(shares):
            assert np.array_equal(share[i], whole[i][rank::world])


@pytest.mark.parametrize("stride", [0, 3])
def test_patches_take_all_eight_orientations_or_one(stride: int) -> None:
    pool = Pool.from_pairs([pair_of(3, 3)])  # a single patch
    straight = sampler_of(pool, stride=stride, batch_size=200, epoch_steps=1)
    assert len(set(seen(straight, 0))) == 1
    turned = Counter(seen(sampler_of(pool, stride=stride, batch_size=200, epoch_steps=1, augment=True), 0))
    assert len(turned) == 8 and min(turned.values()) > 5


def test_without_a_stride_an_epoch_is_as_long_as_a_grid_without_overlap() -> None:
    assert sampler_of(POOL, stride=0).steps == 4
    assert sampler_of(POOL, stride=0, epoch_steps=7).steps == 7


def test_images_too_small_for_a_patch_are_refused() -> None:
    for stride in (0, 3):
        sampler = sampler_of(POOL, size=13, stride=stride, epoch_steps=5)
        with pytest.raises(DataError, match=r"^No picture is as large as a patch of 13x13\."):
            sampler.batch(0, 0)


# --- aligned patches ---


@pytest.mark.parametrize("scale", [2.0, 3.0, 1.5])
def test_aligned_patches_start_at_whole_pixels_of_lr(scale: float) -> None:
    """The pixels of the image encode their position, which shows where each patch was cut, in any orientation."""
    side, size = 24, 6
    y, x = np.mgrid[:side, :side]
    hr = np.stack([y, x]).astype(np.uint8)
    pair = Pair("place", scale, hr[:, ::2, ::2].astype(np.float16), hr.astype(np.float16), hr)
    pool = Pool.from_pairs([pair], align=True)
    step = int(scale) if scale == int(scale) else 1
    drawn, _ = sampler_of(pool, size=size, stride=0, epoch_steps=1, batch_size=6000, augment=True).batch(0, 0)
    corners = {(int(patch[0].min()), int(patch[1].min())) for patch in drawn}
    assert corners == {(row, column) for row in range(0, 19, step) for column in range(0, 19, step)}
    on_grid = grid(pool, size, 4)[:, 0]
    assert {int(place) // side % step for place in on_grid} == {int(place) % side % step for place in on_grid} == {0}


def test_unaligned_patches_start_anywhere() -> None:
    pool = Pool.from_pairs([pair_of(9, 9)])
    windows = {int(place) for place in draw_anywhere(pool, 3, 2000, np.random.default_rng(0))[:, 0]}
    assert windows == {9 * row + column for row in range(7) for column in range(7)}
