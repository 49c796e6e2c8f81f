"""Images are enlarged, and their metadata is kept."""

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drrn.core import gamut
from drrn.core.color import rgb, ycbcr
from drrn.core.resize import imresize
from drrn.engines import EngineName
from drrn.engines.engine import OutOfMemoryError
from drrn.engines.pytorch import TorchEngine
from drrn.engines.selection import is_compiled
from drrn.errors import EngineError, UsageError
from drrn.media.image import Image
from drrn.upscaling.size import target_size
from drrn.upscaling.transparency import fill_transparent
from drrn.upscaling.upscaler import Upscaler
from drrn.weights.store import names
from tests.small_weights import small_weights, stepped_weights


def picture(height: int = 20, width: int = 30, channels: int = 3, *, alpha: bool = False, seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    return Image(
        pixels=rng.random((height, width, channels), np.float32),
        alpha=rng.random((height, width), np.float32) if alpha else None,
        bits=16,
        icc=b"profile",
        exif=b"exif",
        dpi=(72.0, 36.0),
    )


@pytest.fixture(scope="module", params=[1, 3], ids=["luma model", "RGB model"])
def upscaler(request: pytest.FixtureRequest) -> Upscaler:
    return Upscaler(small_weights(channels=request.param, unshuffle=2), device="cpu")


def test_luma_goes_through_the_network_and_chroma_by_bicubic() -> None:
    weights = small_weights()
    image = picture()
    image = replace(image, pixels=image.pixels * 0.2 + 0.2)  # so that no color leaves [0, 1]
    planes = ycbcr(np.ascontiguousarray(image.pixels.transpose(2, 0, 1)))
    ilr = imresize(planes, 40, 60)
    ilr[:1] = TorchEngine(weights, device="cpu").run(ilr[:1])
    expected = rgb(ilr).transpose(1, 2, 0)
    assert expected.min() > 0 and expected.max() < 1
    assert np.abs(Upscaler(weights, device="cpu").upscale(image, 2).pixels - expected).max() < 1e-5


def test_an_rgb_model_takes_all_three_channels() -> None:
    weights = small_weights(channels=3)
    image = picture()
    image = replace(image, pixels=image.pixels * 0.2 + 0.4)  # so that no color leaves [0, 1]
    ilr = imresize(np.ascontiguousarray(image.pixels.transpose(2, 0, 1)), 40, 60)
    expected = TorchEngine(weights, device="cpu").run(ilr).transpose(1, 2, 0)
    assert expected.min() > 0 and expected.max() < 1
    assert np.abs(Upscaler(weights, device="cpu").upscale(image, 2).pixels - expected).max() < 1e-5


def test_metadata_is_kept_and_dpi_is_scaled(upscaler: Upscaler) -> None:
    result = upscaler.upscale(picture(alpha=True), size=(60, 60))
    assert (result.bits, result.icc, result.exif) == (16, b"profile", b"exif")
    assert result.dpi == (144.0, 108.0)
    assert result.alpha is not None and result.alpha.shape == (60, 60)
    assert result.pixels.dtype == np.float32 and result.pixels.min() >= 0 and result.pixels.max() <= 1


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(1.01, 8))
def test_any_scale_gives_the_exact_size(height: int, width: int, scale: float) -> None:
    result = Upscaler(small_weights(units=1), device="cpu").upscale(picture(height, width), scale)
    assert (result.width, result.height) == (int(width * scale + 0.5), int(height * scale + 0.5))


@settings(max_examples=30)
@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.sampled_from([1, 3]), st.floats(1.1, 8))
def test_constant_pictures_stay_constant(red: int, green: int, blue: int, channels: int, scale: float) -> None:
    array = np.full((9, 11, 3), (red, green, blue), np.uint8)
    result = Upscaler(small_weights(channels=channels), device="cpu").upscale(Image.from_array(array), scale)
    assert (result.to_array() == np.array([red, green, blue])).all()


