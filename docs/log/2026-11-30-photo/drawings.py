"""Drawings to learn from beside photographs: pure colors, lines and text, for a network for spoilt photos.

    python docs/log/2026-11-30-photo/drawings.py FOLDER

80 pictures of 480x480: stripes and grids, shapes, and text, of random colors. The same at each call.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE, FINER = 480, 4
"""They are drawn four times as large and made smaller, so that edges are smooth."""
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "0123",
    "jumps",
    "over",
    "LAZY",
    "dogs;",
    "Sum",
    "=",
    "4,567.89",
    "(net)",
    "&",
    "more?",
    "A",
    "to",
    "Z:",
    "no",
    "#1",
    "@",
    "home",
]


def color(rng):
    """Half of them pure, as graphics have them."""
    if rng.random() < 0.5:
        return tuple(int(each) for each in rng.choice([0, 255], 3))
    return tuple(int(each) for each in rng.integers(0, 256, 3))


def stripes(draw, size, rng):
    for _ in range(int(rng.integers(3, 7))):
        left, top = (int(each) for each in rng.integers(0, size * 3 // 4, 2))
        wide, high = (int(each) for each in rng.integers(size // 6, size // 2, 2))
        period, first, second = int(rng.integers(2, 14)) * FINER, color(rng), color(rng)
        slope = rng.choice([0, 0, 0.3, 1])
        draw.rectangle((left, top, left + wide, top + high), fill=first)
        for at in range(0, wide, period):
            if rng.random() < 0.5 or slope:
                x, y = left + at, top
                shift = slope * high
                draw.polygon(
                    [(x, y), (x + period // 2, y), (x + period // 2 + shift, y + high), (x + shift, y + high)],
                    fill=second,
                )
            else:
                draw.rectangle((left, top + at % high, left + wide, top + at % high + period // 2), fill=second)


def shapes(draw, size, rng):
    for _ in range(int(rng.integers(8, 30))):
        x, y = (int(each) for each in rng.integers(-size // 8, size, 2))
        wide, high = (int(each) for each in rng.integers(size // 60, size // 3, 2))
        box = (x, y, x + wide, y + high)
        kind = rng.integers(0, 4)
        if kind == 0:
            draw.ellipse(box, fill=color(rng))
        elif kind == 1:
            draw.rectangle(box, fill=color(rng), outline=color(rng), width=int(rng.integers(0, 4)) * FINER)
        elif kind == 2:
            draw.line(box, fill=color(rng), width=int(rng.integers(1, 6)) * FINER)
        else:
            draw.polygon([tuple(point) for point in (rng.random((3, 2)) * (wide, high) + (x, y))], fill=color(rng))


def text(draw, size, rng):
    y = 0
    while y < size:
        height = int(rng.integers(9, 40)) * FINER
        if rng.random() < 0.3:
            draw.rectangle((0, y, size, y + height * 2), fill=color(rng))
        font = ImageFont.load_default(size=height)
        draw.text((int(rng.integers(0, size // 8)), y), " ".join(rng.choice(WORDS, 14)), fill=color(rng), font=font)
        y += int(height * rng.uniform(1.1, 1.8))


folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for number in range(80):
    rng = np.random.default_rng(number)
    size = SIDE * FINER
    picture = Image.new("RGB", (size, size), (255, 255, 255) if rng.random() < 0.4 else color(rng))
    for paint in rng.permutation([stripes, shapes, text])[: int(rng.integers(1, 3))]:
        paint(ImageDraw.Draw(picture), size, rng)
    picture.resize((SIDE, SIDE), Image.Resampling.BOX).save(folder / f"drawing{number:02}.png")
