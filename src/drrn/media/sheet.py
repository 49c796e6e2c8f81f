"""Draw planes side by side in one image, with a line of text above each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from drrn.media.image import Image

GAP = 4
LINE = 18
"""Height of a line of text, in pixels."""

Planes = NDArray[np.float32]


def sheet(rows: Sequence[Sequence[Planes]], captions: Sequence[Sequence[str]]) -> Image:
    """Arrange rows of planes (channels, h, w) in [0, 1] on white, each enlarged to the size of the last in its row.

    Args:
        captions: a text for each plane, for the first rows; further rows have none.
    """
    lines = []
    for number, row in enumerate(rows):
        height, width = row[-1].shape[1:]
        cells = [
            np.pad(_blocks(plane, height, width), ((0, 0), (0, 0), (GAP, GAP)), constant_values=1) for plane in row
        ]
        if number < len(captions):
            lines.append(_texts(captions[number], width + 2 * GAP, len(row[0])))
        lines.append(np.pad(np.concatenate(cells, axis=2), ((0, 0), (0, GAP), (0, 0)), constant_values=1))
    widest = max(line.shape[2] for line in lines)
    lines = [np.pad(line, ((0, 0), (0, 0), (0, widest - line.shape[2])), constant_values=1) for line in lines]
    pixels = np.clip(np.concatenate(lines, axis=1), 0, 1).transpose(1, 2, 0)
    return Image(pixels=np.ascontiguousarray(pixels, np.float32))


def _blocks(plane: Planes, height: int, width: int) -> Planes:
    """Enlarge by repeating pixels, so that single pixels are visible."""
    down, across = plane.shape[1:]
    return plane[:, np.arange(height) * down // height][:, :, np.arange(width) * across // width]


def _texts(texts: Sequence[str], width: int, channels: int) -> Planes:
    strip = Pillow.new("L", (len(texts) * width, LINE), 255)
    font = ImageFont.load_default(12)
    for column, text in enumerate(texts):
        ImageDraw.Draw(strip).text((column * width + GAP, 1), text, fill=0, font=font)
    return np.repeat(np.asarray(strip, np.float32)[None] / 255, channels, axis=0)