def test_gray_stays_gray_in_a_file_with_three_channels(upscaler: Upscaler) -> None:
    gray = np.repeat(picture(channels=1).pixels, 3, axis=2)
    result = upscaler.upscale(Image(pixels=gray, bits=16), 2.5).to_array()
    assert (result == result[..., :1]).all()
    assert len(np.unique(result)) > 256  # and 16 bits stay 16 bits


def test_a_gray_image_keeps_one_channel(upscaler: Upscaler) -> None:
    assert upscaler.upscale(picture(channels=1), 3).pixels.shape == (60, 90, 1)


def test_opaque_stays_opaque_and_transparent_transparent(upscaler: Upscaler) -> None:
    alpha = np.zeros((24, 32), np.float32)
    alpha[6:18, 8:24] = 1
    result = upscaler.upscale(Image(pixels=picture(24, 32).pixels, alpha=alpha), 2)
    assert result.alpha is not None
    assert (result.alpha[16:32, 20:44] == 1).all()
    assert (result.alpha[:8] == 0).all() and (result.alpha[:, -12:] == 0).all()
    opaque = upscaler.upscale(Image(pixels=picture().pixels, alpha=np.ones((20, 30), np.float32)), 2)
    assert (opaque.to_array()[..., 3] == 255).all()


def test_colors_under_transparent_pixels_do_not_show() -> None:
    """A red disc on transparent black. A fringe would show as a visible pixel of darker red."""
    y, x = np.mgrid[:40, :40]
    inside = (y - 20) ** 2 + (x - 20) ** 2 < 150
    pixels = np.where(inside[..., None], [0.9, 0.1, 0.1], 0).astype(np.float32)
    upscaler = Upscaler(small_weights(gain=0.01), device="cpu")
    result = upscaler.upscale(Image(pixels=pixels, alpha=inside.astype(np.float32)), 3)
    assert result.alpha is not None
    visible = result.pixels[result.alpha > 0.02]
    assert np.abs(visible - [0.9, 0.1, 0.1]).max() < 0.02


