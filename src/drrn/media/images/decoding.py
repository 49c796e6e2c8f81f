"""Open an image file: read its header and check that it can be decoded, before any pixel is decoded.

`recognition` determines the format. Of libvips' decoders, only those in `LOADERS` are used.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyvips
from numpy.typing import NDArray

from drrn.core.color import divided_by_alpha
from drrn.errors import ImageError
from drrn.media import libvips
from drrn.media.animation import gif
from drrn.media.buffer import Buffer, release_pages
from drrn.media.file_format import FileFormat
from drrn.media.header import Header, OpenImage
from drrn.media.images import avif, bitmaps, tiff
from drrn.media.images.appended import describe_appended
from drrn.media.images.jpeg import Mended, Mends, find_mends, unreadable_kind
from drrn.media.images.memory import decoding
from drrn.media.images.quality import loss_of
from drrn.media.images.recognition import check_png, check_size, map_file, recognize
from drrn.media.images.scratch import BAND
from drrn.media.libvips import FAULTS, reason
from drrn.media.metadata import exif, tiff_tags
from drrn.media.metadata.adapting import make_metadata_upright
from drrn.media.metadata.jpeg_segments import APPENDED, describe_rest
from drrn.media.metadata.metadata import list_names
from drrn.media.metadata.png import png_chunks
from drrn.media.metadata.reading import read_metadata
from drrn.media.signatures import HEAD

LOADERS: Final[dict[FileFormat, str]] = {
    "PNG": "pngload_source",
    "JPEG": "jpegload_source",
    "WebP": "webpload_source",
    "TIFF": "tiffload_source",
    "GIF": "gifload_source",
    "AVIF": "heifload_source",
}
BITMAPS: Final = {"BMP": bitmaps.bmp, "PNM": bitmaps.pnm}
SPACES: Final = {
    ("b-w", 1): (1, False),
    ("grey16", 1): (1, False),
    ("b-w", 2): (1, True),
    ("grey16", 2): (1, True),
    ("srgb", 3): (3, False),
    ("rgb16", 3): (3, False),
    ("srgb", 4): (3, True),
    ("rgb16", 4): (3, True),
    ("cmyk", 4): (3, False),
}
"""libvips' (interpretation, bands) -> channels, alpha."""
MOST_BOXES = 1 << 16
"""Bytes of an AVIF that are searched for its codec configuration."""
SOUND: Final = (1, 5, 8, 32946)
"""TIFF compressions (none, LZW, and both numbers of deflate) whose decoders report damaged pixels as errors; their
warnings concern only tags.
"""


@contextmanager
def open_image(path: Path, max_pixels: int) -> Iterator[OpenImage]:
    """Open the file for the duration of the block. Decoder errors inside the block become an ImageError.

    Raises:
        ImageError: the file is missing, not an image, of an unsupported kind, or has more than `max_pixels`.
    """
    with map_file(path) as (name, handle, file):
        form = recognize(file[:HEAD], name)
        if form in BITMAPS:
            yield _open_bitmap(BITMAPS[form](file, name), form, file, name, max_pixels)
            return
        try:
            match form:
                case "JPEG":
                    yield _jpeg(handle, file, name, max_pixels)
                case "TIFF":
                    with _tiff(path, handle, file, name, max_pixels) as decoded:
                        yield decoded
                case "AVIF":
                    yield _avif(handle, file, name, max_pixels)
                case _:
                    if form == "PNG":
                        check_png(file, name, max_pixels)
                    yield _decoded(_source_of(handle), form, file, name, max_pixels)
        except (*FAULTS, tiff_tags.MalformedError) as error:
            kind = "an AVIF" if form == "AVIF" else f"a {form}"
            raise ImageError(f"{name} is {kind} that is damaged or cut short{reason(error)}.") from error


def _decoded(
    source: Any,
    form: FileFormat,
    file: mmap,
    name: str,
    max_pixels: int,
    *,
    page: tiff.Page | None = None,
    fail_on: str = "warning",
) -> OpenImage:
    options = {"page": page.number} if page else {}
    with libvips.exclusive():
        image = getattr(pyvips.Image, LOADERS[form])(source, access="sequential", fail_on=fail_on, **options)
        found = _describe(image, form, file, name, max_pixels, page)

    def rows() -> Iterator[NDArray[Any]]:
        assert source  # keep a reference: libvips calls into it while decoding
        yield from found.rows()

    return found._replace(rows=rows, header=found.header._replace(loss=loss_of(form, file)))


