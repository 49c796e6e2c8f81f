"""Frames are encoded, in segments that can be kept until a video is made of them, which `muxing` does.

A segment is made by an encoder of its own, with settings that depend on nothing but the video and what was asked for:
the same frames become the same bytes, whatever was done before. The encoder counts frames; their times are kept beside
them, in the units of the source.
"""

import io
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from drrn.atomic import write_bytes
from drrn.errors import DRRNError, ImageError, printable
from drrn.media import CodecName
from drrn.media.header import Header, VideoInfo
from drrn.media.video.containers import ffmpeg_errors
from drrn.media.video.decoding import Frame, Plane
from drrn.media.video.hdr import encoder_options

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext

THREADS = 4
"""Of an encoder, everywhere: H.264 comes out differently with another number."""


class Codec(NamedTuple):
    """A way to encode."""

    encoder: str
    """FFmpeg's name."""
    suffixes: tuple[str, ...]
    """Of the files that can hold it."""
    crf: int | None
    """Where nothing is said: no loss that is seen. None where nothing is lost."""
    most: int
    """The largest."""
    options: dict[str, str]
    hdr: str
    """The encoder's options of its own, to which those of HDR are added."""
    frames: int
    """As many frames of the result are held while it encodes; measured, as the next."""
    megabytes: int
    """What it holds beside them."""


CODECS: Final[dict[CodecName, Codec]] = {
    # mbtree reads memory that nothing was written to, and the bytes depend on what lay there. And x264 numbers the
    # frames at which decoding can begin, so that no two in a row look like one: an encoder has but one of them here
    "h264": Codec(
        "libx264",
        (".mp4", ".m4v", ".mov", ".mkv"),
        17,
        51,
        {"preset": "medium", "mbtree": "0", "rc-lookahead": "10", "g": "1000", "keyint_min": "500"},
        "x264-params",
        44,
        16,
    ),
    "hevc": Codec(
        "libx265",
        (".mp4", ".m4v", ".mov", ".mkv"),
        18,
        51,
        {"preset": "fast", "x265-params": "log-level=none:frame-threads=2:pools=4:open-gop=0:rc-lookahead=10"},
        "x265-params",
        110,
        64,
    ),
    "av1": Codec(
        "libsvtav1",
        (".mp4", ".mkv", ".webm"),
        20,
        63,
        {"preset": "6", "svtav1-params": "lp=2"},
        "svtav1-params",
        150,
        96,
    ),
    "ffv1": Codec("ffv1", (".mkv",), None, 0, {"level": "3", "slices": "4", "slicecrc": "1", "g": "1"}, "", 32, 16),
}


# x265's vector code writes past the end of its half-size frames where they are at most 24 pixels wide (a corrupted
# heap, found with glibc's MALLOC_CHECK_); its plain code gives the same bytes
X265_NARROW: Final = 48


class Target(NamedTuple):
    """What is to be written."""

    width: int
    height: int
    codec: CodecName
    crf: int | None
    """The codec's own where there is none."""
    suffix: str
    drop: tuple[int, ...] = ()
    """Numbers of streams to leave out."""


def configure_encoder(encoder: "VideoCodecContext", info: VideoInfo, target: Target) -> None:
    """Set all options of an encoder, the same for every segment and for the whole video."""
    codec = CODECS[target.codec]
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 would print its settings
    encoder.width, encoder.height, encoder.pix_fmt = target.width, target.height, info.pixels
    encoder.framerate, encoder.time_base = info.rate, 1 / info.rate
    encoder.color_range, encoder.colorspace = info.range, info.matrix
    encoder.color_primaries, encoder.color_trc = info.primaries, info.transfer
    encoder.sample_aspect_ratio = info.aspect or Fraction(0)
    encoder.thread_count = THREADS
    options = dict(codec.options)
    if codec.crf is not None:
        options["crf"] = str(codec.crf if target.crf is None else target.crf)
    if info.siting != "unspecified" and info.subsampling == (2, 2):
        options["chroma_sample_location"] = info.siting
    if codec.hdr and (values := encoder_options(info.hdr, target.codec)):
        options[codec.hdr] = ":".join(filter(None, [options.get(codec.hdr), *values]))
    if target.codec == "hevc" and target.width <= X265_NARROW:
        options["x265-params"] += ":asm=0"
    encoder.options = options


