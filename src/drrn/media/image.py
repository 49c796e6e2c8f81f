"""A picture in memory, and what its file says about it."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drrn.core.color import levels
from drrn.media.metadata.notes import Extras, Notes


@dataclass(frozen=True, kw_only=True)
class Image:
    """Pixels, upright, and all that must survive an enlargement."""

    pixels: NDArray[np.float32]
    """(H, W, 1) grey or (H, W, 3) RGB, in [0, 1]."""
    alpha: NDArray[np.float32] | None = None
    """(H, W) in [0, 1]: 0 transparent, 1 opaque. Colours are not multiplied by it."""
    bits: Literal[8, 16] = 8
    """Depth of a sample in the file, read from its header or to be written."""
    icc: bytes | None = None
    """The ICC profile, as it stands in the file."""
    exif: bytes | None = None
    """The EXIF block, as it stands in the file; its orientation is applied already."""
    xmp: bytes | None = None
    """The XMP packet, as it stands in the file."""
    dpi: tuple[float, float] | None = None
    """Pixels an inch, across and down."""
    extras: Extras = field(default_factory=Extras)
    """What few files have: text chunks and color tags of a PNG, comments of a JPEG, the aspect of pixels."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] not in (1, 3) or 0 in self.pixels.shape:
            raise ValueError(f"`pixels` must be (H, W, 1) or (H, W, 3), got {self.pixels.shape}.")
        if self.alpha is not None and self.alpha.shape != self.pixels.shape[:2]:
            raise ValueError(f"`alpha` must be {self.pixels.shape[:2]} as the pixels, got {self.alpha.shape}.")
        if self.dpi is not None and not all(0 < value < 1e6 for value in self.dpi):
            raise ValueError(f"`dpi` must be two numbers above 0 and below a million, got {self.dpi}.")

    @property
    def notes(self) -> Notes:
        """What there is beside the pixels."""
        return Notes(self.icc, self.exif, self.xmp, self.dpi, self.extras)

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @classmethod
    def from_array(cls, array: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]) -> "Image":
        """A picture of an array (H, W), (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4); 2 and 4 have alpha last.

        uint8 and uint16 span their whole range and set `bits`; floats are taken to be in [0, 1] and are clipped.
        """
        if array.ndim == 2:
            array = array[..., None]
        if array.ndim != 3 or not 1 <= array.shape[2] <= 4:
            raise ValueError(f"`array` must be (H, W) or (H, W, 1 to 4), got {array.shape}.")
        if array.dtype == np.uint8 or array.dtype == np.uint16:
            values = array.astype(np.float32) / np.float32(255 if array.dtype == np.uint8 else 65535)
        elif np.issubdtype(array.dtype, np.floating):
            values = np.clip(array, 0, 1).astype(np.float32)
            if not np.isfinite(values).all():
                raise ValueError("`array` must be finite, got NaN.")
        else:
            raise ValueError(f"`array` must be uint8, uint16 or floating point, got {array.dtype}.")
        colours = array.shape[2] - (array.shape[2] + 1) % 2  # 1, 1, 3, 3
        return cls(
            pixels=values[..., :colours],
            alpha=values[..., colours] if array.shape[2] > colours else None,
            bits=16 if array.dtype == np.uint16 else 8,
        )

    def to_array(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """(H, W, 1 to 4), uint8 or uint16 by `bits`, alpha last: the one place where pixels are rounded."""
        planes = [self.pixels] if self.alpha is None else [self.pixels, self.alpha[..., None]]
        top = 255 if self.bits == 8 else 65535
        bands = sum(plane.shape[2] for plane in planes)
        array = np.empty((self.height, self.width, bands), np.uint8 if self.bits == 8 else np.uint16)
        for row in range(0, self.height, 64):  # in floats, a large picture would need its memory several times over
            band = slice(row, row + 64)
            array[band] = np.dstack([levels(plane[band], top) for plane in planes])
        return array
