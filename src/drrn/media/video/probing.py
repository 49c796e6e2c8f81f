"""The header of a video file."""

import re
import struct
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from drrn.errors import ImageError, printable
from drrn.media.header import Header, VideoInfo
from drrn.media.video.containers import OpenVideo, open_container
from drrn.media.video.decoding import DECODING, FULL, PIXELS, decode, is_cover
from drrn.media.video.hdr import read_hdr

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


RATES: Final = (Fraction(1), Fraction(1000))
"""Range of plausible frame rates for the encoder; timestamps are kept in any case."""
ALPHA_INFO = b"\x4e\x01\xa5"
"""The beginning of HEVC's message about an alpha layer."""
LOST: Final = {
    **{"DYNAMIC_HDR_PLUS": "HDR10+", "DOVI_METADATA": "Dolby Vision", "DYNAMIC_HDR_VIVID": "HDR Vivid"},
    **{"A53_CC": "closed captions", "ICC_PROFILE": "ICC", "SPHERICAL": "its 360° projection"},
    **{"STEREO3D": "its arrangement in 3D", "AMBIENT_VIEWING_ENVIRONMENT": "ambient light"},
}
"""Side data of frames that PyAV can't write, and what to call them."""


def probe(path: Path, *, max_pixels: int) -> Header:
    """Read the header of a video. One frame is decoded, after its size has been checked.

    Raises:
        ImageError: it is damaged, truncated, of an unsupported kind, or has more than `max_pixels` per frame.
        UsageError: PyAV is not installed.
    """
    name = printable(path)
    with open_container(path, max_pixels) as file:
        container = file.container
        stream = find_stream(container, name)
        _check_pixels(container, stream, name, max_pixels)
        count = _count(file, stream, name)
        container.seek(0)
        frame = next(decode(container, stream, name))
        side_data = _side_data(stream, frame, name)
        lost = [f"without {LOST[each]}" for each in side_data if each in LOST]
        if len([each for each in container.streams.video if not is_cover(each)]) > 1:
            lost.append(f"without all video streams but number {stream.index}")
        if file.form == "MP4":
            lost += _hidden(path, max_pixels, stream.index, count)
        width, height, info = stream.codec_context.width, stream.codec_context.height, _info(stream, frame, side_data)
    channels = 1 if info.pixel_format.startswith("gray") else 3
    bits: Final = 8 if info.bits == 8 else 16
    return Header(file.form, width, height, channels, False, bits, tuple(lost), frames=count, video=info)


def find_stream(container: "InputContainer", name: str) -> "VideoStream":
    """Return the first video stream that is not cover art."""
    stream = next((each for each in container.streams.video if not is_cover(each)), None)
    if stream is None:
        raise ImageError(f"{name} has no video stream; a video or an image was expected.")
    if stream.codec_context is None:
        raise ImageError(f"{name} is of a codec that can't be decoded. Convert it first.")
    if stream.codec_context.field_order > 1:
        raise ImageError(f"{name} is interlaced; whole frames can be enlarged. Deinterlace it first.")
    return stream


def _check_pixels(container: "InputContainer", stream: "VideoStream", name: str, max_pixels: int) -> None:
    """Raise an ImageError if there are no pixels, too many, or pixels of an unsupported format."""
    context = stream.codec_context
    width, height, pixels = context.width, context.height, context.pix_fmt or "unknown"
    if not width or not height:
        raise ImageError(f"{name} is {width} x {height}: it has no pixels.")
    if width * height > max_pixels:
        raise ImageError(
            f"{name} is {width} x {height}, {width * height:,} pixels a frame; the limit is {max_pixels:,} "
            "(--max-pixels)."
        )
    if _has_alpha(container, stream, pixels):
        decoder = "-c:v libvpx-vp9 " if context.name == "vp9" else "-c:v libvpx " if context.name == "vp8" else ""
        raise ImageError(
            f"{name} has transparency, which enlarged videos can't keep. Convert it to an animated PNG, which can "
            f"(ffmpeg {decoder}-i FILE FILE.apng), or flatten it first."
        )
    if pixels not in PIXELS:
        raise ImageError(
            f"{name} has pixels of the kind {pixels}; gray and YCbCr of 4:2:0, 4:2:2 and 4:4:4, of 8, 10 and 12 "
            "bit can be read. Convert it first."
        )


