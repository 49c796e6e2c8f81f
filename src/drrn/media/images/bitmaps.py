"""Read and write BMP and PNM, which the packaged libvips does not support. Samples are preserved exactly.

Both formats store rows of samples after a short header. Variants that are refused: run-length encoding, JPEG and PNG
in BMP, BMP of 16 bits per pixel, PNM in plain text, and files of several images.
"""

import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.errors import ImageError
from drrn.media.buffer import Buffer
from drrn.media.images.scratch import BAND, Rows
from drrn.media.metadata.embedding import Piece
from drrn.media.metadata.metadata import INCH, Metadata

BGR_MASKS: Final = (0xFF0000, 0xFF00, 0xFF)
"""Masks of red, green and blue in a pixel of 24 or 32 bits."""
ALPHA_MASK: Final = 0xFF000000
PACKED: Final = {1: "run lengths", 2: "run lengths", 4: "JPEG", 5: "PNG"}
"""Compression methods of BMP that are not supported."""
MASKED: Final = (3, 6)
EMBEDDED: Final = b"DEBM"
"""The color space code of a BMP that embeds an ICC profile, as stored."""
DIB_HEADERS: Final = (40, 52, 56, 108, 124)
"""Known lengths of the bitmap header, in bytes."""
KINDS: Final = {4: 1, 5: 1, 6: 3}
"""PNM's number -> samples per pixel."""
TUPLES: Final = {"BLACKANDWHITE": 1, "GRAYSCALE": 1, "GRAYSCALE_ALPHA": 2, "RGB": 3, "RGB_ALPHA": 4}
LONGEST_HEADER: Final = 4096


class Bitmap(NamedTuple):
    """The contents of the header, and a function that decodes the samples."""

    width: int
    height: int
    bands: int
    """1 to 4: gray or RGB, with alpha if the number is even."""
    bits: Literal[8, 16]
    converted: tuple[str, ...]
    """As in `Header`."""
    metadata: Metadata
    decode: Callable[[int, int], NDArray[Any]]
    """(first, last) -> rows from `first` to before `last` as (h, W, bands), uint8 or uint16. Raises ImageError if they
    are damaged.
    """


def bmp(file: Buffer, name: str) -> Bitmap:
    """Read the header of a Windows or OS/2 bitmap of 1, 4, 8, 24 or 32 bits per pixel, with or without file header
    (DIB).

    Raises:
        ImageError: it is of an unsupported kind, damaged or cut short.
    """
    try:
        return _bmp(file if file[:2] == b"BM" else _with_file_header(file), name)
    except struct.error as error:
        raise _damaged(name, "BMP") from error


def is_dib(head: bytes) -> bool:
    """Whether these bytes begin a bitmap without file header, as in the clipboard and in .dib files."""
    if len(head) < 40 or int.from_bytes(head[:4], "little") not in DIB_HEADERS:
        return False
    planes, depth, packed = struct.unpack_from("<HHL", head, 12)
    return planes == 1 and depth in (1, 4, 8, 16, 24, 32) and packed <= max(MASKED)


