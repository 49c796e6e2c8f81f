"""An image in memory, with the metadata of its file.

`drrn.media.images` reads and writes files, and `drrn.media.pillow` converts Pillow's images. Both are imported on first
use, so that arrays need neither libvips nor Pillow.
"""

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from drrn.core.color import levels
from drrn.errors import UsageError
from drrn.media.metadata.metadata import Extras, Metadata, list_names

if TYPE_CHECKING:
    from PIL.Image import Image as Pillow

ROUNDING = 1e-3
"""How far floats may be outside of [0, 1] because of rounding errors. They are clipped."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Image:
    """Upright pixels, and all metadata that an enlargement must keep. Images are immutable and safe to share."""

    pixels: NDArray[np.float32]
    """(H, W, 1) gray or (H, W, 3) RGB, in [0, 1]."""
    alpha: NDArray[np.float32] | None = None
    """(H, W) in [0, 1]: 0 transparent, 1 opaque. Colors are not premultiplied."""
    bits: Literal[8, 16] = 8
    """Bits per sample in the file that was read or will be written."""
    icc: bytes | None = None
    """The ICC profile, as stored in the file."""
    exif: bytes | None = None
    """The EXIF block, as stored in the file; its orientation has already been applied."""
    xmp: bytes | None = None
    """The XMP packet, as stored in the file."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, across and down."""
    extras: Extras = field(default_factory=Extras)
    """Rarer metadata: text chunks and color tags of a PNG, comments of a JPEG, the pixel aspect."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] not in (1, 3) or 0 in self.pixels.shape:
            raise ValueError(f"`pixels` must be (H, W, 1) or (H, W, 3), got {self.pixels.shape}.")
        if self.alpha is not None and self.alpha.shape != self.pixels.shape[:2]:
            raise ValueError(f"`alpha` must be {self.pixels.shape[:2]} like the pixels, got {self.alpha.shape}.")
        if self.dpi is not None and not all(0 < value < 1e6 for value in self.dpi):
            raise ValueError(f"`dpi` must be two numbers above 0 and below a million, got {self.dpi}.")

    @property
    def metadata(self) -> Metadata:
        """All metadata in one value."""
        return Metadata(self.icc, self.exif, self.xmp, self.dpi, self.extras)

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[1])

    def __repr__(self) -> str:
        kind = ("gray" if self.pixels.shape[2] == 1 else "RGB") + ("" if self.alpha is None else " with alpha")
        return (
            f"Image({', '.join([f'{self.width}x{self.height}', kind, f'{self.bits} bit', *list_names(self.metadata)])})"
        )

    def _repr_png_(self) -> bytes:
        """The image as PNG, which notebooks display."""
        from drrn.media.images.files import to_png

        return to_png(self)

    @classmethod
    def open(cls, path: str | PathLike[str]) -> "Image":
        """Read an image file: PNG, JPEG, WebP, TIFF, BMP, PNM, AVIF or a GIF of one frame.

        Args:
            path: a local file. Its format is recognized by its content, not by its suffix.

        Raises:
            ImageError: the file is missing, damaged, or of another kind.
        """
        from drrn.media.images.files import read

        return read(to_path(path, "Image.open"))

    def save(
        self,
        path: str | PathLike[str],
        *,
        quality: int | None = None,
        lossless: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Write the image atomically in the format of the suffix: png, jpg, webp, tif, bmp or pnm.

        What the format cannot hold, such as 16 bits or EXIF, is dropped with a UserWarning that names it.

        Args:
            path: the file, with one of these suffixes.
            quality: 1 to 100, for JPEG (default 95) or WebP (default lossless). Other formats ignore it.
            lossless: refuse JPEG, which is always lossy.
            overwrite: replace an existing file.

        Raises:
            ImageError: the suffix is unknown, the file exists, or the format cannot hold such an image.
            UsageError: `quality` is out of range or combined with `lossless`; or `lossless` is requested for a JPEG.
            DRRNError: the folder is missing or read-only, or the disk is full.
        """
        from drrn.media.images.files import save

        if quality is not None and (lossless or not 1 <= quality <= 100):
            raise UsageError(f"`quality` must be 1 to 100, without `lossless`, got {quality}.")
        save(self, to_path(path, "Image.save"), quality=quality, lossless=lossless, overwrite=overwrite)

    @classmethod
    def from_pil(cls, image: "Pillow") -> "Image":
        """Convert a Pillow image, upright, with the ICC profile, EXIF, XMP and dpi in its `info`.

        Args:
            image: of mode L, LA, RGB, RGBA or I;16. A palette becomes RGB, mode 1 gray, a transparent color alpha.
                If it has several frames, the current one is used.

        Raises:
            TypeError: `image` is not a Pillow image.
            ValueError: it has another mode, such as CMYK, I or F.
        """
        from drrn.media.pillow import from_pil

        return from_pil(image)

    def to_pil(self) -> "Pillow":
        """Convert to a Pillow image of mode L, LA, RGB, RGBA or I;16, with ICC profile, EXIF, XMP and dpi in its
        `info`.

        Pillow supports 16 bits only for gray without alpha: other images become 8 bit, with a UserWarning.
        """
        from drrn.media.pillow import to_pil

        return to_pil(self)

    @classmethod
    def from_array(cls, array: NDArray[Any]) -> "Image":
        """Create an image from an array (H, W) or (H, W, 1 to 4); with 2 or 4 channels, the last is alpha.

        Args:
            array: uint8 or uint16, spanning the whole range and setting `bits`; or floats in [0, 1].

        Raises:
            TypeError: `array` is not an array, or is a masked one.
            ValueError: it has another shape or dtype, or floats outside of [0, 1].
        """
        if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
            raise TypeError(f"Image.from_array takes a NumPy array without a mask, got {type_name(array)}.")
        if array.ndim == 2:
            array = array[..., None]
        if array.ndim != 3 or not 1 <= array.shape[2] <= 4:
            raise ValueError(f"`array` must be (H, W) or (H, W, 1 to 4), got {array.shape}.")
        native = array.dtype.newbyteorder("=")
        if native == np.uint8 or native == np.uint16:
            values = array.astype(np.float32) / np.float32(255 if native == np.uint8 else 65535)
        elif np.issubdtype(native, np.floating):
            least, most = array.min(initial=0), array.max(initial=0)
            if not -ROUNDING <= least <= most <= 1 + ROUNDING:  # NaN is refused here too
                raise ValueError(
                    f"`array` must be in [0, 1] where it has floats, got {least:g} to {most:g}. Scale or clip it."
                )
            values = np.clip(array, 0, 1).astype(np.float32)
        else:
            raise ValueError(f"`array` must be uint8, uint16 or floating point, got {array.dtype}.")
        colors = array.shape[2] - (array.shape[2] + 1) % 2  # 1, 1, 3, 3
        return cls(
            pixels=values[..., :colors],
            alpha=values[..., colors] if array.shape[2] > colors else None,
            bits=16 if native == np.uint16 else 8,
        )

    def to_array(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Return (H, W, 1 to 4), uint8 or uint16 according to `bits`, alpha last. Only here are pixels rounded."""
        planes = [self.pixels] if self.alpha is None else [self.pixels, self.alpha[..., None]]
        top = 255 if self.bits == 8 else 65535
        bands = sum(plane.shape[2] for plane in planes)
        array = np.empty((self.height, self.width, bands), np.uint8 if self.bits == 8 else np.uint16)
        for row in range(0, self.height, 64):  # in bands: all at once would take several times the memory
            band = slice(row, row + 64)
            array[band] = np.dstack([levels(plane[band], top) for plane in planes])
        return array


def to_path(path: object, name: str) -> Path:
    """Convert to a Path. Raises TypeError, naming the function that takes it, if `path` is not one."""
    if not isinstance(path, str | PathLike):
        raise TypeError(f"{name} takes a path (str or Path), got {type_name(path)}.")
    return Path(path)


def type_name(value: object) -> str:
    """Return the name of the value's type as a user would write it: `bytes`, `torch.Tensor`."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