@settings(max_examples=50)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31))
def test_fill_transparent_keeps_visible_colors_and_invents_none(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.random((height, width, 3), np.float32)
    alpha = rng.random((height, width), np.float32) * (rng.random((height, width)) < 0.3)
    filled = fill_transparent(pixels, alpha)
    visible = alpha > 0
    assert (filled[visible] == pixels[visible]).all()
    if visible.any():
        assert (filled >= pixels[visible].min(axis=0) - 1e-5).all()
        assert (filled <= pixels[visible].max(axis=0) + 1e-5).all()


def test_little_memory_gives_the_same_image_in_tiles(engine: EngineName) -> None:
    weights, image = small_weights(unshuffle=2, width=32), picture(60, 80, alpha=True)
    large = Upscaler(weights, engine=engine, device="cpu", threads=1)
    enough = large.estimate(80, 60, 3, alpha=True)
    little = Upscaler(weights, engine=engine, device="cpu", threads=1, max_memory=enough.memory * 7 // 8)
    assert enough.tile == (180, 240) and little.estimate(80, 60, 3, alpha=True).tile[1] < 240
    whole = Upscaler(weights, device="cpu").upscale(image, 3)
    tiled = little.upscale(image, 3)
    assert np.abs(tiled.pixels - whole.pixels).max() <= 1e-5
    assert whole.alpha is not None and tiled.alpha is not None
    assert np.abs(tiled.alpha - whole.alpha).max() <= 1e-5
    # in 8 bits they only differ where a value is halfway between two levels
    off = Image(pixels=tiled.pixels).to_array() != Image(pixels=whole.pixels).to_array()
    edge = np.abs((whole.pixels * 255) % 1 - 0.5) < 1e-3
    assert not (off & ~edge).any()


def test_an_image_too_large_for_memory_is_refused_before_the_work() -> None:
    upscaler = Upscaler(small_weights(), device="cpu", max_memory=1 << 20)
    with pytest.raises(UsageError, match=r"2000x2000 pixels need more than \d+ MB, and 1 are allowed. .*--max-memory"):
        upscaler.upscale(picture(1000, 1000, 1))


def test_progress_ends_at_one(upscaler: Upscaler) -> None:
    reported: list[float] = []
    upscaler.upscale(picture(alpha=True), 3, progress=reported.append)
    assert reported == sorted(reported) and reported[-1] == 1


def test_an_engine_without_memory_ends_in_an_error(monkeypatch: pytest.MonkeyPatch, upscaler: Upscaler) -> None:
    def fail(ilr: object, done: object) -> None:
        raise OutOfMemoryError("no memory")

    monkeypatch.setattr(upscaler.engine, "run", fail)
    with pytest.raises(EngineError, match="Not enough memory"):
        upscaler.upscale(picture(), 2)


@pytest.mark.parametrize("scale", [0, 1, -2, 8.01, 9, float("nan"), float("inf")])
def test_a_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(UsageError, match="A scale must be above 1 and at most 8, got"):
        target_size(10, 10, scale, None)


def test_the_size_of_a_result_follows_from_scale_or_size() -> None:
    assert target_size(640, 480, None, None) == (1280, 960)
    assert target_size(640, 480, 1.5, None) == (960, 720)
    assert target_size(3, 5, 1.5, None) == (5, 8)  # halves are rounded up, not to even
    assert target_size(640, 480, None, (1920, None)) == (1920, 1440)
    assert target_size(640, 480, None, (None, 1080)) == (1440, 1080)
    assert target_size(640, 480, None, (1000, 1000)) == (1000, 1000)
    assert target_size(640, 480, 8, None) == target_size(640, 480, None, (5120, 3840)) == (5120, 3840)


@pytest.mark.parametrize("size", [(640, 480), (639, 960), (5121, 480), (None, 4000)])
def test_a_size_that_does_not_enlarge_is_refused(size: tuple[int | None, int | None]) -> None:
    with pytest.raises(UsageError, match="is not an enlargement of 640x480"):
        target_size(640, 480, None, size)


def test_units_out_of_the_trained_range_are_refused() -> None:
    weights = small_weights(trained_units=(1, 2))
    assert Upscaler(weights, units=1, device="cpu").units == 1
    with pytest.raises(EngineError, match="random can't run 3 units: trained for 1 to 2 units"):
        Upscaler(weights, units=3, device="cpu")


def test_fewer_units_give_another_result() -> None:
    weights, image = small_weights(trained_units=(1, 2)), picture()
    one, two = (Upscaler(weights, units=units, device="cpu").upscale(image, 2).pixels for units in (1, 2))
    assert np.abs(one - two).max() > 1e-3


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(EngineError, match="There is no device 'quantum' here"):
        Upscaler(small_weights(), device="quantum")


# --- networks for whole scales ---


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("scale", [1.5, 2, 2.4, 3, 4, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_fractional_scale_resizes_the_next_whole_one(scale: float, alpha: bool, channels: int) -> None:
    weights = stepped_weights(2, 3, 4, channels=channels)
    upscaler, image = Upscaler(weights, device="cpu", threads=1), picture(21, 30, alpha=alpha)
    step = next((whole for whole in (2, 3, 4) if whole >= scale), 4)
    alone = Upscaler(replace(weights.network(step), larger={}), device="cpu", threads=1)
    height, width = upscaler.upscale(image, scale).pixels.shape[:2]

    def network(planes: Any) -> Any:
        return imresize(alone.engine.run(imresize(planes, 21 * step, 30 * step)), height, width)

    found = upscaler.upscale(image, scale)
    if scale == step:
        assert (found.pixels == alone.upscale(image, scale).pixels).all()
    elif channels == 3 and not alpha:
        planes = np.ascontiguousarray(image.pixels.transpose(2, 0, 1))
        whole = slice(0, height), slice(0, width)
        expected = gamut.clip(network(planes), planes, gamut.window(whole, (21, 30), (height, width)))
        assert abs(found.pixels.transpose(2, 0, 1) - expected).max() < 1e-6
    if alpha and scale != step:
        assert image.alpha is not None and found.alpha is not None
        planes = np.repeat(image.alpha[None], channels, axis=0)
        ilr = imresize(image.alpha, height, width)
        inside = (ilr > 1e-3) & (ilr < 1 - 1e-3)
        assert abs(found.alpha - network(planes).clip(0, 1).mean(axis=0))[inside].max() < 1e-6 and inside.any()


def test_networks_are_prepared_once_and_only_when_needed() -> None:
    upscaler = Upscaler(stepped_weights(2, 3), device="cpu", threads=1)
    assert upscaler.for_size((5, 5), (8, 8)) is upscaler
    assert upscaler.for_size((5, 5), (15, 15)) is upscaler.for_size((6, 7), (15, 20)) is not upscaler
    smaller = upscaler.with_reserved_memory(1 << 20)
    assert smaller.for_size((5, 5), (15, 15)).max_memory == upscaler.max_memory - (1 << 20)
    assert smaller.for_size((5, 5), (15, 15)).engine is upscaler.for_size((5, 5), (15, 15)).engine
    assert upscaler.for_size((5, 5), (15, 15)).for_size((5, 5), (7, 7)).network is upscaler.weights


def test_the_estimate_counts_the_pixels_of_the_network() -> None:
    upscaler = Upscaler(stepped_weights(2, 3, 4), device="cpu", threads=1)
    whole, between = upscaler.estimate(300, 200, 3), upscaler.estimate(300, 200, 2.5)
    assert (between.width, between.height) == (750, 500) and between.tile == whole.tile == (600, 900)
    assert between.seconds == pytest.approx(whole.seconds)


# --- flat areas ---


@pytest.mark.parametrize(
    "model", [name if name in ("tiny", "small") else pytest.param(name, marks=pytest.mark.slow) for name in names()]
)
@pytest.mark.parametrize("scale", [2, *(pytest.param(each, marks=pytest.mark.slow) for each in (1.5, 3))])
def test_flat_areas_stay_flat_up_to_the_border(model: str, scale: float) -> None:
    """A 16-bit page with a mark in a corner: pixels out of its reach keep exactly their level."""
    upscaler = Upscaler(model, device="cpu", threads=2)
    for level in (65535, 64250, 300) if scale == 2 else (64250,):
        page = np.full((160, 150, 1), level, np.uint16)
        page[:8, :8] = 0
        larger = upscaler.upscale(Image.from_array(page), scale).to_array()[..., 0]
        step = upscaler.network_size((150, 160), (larger.shape[1], larger.shape[0]))[0] / 150
        clear = ceil(8 * scale + upscaler.halo * scale / step + 6 * scale)
        assert (larger[clear:] == level).all() and (larger[:, clear:] == level).all()
        assert (larger[:clear, :clear] != level).any()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["native", "reference", "torch", "onnx"])
@pytest.mark.parametrize("units", [1, 2])
@pytest.mark.parametrize("flat", [False, True])
def test_flat_areas_stay_flat_in_every_engine_with_any_units(engine: EngineName, units: int, flat: bool) -> None:
    """Also with a network whose structure does not keep them flat."""
    if engine == "native" and not is_compiled():
        pytest.skip("the native engine was not compiled here")
    network = "tiny" if flat else small_weights(trained_units=(1, 2))
    upscaler = Upscaler(network, device="cpu", threads=1, engine=engine, units=units)
    page = np.full((70, 64, 3), (64250, 65535, 300), np.uint16)
    page[:8, :8] = 0
    larger = upscaler.upscale(Image.from_array(page), 2).to_array()
    clear = 16 + upscaler.halo + 12  # the reach of the network, and of the colors
    assert clear < 100 and (larger[clear:] == page[-1, -1]).all() and (larger[:, clear:] == page[-1, -1]).all()
