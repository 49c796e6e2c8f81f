"""Pure colors keep their mean: sharpened luma next to blurred chroma must not brighten a channel."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from drrn.core.color import rgb, ycbcr
from drrn.core.resize import imresize
from drrn.media.image import Image
from drrn.upscaling.upscaler import Upscaler
from drrn.weights.store import names


def graphics() -> Iterator[tuple[str, Any]]:
    """Graphics of pure colors: 8 bits, (H, W, 3)."""
    y, x = np.mgrid[:48, :64]
    green = np.zeros((48, 64, 3), np.uint8)
    green[x % 4 < 2] = (0, 160, 0)
    yield "green stripes on black", green
    shapes = np.full((48, 64, 3), 255, np.uint8)
    shapes[(y - 20) ** 2 + (x - 20) ** 2 < 150] = (255, 0, 0)
    shapes[(abs(y - 30) < 12) & (abs(x - 45) < 14)] = (0, 0, 255)
    shapes[(y + x) % 14 < 2] = (0, 255, 0)
    shapes[(y > 40) & (x % 4 < 2)] = (255, 0, 255)
    yield "shapes on white", shapes
    pure = np.array([(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)], np.uint8)
    stripes = pure[np.random.default_rng(0).integers(0, 8, 20)]
    yield "stripes of all pure colors", np.repeat(stripes, 3, axis=0)[None].repeat(32, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", names())
def test_the_mean_of_every_channel_stays_within_half_a_level(name: str, scale: int) -> None:
    upscaler = Upscaler(name, threads=1)
    for what, array in graphics():
        result = upscaler.upscale(Image.from_array(array), scale).to_array()
        drift = result.mean(axis=(0, 1)) - array.mean(axis=(0, 1))
        assert abs(drift).max() <= 0.5, (what, drift)


@pytest.mark.parametrize("scale", [2, 2.5])
def test_black_text_next_to_a_color_stays_as_sharp_as_from_the_network(scale: float) -> None:
    page = np.full((60, 60, 3), 255, np.uint8)
    page[10:50:4, 5:30] = page[10:50, 12:30:5] = 0
    page[:, 50:] = (255, 0, 0)
    upscaler, picture = Upscaler("tiny", threads=1), Image.from_array(page)
    planes = ycbcr(np.ascontiguousarray(picture.pixels.transpose(2, 0, 1)))
    size = int(60 * scale), int(60 * scale)
    larger, (width, height) = imresize(planes, *size), upscaler.network_size((60, 60), size)
    engine = upscaler.for_size((60, 60), size).engine
    larger[:1] = imresize(engine.run(imresize(planes[:1], height, width)), *size)
    sharp = rgb(larger)[:, :, : int(40 * scale)].transpose(1, 2, 0)
    assert sharp.min() < -0.05 and sharp.max() > 1.05
    result = upscaler.upscale(picture, scale).pixels[:, : int(40 * scale)]
    assert abs(result - sharp.clip(0, 1)).max() < 1e-5