def _side_data(stream: "VideoStream", frame: "VideoFrame", name: str) -> dict[str, bytes]:
    """Return the side data of a frame, by FFmpeg's names, except what is of no consequence."""
    try:
        every: Any = frame.side_data
        found = {each.type.name: bytes(each) for each in every}
    except ValueError as error:  # PyAV does not know all kinds, such as those of stereoscopic videos
        raise ImageError(f"{name} has side data that can't be read. Convert it first.") from error
    if not any(found.get("STEREO3D", b"")[:4]) or "stereo_mode" in stream.metadata:  # not in 3D, or kept as a tag
        found.pop("STEREO3D", None)
    return found


def _info(stream: "VideoStream", frame: "VideoFrame", side_data: dict[str, bytes]) -> VideoInfo:
    pixels = stream.codec_context.pix_fmt or ""
    turn = struct.unpack("<9i", side_data["DISPLAYMATRIX"]) if "DISPLAYMATRIX" in side_data else None
    return VideoInfo(
        stream=stream.index,
        pixel_format=pixels.replace("yuvj", "yuv"),
        bits=PIXELS[pixels],
        time_base=stream.time_base or Fraction(1, 1000),
        rate=_rate(stream),
        range=FULL if pixels.startswith("yuvj") else int(frame.color_range),
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        siting=_siting(frame),
        aspect=stream.sample_aspect_ratio or None,
        display_matrix=turn,
        hdr=read_hdr(side_data),
    )


def _has_alpha(container: "InputContainer", stream: "VideoStream", pixels: str) -> bool:
    """Whether the video has an alpha channel, including one that the decoder would silently drop."""
    import av

    if pixels != "unknown" and any(each.is_alpha for each in av.VideoFormat(pixels).components):
        return True
    if any(key.lower() == "alpha_mode" for key in stream.metadata):  # VP8 and VP9; browsers set it for every recording
        found = any(packet.has_sidedata("matroska_block_additional") for packet in container.demux(stream))
        container.seek(0)
        if found:
            return True
    return ALPHA_INFO in (stream.codec_context.extradata or b"")


def _count(file: OpenVideo, stream: "VideoStream", name: str) -> int:
    """Count the frames to be shown: from the index or, without one, by reading the whole file."""
    if file.form == "MP4" and stream.frames:
        return sum(not entry.is_discard for entry in stream.index_entries)
    others = [each for each in file.container.streams if each.type != "video" or not is_cover(each)]
    count = there = 0
    for packet in file.container.demux(others):
        there += packet.size > 0
        count += packet.size > 0 and packet.stream is stream and not packet.is_discard
    if there < file.packets:
        raise ImageError(f"{name} is a video that is damaged: of {file.packets} packets only {there} can be found.")
    return count


def _hidden(path: Path, max_pixels: int, number: int, count: int) -> list[str]:
    """Report the frames of an MP4 that its edit list hides."""
    with open_container(path, max_pixels, edits=False) as (container, _, _):
        stream = container.streams[number]
        found = len(stream.index_entries)
        if found < stream.frames:
            raise ImageError(
                f"{printable(path)} is a video that is damaged: of its {stream.frames} frames {found} can be found."
            )
        hidden = stream.frames - count if stream.frames else 0
    return [f"without {hidden} frames that its edit list hides"] if hidden > 0 else []


def _rate(stream: "VideoStream") -> Fraction:
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return min(max(rate, RATES[0]), RATES[1]).limit_denominator(1001)


def _siting(frame: "VideoFrame") -> str:
    """Return the chroma location, which PyAV reveals only in the text of a filter's log."""
    import av
    from av.filter import Graph

    graph = Graph()
    names = ("sidedata", "showinfo", "buffersink")  # without side data, which would add many lines to the log
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
    )
    graph.link_nodes(source, graph.add(names[0], "mode=delete"), *(graph.add(each) for each in names[1:])).configure()
    with DECODING, av.logging.Capture() as lines:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            graph.push(frame)
            graph.pull()
        finally:
            av.logging.set_level(level)
    found = re.search(r" cl:(\w+) ", "".join(text for _, _, text in lines))
    return found[1] if found else "unspecified"
