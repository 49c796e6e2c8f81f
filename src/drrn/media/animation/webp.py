"""Animated WebP: parse a file into frames, and assemble frames into a file."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import BinaryIO, Final, Literal

from drrn.errors import ImageError
from drrn.media.animation.frames import Frame, ParsedAnimation, Samples, patches, ticks
from drrn.media.buffer import Buffer
from drrn.media.metadata.embedding import webp_chunk, webp_ends
from drrn.media.metadata.metadata import Metadata
from drrn.media.metadata.reading import of_webp

RATE: Final = 1000
"""Ticks per second."""
LONGEST: Final = (1 << 24) - 1
"""Longest duration in ticks."""
MOST_PLAYS: Final = 0xFFFF
ALPHA, MOVES = 0x10, 0x02
"""Flags in the header of a file: alpha, animation."""
CLEARS, REPLACES = 0x01, 0x02
"""Flags of a frame: clear it afterwards, and do not blend."""

IMAGE: Final = (b"ALPH", b"VP8 ", b"VP8L")
"""Chunks that hold the pixels of a frame."""

Chunk = tuple[bytes, int, int]
"""Name of a chunk, and start and end of its body."""


def is_animated(file: Buffer) -> bool:
    """Whether there is more than one frame in the readable part of the file."""
    if file[12:16] != b"VP8X" or not _number(file, 20, 1) & MOVES:
        return False
    frames = (chunk for chunk in chunks(file, 12, len(file)) if chunk[0] == b"ANMF")
    try:
        return next(frames, None) is not None and next(frames, None) is not None
    except ValueError:
        return True


def parse(file: Buffer, name: str) -> ParsedAnimation:
    """Parse the file into frames. Raises ImageError if it is damaged, cut short, or has too many frames."""
    animation = ParsedAnimation("WebP", name, _number(file, 24, 3) + 1, _number(file, 27, 3) + 1)
    blocks: dict[bytes, bytes] = {}
    try:
        for chunk, at, end in chunks(file, 12, 8 + _number(file, 4, 4)):
            if chunk == b"ANMF":
                animation.add(_frame(file, at, end))
            elif chunk == b"ANIM":
                animation.background, animation.plays = file[at : at + 4], _number(file, at + 4, 2)
            elif chunk in (b"ICCP", b"EXIF", b"XMP "):
                blocks.setdefault(chunk, file[at:end])
    except ValueError as error:
        raise animation.damaged(str(error)) from error
    animation.metadata = of_webp(*(blocks.get(chunk) or None for chunk in (b"ICCP", b"EXIF", b"XMP ")))
    return animation


def pieces(
    frames: Iterable[Samples],
    encode: Callable[[Samples], bytes],
    seconds: Sequence[Fraction],
    plays: int,
    size: tuple[int, int],
    metadata: Metadata,
    background: bytes,
    *,
    alpha: bool,
    lossy: bool = False,
) -> Iterator[bytes]:
    """Yield the encoded file, piece by piece; call `end` to complete it.

    Args:
        lossy: whether `encode` is lossy. Then unchanged pixels are repeated, since the edges of transparent holes would
            show artifacts.
    """
    before, after = webp_ends(metadata, *size, flags=MOVES | ALPHA)
    yield b"RIFF\0\0\0\0WEBP" + before
    yield webp_chunk(b"ANIM", background + struct.pack("<H", min(plays, MOST_PLAYS)))
    parts = patches(frames, step=2, holes=not alpha and not lossy)
    for (left, top, samples), duration in zip(parts, ticks(seconds, RATE, LONGEST), strict=True):
        still = encode(samples)
        image = b"".join(
            webp_chunk(chunk, still[at:end]) for chunk, at, end in chunks(still, 12, len(still)) if chunk in IMAGE
        )
        numbers = (left // 2, top // 2, samples.shape[1] - 1, samples.shape[0] - 1, duration)
        head = b"".join(number.to_bytes(3, "little") for number in numbers)
        yield webp_chunk(b"ANMF", head + bytes([REPLACES if alpha else 0]) + image)
    yield after


def end(file: BinaryIO, name: str) -> None:
    """Write the length, which is known only at the end. Raises ImageError if the file is too large."""
    length = file.tell() - 8
    if length > 0xFFFFFFFE:
        raise ImageError(f"{name} can't be written: WebP holds at most 4 GB; use png or a smaller scale.")
    file.seek(4)
    file.write(struct.pack("<L", length))


def rounded(seconds: Sequence[Fraction]) -> str:
    """Describe the rounding of durations that the format cannot hold; empty if all are exact."""
    return "" if ticks(seconds, RATE, LONGEST) == [each * RATE for each in seconds] else "durations to 1/1000 s"


def _frame(file: Buffer, at: int, end: int) -> Frame:
    """Parse a frame. Raises ValueError if it is damaged."""
    left, top, width, height, duration = (_number(file, at + 3 * index, 3) for index in range(5))
    parts = {chunk: (chunk, begin, stop) for chunk, begin, stop in chunks(file, at + 16, end)}
    image = parts.get(b"VP8L") or parts.get(b"VP8 ")
    if end - at < 16 or image is None:
        raise ValueError("a frame without pixels")
    opacity = parts.get(b"ALPH") if image[0] == b"VP8 " else None
    alpha = opacity is not None or (image[0] == b"VP8L" and bool(_number(file, image[1] + 4, 1) & 0x10))
    still = partial(_still, file, image, opacity, width + 1, height + 1)
    flags = file[at + 15]
    disposal: Literal["keep", "clear"] = "clear" if flags & CLEARS else "keep"
    blends, seconds = not flags & REPLACES, Fraction(duration, RATE)
    return Frame(2 * left, 2 * top, width + 1, height + 1, seconds, alpha, blends, disposal, still)


def chunks(file: Buffer, at: int, end: int) -> Iterator[Chunk]:
    """Yield the chunks. Raises ValueError if one extends beyond `end`."""
    if end > len(file):
        raise ValueError("it ends too early")
    while at < end:
        begin = at + 8
        at = begin + _number(file, at + 4, 4)
        if at > end:
            raise ValueError("it ends too early")
        yield file[begin - 8 : begin - 4], begin, at
        at += at % 2


def _number(file: Buffer, at: int, size: int) -> int:
    return int.from_bytes(file[at : at + size], "little")


def _still(file: Buffer, image: Chunk, opacity: Chunk | None, width: int, height: int) -> bytes:
    """Build a WebP of this single frame."""
    body = b"".join(webp_chunk(name, file[at:end]) for name, at, end in ([opacity, image] if opacity else [image]))
    head = webp_ends(Metadata(), width, height, flags=ALPHA)[0] if opacity else b""
    return b"RIFF" + struct.pack("<L", 4 + len(head) + len(body)) + b"WEBP" + head + body
