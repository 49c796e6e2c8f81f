"""Join segments into a video: the new stream gets the timestamps of the source, and the other streams are copied.

Audio, subtitles and data are copied packet by packet, unchanged; chapters, tags, languages, covers and attachments are
kept if the container can hold them.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from fractions import Fraction
from heapq import merge
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from drrn.atomic import atomic
from drrn.errors import ImageError, printable
from drrn.media.header import Header, VideoInfo
from drrn.media.video.containers import ffmpeg_errors, open_container
from drrn.media.video.decoding import is_cover
from drrn.media.video.encoding import CODECS, Target, configure_encoder, formats, keep_scheduling, read_segment

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

CONTAINERS: Final = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
MP4: Final = (".mp4", ".m4v", ".mov")
TAGS: Final = {"title", "artist", "album_artist", "album", "composer", "date", "comment", "genre", "copyright"} | {
    "grouping", "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "creation_time"
}  # fmt: skip
"""Standard tags of MP4. If there are others, all are written in the extended form."""
NOTHING: Final = b"\0\0"
"""The empty subtitle between two others in MP4: the muxer inserts it itself."""
OF_THE_FILE: Final = ("major_brand", "minor_version", "compatible_brands", "encoder")
OF_THE_STREAM: Final = ("encoder", "alpha_mode", "vendor_id", "bps", "duration", "number_of_", "_statistics")
"""Prefixes of tags that describe the encoded stream and would not apply to another."""


def writable(path: Path, source: Path, header: Header, target: Target) -> tuple[str, ...]:
    """List what the file can't hold of the source, each as `without ...`, before long work begins.

    Audio and subtitles are left out only if no supported container can hold them; otherwise they are an error.

    Raises:
        ImageError: codec, container, pixel format and size are not compatible; audio or subtitles need another
            container; or a track to drop does not exist.
    """
    name, codec, info = printable(path), CODECS[target.codec], header.video
    assert info is not None
    title = target.codec.upper()
    if target.suffix not in CONTAINERS:
        raise ImageError(f"{name} can't be written: the suffix of a video must be one of {', '.join(CONTAINERS)}.")
    if target.suffix not in codec.suffixes:
        raise ImageError(
            f"{name} can't be written: {title} goes into {', '.join(codec.suffixes)}; give such an --output, or "
            "another --codec."
        )
    if target.crf is not None and (codec.crf is None or not 0 <= target.crf <= codec.most):
        allowed = f"from 0 to {codec.most}" if codec.most else "not to be given: it is lossless"
        raise ImageError(f"{name} can't be written: the --crf of {title} is {allowed}, got {target.crf}.")
    down, across = info.subsampling
    if target.codec != "ffv1" and (target.height % down or target.width % across):
        even = f"{target.width + target.width % across}x{target.height + target.height % down}"
        raise ImageError(
            f"{name} can't be written: {title} in this pixel format needs even sides, and it is "
            f"{target.width}x{target.height}; use --size {even}, or --codec ffv1 in a .mkv."
        )
    if info.aspect not in (None, 1) and target.codec in ("av1", "ffv1") and target.suffix not in MP4:
        shape = f"{info.aspect.numerator}:{info.aspect.denominator}" if info.aspect else ""
        raise ImageError(
            f"{name} can't be written: {title} in {target.suffix} doesn't hold pixels of {shape}; use --codec hevc, or "
            "a --size by which they are square."
        )
    with ffmpeg_errors(name, f"can't be written as {title} of {target.width}x{target.height}"):
        if info.pixel_format not in formats(codec):
            fitting = [each for each, other in CODECS.items() if info.pixel_format in formats(other)]
            raise ImageError(
                f"{name} can't be written: {title} doesn't hold pixels of the kind {info.pixel_format}; use --codec "
                f"{' or '.join(fitting)}."
            )
        with open_container(source, header.width * header.height) as (container, _, _):
            return _streams_left_out(container, info, target, name)


def join(
    segments: Sequence[Path],
    source: Path,
    header: Header,
    target: Target,
    path: Path,
    *,
    overwrite: bool,
    written: Callable[[Path], None],
) -> None:
    """Write the video: the segments as its video stream, everything else copied from the source.

    Args:
        written: called with the temporary file once it is complete, before it is renamed to `path`.

    Raises:
        DRRNError: a segment or the source can't be read, or as `atomic`.
    """
    info, name = header.video, printable(path)
    assert info is not None
    times, durations, decoded = _timetable(segments)
    with (
        atomic(path, overwrite=overwrite) as temporary,
        ffmpeg_errors(name, "can't be written"),
        open_container(source, header.width * header.height) as (container, _, _),
    ):
        import av

        with closing(_open_output(temporary, target.suffix, container.metadata)) as out:
            copied = _streams(container, out, info, target)
            out.set_chapters(container.chapters())
            with keep_scheduling():
                out.start_encoding()

            def packets() -> "Iterator[Packet[Any]]":
                for number, (shown_as, key, data) in enumerate(_packets(segments)):
                    packet = av.Packet(data)
                    packet.pts, packet.duration, packet.is_keyframe = times[shown_as], durations[shown_as], key
                    packet.dts = decoded[number]
                    packet.time_base, packet.stream = info.time_base, copied[info.stream]
                    yield packet

            def others() -> "Iterator[Packet[Any]]":
                held = [index for index, new in copied.items() if index != info.stream and new.type != "attachment"]
                streams = [container.streams[index] for index in held]
                for packet in container.demux(streams) if streams else ():
                    if packet.dts is None and not packet.size:  # the empty packets that PyAV adds at the end
                        continue
                    if packet.stream.name == "mov_text" and bytes(packet) == NOTHING and target.suffix in MP4:
                        continue
                    packet.stream = copied[packet.stream.index]
                    yield packet

            for packet in merge(packets(), others(), key=_decode_time):
                out.mux(packet)
        written(temporary)


def _open_output(path: Path | io.BytesIO, suffix: str, tags: dict[str, str]) -> "OutputContainer":
    """Open a container for writing, with the tags of the whole video."""
    import av
    from av.container.core import Flags

    options = {}
    metadata = {key: value for key, value in tags.items() if key not in OF_THE_FILE}
    if suffix in MP4 and set(metadata) - TAGS:
        options["movflags"] = "use_metadata_tags"
    out = av.open(
        f"file:{path}" if isinstance(path, Path) else path,
        "w",
        format=CONTAINERS[suffix],
        container_options=options,
        metadata_errors="surrogateescape",
    )
    bitexact: Any = Flags.bitexact
    out.flags |= bitexact.value  # no random IDs and no date
    out.metadata.update(metadata)
    return out


def _streams(
    container: "InputContainer", out: "OutputContainer", info: VideoInfo, target: Target
) -> "dict[int, Stream]":
    """Add the streams that the output can hold; return them by their numbers in the source."""
    streams: dict[int, Stream] = {}
    for stream in container.streams:
        if stream.index == info.stream:
            video = out.add_stream(CODECS[target.codec].encoder, rate=info.rate)
            configure_encoder(video.codec_context, info, target)  # type: ignore[arg-type]
            video.time_base = info.time_base
            if target.codec == "hevc" and target.suffix in MP4:
                video.codec_context.codec_tag = "hvc1"  # required by Apple's players
            if info.display_matrix:
                video.set_display_matrix(info.display_matrix)  # type: ignore[union-attr]
            metadata = {
                key: value for key, value in stream.metadata.items() if not key.lower().startswith(OF_THE_STREAM)
            }
            new: Stream = video
        elif is_cover(stream) and CONTAINERS[target.suffix] == "matroska" and stream.index not in target.drop:
            # in Matroska a cover is an attachment, not a stream
            (packet,) = (each for each in container.demux(stream) if each.size)
            container.seek(0)
            kind = "png" if stream.name == "png" else "jpeg"
            tags = {"filename": f"cover.{kind}", "mimetype": f"image/{kind}", **stream.metadata}
            new, metadata = out.add_attachment(tags["filename"], tags["mimetype"], bytes(packet)), tags
        elif stream.index not in target.drop and _fits(stream, container, target.suffix):
            new, metadata = out.add_stream_from_template(stream, opaque=True), stream.metadata
        else:
            continue
        new.metadata.update(metadata)
        new.disposition = stream.disposition
        streams[stream.index] = new
    return streams


def _streams_left_out(container: "InputContainer", info: VideoInfo, target: Target, name: str) -> tuple[str, ...]:
    lost = []
    others = {stream.index: stream.type for stream in container.streams if stream.index != info.stream}
    for index in target.drop:
        if index not in others:
            there = ", ".join(f"{number} ({kind})" for number, kind in others.items()) or "none"
            raise ImageError(f"{name} can't be written without track {index}: those that can be dropped are {there}.")
    for stream in container.streams:
        if stream.index in target.drop:
            lost.append(f"without the {stream.type} stream {stream.index}")
            continue
        if stream.index == info.stream or _is_generated(stream, container) or _fits(stream, container, target.suffix):
            continue
        if stream.type in ("audio", "subtitle"):
            kind = stream.codec_context.name if stream.codec_context else "an unknown codec"
            able = [suffix for suffix in CONTAINERS if _fits(stream, container, suffix)]
            if able:
                raise ImageError(
                    f"{name} can't be written: {target.suffix} can't take the {stream.type} stream {stream.index}, "
                    f"{kind}, as it is. Use an --output ending in {' or '.join(able)}, or --drop-track {stream.index}."
                )
            lost.append(
                f"without the {stream.type} stream {stream.index}, of {kind}, which no supported container can hold"
            )
            continue
        if stream.type != "video":  # other video streams are reported by the header
            lost.append(f"without the {stream.type} stream {stream.index}")
        elif is_cover(stream):
            lost.append("without the cover")
    return tuple(lost)


def _is_generated(stream: "Stream", container: "InputContainer") -> bool:
    """Whether the muxer generates this stream from chapters or a timecode, which are also in the metadata."""
    if stream.type != "data":
        return False
    chapters = len(container.chapters())
    return (chapters > 0 and stream.frames == chapters) or "timecode" in stream.metadata


def _fits(stream: "Stream", container: "InputContainer", suffix: str) -> bool:
    """Whether a file of that suffix can hold such a stream, found by trying."""
    import av.error

    if _is_generated(stream, container) or (stream.type == "video" and not is_cover(stream)):
        return False
    trial = _open_output(io.BytesIO(), suffix, {})
    try:
        new = trial.add_stream_from_template(stream, opaque=True)
        new.disposition = stream.disposition
        trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    with suppress(av.error.FFmpegError, ValueError):  # a file without packets may fail to close
        trial.close()
    return True


def _timetable(segments: Sequence[Path]) -> tuple[list[int], list[int], list[int]]:
    """Return presentation times and durations of the frames, and decoding times of the packets in their own order."""
    times: list[int] = []
    last, late = 0, 0
    for path in segments:
        segment = read_segment(path)
        times += segment["times"].tolist()
        last = int(segment["durations"][-1])
        late = max(late, int((np.arange(len(segment["order"])) - segment["order"]).max()))
    gaps = [after - before for before, after in pairwise(times)]
    # Decoding runs ahead by as many frames as the packets are reordered. MP4 sums the steps between decoding times to
    # the length of the video, so the first steps make up for the last ones.
    late = min(late, len(times) - 1)
    ahead = times[-1] - times[-1 - late]
    before = [times[0] - ahead * (late - number) // late for number in range(late)]
    return times, [*gaps, last or (gaps[-1] if gaps else 1)], before + times[: len(times) - late]


def _packets(segments: Sequence[Path]) -> Iterator[tuple[int, bool, bytes]]:
    """Yield for each packet the frame of the video that it encodes, whether it is a key frame, and its bytes."""
    first = 0
    for path in segments:
        segment, at = read_segment(path), 0
        order, keys, sizes = (segment[name].tolist() for name in ("order", "keys", "sizes"))
        for number, key, size in zip(order, keys, sizes, strict=True):
            yield first + number, key, segment["data"][at : at + size].tobytes()
            at += size
        first += len(order)


def _decode_time(packet: "Packet[Any]") -> Fraction:
    """Return the time at which it must be decoded, in seconds."""
    time = packet.pts if packet.dts is None else packet.dts
    return (time or 0) * (packet.time_base or Fraction(1))
