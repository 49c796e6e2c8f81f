"""The formats of image files: their suffixes, what they can hold, and what is converted or dropped for them."""

from pathlib import Path
from typing import Final

from drrn.atomic import refuse_existing
from drrn.errors import ImageError, printable
from drrn.media.file_format import FileFormat
from drrn.media.header import Header
from drrn.media.metadata.metadata import find_missing

SUFFIXES: Final[dict[FileFormat, tuple[str, ...]]] = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "PNM": (".pnm", ".pgm", ".ppm", ".pam"),
}
"""The suffixes that can be written. Suffixes are ignored when reading."""
LONGEST: Final[dict[FileFormat, int]] = {"JPEG": 65500, "WebP": 16383, "GIF": 65535}
"""Longest side in pixels: the limits of WebP and GIF, and libjpeg's, which is slightly below the format's own."""
EIGHT_BIT: Final = ("JPEG", "WebP", "BMP")
"""Formats limited to 8 bits per sample."""


def wanted_format(path: Path) -> FileFormat:
    """Return the format of the suffix. Raises ImageError if it can't be written."""
    form = format_of_suffix(path)
    if form is None:
        known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
        raise ImageError(f"{printable(path)} can't be written: its suffix must be one of {known}.")
    return form


def changes(header: Header, path: Path) -> tuple[str, ...]:
    """List what is converted or dropped from a file to `path`, each as `CMYK to sRGB` or `without EXIF`."""
    form = format_of_suffix(path)
    changed = [*header.tolerated, *header.converted]
    if header.bits == 16 and form in EIGHT_BIT:
        changed.append("16 bit to 8")
    if header.channels == 1 and (form == "WebP" or (form == "BMP" and header.alpha)):
        changed.append("gray to RGB")
    changed += find_missing(header.holds, form) if form else []
    return tuple(dict.fromkeys(changed))


def writable(
    path: Path,
    width: int,
    height: int,
    *,
    alpha: bool,
    channels: int | None = None,
    icc: bytes | None = None,
    overwrite: bool = False,
) -> FileFormat:
    """Check that an image of this size and kind can be written to `path`, before long work begins.

    Args:
        channels: 1 gray or 3 color, if known.

    Returns:
        The format of the suffix.

    Raises:
        ImageError: the suffix is unknown; the format has no alpha, a shorter longest side, or no such colors;
            it can't hold a gray ICC profile; or `path` exists and `overwrite` is off.
    """
    form = wanted_format(path)
    if alpha and form == "JPEG":
        raise ImageError(f"{printable(path)} can't be written: JPEG holds no alpha; use png, webp or tiff.")
    kind = path.suffix.lower()
    if (kind == ".pgm" and channels == 3) or (kind == ".ppm" and channels == 1) or (kind in (".pgm", ".ppm") and alpha):
        held = "gray" if kind == ".pgm" else "RGB"
        raise ImageError(f"{printable(path)} can't be written: {kind} holds only {held}; use pam, png or tiff.")
    refuse_unfit(path, form, (width, height), icc, what="image", instead="png or tiff")
    refuse_existing(path, overwrite=overwrite)
    return form


def refuse_unfit(
    path: Path, form: FileFormat, size: tuple[int, int], icc: bytes | None, *, what: str, instead: str
) -> None:
    """Refuse a format that is too small for an image or animation, or can't hold its ICC profile.

    Args:
        size: width and height in pixels.
        what: what is written, as the error calls it.
        instead: the formats that the error suggests.

    Raises:
        ImageError: the format has a shorter longest side, or can't hold a gray ICC profile.
    """
    if form in ("WebP", "BMP") and icc and icc[16:20] == b"GRAY":  # attached to RGB it would give wrong tones
        raise ImageError(f"{printable(path)} can't be written: {form} holds no gray ICC profile; use {instead}.")
    if form in LONGEST and max(size) > LONGEST[form]:
        raise ImageError(
            f"{printable(path)} can't be written: {form} holds at most {LONGEST[form]} pixels a side; the {what} is "
            f"{size[0]} x {size[1]}; use {instead}."
        )


def format_of_suffix(path: Path) -> FileFormat | None:
    """Return the format of the suffix; None if single images can't be written in it."""
    return next((form for form, suffixes in SUFFIXES.items() if path.suffix.lower() in suffixes), None)
