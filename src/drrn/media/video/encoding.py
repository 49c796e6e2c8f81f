"""Encode frames in segments, which are kept until `muxing` joins them into a video.

Each segment is encoded by a new encoder with settings that depend only on the video and the options: the same frames
always give the same bytes, no matter what was encoded before. The encoder numbers frames consecutively; their
timestamps are stored separately, in the units of the source.
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
"""Threads of every encoder: the output of H.264 depends on their number."""


class Codec(NamedTuple):
    """How a codec is used."""

    encoder: str
    """FFmpeg's name."""
    suffixes: tuple[str, ...]
    """Suffixes of containers that can hold it."""
    crf: int | None
    """The default quality, visually lossless. None for a lossless codec."""
    most: int
    """The largest CRF."""
    options: dict[str, str]
    hdr: str
    """The encoder's own option to which HDR metadata are appended."""
    frames: int
    """Output frames held in memory while it encodes; measured."""
    megabytes: int
    """Memory it takes besides them; measured."""


CODECS: Final[dict[CodecName, Codec]] = {
    # mbtree reads uninitialized memory, on which the output then depends. x264 also numbers IDR frames so that
    # consecutive ones differ: here each encoder produces only one of them
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


# x265's vector code writes past the end of half-size frames that are at most 24 pixels wide (heap corruption, found
# with glibc's MALLOC_CHECK_); its plain code gives the same bytes
X265_NARROW: Final = 48


class Target(NamedTuple):
    """The video to be written."""

    width: int
    height: int
    codec: CodecName
    crf: int | None
    """None for the codec's default."""
    suffix: str
    drop: tuple[int, ...] = ()
    """Numbers of the streams to leave out."""


def configure_encoder(encoder: "VideoCodecContext", info: VideoInfo, target: Target) -> None:
    """Set all options of an encoder, the same for every segment and for the whole video."""
    codec = CODECS[target.codec]
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 would print its settings
    encoder.width, encoder.height, encoder.pix_fmt = target.width, target.height, info.pixel_format
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
    """Undo what SVT-AV1 does when opened as root: it gives all threads real-time priority, including the caller's.

    Otherwise whatever the process does later, and the processes it starts, would starve everything else.
    """
    threads = Path("/proc/self/task")  # Linux only; elsewhere SVT-AV1 leaves the caller's priority alone
    if not threads.is_dir():
        yield
        return
    before = os.sched_getscheduler(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != before:
            for thread in threads.iterdir():
                with suppress(ProcessLookupError):  # the thread has ended meanwhile
                    os.sched_setscheduler(int(thread.name), before, os.sched_param(0))


def formats(codec: Codec) -> list[str]:
    """Return the pixel formats that it accepts."""
    import av

    return [each.name for each in av.Codec(codec.encoder, "w").video_formats or []]


def version() -> str:
    """Return the versions of the encoding libraries: with others, the same frames may give other bytes."""
    import av

    return f"{av.__version__} {av.library_versions}"


def memory(header: Header, target: Target) -> int:
    """Return the peak memory of encoding, in bytes."""
    codec = CODECS[target.codec]
    return codec.frames * frame_bytes(header, target.width, target.height) + (codec.megabytes << 20)


def frame_bytes(header: Header, width: int, height: int) -> int:
    """Return the bytes of one frame of that size."""
    assert header.video is not None
    down, across = header.video.subsampling
    chroma = 0 if header.channels == 1 else 2 * -(-height // down) * -(-width // across)
    return (width * height + chroma) * (1 if header.bits == 8 else 2)


def encode(frames: Iterable[Frame], info: VideoInfo, target: Target, path: Path) -> None:
    """Write a segment of these frames to `path` atomically.

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
    """Read a segment written by `encode`.

    Returns:
        Of the frames, `times` and `durations` in units of the time base; of the packets, the frame that each encodes
        (`order`), whether it is a key frame (`keys`), its size in bytes (`sizes`), and all their bytes (`data`).

    Raises:
        DRRNError: it is damaged. It has been deleted then, so that another run will encode it again.
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
    frame = av.VideoFrame(width, height, info.pixel_format)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.buffer_size // plane.line_size, plane.line_size // values.itemsize), values.dtype)
        rows[: values.shape[0], : values.shape[1]] = values
        plane.update(rows.tobytes())
    frame.pts, frame.time_base = number, 1 / info.rate
    return frame
