"""Graphics and text, drawn in code: unlike the photographs that networks are trained on."""

from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from drrn.core.resize import degrade
from drrn.data.pairs import Levels, unit

SIDE = 240
WORDS = "The quick brown fox jumps over the lazy dog. 0123456789 +-*/=%&@#"


def shapes() -> Levels:
    """Discs, stripes and rectangles of flat colors with hard edges: (3, SIDE, SIDE), like the other drawings."""
    picture = np.full((3, SIDE, SIDE), 255, np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE]
    figures = [
        ((x - 70) ** 2 + (y - 70) ** 2 < 50**2, (200, 30, 30)),
        ((x - 70) ** 2 + (y - 70) ** 2 < 20**2, (255, 220, 0)),
        ((abs(x - 175) < 45) & (abs(y - 60) < 30), (20, 60, 160)),
        ((x + y > 290) & (x + y < 310), (0, 0, 0)),
        ((x - 2 * y > -215) & (x - 2 * y < -211), (0, 0, 0)),
        ((y > 150) & (x < 90) & (x // 3 % 2 == 0), (0, 110, 60)),
        ((y > 175) & (x > 150) & (y // 5 % 2 == 0), (90, 90, 90)),
    ]
    for where, color in figures:
        for plane, level in zip(picture, color, strict=True):
            plane[where] = level
    return picture


def boards() -> Levels:
    """Checkerboards with squares of 3, 4, 6 and 15 pixels."""
    picture = np.empty((3, SIDE, SIDE), np.uint8)
    half = SIDE // 2
    y, x = np.mgrid[:half, :half]
    for place, square in enumerate((3, 4, 6, 15)):
        top, left = half * (place // 2), half * (place % 2)
        picture[:, top : top + half, left : left + half] = (x // square + y // square) % 2 * 255
    return picture


def text() -> Levels:
    """Black on white, in sizes from 9 to 28 pixels, in Pillow's own font."""
    page = Image.new("L", (SIDE, SIDE), 255)
    top = 4
    for size in (9, 10, 11, 12, 14, 16, 20, 24, 28):
        ImageDraw.Draw(page).text((4, top), WORDS, fill=0, font=ImageFont.load_default(size))
        top += size * 3 // 2
    return np.repeat(np.asarray(page)[None], 3, axis=0)


def _area(hr: Levels) -> Levels:
    channels, height, width = hr.shape
    cells = hr.reshape(channels, height // 2, 2, width // 2, 2)
    return np.rint(cells.mean((2, 4))).astype(np.uint8)


def _bicubic(hr: Levels) -> Levels:
    return np.rint(degrade(unit(hr), 2).clip(0, 1) * 255).astype(np.uint8)


DRAWINGS: Final[dict[str, Callable[[], Levels]]] = {"shapes": shapes, "checkerboards": boards, "text": text}
DOWNSCALED: Final[dict[str, Callable[[Levels], Levels]]] = {
    "bicubic": _bicubic,
    "area": _area,
    "nearest": lambda hr: hr[:, ::2, ::2],
}
"""Ways to make a drawing half as large. `nearest` takes the top left of four pixels, half a pixel off their middle."""
