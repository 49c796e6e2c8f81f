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


def repeated(image: Image, times: int) -> Image:
    """The image, enlarged by repeating pixels."""
    pixels = image.pixels.repeat(times, axis=0).repeat(times, axis=1)
    alpha = None if image.alpha is None else image.alpha.repeat(times, axis=0).repeat(times, axis=1)
    return replace(image, pixels=pixels, alpha=alpha)


@pytest.mark.parametrize("sides", [(20, 30), (31, 9), (1, 12), (7, 1), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_check_matches_imresize_written_out(sides: tuple[int, int], channels: int) -> None:
    image = picture(*sides, channels)
    result = repeated(image, 3)
    found = check(image, result)
    back = np.stack([imresize(result.pixels[..., index], *sides) for index in range(channels)])
    source = image.pixels.transpose(2, 0, 1)
    difference = np.abs(levels(back) - levels(source)).max(axis=0)
    ours, theirs = (levels(luma(each) if channels == 3 else each[0]) for each in (back, source))
    assert found.psnr == pytest.approx(psnr(ours, theirs), abs=1e-3)  # in float32 a half may round the other way
    assert (found.differences == difference).all() and found.largest == difference.max()


def test_an_image_of_one_color_passes_its_check_exactly() -> None:
    image = Image.from_array(np.full((6, 5, 4), 140, np.uint8))
    found = check(image, repeated(image, 2))
    assert (found.psnr, found.largest) == (float("inf"), 0)


def test_bicubic_is_checked_like_any_other_result() -> None:
    image = picture(17, 23, alpha=True)
    assert image.alpha is not None and image.alpha.all()
    planes = np.concatenate([image.pixels.transpose(2, 0, 1), image.alpha[None]])
    larger = imresize(planes, 40, 50).clip(0, 1)
    result = Image(pixels=larger[:3].transpose(1, 2, 0), alpha=larger[3])
    found, expected = check_bicubic(image, 50, 40), check(image, result)
    assert found.psnr == pytest.approx(expected.psnr) and (found.differences == expected.differences).all()


def test_a_change_in_a_result_is_located() -> None:
    image = Image(pixels=read(ROOT / "samples" / "chelsea.png").pixels[100:148, 60:120])
    upscaler = Upscaler(threads=1)
    result = upscaler.upscale(image, 2)
    faithful = check(image, result)
    assert faithful.psnr > 50 and faithful.largest <= 8
    pixels = result.pixels.copy()
    pixels[40:48, 60:68, 2] = (pixels[40:48, 60:68, 2] + 0.3).clip(0, 1)  # only blue, which hardly affects luma
    tampered = check(image, replace(result, pixels=pixels))
    assert tampered.largest > 50 and tampered.psnr < faithful.psnr - 3
    down, across = np.unravel_index(tampered.differences.argmax(), (48, 60))
    assert 20 <= down < 24 and 30 <= across < 34
    far = np.ones((48, 60), bool)
    far[16:28, 26:38] = False
    assert (tampered.differences[far] == faithful.differences[far]).all()


def test_a_changed_alpha_is_found_and_invisible_colors_are_ignored() -> None:
    visible = np.zeros((24, 32), np.float32)
    visible[6:18, 8:24] = 1
    smooth = np.linspace(0.2, 0.8, 24 * 32 * 3, dtype=np.float32).reshape(24, 32, 3)
    image = Image(pixels=np.where(visible[..., None] > 0, smooth, 0), alpha=visible)
    result = Upscaler(small_weights(gain=0.0, bias=False), engine="native", threads=1).upscale(image, 2)
    faithful = check(image, result)
    assert faithful.differences[:4].max() == 0 and faithful.differences[:, -6:].max() == 0
    assert check_bicubic(image, 64, 48).psnr == pytest.approx(faithful.psnr, abs=0.5)  # that network does nothing
    assert result.alpha is not None
    ghost = result.alpha.copy()
    ghost[:6, :6] = 0.5  # the corner was transparent
    assert check(image, replace(result, alpha=ghost)).differences[:3, :3].min() > 100


def test_texture_finer_than_the_source_is_not_detected() -> None:
    """A documented limit: a grid of single pixels disappears when the result is reduced."""
    image = Image(pixels=np.full((16, 16, 1), 0.5, np.float32))
    invented = np.full((64, 64, 1), 0.5, np.float32)
    invented += 0.3 * (-1) ** np.add.outer(np.arange(64), np.arange(64))[..., None]
    assert check(image, Image(pixels=invented.astype(np.float32))).differences[3:-3, 3:-3].max() <= 1


@pytest.mark.parametrize("other", [picture(40, 60, 1), picture(40, 60, alpha=True)], ids=["gray", "alpha"])
def test_a_result_with_other_channels_is_refused(other: Image) -> None:
    with pytest.raises(ValueError, match="must both be gray or RGB"):
        check(picture(), other)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "image",
    [picture(9, 14), picture(9, 14, alpha=True), picture(1, 9, 1), picture(6, 1)],
    ids=["RGB", "alpha", "a row of gray", "a column"],
)
def test_only_the_requested_checks_are_computed(image: Image, channels: int) -> None:
    upscaler = Upscaler(small_weights(channels=channels), engine="native", threads=1)
    size = (2 * image.width, 3 * image.height)
    plain = upscaler.upscale(image, size=size)
    for checks in [
        Checks(),
        Checks(check=True),
        Checks(check=True, check_map=True),
        Checks(True),
        Checks(True, True, True),
    ]:
        result, found = enlarge(upscaler, image, size, checks)
        assert (result.pixels == plain.pixels).all()  # asking changes nothing
        assert (found.check is not None, found.bicubic is not None) == (checks.check, checks.check)
        assert (found.disagreement is not None) == checks.disagreement
        maps = found.maps(checks)
        sides = [(image.height, image.width)] * checks.check_map + [plain.pixels.shape[:2]] * checks.disagreement
        assert [each.pixels.shape[:2] for each in maps] == sides
        assert len(maps) == len(checks.maps(TARGET))
    assert found.disagreement is not None and found.check is not None
    assert np.abs(found.disagreement - 255 * upscaler.upscale_with_disagreement(image, size=size)[1]).max() < 1e-4
    assert (maps[0].pixels == heat_map(found.check.differences).pixels).all()
    assert (maps[1].pixels == heat_map(found.disagreement).pixels).all()


def test_maps_are_black_for_zero_and_white_from_their_documented_level() -> None:
    levels_ = np.array([[0, 1, WHITE / 2], [WHITE, WHITE + 1, 255]], np.float32)
    gray = heat_map(levels_).to_array()[..., 0]
    assert gray.tolist() == [[0, 51, 128], [255, 255, 255]]


def test_maps_are_png_files_next_to_the_result() -> None:
    names = [path.as_posix() for path in Checks(True, True, True).maps(TARGET)]
    assert names == ["large/photo_x2_check.png", "large/photo_x2_disagreement.png"]
    assert Checks(check=True).maps(TARGET) == []
