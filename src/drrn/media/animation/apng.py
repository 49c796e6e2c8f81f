"""Animated PNG: parse a file into frames, and assemble frames into a file.

Each frame shares the header, palette and transparent colors of the file; its pixel data are in chunks of their own.
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import count
from typing import Final, Literal

from drrn.media.animation.frames import Frame, ParsedAnimation, Samples, patches
from drrn.media.buffer import Buffer
from drrn.media.metadata.embedding import png_metadata_chunks
from drrn.media.metadata.metadata import Metadata
from drrn.media.metadata.png import png_chunk
from drrn.media.metadata.reading import read_metadata

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MOST_PLAYS: Final = 0xFFFFFFFF
MOST: Final = 0xFFFF
"""Largest numerator and denominator of a frame's duration."""
DEFAULT_RATE: Final = 100
"""Ticks per second if a file states 0."""
DISPOSALS: Final[tuple[Literal["keep", "clear", "restore"], ...]] = ("keep", "clear", "restore")
OPAQUE: Final = (0, 2, 3)
"""Color types without alpha, unless there is a tRNS chunk."""

Span = tuple[int, int]
"""Start and end of data in the file."""


def is_animated(file: Buffer) -> bool:
    """Whether the chunks before the pixels announce more than one frame."""
    try:
        for name, at, _ in _chunks(file, checked=False):
            if name in (b"acTL", b"IDAT"):
                return name == b"acTL" and file[at : at + 4] > b"\0\0\0\1" and file[12:16] == b"IHDR"
    except ValueError:
        pass
    return False


def parse(file: Buffer, name: str) -> ParsedAnimation:
    """Parse the file into frames. Raises ImageError if it is damaged, cut short, or has too many frames."""
    animation = ParsedAnimation("PNG", name, *struct.unpack(">LL", file[16:24]))
    try:
        _parse(file, animation)
    except (ValueError, struct.error) as error:
        raise animation.damaged(str(error)) from error
    animation.metadata = read_metadata(None, "PNG", file)
    return animation


def pieces(
    frames: Iterable[Samples],
    encode: Callable[[Samples], bytes],
    seconds: Sequence[Fraction],
    plays: int,
    metadata: Metadata,
) -> Iterator[bytes]:
    """Yield the encoded file, piece by piece."""
    numbers = count()
    for index, ((left, top, samples), duration) in enumerate(zip(patches(frames), map(fraction, seconds), strict=True)):
        still = encode(samples)
        control = struct.pack(
            ">LLLLLHHBB",
            next(numbers),
            samples.shape[1],
            samples.shape[0],
            left,
            top,
            *duration.as_integer_ratio(),
            0,
            0,
        )
        if not index:
            yield still[:33]  # the signature and IHDR
            yield from png_metadata_chunks(metadata)
            yield png_chunk(b"acTL", struct.pack(">LL", len(seconds), plays))
        yield png_chunk(b"fcTL", control)
        for name, at, end in _chunks(still, checked=False):
            if name == b"IDAT" and not index:
                yield png_chunk(b"IDAT", still[at:end])
            elif name == b"IDAT":
                yield png_chunk(b"fdAT", struct.pack(">L", next(numbers)) + still[at:end])
    yield png_chunk(b"IEND", b"")


def rounded(seconds: Sequence[Fraction]) -> str:
    """Describe the rounding of durations that the format cannot hold; empty if all are exact."""
    return "" if all(fraction(each) == each for each in seconds) else "durations rounded"


def fraction(seconds: Fraction) -> Fraction:
    """Return the nearest duration that the format can hold."""
    for rate in (seconds.denominator, 1000, 100, 10, 1):
        duration = Fraction(round(seconds * rate), rate)
        if max(duration.as_integer_ratio()) <= MOST:
            return duration
    return Fraction(MOST)


def _parse(file: Buffer, animation: ParsedAnimation) -> None:
    stated, number = None, count()
    palette = clear = b""
    control: tuple[int, ...] | None = None
    data: list[Span] = []
    hidden = False

    def end_frame() -> None:
        if control is None:
            return
        if not data:
            raise ValueError("a frame without pixels")
        _, width, height, left, top, ticks, rate, disposal, blend = control
        if disposal > 2 or blend > 1:
            raise ValueError("a frame of an unknown kind")
        still = partial(_still, file, width, height, palette + clear, list(data))
        alpha = file[25] not in OPAQUE or bool(clear)
        seconds = Fraction(ticks, rate or DEFAULT_RATE)
        animation.add(Frame(left, top, width, height, seconds, alpha, bool(blend), DISPOSALS[disposal], still))

    for name, at, end in _chunks(file, checked=True):
        match name:
            case b"acTL":
                stated, animation.plays = struct.unpack(">LL", file[at:end])
            case b"PLTE":
                palette = png_chunk(name, file[at:end])
            case b"tRNS":
                clear = png_chunk(name, file[at:end])
            case b"fcTL":
                end_frame()
                control, data = struct.unpack(">LLLLLHHBB", file[at:end]), []
            case b"IDAT":
                hidden = hidden or control is None
                data.append((at, end))
            case b"fdAT":
                data.append((at + 4, end))
        if name in (b"fcTL", b"fdAT") and int.from_bytes(file[at : at + 4]) != next(number):
            raise ValueError("its frames are out of order")
    end_frame()
    if len(animation.frames) != stated:
        raise ValueError(f"it has {len(animation.frames)} frames and says {stated}")
    if hidden:
        animation.left_out = ("without the picture that is no frame",)
    elif (animation.frames[0].width, animation.frames[0].height) != (animation.width, animation.height):
        raise ValueError("its first frame has another size")


def _chunks(file: Buffer, *, checked: bool) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk and the start and end of its body. Raises ValueError if the file is damaged."""
    at, name = len(SIGNATURE), b""
    while name != b"IEND":
        size, name, begin = int.from_bytes(file[at : at + 4]), file[at + 4 : at + 8], at + 8
        at = begin + size + 4
        if at > len(file):
            raise ValueError("it ends too early")
        if checked and zlib.crc32(file[begin - 4 : at - 4]) != int.from_bytes(file[at - 4 : at]):
            raise ValueError(f"the checksum of a chunk {name.decode('latin-1')!r}")
        yield name, begin, at - 4


def _still(file: Buffer, width: int, height: int, colors: bytes, data: Sequence[Span]) -> bytes:
    """Build a PNG of this single frame."""
    header = png_chunk(b"IHDR", struct.pack(">LL", width, height) + file[24:29])
    body = b"".join(png_chunk(b"IDAT", file[begin:end]) for begin, end in data)
    return SIGNATURE + header + colors + body + png_chunk(b"IEND", b"")
