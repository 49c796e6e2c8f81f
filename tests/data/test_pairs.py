"""Folders of images become pairs: read as in the papers, split by image, matched by name."""

import re
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drrn.core.color import levels, luma
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.pairs import Levels, make_pairs, match_pairs, pictures_in, read_levels, split, unit
from drrn.errors import DataError, ImageError
from drrn.media.image import Image
from drrn.media.images.files import write

Array = NDArray[np.uint8]


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def smooth(height: int, width: int, channels: int = 3) -> Array:
    coarse = np.random.default_rng(1).random((channels, 4, 4))
    return levels(imresize(coarse, height, width)).transpose(1, 2, 0).astype(np.uint8)


def put(array: NDArray[Any], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(Image.from_array(array), path)
    return path


def assert_close(half: NDArray[np.float16], exact: NDArray[Any]) -> None:
    """Check the precision of float16: within 1/4096 up to white, and twice that where the kernel overshoots."""
    assert half.shape == exact.shape
    assert (np.abs(half - exact.astype(np.float64)) <= np.where(exact > 1, 2**-11, 2**-12) + 1e-6).all()


def darker(path: Path, lr: NDArray[np.float32], scale: float, hr: Levels) -> Levels:
    return levels(imresize(lr, *hr.shape[1:]) / np.float32(scale)).astype(np.uint8)


# --- reading ---


def test_a_color_file_is_read_as_rounded_luma_or_all_levels(tmp_path: Path) -> None:
    array = noise(9, 7, 3)
    path = put(array, tmp_path / "a.png")
    ours = read_levels(path, 1)
    assert ours.dtype == np.uint8 and ours.shape == (1, 9, 7)
    assert np.array_equal(ours[0], levels(luma(array.transpose(2, 0, 1) / 255)))
    assert np.array_equal(read_levels(path, 3), array.transpose(2, 0, 1))


def test_a_gray_file_is_read_unchanged(tmp_path: Path) -> None:
    array = noise(9, 7)
    path = put(array, tmp_path / "a.png")
    assert np.array_equal(read_levels(path, 1), array[None])  # not squeezed into 16..235
    assert np.array_equal(read_levels(path, 3), np.stack([array] * 3))


def test_alpha_is_ignored(tmp_path: Path) -> None:
    array = noise(9, 7, 4)
    path = put(array, tmp_path / "a.png")
    assert np.array_equal(read_levels(path, 3), array[..., :3].transpose(2, 0, 1))
    assert read_levels(put(noise(9, 7, 2), tmp_path / "b.png"), 1).shape == (1, 9, 7)


def test_sixteen_bits_become_the_nearest_eight(tmp_path: Path) -> None:
    deep = np.arange(0, 65536, 16).astype(np.uint16).reshape(64, 64)
    found = read_levels(put(deep, tmp_path / "a.png"), 1)[0]
    assert np.array_equal(found, np.floor(deep / 257 + 0.5))


def test_the_luma_of_every_file_is_matlabs_to_the_level(data: Path) -> None:
    # single precision in between must not move any level
    image = pytest.importorskip("PIL.Image")
    for path in pictures_in([data / "Set5"]):
        with image.open(path) as file:
            exact = np.asarray(file).astype(np.int64) @ np.array([65481, 128553, 24966])
        assert np.array_equal(read_levels(path, 1)[0], (exact + 16 * 255000 + 127500) // 255000), path


def test_unit_divides_by_255_in_single_precision() -> None:
    codes = np.arange(256, dtype=np.uint8)
    assert unit(codes).dtype == np.float32
    assert np.array_equal(unit(codes), (codes / 255).astype(np.float32))
    assert np.array_equal(levels(unit(codes)), codes)


def test_images_are_found_by_suffix_in_order(tmp_path: Path) -> None:
    for name in ["b/2.PNG", "b/10.jpg", "b/1.jpeg", "b/notes.txt", "b/deep/3.png", "a/x.tif", "a/y.TIFF", "a/z.webp"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = pictures_in([tmp_path / "b", tmp_path / "a"])
    assert [path.name for path in found] == ["1.jpeg", "10.jpg", "2.PNG", "x.tif", "y.TIFF", "z.webp"]


def test_a_missing_or_empty_folder_is_reported(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(DataError, match=rf"^No folder {re.escape(str(missing))}\. Give a folder of pictures\.$"):
        pictures_in([missing])
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=rf"^No pictures in {re.escape(str(tmp_path))}\. Known: \.png, \.jpg"):
        pictures_in([tmp_path])
    with pytest.raises(DataError, match=r"^No folder .*notes\.txt\."):
        pictures_in([tmp_path / "notes.txt"])


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"a\.png"):
        list(make_pairs(pictures_in([tmp_path]), [2], 1))


# --- the split ---


def files(folder: Path, contents: list[int]) -> list[Path]:
    paths = [folder / f"{i}.png" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(bytes([content]))
    return paths


@given(st.lists(st.integers(0, 7), min_size=2, max_size=12), st.floats(0, 0.6), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_split_keeps_copies_together_and_loses_none(contents: list[int], share: float, seed: int) -> None:
    different = len(set(contents))
    with tempfile.TemporaryDirectory() as folder:
        paths = files(Path(folder), contents)
        if different < 2 or round(share * different) >= different:
            with pytest.raises(DataError, match=rf"^{different} different pictures can't be split"):
                split(paths, share, seed)
            return
        learn, validate = split(paths, share, seed)
        assert split(paths, share, seed) == (learn, validate)
        sides = [{path.read_bytes() for path in side} for side in (learn, validate)]
    assert sorted(learn + validate) == sorted(paths)
    assert not sides[0] & sides[1]
    assert len(sides[1]) == max(round(share * different), 1)


def test_another_seed_is_another_split(tmp_path: Path) -> None:
    paths = files(tmp_path, list(range(20)))
    found = [split(paths, 0.2, seed)[1] for seed in range(20)]
    assert len({tuple(side) for side in found}) > 15
    assert {path for side in found for path in side} == set(paths)  # in the long run each is held out once


@pytest.mark.slow
def test_the_two_copies_in_t91_stay_on_one_side(data: Path) -> None:
    paths = pictures_in([data / "T91"])
    twins = [data / "T91/t36.png", data / "T91/t65.png"]  # the same picture (data/SOURCES.md)
    image = pytest.importorskip("PIL.Image")
    first, second = (np.asarray(image.open(path)) for path in twins)
    assert np.array_equal(first, second)
    for seed in range(40):
        learn, validate = split(paths, 0.2, seed)
        assert sum(twin in validate for twin in twins) in (0, 2), seed
        assert len(learn) + len(validate) == 91


# --- pairs that are made ---


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [2, 3, 4, 1.5, 2.7])
def test_a_pair_has_the_image_and_its_bicubic_ilr(tmp_path: Path, channels: Literal[1, 3], scale: float) -> None:
    path = put(smooth(45, 38), tmp_path / "a.png")
    (pair,) = make_pairs([path], [scale], channels)
    hr = modcrop(read_levels(path, channels), scale)
    lr = degrade(hr / 255.0, scale)
    assert (pair.name, pair.scale) == ("a", scale)
    assert [str(plane.dtype) for plane in (pair.lr, pair.ilr, pair.hr)] == ["float16", "float16", "uint8"]
    assert np.array_equal(pair.hr, hr)
    assert_close(pair.lr, lr)  # and so not rounded to 8 bits
    assert_close(pair.ilr, imresize(lr, *hr.shape[1:]))


def test_half_precision_errors_are_within_their_bound(tmp_path: Path) -> None:
    blocks = np.random.default_rng(0).choice([0, 40, 215, 255], (10, 10, 3)).astype(np.uint8)
    path = put(np.kron(blocks, np.ones((6, 6, 1), np.uint8)), tmp_path / "a.png")  # edges: the kernel overshoots
    (pair,) = make_pairs([path], [2], 3)
    exact = imresize(degrade(pair.hr / 255.0, 2), 60, 60)
    error = np.abs(pair.ilr - exact)
    assert exact.max() > 1 and exact.min() < 0
    assert 255 * error[exact <= 1].max() < 0.0625
    assert 255 * error.max() < 0.125


def test_every_image_is_paired_at_every_scale(tmp_path: Path) -> None:
    paths = [put(noise(13, 17, seed=i), tmp_path / f"{i}.png") for i in range(3)]
    found = [(pair.name, pair.scale, pair.hr.shape) for pair in make_pairs(paths, [2, 3], 1)]
    sizes = {2: (1, 12, 16), 3: (1, 12, 15)}
    assert found == [(name, scale, sizes[scale]) for name in "012" for scale in (2, 3)]


def test_an_image_smaller_than_the_scale_is_refused(tmp_path: Path) -> None:
    path = put(noise(3, 9), tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png is too small for scale 4\.$"):
        list(make_pairs([path], [4], 1))
    assert len(list(make_pairs([path], [3], 1))) == 1


def test_a_scale_given_twice_gives_one_pair_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write(Image.from_array(np.random.default_rng(0).random((12, 12, 3), np.float32)), path)
    two, three, again = make_pairs([path], [2, 3, 2], 1)
    assert again is two and three.scale == 3


def test_a_teachers_target_replaces_hr(tmp_path: Path) -> None:
    path = put(smooth(12, 18), tmp_path / "a.png")
    original, enlarged = (list(make_pairs([path], [2, 3], 3, teach)) for teach in (None, darker))
    for before, after in zip(original, enlarged, strict=True):
        assert np.array_equal(after.ilr, before.ilr) and np.array_equal(after.lr, before.lr)
        assert np.allclose(unit(after.hr), np.clip(before.ilr / before.scale, 0, 1), atol=0.6 / 255)


# --- pairs that are matched ---


@pytest.mark.parametrize("partner", ["a.png", "ax2.png", "a_x2.png", "a.jpg", "ax2.0.png", "a_x2.tif"])
def test_an_lr_is_found_by_the_name_of_its_hr(tmp_path: Path, partner: str) -> None:
    original = put(smooth(12, 16), tmp_path / "hr/a.png")
    small = put(smooth(6, 8), tmp_path / "lr" / partner)
    (found,) = match_pairs([original], tmp_path / "lr", 3)
    assert (found.name, found.scale) == ("a", 2)
    assert np.array_equal(found.hr, read_levels(original, 3))
    assert_close(found.lr, unit(read_levels(small, 3)))
    assert_close(found.ilr, imresize(unit(read_levels(small, 3)), 12, 16))


@pytest.mark.parametrize(
    "names",
    [
        ["a", "a1", "a2"],
        ["ma", "max"],
        ["0801", "0802", "08"],
        ["x2", "2", "x"],
        ["v1.5", "v", "v1"],
        ["t1", "t10", "t"],
        ["ax2", "a"],
    ],
)
@pytest.mark.parametrize("suffix", ["", "x2", "_x2"])
def test_no_lr_is_matched_to_another_image(tmp_path: Path, names: list[str], suffix: str) -> None:
    if suffix and names == ["ax2", "a"]:
        names = ["ax2", "b"]  # ax2x2 is an lr of ax2
    for value, name in enumerate(names):
        put(np.full((8, 8), 20 * value, np.uint8), tmp_path / f"hr/{name}.png")
        put(np.full((4, 4), 20 * value, np.uint8), tmp_path / f"lr/{name}{suffix}.png")
    for pair in match_pairs(pictures_in([tmp_path / "hr"]), tmp_path / "lr", 1):
        value = 20 * names.index(pair.name)
        assert pair.hr.max() == value and np.allclose(pair.ilr, value / 255, atol=1e-3), pair.name


def test_a_teachers_target_replaces_hr_of_given_pairs(tmp_path: Path) -> None:
    original = put(smooth(12, 16), tmp_path / "hr/a.png")
    put(smooth(6, 8), tmp_path / "lr/a.png")
    (found,) = match_pairs([original], tmp_path / "lr", 3, darker)
    assert np.allclose(unit(found.hr), np.clip(found.ilr / 2, 0, 1), atol=0.6 / 255)


def test_a_gray_lr_pairs_with_a_color_hr(tmp_path: Path) -> None:
    original = put(smooth(12, 12), tmp_path / "hr/a.png")
    put(smooth(6, 6, 1)[..., 0], tmp_path / "lr/a.png")
    (found,) = match_pairs([original], tmp_path / "lr", 3)
    assert found.hr.shape == (3, 12, 12) and found.lr.shape == (3, 6, 6)


def test_an_image_without_partner_reports_the_expected_name(tmp_path: Path) -> None:
    put(noise(4, 4), tmp_path / "lr/b.png")
    original = put(noise(8, 8), tmp_path / "hr/a.png")
    with pytest.raises(DataError, match=r"hr/a\.png has no partner in .*lr\. Expected a\.png or ax2\.png\.$"):
        list(match_pairs([original], tmp_path / "lr", 1))


@pytest.mark.parametrize("names", [("ax2", "ax3"), ("a", "a")])
def test_several_partners_are_refused_and_named(tmp_path: Path, names: tuple[str, str]) -> None:
    partners = [
        put(noise(4, 4), tmp_path / f"lr/{name}.{end}") for name, end in zip(names, ("bmp", "png"), strict=True)
    ]
    original = put(noise(8, 8), tmp_path / "hr/a.png")
    named = ", ".join(path.name for path in partners)
    with pytest.raises(DataError, match=rf"hr/a\.png has several partners in .*lr: {named}\. Leave one there\.$"):
        list(match_pairs([original], tmp_path / "lr", 1))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 8), (16, 16), (4, 8), (4, 5), (8, 4)])
def test_mismatched_shapes_are_refused(tmp_path: Path, height: int, width: int) -> None:
    original = put(noise(8, 8), tmp_path / "hr/a.png")
    put(noise(height, width), tmp_path / "lr/a.png")
    with pytest.raises(DataError, match=rf"a\.png is 8x8 and its lr {width}x{height}\. Expected a smaller"):
        list(match_pairs([original], tmp_path / "lr", 1))


def test_rounded_sides_are_accepted(tmp_path: Path) -> None:
    original = put(noise(101, 203), tmp_path / "hr/a.png")
    put(noise(51, 101), tmp_path / "lr/a.png")
    (found,) = match_pairs([original], tmp_path / "lr", 1)
    assert found.ilr.shape == (1, 101, 203) and found.scale == pytest.approx(101 / 51)