@contextmanager
def keep_scheduling() -> Iterator[None]:
    """Undo what opening SVT-AV1 does as root: it makes all threads real-time ones, that of the caller included.

    Whatever the process does later, and the processes that it starts, would keep all others from running.
    """
    threads = Path("/proc/self/task")  # of Linux; elsewhere SVT-AV1 leaves the caller alone
    if not threads.is_dir():
        yield
        return
    before = os.sched_getscheduler(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != before:
            for thread in threads.iterdir():
                with suppress(ProcessLookupError):  # it ended meanwhile
                    os.sched_setscheduler(int(thread.name), before, os.sched_param(0))


def formats(codec: Codec) -> list[str]:
    """The pixel formats that it takes."""
    import av

    return [each.name for each in av.Codec(codec.encoder, "w").video_formats or []]


def version() -> str:
    """Of all that encodes: with another, the same frames may become other bytes."""
    import av

    return f"{av.__version__} {av.library_versions}"


def memory(header: Header, target: Target) -> int:
    """Bytes that encoding takes at its peak."""
    codec = CODECS[target.codec]
    return codec.frames * frame_bytes(header, target.width, target.height) + (codec.megabytes << 20)


def frame_bytes(header: Header, width: int, height: int) -> int:
    """Of one frame of that size."""
    assert header.video is not None
    down, across = header.video.subsampling
    chroma = 0 if header.channels == 1 else 2 * -(-height // down) * -(-width // across)
    return (width * height + chroma) * (1 if header.bits == 8 else 2)


def encode(frames: Iterable[Frame], info: VideoInfo, target: Target, path: Path) -> None:
    """Write a segment of these frames to `path`: whole, or not at all.

    Raises:
        DRRNError: it can't be encoded, or as `atomic`.
    """
    with ffmpeg_errors(printable(path), f"can't be encoded as {target.codec.upper()}"):
        import av
        from av.codec.context import Flags

        encoder: Any = av.CodecContext.create(CODECS[target.codec].encoder, "w")
        encoder.flags |= Flags.global_header
        configure_encoder(encoder, info, target)
        with keep_scheduling():
            encoder.open()
        times: list[int] = []
        durations: list[int] = []
        packets: list[Packet[Any]] = []
        for number, frame in enumerate(frames):
            times.append(frame.time)
            durations.append(frame.duration)
            packets += encoder.encode(_frame(frame.planes, info, number))
        packets += encoder.encode(None)
        content = io.BytesIO()
        np.savez(
            content,
            times=np.array(times, np.int64),
            durations=np.array(durations, np.int64),
            order=np.array([packet.pts for packet in packets], np.int64),
            keys=np.array([packet.is_keyframe for packet in packets]),
            sizes=np.array([packet.size for packet in packets], np.int64),
            data=np.frombuffer(b"".join(map(bytes, packets)), np.uint8),
        )
    if sorted(packet.pts or 0 for packet in packets) != list(range(len(times))):
        raise ImageError(f"{printable(path)} can't be encoded: {target.codec.upper()} returned different frames.")
    write_bytes(path, content.getvalue())


def read_segment(path: Path) -> dict[str, NDArray[Any]]:
    """A segment that `encode` wrote.

    Of frames, when and for how long they are shown; of packets, which frame each is, whether decoding can begin there,
    how many bytes it has, and these.

    Raises:
        DRRNError: it is damaged. It is gone then, and another run will make it anew.
    """
    try:
        with path.open("rb") as file, np.load(file) as segment:
            return {name: segment[name] for name in ("times", "durations", "order", "keys", "sizes", "data")}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        with suppress(OSError):
            path.unlink()
        raise DRRNError(f"{printable(path)}, a part of the video, is damaged. Run it again.") from error


def _frame(planes: Sequence[Plane], info: VideoInfo, number: int) -> Any:
    import av

    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, info.pixels)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.buffer_size // plane.line_size, plane.line_size // values.itemsize), values.dtype)
        rows[: values.shape[0], : values.shape[1]] = values
        plane.update(rows.tobytes())
    frame.pts, frame.time_base = number, 1 / info.rate
    return frame
