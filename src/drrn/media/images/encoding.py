"""Encode rows of samples and their metadata as the bytes of a file."""

import re
from collections.abc import Callable, Iterator
from io import FileIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from threading import Thread
from typing import Any, Final

import numpy as np
import pyvips

from drrn.errors import DRRNError, ImageError, printable
from drrn.media import libvips
from drrn.media.file_format import FileFormat
from drrn.media.images.bitmaps import to_bmp, to_pnm
from drrn.media.images.memory import OPTIMIZED
from drrn.media.images.quality import BEST_JPEG, Loss, webp_options
from drrn.media.images.scratch import Rows, Scratch, open_temporary
from drrn.media.libvips import FAULTS, reason
from drrn.media.metadata.embedding import Piece, embed_metadata
from drrn.media.metadata.metadata import Metadata

LOOK_SECONDS: Final = 0.1
"""Interval for checking on libvips, which encodes in a thread of its own."""


def encode(
    rows: Rows,
    form: FileFormat,
    metadata: Metadata,
    path: Path,
    *,
    loss: Loss | None = None,
    pam: bool = False,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Piece]:
    """Yield the encoded file, piece by piece. Except for WebP, only some rows are held in memory.

    Args:
        rows: (H, W, bands); uint8 if the format has no more than 8 bits.
        path: the file it will become; used in messages and to place scratch files on its disk.
        loss: quality for JPEG and WebP; by default the best that the format allows.
        pam: write PNM always as PAM.
        check: called repeatedly; an exception that it raises ends the work.

    Raises:
        ImageError: they can't be encoded in this format.
        DRRNError: the disk is full.
    """
    height, width, bands = rows.shape
    match form:
        case "PNM":
            yield from _checked(to_pnm(rows, pam=pam), check)
        case "BMP":
            yield from _checked(to_bmp(rows, metadata), check)
        case _:
            with open_temporary(path) as file:
                libvips.claim_workers(printable(path), "written")
                _encode(rows.image() if isinstance(rows, Scratch) else _image(rows), form, file, path, check, loss)
                with mmap(file.fileno(), 0, access=ACCESS_READ) as encoded:
                    yield from _checked(
                        embed_metadata(encoded, form, metadata, width, height, alpha=bands % 2 == 0), check
                    )


def _checked(pieces: Iterator[Piece], check: Callable[[], None]) -> Iterator[Piece]:
    for piece in pieces:
        yield piece
        check()


def _image(rows: Rows) -> Any:
    array = np.ascontiguousarray(rows[:])
    height, width, bands = array.shape
    return pyvips.Image.new_from_memory(array, width, height, bands, "ushort" if array.dtype == np.uint16 else "uchar")


def _encode(
    image: Any, form: FileFormat, file: FileIO, path: Path, check: Callable[[], None], loss: Loss | None
) -> None:
    """Encode the pixels alone into `file`."""
    gray, color = ("grey16", "rgb16") if image.format == "ushort" else ("b-w", "srgb")
    image = image.copy(interpretation=gray if image.bands < 3 else color)
    options: dict[str, Any]
    match form:
        case "PNG":
            options = {}
        case "JPEG":
            optimized = image.width * image.height <= OPTIMIZED
            kept = loss or BEST_JPEG
            chroma = "on" if kept.subsampled else "off"
            options = {"Q": kept.quality, "subsample_mode": chroma, "optimize_coding": optimized}
        case "WebP":
            options = webp_options(loss)
        case "TIFF":
            options = {"compression": "deflate", "predictor": "horizontal"}
        case _:
            raise ValueError(f"{form} is not written by libvips.")
    save = getattr(image, f"{form.lower()}save_target")
    target = pyvips.Target.new_to_descriptor(file.fileno())
    failed: list[Exception] = []

    def run() -> None:
        try:
            save(target, keep="none", **options)
        except FAULTS as error:
            failed.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(LOOK_SECONDS)
            check()
    finally:
        image.set_kill(True)
        thread.join()
    for error in failed:
        if disk := re.search(r"system error: (.+)", str(error)):
            raise DRRNError(f"{printable(path)} can't be written: {disk[1]}.") from error
        raise ImageError(f"{printable(path)} can't be encoded as {form}{reason(error)}.") from error
