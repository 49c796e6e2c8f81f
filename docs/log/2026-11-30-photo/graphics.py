"""Random graphics of pure colors to train `photo` on: python graphics.py FOLDER [COUNT]

60 by default. Of those from the 61st on, every second has a white background.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE, FINER = 320, 4  # pixels; drawn at 4 times the size, so that edges are smooth
WORDS = ["red", "green", "blue", "0123", "Map", "Exit", "A-Z", "north", "42", "km"]


def color(rng):
    """Pure more often than not."""
    return tuple(int(c) for c in (rng.choice([0, 255], 3) if rng.random() < 0.7 else rng.integers(0, 256, 3)))


def picture(rng, background):
    image = Image.new("RGB", (SIZE * FINER,) * 2, background or color(rng))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(6, 16)):
        x, y = (int(v) for v in rng.integers(0, SIZE, 2) * FINER)
        w, h = (int(v) for v in rng.integers(12, 140, 2) * FINER)
        kind = rng.integers(5)
        if kind == 0:
            draw.ellipse((x, y, x + w, y + h), color(rng))
        elif kind == 1:
            draw.rectangle((x, y, x + w, y + h), color(rng))
        elif kind == 2:
            draw.line((x, y, x + w, y + h), color(rng), int(rng.integers(2, 8)) * FINER)
        elif kind == 3:
            font = ImageFont.load_default(int(rng.integers(14, 60)) * FINER)
            draw.text((x, y), str(rng.choice(WORDS)), color(rng), font)
        else:
            pair, step = (color(rng), color(rng)), int(rng.integers(2, 9)) * FINER
            along = rng.random() < 0.5
            for i, at in enumerate(range(0, w, step)):
                box = (x + at, y, x + at + step - 1, y + h) if along else (x, y + at, x + h, y + at + step - 1)
                draw.rectangle(box, pair[i % 2])
    return image.reduce(FINER)


folder = Path(sys.argv[1])
for number in range(int(sys.argv[2]) if len(sys.argv) > 2 else 60):
    white = (255, 255, 255) if number >= 60 and number % 2 else None
    picture(np.random.default_rng(number), white).save(folder / f"graphics{number:02}.png")