def _source_of(handle: int) -> Any:
    """Wrap the descriptor for libvips. Given a file name, libvips would parse a trailing "[...]" as options."""
    return pyvips.Source.new_from_descriptor(handle)


def _jpeg(handle: int, file: mmap, name: str, max_pixels: int) -> OpenImage:
    """Open a JPEG with its harmless faults repaired."""
    if kind := unreadable_kind(file):
        raise ImageError(f"{name} is {kind}, which drrn can't read. Convert it to PNG or TIFF first.")
    mends = find_mends(file)

    def look(mends: Mends) -> OpenImage:
        return _decoded(_source(handle, len(file), mends), "JPEG", file, name, max_pixels)

    if mends.padding:  # it may only look like padding: try which variant decodes without a warning
        variants = (mends, mends.without_padding(1), mends.without_padding(0))
        mends = next((each for each in variants if not _meets_padding(look(each))), mends)
    found = look(mends)
    lost = found.header.converted
    if mends.rest and not APPENDED.intersection(lost):
        lost += (describe_rest(file, mends.rest),)
    return found._replace(header=found.header._replace(tolerated=mends.tolerated, converted=lost))


def _meets_padding(found: OpenImage) -> bool:
    try:
        for _ in found.rows():
            pass
    except FAULTS as error:
        return "extraneous bytes before marker" in reason(error)
    return False


@contextmanager
def _tiff(path: Path, handle: int, file: mmap, name: str, max_pixels: int) -> Iterator[OpenImage]:
    page = tiff.find_page(file, name)
    about = page.directory
    width, height = ((about.integers(file, tag) or (0,))[0] for tag in (tiff_tags.WIDTH, tiff_tags.HEIGHT))
    check_size(width, height, name, max_pixels)
    tiff.check_samples(file, about, name)
    if what := tiff.foreign(file, about):
        from drrn.media.images import gdal  # it imports this module's siblings, and rasterio on use

        with gdal.open_tiff(path, file, page, what) as found:
            yield found
        return
    strict = "error" if (about.integers(file, 0x103) or (1,))[0] in SOUND else "warning"
    yield _decoded(_source_of(handle), "TIFF", file, name, max_pixels, page=page, fail_on=strict)


def _avif(handle: int, file: mmap, name: str, max_pixels: int) -> OpenImage:
    layout = avif.read_layout(file)
    if layout is None:
        raise ImageError(f"{name} is an AVIF that is damaged or cut short: it doesn't say what is in it.")
    avif.check_stored(layout, name, max_pixels)
    if layout.others:
        raise ImageError(f"{name} has {layout.others + 1} pages or frames; a single picture can be read.")
    found = _decoded(_source_of(handle), "AVIF", file, name, max_pixels)
    taken = decoding("AVIF", layout.coded, 1, found.header.channels, found.header.bits, file)
    header = found.header._replace(coded=layout.coded, decoding=taken)
    if layout.multiplied and header.alpha:  # libheif only passes the claim on, and libvips ignores it
        header = header._replace(converted=(*header.converted, tiff.DIVIDED))
        return found._replace(header=header, rows=lambda: map(divided_by_alpha, found.rows()))
    return found._replace(header=header)


def _open_bitmap(bitmap: bitmaps.Bitmap, form: FileFormat, file: mmap, name: str, max_pixels: int) -> OpenImage:
    """Build an OpenImage for a format that libvips does not support, if it is not too large."""
    check_size(bitmap.width, bitmap.height, name, max_pixels)
    channels = 1 if bitmap.bands < 3 else 3
    alpha = bitmap.bands % 2 == 0
    width, height, metadata = bitmap.width, bitmap.height, bitmap.metadata
    taken = decoding(form, width, height, bitmap.bands, bitmap.bits, file)
    about = bitmap.bits, bitmap.converted, list_names(metadata)
    header = Header(form, width, height, channels, alpha, *about, decoding=taken)

    def rows() -> Iterator[NDArray[Any]]:
        for top in range(0, bitmap.height, BAND):
            yield bitmap.decode(top, min(top + BAND, bitmap.height))
            release_pages(file)

    return OpenImage(rows, header, metadata, 1)


