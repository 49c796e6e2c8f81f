"""A file becomes a `Picture`, and a `Picture` a file: PNG, JPEG, WebP and TIFF, 8 and 16 bit.

Reading is strict: the least warning of a decoder is an error. What can't be kept is converted or refused:

    kept       grey and RGB, each with or without alpha, of 8 and 16 bit; ICC, EXIF, XMP and dpi
    converted  palettes to RGB, grey of 1, 2 and 4 bit to 8, a transparent colour to alpha, YCbCr to RGB;
               CMYK to sRGB, by its profile (not kept then) or, without one, by libvips' own;
               TIFF's associated alpha: the colours are divided by it and rounded down
    refused    floating point, signed, 12 and 32 bit samples; Lab; bands beside colours and alpha;
               several pages or frames
    not kept   IPTC; PNG's gAMA and text; further pictures in a JPEG; tags of TIFF that are neither EXIF's nor
               ICC's or XMP's; and, from and to TIFF, the maker's note of EXIF
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyvips
from numpy.typing import NDArray

from drrn.atomic import atomic
from drrn.errors import PictureError
from drrn.media.notes import Format, Notes, joined
from drrn.media.opening import Header, opened, reason, shown
from drrn.media.picture import Picture

MAX_PIXELS = 100_000_000
SUFFIXES: Final[dict[Format, tuple[str, ...]]] = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}
"""The suffixes that can be written; in reading, a suffix means nothing."""
LONGEST: Final[dict[Format, int]] = {"JPEG": 65500, "WebP": 16383}
"""Pixels a side: WebP's limit, and libjpeg's, a little below the format's own."""


def probe(path: Path, *, max_pixels: int = MAX_PIXELS) -> Header:
    """What the file says of itself. No pixel is decoded, so damage further in goes unseen.

    Raises:
        PictureError: it is missing, no picture, of a kind that can't be read, or of more than `max_pixels`.
    """
    with opened(path, max_pixels) as file:
        return file.header


def read(path: Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in the file, upright: its orientation is applied.

    The values are the file's, divided by 255 or 65535, in the colour space that `icc` says. EXIF that is
    malformed is dropped.

    Raises:
        PictureError: as `probe`, or the file is damaged or cut short.
    """
    with opened(path, max_pixels) as (image, header, notes, orientation):
        if image.interpretation == "cmyk":
            image = image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=header.bits)
            notes = notes._replace(icc=None)
        array = image.numpy().reshape(image.height, image.width, image.bands)
    array = _upright(array, orientation)
    top = np.float32(255 if header.bits == 8 else 65535)
    return Picture(
        pixels=np.divide(array[..., : header.channels], top, dtype=np.float32, order="C"),
        alpha=np.divide(array[..., -1], top, dtype=np.float32, order="C") if header.alpha else None,
        bits=header.bits,
        icc=notes.icc,
        exif=notes.exif,
        xmp=notes.xmp,
        dpi=notes.dpi,
    )


def write(
    picture: Picture,
    path: Path,
    *,
    overwrite: bool = False,
    made: Callable[[Path], None] = lambda temporary: None,
) -> None:
    """Write the picture in the format of the suffix: whole, or not at all.

    PNG, TIFF and WebP are lossless; JPEG is of quality 95, its chroma not subsampled. JPEG and WebP hold 8
    bit, to which 16 are rounded, and WebP holds no grey, which becomes RGB. ICC, EXIF, XMP and dpi go with
    it; in EXIF and XMP the orientation is 1, in EXIF the size is the picture's, and a thumbnail is dropped.

    Args:
        made: called with the file, when all is in it and before it becomes `path`.

    Raises:
        PictureError: as `writable`; or a pixel is not finite; or EXIF, XMP or ICC are too long for a JPEG.
        DRRNError: as `atomic`.
    """
    alpha = picture.alpha is not None
    form = writable(path, picture.width, picture.height, alpha=alpha, icc=picture.icc, overwrite=overwrite)
    if not all(np.isfinite(plane).all() for plane in (picture.pixels, picture.alpha) if plane is not None):
        raise PictureError(f"{shown(path)} is not written: some pixels are NaN or infinite.")
    try:
        encoded = _encoded(picture, form)
    except pyvips.Error as error:
        raise PictureError(f"{shown(path)} can't be encoded as {form}{reason(error)}.") from error
    notes = Notes(picture.icc, picture.exif, picture.xmp, picture.dpi)
    with atomic(path, overwrite=overwrite) as temporary:
        with temporary.open("xb") as file:
            for piece in joined(encoded, form, notes, picture.width, picture.height, alpha=alpha):
                file.write(piece)
        made(temporary)


def writable(
    path: Path, width: int, height: int, *, alpha: bool, icc: bytes | None = None, overwrite: bool = False
) -> Format:
    """The format that `path` asks for, if such a picture can be written so: long work asks before it begins.

    Raises:
        PictureError: the suffix is unknown, the format holds no alpha, not so many pixels a side, or no grey to
            which `icc` belongs, or `path` exists and `overwrite` is off.
    """
    form = next((form for form, suffixes in SUFFIXES.items() if path.suffix.lower() in suffixes), None)
    if form is None:
        known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
        raise PictureError(f"{shown(path)} can't be written: its suffix must be one of {known}.")
    if alpha and form == "JPEG":
        raise PictureError(f"{shown(path)} can't be written: JPEG holds no alpha; use png, webp or tiff.")
    if form == "WebP" and icc and icc[16:20] == b"GRAY":  # with RGB it would show wrong tones
        raise PictureError(f"{shown(path)} can't be written: WebP holds no grey ICC profile; use png or tiff.")
    if form in LONGEST and max(width, height) > LONGEST[form]:
        raise PictureError(
            f"{shown(path)} can't be written: {form} holds {LONGEST[form]} pixels a side, and the picture is "
            f"{width} x {height}; use png or tiff."
        )
    if not overwrite and os.path.lexists(path):
        raise PictureError(f"{shown(path)} exists. Give another name, or --overwrite.")
    return form


def _upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A view of (H, W, C), turned as EXIF's `orientation` says."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array[:, ::-1] if orientation in (2, 3, 6, 7) else array


def _encoded(picture: Picture, form: Format) -> bytes:
    """The pixels alone, as a file of this format."""
    array = (replace(picture, bits=8) if form in ("JPEG", "WebP") else picture).to_array()
    height, width, bands = array.shape
    deep = array.dtype == np.uint16
    image = pyvips.Image.new_from_memory(array, width, height, bands, "ushort" if deep else "uchar")
    grey, colour = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    image = image.copy(interpretation=grey if bands < 3 else colour)
    match form:
        case "PNG":
            encoded = image.pngsave_buffer(keep="none")
        case "JPEG":
            encoded = image.jpegsave_buffer(keep="none", Q=95, subsample_mode="off", optimize_coding=True)
        case "WebP":  # exact: colours stay where nothing is seen of them
            encoded = image.webpsave_buffer(keep="none", lossless=True, exact=True)
        case "TIFF":
            encoded = image.tiffsave_buffer(keep="none", compression="deflate", predictor="horizontal")
    return bytes(encoded)
