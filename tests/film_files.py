"""Make small videos in code, and read the contents of a video with PyAV alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from drrn.media.video.encoding import keep_scheduling

CFR = [number * 512 for number in range(12)]
BASE = Fraction(1, 12800)
"""The time base: 25 frames per second are multiples of it."""
BARE = {"crf": "20", "preset": "ultrafast", "bf": "0"}


@dataclass
class Extra:
    """The contents of a video file besides its video stream."""

    sounds: Sequence[tuple[str, str]] = ()
    """Codec and language of each audio track."""
    subtitles: str = ""
    """Codec of the subtitles."""
    chapters: bool = False
    cover: bool = False
    attachment: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    turn: int = 0
    timecode: str = ""


NOTHING = Extra()


def picture(
    number: int, width: int, height: int, bits: int = 8, planes: int = 1, low: int = 16, high: int = 235
) -> Any:
    """A frame (planes, height, width) of waves that move from frame to frame."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((x + 2 * number) / (5 + k)) * np.cos((y - number) / (4 + k)) for k in range(planes)]
    levels = (np.stack(waves) * 0.45 + 0.5) * (high - low) + low
    return np.rint(levels * (1 << (bits - 8))).astype(np.uint8 if bits == 8 else np.uint16)


def frame(number: int, width: int, height: int, pixels: str) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, pixels)
    bits = frame.format.components[0].bits
    for at, plane in enumerate(frame.planes):
        values = picture(number, plane.width, plane.height, bits, 4)[at]
        rows = np.zeros((plane.buffer_size // plane.line_size, plane.line_size // values.itemsize), values.dtype)
        rows[: plane.height, : plane.width] = values
        plane.update(rows.tobytes())
    return frame


def film(
    path: Path,
    *,
    times: Iterable[int] = CFR,
    base: Fraction = BASE,
    size: tuple[int, int] = (48, 32),
    pixels: str = "yuv420p",
    codec: str = "libx264",
    options: dict[str, str] = BARE,
    pictures: Sequence[int] | None = None,
    extra: Extra = NOTHING,
    **fields: Any,
) -> Path:
    """Write a video with frames at these times.

    Args:
        pictures: the index of the image shown in each frame; by default the index of the frame.
        fields: attributes of the encoder, such as color_range=2.
    """
    if codec == "libx265":  # its vector code writes past the end of narrow frames
        options = options | {"x265-params": options.get("x265-params", "log-level=none") + ":asm=0"}
    with av.open(str(path), "w") as out:
        out.metadata.update(dict(extra.tags))
        video: Any = out.add_stream(codec, rate=25, options=dict(options))
        video.width, video.height, video.pix_fmt, video.time_base = *size, pixels, base
        video.codec_context.time_base = base
        for name, value in fields.items():
            setattr(video.codec_context, name, value)
        if extra.turn:
            video.set_display_rotation(extra.turn)
        if extra.timecode:
            video.metadata["timecode"] = extra.timecode
        sounds = []
        for name, language in extra.sounds:
            sound: Any = out.add_stream(name, rate=48000)
            sound.metadata["language"] = language
            sounds.append(sound)
        words = out.add_mux_stream(extra.subtitles, time_base=Fraction(1, 1000)) if extra.subtitles else None
        cover = _cover(out) if extra.cover and path.suffix != ".mkv" else None
        if extra.cover and path.suffix == ".mkv":
            out.add_attachment("cover.jpg", "image/jpeg", jpeg())
        if extra.attachment:
            out.add_attachment("font.ttf", "font/ttf", b"no font" * 10)
        if extra.chapters:
            out.set_chapters(
                [
                    {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
                    {"id": 2, "start": 200, "end": 480, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
                ]
            )
        times = list(times)
        with keep_scheduling():
            video.codec_context.open()
        for number, time in enumerate(times):
            each = frame(number if pictures is None else pictures[number], *size, pixels)
            each.pts, each.time_base = time, base
            out.mux(video.encode(each))
        out.mux(video.encode(None))
        for number, sound in enumerate(sounds):
            for packet in _hum(sound, 200 * (number + 1)):
                out.mux(packet)
        if words is not None:
            for number, text in enumerate((b"Hello", b"World")):
                packet = av.Packet(len(text).to_bytes(2) + text if extra.subtitles == "mov_text" else text)
                packet.stream, packet.time_base = words, Fraction(1, 1000)
                packet.pts = packet.dts = 100 + 200 * number
                packet.duration = 150
                out.mux(packet)
        if cover is not None:
            out.mux(cover)
    return path


def jpeg() -> bytes:
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 16, 16, "yuvj420p", Fraction(1, 25)
    return bytes((encoder.encode(frame(0, 16, 16, "yuvj420p")) + encoder.encode(None))[0])


def _cover(out: Any) -> Any:
    stream = out.add_stream("mjpeg", rate=25)
    stream.width, stream.height, stream.pix_fmt = 16, 16, "yuvj420p"
    stream.disposition = av.stream.Disposition.attached_pic
    packet = av.Packet(jpeg())
    packet.stream, packet.pts, packet.dts = stream, 0, 0
    packet.time_base = Fraction(1, 25)
    return packet


def _hum(sound: Any, hertz: int) -> Iterable[Any]:
    samples = (np.sin(np.arange(24000) * hertz * 2 * np.pi / 48000) * 8000).astype(np.int16)
    whole = av.AudioFrame.from_ndarray(samples[None].repeat(2, 0).reshape(1, -1, order="F"), "s16", "stereo")
    whole.sample_rate, whole.pts, whole.time_base = 48000, 0, Fraction(1, 48000)
    resampler = av.AudioResampler(sound.format, "stereo", 48000, frame_size=sound.codec_context.frame_size or 1024)
    for each in (*resampler.resample(whole), *resampler.resample(None)):
        yield from sound.encode(each)
    yield from sound.encode(None)


def times(path: Path) -> list[Fraction]:
    """The time of each frame, in seconds."""
    with av.open(str(path)) as container:
        return [Fraction(each.pts or 0) * (each.time_base or 1) for each in container.decode(_video(container))]


def planes(path: Path) -> list[list[Any]]:
    """The planes of each frame, as stored."""
    with av.open(str(path)) as container:
        found = []
        for each in container.decode(_video(container)):
            kind = np.dtype(np.uint8 if each.format.components[0].bits == 8 else "<u2")
            found.append(
                [
                    np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind.itemsize)[
                        : plane.height, : plane.width
                    ]
                    for plane in each.planes
                ]
            )
        return found


def copied(path: Path) -> list[tuple[str, list[tuple[Any, Any, bytes]]]]:
    """For each stream except the video: its type, and the time, duration and data of its packets."""
    with av.open(str(path)) as container:
        film = _video(container)
        found: dict[int, list[Any]] = {each.index: [] for each in container.streams if each.index != film.index}
        for packet in container.demux():
            if packet.stream.index in found and packet.size:
                when = [
                    None if value is None else value * (packet.time_base or 1)
                    for value in (packet.pts, packet.dts, packet.duration)
                ]
                found[packet.stream.index].append((*when, bytes(packet)))
        return [(container.streams[index].type, packets) for index, packets in found.items()]


def describe(path: Path) -> dict[str, Any]:
    """The metadata of a video file."""
    with av.open(str(path)) as container:
        video = _video(container)
        first = next(container.decode(video))
        return {
            "tags": {k: v for k, v in container.metadata.items() if k.lower() not in ("encoder", "minor_version")},
            "streams": [(s.type, s.disposition, s.metadata.get("language")) for s in container.streams],
            "chapters": [(c["start"] * (c["time_base"] or 1), c["metadata"]) for c in container.chapters()],
            "colors": (first.color_range, first.colorspace, first.color_primaries, first.color_trc),
            "aspect": video.sample_aspect_ratio,
            "turn": first.rotation,
            "pixels": first.format.name.replace("yuvj", "yuv"),
            "side": {d.type.name: bytes(d) for d in first.side_data if d.type.name != "SEI_UNREGISTERED"},
        }


def _video(container: Any) -> Any:
    return next(s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic)