def pnm(file: Buffer, name: str) -> Bitmap:
    """Read the header of a binary PBM (P4), PGM (P5), PPM (P6) or PAM (P7) with any maximum up to 65535.

    Raises:
        ImageError: it is of an unsupported kind, damaged or cut short.
    """
    if file[1:2] in b"Ff":
        raise ImageError(f"{name} is a PFM, whose samples are floating point; unsigned integers can be read.")
    if file[1:2] in b"123":
        raise ImageError(f"{name} is a PNM in plain text; the binary kinds, P4 to P7, can be read.")
    width, height, bands, most, at = _pam_header(file, name) if file[1:2] == b"7" else _pnm_header(file, name)
    wide, bilevel = most > 255, file[1:2] == b"4"
    row = (width + 7) // 8 if bilevel else width * bands * (2 if wide else 1)
    end = at + row * height
    if end > len(file):
        raise _damaged(name, "PNM")
    if len(file) - end > 16 or file[end:].strip():
        raise ImageError(f"{name} has data after its pixels, like a file of several images; a single one can be read.")
    top = 65535 if wide else 255

    def decode(first: int, last: int) -> NDArray[Any]:
        raw = file[at + row * first : at + row * last]
        if bilevel:
            inks = np.unpackbits(np.frombuffer(raw, np.uint8).reshape(-1, row), axis=1)[:, :width, None]
            return (1 - inks) * np.uint8(255)  # 1 is black
        samples = np.frombuffer(raw, ">u2" if wide else np.uint8).reshape(-1, width, bands)
        if samples.max(initial=0) > most:
            raise _damaged(name, "PNM")
        if most == top:
            return samples.astype(np.uint16 if wide else np.uint8)
        scaled = np.arange(most + 1, dtype=np.uint64) * top * 2 // most  # doubled, in order to round half up
        return ((scaled + 1) // 2).astype(np.uint16 if wide else np.uint8)[samples]

    few = most.bit_length() if most & (most + 1) == 0 else 0
    how = f"{few} bit" if few else f"maximum {most}"
    return Bitmap(
        width,
        height,
        bands,
        16 if wide else 8,
        (f"{how} to {16 if wide else 8}{'' if few else ' bit'}",) if most != top else (),
        Metadata(),
        decode,
    )


def to_bmp(rows: Rows, metadata: Metadata) -> Iterator[Piece]:
    """Encode (H, W, 1 to 4) uint8 as a BMP of 8, 24 or 32 bits per pixel, with its ICC profile and dpi."""
    height, width, bands = rows.shape
    order = [[0], [0, 0, 0, 1], [2, 1, 0], [2, 1, 0, 3]][bands - 1]
    bands = len(order)
    row = (width * bands + 3) // 4 * 4
    palette = b"".join(bytes((value, value, value, 0)) for value in range(256)) if bands == 1 else b""
    at, size, icc = 14 + 124 + len(palette), row * height, metadata.icc or b""
    across, down = (round(value / INCH) for value in metadata.dpi or (0, 0))
    masks = (*BGR_MASKS, ALPHA_MASK) if bands == 4 else (0, 0, 0, 0)
    yield b"BM" + struct.pack("<LLL", at + size + len(icc), 0, at)
    yield struct.pack("<LllHHLLllLL", 124, width, height, 1, 8 * bands, 3 * (bands == 4), size, across, down, 0, 0)
    yield struct.pack("<4L", *masks) + (EMBEDDED if icc else b"BGRs") + bytes(48)
    yield struct.pack("<LLLL", 4, 124 + len(palette) + size if icc else 0, len(icc), 0) + palette
    for bottom in range(height, 0, -BAND):  # rows are stored from bottom to top
        band = rows[max(bottom - BAND, 0) : bottom][::-1, :, order]
        yield np.pad(band.reshape(len(band), -1), ((0, 0), (0, row - width * bands))).tobytes()
    yield icc


def to_pnm(rows: Rows, *, pam: bool) -> Iterator[Piece]:
    """Encode (H, W, 1 to 4) uint8 or uint16 as PGM or PPM, or as PAM if there is alpha or `pam` is set."""
    height, width, bands = rows.shape
    most = 65535 if rows.dtype == np.uint16 else 255
    if pam or bands % 2 == 0:
        kind = next(kind for kind, count in reversed(TUPLES.items()) if count == bands)
        header = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {bands}\nMAXVAL {most}\nTUPLTYPE {kind}\nENDHDR\n"
    else:
        header = f"P{5 if bands == 1 else 6}\n{width} {height}\n{most}\n"
    yield header.encode()
    for top in range(0, height, BAND):
        yield rows[top : top + BAND].astype(rows.dtype.newbyteorder(">"), copy=False).tobytes()


def _with_file_header(file: Buffer) -> bytes:
    """Return a copy with a file header, for a bitmap that has none."""
    header, depth, packed, used = struct.unpack_from("<L10xHL12xL", file)
    masks = {3: 12, 6: 16}.get(packed, 0) if header == 40 else 0
    palette = 4 * min(used or (2**depth if depth <= 8 else 0), 256)
    return b"BM" + struct.pack("<LLL", 14 + len(file), 0, 14 + header + masks + palette) + file[:]


def _bmp(file: Buffer, name: str) -> Bitmap:
    at, header = struct.unpack_from("<LL", file, 10)
    if header == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", file, 18)
        packed = across = down = used = 0
    elif header >= 40:
        width, height, _, depth, packed, _, across, down, used = struct.unpack_from("<llHHLLllL", file, 18)
    else:
        raise ImageError(f"{name} is a BMP with a header of {header} bytes; 12, and 40 or more, can be read.")
    if packed and (packed not in MASKED or depth != 32):
        kind = PACKED.get(packed, f"compression {packed}") if packed not in MASKED else f"{depth} bit a pixel"
        raise ImageError(f"{name} is a BMP of {kind}; 1, 4, 8, 24 and 32 bit, not compressed, can be read.")
    if depth not in (1, 4, 8, 24, 32):
        raise ImageError(f"{name} is a BMP of {depth} bit a pixel; 1, 4, 8, 24 and 32 can be read.")
    upward, height = height > 0, abs(height)
    masks = struct.unpack_from("<LLL", file, 54) if packed else BGR_MASKS
    alpha = packed and (header >= 56 or packed == 6) and struct.unpack_from("<L", file, 66)[0]
    if masks != BGR_MASKS or alpha not in (0, ALPHA_MASK):
        raise ImageError(f"{name} is a BMP with an unknown order of channels; blue, green, red and alpha can be read.")
    row = (width * depth + 31) // 32 * 4
    if width < 0 or at < 14 + header or at + row * height > len(file):
        raise _damaged(name, "BMP")
    entry = 3 if header == 12 else 4
    colors = _palette(file[14 + header : at], entry, used or 2**depth) if depth <= 8 else None
    gray = colors is not None and len(colors) > 0 and bool((colors == colors[:, :1]).all())
    metadata = Metadata(_bmp_profile(file, header), dpi=_inches(across, down))

    def decode(first: int, last: int) -> NDArray[np.uint8]:
        first, last = (height - last, height - first) if upward else (first, last)
        raw = np.frombuffer(file[at + row * first : at + row * last], np.uint8).reshape(-1, row)
        raw = raw[::-1] if upward else raw
        return _bmp_samples(raw, width, depth, colors, name, gray=gray, alpha=bool(alpha))

    return Bitmap(
        width,
        height,
        1 if gray else 4 if alpha else 3,
        8,
        _bmp_converted(colors, depth, gray=gray, alpha=bool(alpha)),
        metadata,
        decode,
    )


def _bmp_samples(
    rows: NDArray[np.uint8],
    width: int,
    depth: int,
    colors: NDArray[np.uint8] | None,
    name: str,
    *,
    gray: bool,
    alpha: bool,
) -> NDArray[np.uint8]:
    if colors is None:
        samples = rows[:, : width * depth // 8].reshape(len(rows), width, depth // 8)
        return samples[..., [2, 1, 0, 3] if alpha else [2, 1, 0]]
    if depth == 1:
        index = np.unpackbits(rows, axis=1)[:, :width]
    elif depth == 4:
        index = np.stack([rows >> 4, rows & 15], axis=2).reshape(len(rows), -1)[:, :width]
    else:
        index = rows[:, :width]
    if index.max(initial=0) >= len(colors):
        raise _damaged(name, "BMP")
    return colors[index][..., :1] if gray else colors[index]


def _palette(raw: bytes, entry: int, count: int) -> NDArray[np.uint8]:
    """Return the palette as (N, 3) RGB; N is less than `count` if the data ends early."""
    count = min(count, len(raw) // entry)
    return np.frombuffer(raw, np.uint8, count * entry).reshape(count, entry)[:, 2::-1]


def _bmp_converted(colors: NDArray[np.uint8] | None, depth: int, *, gray: bool, alpha: bool) -> tuple[str, ...]:
    if colors is None:
        return ("32 bit without alpha to 24",) if depth == 32 and not alpha else ()
    if not gray:
        return ("palette to RGB",)
    even = np.array_equal(colors[:, 0], np.arange(2**depth) * (255 // (2**depth - 1)))
    return ("palette to gray",) if not even else (f"{depth} bit to 8",) if depth < 8 else ()


def _bmp_profile(file: Buffer, header: int) -> bytes | None:
    if header < 124 or file[70:74] != EMBEDDED:
        return None
    at, size = struct.unpack_from("<LL", file, 126)
    return file[14 + at : 14 + at + size] or None


def _inches(across: int, down: int) -> tuple[float, float] | None:
    """Convert pixels per meter to pixels per inch."""
    dpi = (round(across * INCH, 4), round(down * INCH, 4))
    return dpi if all(0.001 < value < 65536 for value in dpi) else None


def _pnm_header(file: Buffer, name: str) -> tuple[int, int, int, int, int]:
    """Return width, height, bands, the maximum of a sample, and the offset of the samples."""
    kind, begin = int(file[1:2]), file[:LONGEST_HEADER]
    bilevel = kind == 4
    space = rb"(?:\s|#[^\n\r]*[\n\r])+"
    numbers = 2 if bilevel else 3
    found = re.match(rb"P\d" + (space + rb"(\d{1,9})") * numbers + rb"\s", begin)
    if not found:
        raise _damaged(name, "PNM")
    width, height, most = map(int, (*found.groups(), b"1")[:3])
    if not 1 <= most <= 65535:
        raise _damaged(name, "PNM")
    return width, height, KINDS[kind], most, found.end()


def _pam_header(file: Buffer, name: str) -> tuple[int, int, int, int, int]:
    """Return the same for a PAM."""
    header, ended, _ = file[:LONGEST_HEADER].partition(b"\nENDHDR\n")
    lines = [line.split(maxsplit=1) for line in header.splitlines()[1:] if not line.startswith(b"#")]
    said = {line[0]: line[1] for line in lines if len(line) == 2}
    try:
        width, height, bands, most = (int(said[key]) for key in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    except (KeyError, ValueError) as error:
        raise _damaged(name, "PNM") from error
    if not ended or min(width, height) < 0 or not 1 <= most <= 65535:
        raise _damaged(name, "PNM")
    kind = said.get(b"TUPLTYPE", b"").strip().decode("latin-1")
    if TUPLES.get(kind) != bands:
        known = ", ".join(TUPLES)
        raise ImageError(f"{name} is a PAM of {bands} samples a pixel, {kind!r:.40}; {known} can be read.")
    return width, height, bands, most, len(header) + len(ended)


def _damaged(name: str, form: str) -> ImageError:
    return ImageError(f"{name} is a {form} that is damaged or cut short.")
