"""Read and write image files: PNG, JPEG, WebP, TIFF, BMP and PNM; GIF and AVIF are only read.

Reading is strict: any warning of a decoder is an error. What can't be kept is either converted, as listed in
`Header.converted` and `changes`, or refused; docs/reference/formats.md has the table:

    kept       gray and RGB, each with or without alpha, of 8 and 16 bit; ICC, EXIF, XMP and dpi
    converted  palettes to RGB, samples of 1 to 7 bit to 8 and of 9 to 15 to 16, a transparent color to alpha,
               YCbCr to RGB; CMYK to sRGB, by its profile (not kept then) or, without one, by libvips' own;
               TIFF's associated alpha: the colors are divided by it and rounded down
    refused    floating point, signed and 32 bit samples; Lab; bands beside colors and alpha;
               several pages; several frames, which `animation` reads
    not kept   data about further images and the old pixels; text chunks and tags that another format can't hold
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drrn.atomic import atomic, refuse_existing
from drrn.errors import ImageError, UsageError, printable
from drrn.media.buffer import trim
from drrn.media.header import Header
from drrn.media.image import Image
from drrn.media.images.decoding import open_image
from drrn.media.images.encoding import encode
from drrn.media.images.formats import EIGHT_BIT, changes, wanted_format, writable
from drrn.media.images.quality import Loss, choose_loss
from drrn.media.images.scratch import Rows, Scratch
from drrn.media.metadata.metadata import Metadata, list_names

MAX_PIXELS = 100_000_000
UPWARD: Final = (3, 4, 7, 8)
"""Orientations in which, once the axes are in place, rows are in reverse order; the next set likewise for columns."""
LEFTWARD: Final = (2, 3, 6, 7)


def probe(path: Path, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the header of a file. No pixel is decoded, so damage in the pixel data is not noticed.

    Raises:
        ImageError: the file is missing, not an image, of an unsupported kind, or has more than `max_pixels`.
    """
    with open_image(path, max_pixels) as file:
        return file.header


