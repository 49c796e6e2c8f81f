"""Video: its frames as planes with their timestamps.

A damaged or truncated video is refused, not read as a shorter one. Files are opened in `containers`, headers are
read in `probing`, and results are written in `encoding` and `muxing`.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drrn.errors import ImageError, printable
from drrn.media.header import Header
from drrn.media.video.containers import open_container

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

BITS: Final = {"": 8, "10le": 10, "12le": 12}
PIXELS: Final = {
    f"{kind}{end}": bits for kind in ("gray", "yuv420p", "yuv422p", "yuv444p") for end, bits in BITS.items()
} | {"yuvj420p": 8, "yuvj422p": 8, "yuvj444p": 8}
"""FFmpeg's pixel formats that are supported -> bits per sample. The ones with a j are deprecated names for full range.
"""
STUDIO, FULL = 1, 2
"""FFmpeg's numbers for ranges; 0 is unknown, and treated as studio."""
UNKNOWN = 2
"""FFmpeg's number for an unknown matrix."""
LATEST = 1 << 60
"""Largest timestamp, in units of the time base: later ones could overflow."""
HIDING: Final = ("vp8", "mpeg4", "msmpeg4v2", "msmpeg4v3")
"""Codecs whose packets may hold no visible frame."""

DECODING: Final = Lock()
"""Held while FFmpeg's log is read: it is shared by all threads."""

Plane = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W)."""


class Frame(NamedTuple):
    """A frame of a video."""

    planes: list[Plane]
    """Luma and, in color, two planes of chroma, as decoded."""
    time: int
    """Presentation time, in units of `VideoInfo.time_base`."""
    duration: int
    """In the same units; 0 if unknown."""


def frames(path: Path, header: Header) -> Iterator[Frame]:
    """Yield all frames in presentation order.

    Raises:
        ImageError: as `probe`; or frames are missing, damaged, interlaced, of another size, or without a timestamp.
    """
    name, last = printable(path), None
    assert header.video is not None
    with open_container(path, header.width * header.height) as file:
        container = file.container
        stream: Any = container.streams[header.video.stream]
        for frame in decode(container, stream, name, header.frames):
            at = _at(frame)
            if (frame.width, frame.height) != (header.width, header.height) or PIXELS.get(
                frame.format.name
            ) != header.video.bits:
                raise ImageError(f"{name} changes its size or its pixels at {at}; videos of one size can be enlarged.")
            if frame.pts is None or abs(frame.pts) > LATEST or (last is not None and frame.pts <= last):
                raise ImageError(f"{name} has frames without their own timestamp at {at}. Convert it first.")
            last = frame.pts
            yield Frame(_planes(frame), frame.pts, frame.duration or 0)


def is_cover(stream: "Stream") -> bool:
    """Whether it is cover art rather than a video."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def decode(container: "InputContainer", stream: "VideoStream", name: str, count: int = 0) -> Iterator["VideoFrame"]:
    """Yield the frames, and check that there are at least `count` packets and that each yields its frame."""
    stream.codec_context.options = dict(container.options)
    stream.codec_context.thread_count = 1  # errors logged by decoder threads would be noticed too late
    due: set[int] = set()
    turns: deque[int] = deque()  # AVI has decoding times only: frames take them in presentation order
    first, there, in_turn = None, 0, container.format.name == "avi"
    packets = container.demux(stream)
    while True:
        with DECODING, _decoder_errors(name):
            packet = next(packets, None)
            decoded = packet.decode() if packet else []
        if packet is None:
            break
        if packet.is_corrupt:
            raise ImageError(f"{name} is a video that is damaged or cut short at {_at(packet)}.")
        if packet.size and not packet.is_discard:
            there += 1
            due.update([] if packet.pts is None or in_turn else [packet.pts])
            turns.extend([] if packet.dts is None or not in_turn else [packet.dts])
        for frame in decoded:
            if frame.is_corrupt:
                raise ImageError(f"{name} is a video that is damaged at {_at(frame)}.")
            if frame.interlaced_frame:
                raise ImageError(f"{name} is interlaced at {_at(frame)}; whole frames can be enlarged.")
            frame.pts = turns.popleft() if turns else frame.pts
            first = frame.pts if first is None else first
            due.discard(frame.pts)
            yield frame
    if there < count:
        raise ImageError(f"{name} is a video that is damaged: of its {count} frames only {there} can be found.")
    if first is None:
        raise ImageError(f"{name} is a video without a frame that can be decoded.")
    lost = [*turns, *(time for time in due if time > first)]  # frames before the first can't be decoded by anyone
    if lost and stream.codec_context.name not in HIDING:
        at = f"{float(min(lost) * (stream.time_base or 1)):.3f} s"
        raise ImageError(f"{name} is a video that is damaged: {len(lost)} frames are missing, the first at {at}.")


@contextmanager
def _decoder_errors(name: str) -> Iterator[None]:
    """Raise FFmpeg's logged errors: after some it goes on, and guesses the missing part of a frame."""
    import av

    level, before = av.logging.get_level(), av.logging.get_last_error()[0]
    av.logging.set_level(av.logging.PANIC)  # they are counted but not printed
    try:
        yield
    finally:
        av.logging.set_level(level)
    count, last = av.logging.get_last_error()
    if count > before and last:
        raise ImageError(f"{name} is a video that is damaged ({' '.join(last[2].split()).rstrip('.')}).")


def _at(moment: "Packet[Any] | VideoFrame") -> str:
    pts, base = moment.pts, moment.time_base
    return "an unknown time" if pts is None or base is None else f"{float(pts * base):.3f} s"


def _planes(frame: "VideoFrame") -> list[Plane]:
    planes: list[Plane] = []
    for plane in frame.planes:
        kind = np.dtype(np.uint8) if frame.format.components[0].bits == 8 else np.dtype("<u2")
        values: Any = np.frombuffer(memoryview(plane), kind)
        rows = values.reshape(-1, plane.line_size // kind.itemsize)
        planes.append(rows[: plane.height, : plane.width].copy())
    return planes