def _describe(
    image: Any, form: FileFormat, file: mmap, name: str, max_pixels: int, page: tiff.Page | None
) -> OpenImage:
    """Build an OpenImage from what libvips knows of the file, if it can be read."""
    if page and tiff.is_opaque(image, file, page.directory):
        image = image.extract_band(0, n=3)
    check_size(image.width, image.height, name, max_pixels)
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    if pages > 1 and form in ("GIF", "WebP"):
        raise ImageError(f"{name} is animated; a single picture was expected.")
    deep = image.format == "ushort"
    space = SPACES.get((image.interpretation, image.bands))
    if space is None or not (deep or image.format == "uchar"):
        raise ImageError(
            f"{name} has {image.bands} bands of {image.interpretation}, {image.format}; "
            f"gray and RGB of 8 and 16 bit can be read."
        )
    metadata = read_metadata(image, form, file, page and page.directory)
    turn = exif.orientation(metadata.exif) if metadata.exif else 1
    if page:
        turn = exif.orientation(file, page.directory)
    elif form == "AVIF":  # libheif has applied the file's own rotation; EXIF's orientation must be ignored
        turn = 1
    metadata = make_metadata_upright(metadata, turn, (image.width, image.height), is_void=form == "AVIF")
    width, height = (image.width, image.height) if turn < 5 else (image.height, image.width)
    rows = partial(libvips.read_rows, image, form, name)
    conversions = (
        *converted(image, form, file, alpha=image.bands == 4),
        *(tiff.converted(file, page) if page else ()),
        *metadata.extras.lost,
    )
    if image.interpretation == "cmyk":
        inked = image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=16 if deep else 8)
        rows, metadata = partial(libvips.read_rows, inked, form, name), metadata._replace(icc=None)
    elif form == "AVIF" and deep:
        rows = partial(_widened, image, image.get("bits-per-sample"), name)
    elif page and tiff.is_ycbcr(file, page.directory):
        rows = partial(tiff.rgb, file, page.directory, rows)
    bits: Literal[8, 16] = 16 if deep else 8
    multiscan = bool(image.get_typeof("jpeg-multiscan") and image.get("jpeg-multiscan"))
    about: dict[str, Any] = {"multiscan": multiscan, "page": page and page.directory}
    taken = decoding(form, image.width, image.height, image.bands, bits, file, **about)
    header = Header(form, width, height, *space, bits, conversions, list_names(metadata), decoding=taken)
    return OpenImage(rows, header, metadata, turn)


def _source(handle: int, size: int, mends: Mends) -> Any:
    """Wrap the file for libvips as a stream. If libvips mapped a JPEG, all pages it has read would stay in memory."""
    mended = Mended(handle, size, mends.edits) if mends.edits else None
    source = pyvips.SourceCustom()
    source.on_read(mended.read if mended else partial(os.read, handle))
    source.on_seek(mended.seek if mended else partial(os.lseek, handle))
    return source


def _widened(image: Any, bits: int, name: str) -> Iterator[NDArray[np.uint16]]:
    """Rescale samples of `bits`, which libvips only shifts left, so that white is 65535."""
    top = 2**bits - 1
    levels = (np.arange(top + 1) * 65535 / top).round().astype(np.uint16)
    for band in libvips.read_rows(image, "AVIF", name):
        yield levels[band >> (16 - bits)]


def converted(image: Any, form: FileFormat, file: Buffer, *, alpha: bool) -> Iterator[str]:
    """List what is converted or dropped when the file is decoded."""
    yield from describe_appended(file, form)
    palette = f"palette to RGB{' and alpha' if alpha else ''}"
    if image.interpretation == "cmyk":
        yield "CMYK to sRGB"
    elif form == "GIF":
        yield palette
        for note, mark in (("ICC", b"ICCRGBG1"), ("XMP", b"XMP DataXMP")):  # libvips ignores them
            if file.find(mark) >= 0:
                yield f"without {note}"
        if gif.has_comment(file):
            yield "without comments"
    elif form == "PNG":
        depth, color = file[24], file[25]
        if color == 3:
            yield palette
        elif depth < 8:
            yield f"{depth} bit to 8"
        if color in (0, 2) and any(chunk == b"tRNS" for chunk, _ in png_chunks(file)):
            yield "a transparent color to alpha"
    elif form == "AVIF":
        bits = image.get("bits-per-sample")
        if bits > 8:
            yield f"{bits} bit to 16"
        flags = re.findall(rb"av1C..(.)", file[:MOST_BOXES], re.DOTALL)
        if flags and all(flag[0] & 0x10 for flag in flags):  # all: the alpha channel's is always monochrome
            yield "gray to RGB"
