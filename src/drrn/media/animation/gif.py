"""GIF: parse a file into frames, and assemble frames into a file.

Areas without pixels are transparent, as in browsers; the background color of the file is ignored.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Final, Literal, NamedTuple

import numpy as np

from drrn.media.animation.frames import Frame, ParsedAnimation, Patch, Samples, patches, ticks
from drrn.media.buffer import Buffer

RATE: Final = 100
"""Ticks per second."""
LONGEST: Final = 0xFFFF
"""Longest duration in ticks, and most repetitions after the first play."""
MOST_PLAYS: Final = LONGEST + 1
LOOPS: Final = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
EXTENSION, CONTROL, COMMENT, PROGRAM, IMAGE, END = 0x21, 0xF9, 0xFE, 0xFF, 0x2C, 0x3B


class Control(NamedTuple):
    """The graphic control extension of a frame."""

    flags: int = 0
    ticks: int = 0
    transparent: int = 0
    """Index of the transparent color, if the flags state that there is one."""


class StoredFrame(NamedTuple):
    """The position of a frame in the file."""

    control: Control
    left: int
    top: int
    width: int
    height: int
    interlaced: bool
    table: tuple[int, int]
    """Start and end of its palette, its own or the global one."""
    data: tuple[int, int]


def is_animated(file: Buffer) -> bool:
    """Whether there is more than one frame, or unreadable data after the first."""
    first: StoredFrame | None = None
    try:
        for part in _parts(file):
            if isinstance(part, StoredFrame):
                if first:
                    return True
                first = part
    except (IndexError, struct.error, ValueError):
        return first is not None and first.data[1] < len(file)
    return False


def parse(file: Buffer, name: str) -> ParsedAnimation:
    """Parse the file into frames. Raises ImageError if it is damaged, cut short, or has too many frames."""
    animation = ParsedAnimation("GIF", name, *struct.unpack("<HH", file[6:10]))
    try:
        for part in _parts(file):
            if isinstance(part, int):
                animation.plays = part
                continue
            control, left, top, width, height, *_ = part
            disposal: Literal["keep", "clear", "restore"] = "keep"
            match control.flags >> 2 & 7:
                case 2:
                    disposal = "clear"
                case 3 | 4:  # as some programs write it
                    disposal = "restore"
            still, seconds = partial(_still, file, part), Fraction(control.ticks, RATE)
            animation.add(Frame(left, top, width, height, seconds, bool(control.flags & 1), True, disposal, still))
    except (IndexError, struct.error) as error:
        raise animation.damaged("it ends too early") from error
    except ValueError as error:
        raise animation.damaged(str(error)) from error
    return animation


def pieces(
    frames: Iterable[Samples],
    encode: Callable[[Samples], bytes],
    seconds: Sequence[Fraction],
    plays: int,
    size: tuple[int, int],
    *,
    alpha: bool,
) -> Iterator[bytes]:
    """Yield the encoded file, piece by piece.

    With alpha each frame is stored whole and cleared before the next one, since nothing else can erase pixels.
    """
    yield b"GIF89a" + struct.pack("<HHBBB", *size, 0x70, 0, 0)
    if plays != 1:
        again = max(min(plays, MOST_PLAYS) - 1, 0)
        yield bytes([EXTENSION, PROGRAM, 11]) + LOOPS[0] + struct.pack("<BBHB", 3, 1, again, 0)
    parts = (Patch(0, 0, _hard(frame)) for frame in frames) if alpha else patches(frames, holes=True)
    for (left, top, samples), duration in zip(parts, ticks(seconds, RATE, LONGEST), strict=True):
        still = encode(samples)
        image = next(part for part in _parts(still) if isinstance(part, StoredFrame))
        # libvips states a transparent color for opaque frames too
        seen_through = image.control.flags & (samples.shape[2] == 4)
        flags = (2 if alpha else 1) << 2 | seen_through
        yield struct.pack("<BBBBHBB", EXTENSION, CONTROL, 4, flags, duration, image.control.transparent, 0)
        table = still[slice(*image.table)]
        bits = (len(table) // 3 - 1).bit_length()
        yield struct.pack("<BHHHHB", IMAGE, left, top, image.width, image.height, 0x80 | bits - 1) + table
        yield still[slice(*image.data)]
    yield bytes([END])


def rounded(seconds: Sequence[Fraction]) -> str:
    """Describe the rounding of durations that the format cannot hold; empty if all are exact."""
    return "" if ticks(seconds, RATE, LONGEST) == [each * RATE for each in seconds] else "durations to 1/100 s"


def has_comment(file: Buffer) -> bool:
    """Whether there is a comment extension."""
    return any(label == COMMENT for label, _ in _blocks(file))


def end(file: Buffer) -> int:
    """Return where the animation ends: after its last byte, or at the end of a file that is cut short."""
    at = _table(13, file[10])[1]
    for _, after in _blocks(file):
        at = after
    return at + 1 if file[at : at + 1] == bytes([END]) else len(file)


def _blocks(file: Buffer) -> Iterator[tuple[int, int]]:
    """Yield the label of each extension, and `IMAGE` for each image, with the offset of what follows it."""
    try:
        _, at = _table(13, file[10])
        while (kind := file[at]) in (EXTENSION, IMAGE):
            label = file[at + 1] if kind == EXTENSION else IMAGE
            at = _behind(file, at + 2 if kind == EXTENSION else _table(at + 10, file[at + 9])[1] + 1)
            yield label, at
    except IndexError:
        pass  # cut short: the decoder reports it


def _parts(file: Buffer) -> Iterator[StoredFrame | int]:
    """Yield the frames, and how often all are repeated, in the order of the file.

    Raises:
        IndexError, struct.error: the file is cut short.
        ValueError: it is damaged; the message says how.
    """
    shared, at = _table(13, file[10])
    control = Control()
    while (kind := file[at]) != END:
        if kind == EXTENSION:
            label, body = file[at + 1], at + 3
            at = _behind(file, at + 2)
            if label == CONTROL:
                control = Control(*struct.unpack("<BHB", file[body : body + 4]))
            elif label == PROGRAM and file[body : body + 11] in LOOPS and file[body + 11 : body + 13] == b"\3\1":
                loops = int.from_bytes(file[body + 13 : body + 15], "little")
                yield loops + 1 if loops else 0
        elif kind == IMAGE:
            left, top, width, height, flags = struct.unpack("<HHHHB", file[at + 1 : at + 10])
            own, data = _table(at + 10, flags)
            at = _behind(file, data + 1)
            table = own if flags & 0x80 else shared
            yield StoredFrame(control, left, top, width, height, bool(flags & 0x40), table, (data, at))
            control = Control()
        else:
            raise ValueError(f"a block of the unknown kind {kind}")


def _table(at: int, flags: int) -> tuple[tuple[int, int], int]:
    """Return the start and end of a palette that begins at `at`, and the offset of what follows it."""
    end = at + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    return (at, end), end


def _behind(file: Buffer, at: int) -> int:
    """Return the offset after the data sub-blocks that begin at `at`."""
    while length := file[at]:
        at += length + 1
    return at + 1


def _still(file: Buffer, image: StoredFrame) -> bytes:
    """Build a GIF of one frame, at the origin of a canvas of its size."""
    table = file[slice(*image.table)]
    bits = (len(table) // 3 - 1).bit_length() if table else 0
    size = struct.pack("<HH", image.width, image.height)
    control = struct.pack("<BBBBHBB", EXTENSION, CONTROL, 4, image.control.flags & 1, 0, image.control.transparent, 0)
    head = b"GIF89a" + size + bytes([0x80 | bits - 1 if table else 0, 0, 0]) + table + control
    frame = struct.pack("<BHH", IMAGE, 0, 0) + size + bytes([image.interlaced << 6])
    return head + frame + file[slice(*image.data)] + bytes([END])


def _hard(frame: Samples) -> Samples:
    """Make partly transparent pixels either opaque or fully transparent."""
    alpha = np.where(frame[..., -1:] >= 128, 255, 0).astype(frame.dtype)
    return np.where(alpha > 0, np.dstack([frame[..., :-1], alpha]), np.zeros((1, 1, 1), frame.dtype))
