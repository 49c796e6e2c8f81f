"""A check finds a result that is not faithful to its source, and accepts a faithful one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drrn.core.color import levels, luma
from drrn.core.metrics import psnr
from drrn.core.resize import imresize
from drrn.media.image import Image
from drrn.media.images.files import read
from drrn.upscaling.consistency import WHITE, Checks, check, check_bicubic, enlarge, heat_map
from drrn.upscaling.upscaler import Upscaler
from tests.conftest import ROOT
from tests.small_weights import small_weights
from tests.upscaling.test_upscaler import picture

TARGET = Path("large/photo_x2.jpg")


def repeated(given: Image, times: int) -> Image:
    """The image, enlarged by repeating pixels."""
    pixels = given.pixels.repeat(times, axis=0).repeat(times, axis=1)
    alpha = None if given.alpha is None else given.alpha.repeat(times, axis=0).repeat(times, axis=1)
    return replace(given, pixels=pixels, alpha=alpha)


@pytest.mark.parametrize("sides", [(20, 30), (31, 9), (1, 12), (7, 1), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_check_matches_imresize_written_out(sides: tuple[int, int], channels: int) -> None:
    given = picture(*sides, channels)
    result = repeated(given, 3)
    found = check(given, result)
    back = np.stack([imresize(result.pixels[..., index], *sides) for index in range(channels)])
    source = given.pixels.transpose(2, 0, 1)
    difference = np.abs(levels(back) - levels(source)).max(axis=0)
    ours, theirs = (levels(luma(each) if channels == 3 else each[0]) for each in (back, source))
    assert found.psnr == pytest.approx(psnr(ours, theirs), abs=1e-3)  # in float32 a half may round the other way
    assert (found.differences == difference).all() and found.largest == difference.max()


def test_an_image_of_one_color_passes_its_check_exactly() -> None:
    given = Image.from_array(np.full((6, 5, 4), 140, np.uint8))
    found = check(given, repeated(given, 2))
    assert (found.psnr, found.largest) == (float("inf"), 0)


def test_bicubic_is_checked_like_any_other_result() -> None:
    given = picture(17, 23, alpha=True)
    assert given.alpha is not None and given.alpha.all()
    planes = np.concatenate([given.pixels.transpose(2, 0, 1), given.alpha[None]])
    larger = imresize(planes, 40, 50).clip(0, 1)
    result = Image(pixels=larger[:3].transpose(1, 2, 0), alpha=larger[3])
    found, expected = check_bicubic(given, 50, 40), check(given, result)
    assert found.psnr == pytest.approx(expected.psnr) and (found.differences == expected.differences).all()


def test_a_change_in_a_result_is_located() -> None:
    given = Image(pixels=read(ROOT / "samples" / "chelsea.png").pixels[100:148, 60:120])
    upscaler = Upscaler(threads=1)
    result = upscaler.upscale(given, 2)
    faithful = check(given, result)
    assert faithful.psnr > 50 and faithful.largest <= 8
    pixels = result.pixels.copy()
    pixels[40:48, 60:68, 2] = (pixels[40:48, 60:68, 2] + 0.3).clip(0, 1)  # only blue, which hardly affects luma
    tampered = check(given, replace(result, pixels=pixels))
    assert tampered.largest > 50 and tampered.psnr < faithful.psnr - 3
    down, across = np.unravel_index(tampered.differences.argmax(), (48, 60))
    assert 20 <= down < 24 and 30 <= across < 34
    far = np.ones((48, 60), bool)
    far[16:28, 26:38] = False
    assert (tampered.differences[far] == faithful.differences[far]).all()


def test_a_changed_alpha_is_found_and_invisible_colors_are_ignored() -> None:
    seen = np.zeros((24, 32), np.float32)
    seen[6:18, 8:24] = 1
    smooth = np.linspace(0.2, 0.8, 24 * 32 * 3, dtype=np.float32).reshape(24, 32, 3)
    given = Image(pixels=np.where(seen[..., None] > 0, smooth, 0), alpha=seen)
    result = Upscaler(small_weights(gain=0.0, bias=False), engine="native", threads=1).upscale(given, 2)
    faithful = check(given, result)
    assert faithful.differences[:4].max() == 0 and faithful.differences[:, -6:].max() == 0
    assert check_bicubic(given, 64, 48).psnr == pytest.approx(faithful.psnr, abs=0.5)  # that network does nothing
    assert result.alpha is not None
    ghost = result.alpha.copy()
    ghost[:6, :6] = 0.5  # the corner was transparent
    assert check(given, replace(result, alpha=ghost)).differences[:3, :3].min() > 100


def test_texture_finer_than_the_source_is_not_detected() -> None:
    """A documented limit: a grid of single pixels disappears when the result is reduced."""
    given = Image(pixels=np.full((16, 16, 1), 0.5, np.float32))
    invented = np.full((64, 64, 1), 0.5, np.float32)
    invented += 0.3 * (-1) ** np.add.outer(np.arange(64), np.arange(64))[..., None]
    assert check(given, Image(pixels=invented.astype(np.float32))).differences[3:-3, 3:-3].max() <= 1


@pytest.mark.parametrize("other", [picture(40, 60, 1), picture(40, 60, alpha=True)], ids=["gray", "alpha"])
def test_a_result_with_other_channels_is_refused(other: Image) -> None:
    with pytest.raises(ValueError, match="must both be gray or RGB"):
        check(picture(), other)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "given",
    [picture(9, 14), picture(9, 14, alpha=True), picture(1, 9, 1), picture(6, 1)],
    ids=["RGB", "alpha", "a row of gray", "a column"],
)
def test_only_the_requested_checks_are_computed(given: Image, channels: int) -> None:
    upscaler = Upscaler(small_weights(channels=channels), engine="native", threads=1)
    size = (2 * given.width, 3 * given.height)
    plain = upscaler.upscale(given, size=size)
    for asked in [
        Checks(),
        Checks(check=True),
        Checks(check=True, check_map=True),
        Checks(True),
        Checks(True, True, True),
    ]:
        result, found = enlarge(upscaler, given, size, asked)
        assert (result.pixels == plain.pixels).all()  # asking changes nothing
        assert (found.check is not None, found.bicubic is not None) == (asked.check, asked.check)
        assert (found.disagreement is not None) == asked.disagreement
        maps = found.maps(asked)
        sides = [(given.height, given.width)] * asked.check_map + [plain.pixels.shape[:2]] * asked.disagreement
        assert [each.pixels.shape[:2] for each in maps] == sides
        assert len(maps) == len(asked.maps(TARGET))
    assert found.disagreement is not None and found.check is not None
    assert np.abs(found.disagreement - 255 * upscaler.upscale_with_disagreement(given, size=size)[1]).max() < 1e-4
    assert (maps[0].pixels == heat_map(found.check.differences).pixels).all()
    assert (maps[1].pixels == heat_map(found.disagreement).pixels).all()


def test_maps_are_black_for_zero_and_white_from_their_documented_level() -> None:
    levels_ = np.array([[0, 1, WHITE / 2], [WHITE, WHITE + 1, 255]], np.float32)
    shown = heat_map(levels_).to_array()[..., 0]
    assert shown.tolist() == [[0, 51, 128], [255, 255, 255]]


def test_maps_are_png_files_next_to_the_result() -> None:
    names = [path.as_posix() for path in Checks(True, True, True).maps(TARGET)]
    assert names == ["large/photo_x2_check.png", "large/photo_x2_disagreement.png"]
    assert Checks(check=True).maps(TARGET) == []