def read(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Read the image, turned upright according to its orientation.

    The values are the file's, divided by 255 or 65535, in the color space that `icc` describes. Malformed EXIF is
    dropped.

    Raises:
        ImageError: as `probe`; or the file is damaged or cut short; or it is a WebP and this process was forked from
            one that had already read or written images.
    """
    with open_image(path, max_pixels) as (bands, header, metadata, orientation):
        array = np.concatenate(list(bands()))
    array = upright(array, orientation)
    top = np.float32(255 if header.bits == 8 else 65535)
    return Image(
        pixels=np.divide(array[..., : header.channels], top, dtype=np.float32, order="C"),
        alpha=np.divide(array[..., -1], top, dtype=np.float32, order="C") if header.alpha else None,
        bits=header.bits,
        **metadata._asdict(),
    )


def first_pixels(path: Path, most: int, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.float32]:
    """Return the colors of the first rows, about `most` pixels, as stored: (H, W, 1 or 3) in [0, 1].

    Raises:
        ImageError: as `read`.
    """
    with open_image(path, max_pixels) as (bands, header, _, _):
        rows, have = [], 0
        for band in bands():
            rows.append(band[..., : header.channels])
            have += band.shape[0] * band.shape[1]
            if have >= most:
                break
    return np.divide(np.concatenate(rows), np.float32(255 if header.bits == 8 else 65535), dtype=np.float32)


@contextmanager
def decode_to_disk(
    path: Path, target: Path, *, max_pixels: int = MAX_PIXELS
) -> Iterator[tuple[Scratch, Header, Metadata]]:
    """Decode an image that may not fit into memory: upright samples in a scratch file on the disk of `target`.

    Raises:
        ImageError: as `read`.
        DRRNError: the disk is full.
    """
    with ExitStack() as stack:
        yield _unpacked(path, max_pixels, lambda *shape: stack.enter_context(Scratch(target, *shape)))


def write(
    image: Image,
    path: Path,
    *,
    loss: Loss | None = None,
    overwrite: bool = False,
    written: Callable[[Path], None] = lambda temporary: None,
) -> None:
    """Write the image atomically, in the format of the suffix.

    Only JPEG is lossy: quality 95, without chroma subsampling. What a format can't hold is converted or dropped, as
    listed by `changes`. ICC, EXIF, XMP, dpi and extras are written too; EXIF and XMP are adapted to the image's size
    and orientation 1, and a thumbnail is dropped.

    Args:
        loss: another quality for JPEG or WebP, such as `Loss(quality=80, subsampled=True)`.
        written: called with the temporary file once it is complete, before it is renamed to `path`.

    Raises:
        ImageError: as `writable`; or a pixel is not finite; or EXIF, XMP or ICC are too long for a JPEG.
        DRRNError: as `atomic`.
    """
    _check_finite(image, printable(path))
    rows = (replace(image, bits=8) if wanted_format(path) in EIGHT_BIT else image).to_array()
    store(rows, path, image.metadata, loss=loss, overwrite=overwrite, written=written)


def save(image: Image, path: Path, *, quality: int | None, lossless: bool, overwrite: bool) -> None:
    """See `Image.save`."""
    form = wanted_format(path)
    if lossless and form == "JPEG":
        raise UsageError(f"{printable(path)} can't be written: a JPEG is never lossless; use png, webp or tiff.")
    refuse_existing(path, overwrite=overwrite, option="overwrite=True")
    write(image, path, loss=choose_loss(form, form, None, quality=quality, lossless=lossless), overwrite=overwrite)
    channels, alpha = image.pixels.shape[2], image.alpha is not None
    header = Header(form, image.width, image.height, channels, alpha, image.bits, holds=list_names(image.metadata))
    if lost := [*changes(header, path), *image.extras.lost]:
        warnings.warn(f"{printable(path)}: {', '.join(dict.fromkeys(lost))}.", stacklevel=3)


def to_png(image: Image) -> bytes:
    """Encode the image as PNG.

    Raises:
        DRRNError: as `write`.
    """
    _check_finite(image, "The PNG")
    rows = image.to_array()
    target = Path(gettempdir()) / "image.png"
    return b"".join(bytes(piece) for piece in encode(rows, "PNG", image.metadata, target))


def store(
    rows: Rows,
    path: Path,
    metadata: Metadata,
    *,
    loss: Loss | None = None,
    overwrite: bool = False,
    written: Callable[[Path], None] = lambda temporary: None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Like `write`, for samples in the file's own range: uint8 if its format has no more than 8 bits.

    Args:
        check: called repeatedly; an exception that it raises ends the work, and no file is left.

    Raises:
        DRRNError: as `write`.
    """
    height, width, bands = rows.shape
    form = writable(
        path,
        width,
        height,
        alpha=bands % 2 == 0,
        channels=1 if bands < 3 else 3,
        icc=metadata.icc,
        overwrite=overwrite,
    )
    pam = path.suffix.lower() == ".pam"
    with atomic(path, overwrite=overwrite) as temporary:
        with temporary.open("xb") as file:
            for piece in encode(rows, form, metadata, path, loss=loss, pam=pam, check=check):
                file.write(piece)
        written(temporary)


def _check_finite(image: Image, name: str) -> None:
    if not all(np.isfinite(plane).all() for plane in (image.pixels, image.alpha) if plane is not None):
        raise ImageError(f"{name} is not written: some pixels are NaN or infinite.")


def _unpacked(path: Path, max_pixels: int, scratch: Callable[..., Scratch]) -> tuple[Scratch, Header, Metadata]:
    """Decode into a scratch file. As a function of its own, it releases the decoder's memory when it returns."""
    with open_image(path, max_pixels) as (bands, header, metadata, orientation):
        samples = scratch(header.height, header.width, header.channels + header.alpha, header.bits)
        row = 0
        for band in bands():
            last = row + len(band)
            if orientation < 5:
                samples.put(upright(band, orientation), header.height - last if orientation in UPWARD else row)
            else:
                samples.put(upright(band, orientation), 0, header.width - last if orientation in LEFTWARD else row)
            row = last
            trim()
    return samples, header, metadata


def upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a view of (H, W, C) with the EXIF orientation applied."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in UPWARD:
        array = array[::-1]
    return array[:, ::-1] if orientation in LEFTWARD else array
