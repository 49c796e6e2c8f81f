"""An image on the disk as the model sees it: gray, luma or colors, read place by place."""

import numpy as np

from drrn.core.color import chroma, luma, rgb
from drrn.core.resize import imresize_place, source_of
from drrn.engines.engine import BAND, Planes
from drrn.media.images.scratch import Rows
from drrn.upscaling.planes import MAX_TILE
from drrn.upscaling.tiles import Place, pieces


class ModelView:
    """An image with its samples on disk, converted to the planes that the model enlarges."""

    def __init__(self, samples: Rows, channels: int):
        """Find out whether the image is gray or constant, reading no more than that takes.

        Args:
            samples: (H, W, 1 or 3).
            channels: of the model.
        """
        self.samples, self.channels = samples, channels
        self.size = (samples.shape[0], samples.shape[1])
        self.gray = True
        """Whether the colors of each pixel are the same."""
        first = self.colors((slice(0, 1), slice(0, 1)))
        plain, even = True, channels == 1 and len(first) == 3  # of one color, of one luma
        for place in pieces(slice(0, self.size[0]), slice(0, self.size[1]), (BAND, MAX_TILE)):
            band = self.colors(place)
            self.gray = self.gray and bool((band == band[:1]).all())
            plain = plain and bool((band == first).all())
            even = even and bool((luma(band) == luma(first)).all())
            if not (plain or even or (self.gray and len(first) == 3)):
                break
        self.constant = self.model_planes(first) if plain or (even and not self.gray) else None
        """The value of all pixels that the model sees, (channels, 1, 1), if it is the same everywhere."""

    def colors(self, place: Place) -> Planes:
        """The colors of a place, (1 or 3, h, w) in [0, 1]."""
        samples = self.samples[place[0]][:, place[1]]
        top = np.float32(255 if samples.dtype.itemsize == 1 else 65535)
        return np.divide(samples.transpose(2, 0, 1), top, dtype=np.float32, order="C")

    def model_planes(self, colors: Planes) -> Planes:
        """The planes that the model enlarges, (channels, h, w): gray, luma, or all colors."""
        if self.gray:
            return np.repeat(colors[:1], self.channels, axis=0)
        return colors if self.channels == 3 else luma(colors)[None]

    def ilr(self, place: Place, size: tuple[int, int]) -> Planes:
        """ilr of a place, (channels, h, w), in an image enlarged to `size`."""
        return imresize_place(self.model_planes(self.colors(source_of(place, self.size, size))), place, self.size, size)

    def clipped(self, sr: Planes) -> Planes:
        """sr in [0, 1] if the image is gray; otherwise left as it is, as `drrn.core.gamut` clips colors later."""
        return sr.clip(0, 1) if self.gray else sr

    def colored(self, sr: Planes, place: Place, size: tuple[int, int]) -> Planes:
        """The colors (1 or 3, h, w) of a place, from its sr (channels, h, w); not clipped."""
        if self.gray:
            return np.repeat(sr.mean(axis=0, dtype=np.float32)[None], self.samples.shape[2], axis=0)
        if self.channels == 3:
            return sr
        others = chroma(self.colors(source_of(place, self.size, size)))
        return rgb(np.concatenate([sr, imresize_place(others, place, self.size, size)]))
