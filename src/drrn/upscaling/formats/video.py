"""Enlarge videos frame by frame, in segments that are kept until the whole is done.

A run that is interrupted leaves its finished segments in a hidden folder beside the target, and the same command
continues from there: the result equals that of an uninterrupted run, to the byte. Luma passes through the network, in
the video's own range; chroma is enlarged by bicubic at its own resolution, without conversion to RGB.
"""

import json
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from hashlib import blake2b, sha256
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np

from drrn.atomic import write_text
from drrn.core.resize import SamplePositions, resample
from drrn.errors import DRRNError, ImageError, printable
from drrn.media.header import HDRMetadata, Header, VideoInfo
from drrn.media.image import Image
from drrn.media.naming import VIDEOS as VIDEO_SUFFIXES
from drrn.media.naming import split
from drrn.media.video import containers, decoding, encoding, muxing, probing
from drrn.media.video.decoding import FULL, UNKNOWN, Frame, Plane
from drrn.media.video.encoding import Target
from drrn.media.video.muxing import CONTAINERS
from drrn.upscaling.condition import Condition
from drrn.upscaling.consistency import CheckResult
from drrn.upscaling.cost import Estimate
from drrn.upscaling.fingerprint import Fingerprint, file_stamp
from drrn.upscaling.formats.job import Format, Hooks, Job, keep_suffix
from drrn.upscaling.upscaler import Upscaler

SEGMENT = 48
"""Frames in a segment: the most that a killed run loses, and the distance between key frames."""
REMEMBERED = 4
"""Frames whose results are cached: animated drawings often repeat a frame."""
DECODED = 20
"""Source frames held in memory by a decoder."""
SITES: Final = {
    "left": (0, 1),
    "center": (0, 0),
    "topleft": (1, 1),
    "top": (1, 0),
    "bottomleft": (-1, 1),
    "bottom": (-1, 0),
    "unspecified": (0, 1),
}
"""Vertical and horizontal position of a chroma sample: that of its first luma sample, in their middle, or that of the
last.
"""
BT601 = 6
"""FFmpeg's number for the BT.601 matrix."""


def _collects(path: Path) -> bool:
    return split(path.name)[1].lower() in VIDEO_SUFFIXES or containers.is_video(path)


def _suffix(source: Path, header: Header, name: str) -> str:
    """The suffix of the source; containers that can only be read become Matroska."""
    return keep_suffix(name, containers.suffixes(source))


def _check_writable(job: Job, path: Path) -> None:
    if job.options.lossless and _encoding(job).codec != "ffv1":
        raise ImageError(f"{printable(path)} can't be written: a lossless video needs --codec ffv1 and a .mkv file.")
    muxing.writable(path, job.source, _result(job), _encoding(job))


def _changes(job: Job) -> tuple[str, ...]:
    before, after, target = _video(job.header), _video(_result(job)), _encoding(job)
    changes = [*job.header.converted, *muxing.writable(job.target, job.source, _result(job), target)]
    if before.matrix != after.matrix:
        changes.append("colors tagged as BT.601, as players assume for small untagged videos")
    if before.aspect != after.aspect and after.aspect:
        changes.append(f"pixels of {after.aspect.numerator}:{after.aspect.denominator}")
    if target.codec == "ffv1" and after.hdr != HDRMetadata():
        changes.append("without HDR metadata")
    if CONTAINERS[target.suffix] in ("matroska", "webm") and (before.time_base * 1000).denominator > 1:
        changes.append("timestamps rounded to milliseconds")
    return tuple(changes)


def _estimate(job: Job, upscaler: Upscaler) -> Estimate:
    reserved, header = _reserved_memory(job), job.header
    one = upscaler.with_reserved_memory(reserved).estimate(header.width, header.height, size=(job.width, job.height))
    return replace(one, seconds=one.seconds * header.frames, memory=one.memory + reserved)


def _enlarge(job: Job, upscaler: Upscaler, hooks: Hooks) -> CheckResult:
    before, folder = Fingerprint.of(job.source), work_folder(job.target)
    limited = upscaler.with_reserved_memory(_reserved_memory(job))
    hooks.start()
    _prepare(folder, json.dumps([job.recipe(upscaler), before.sha256, encoding.version(), SEGMENT]))
    segments = _segments(job, limited, folder, hooks)
    if file_stamp(job.source) != before.mark:
        raise ImageError(f"{printable(job.source)} has changed while it was read. Run it again.")
    join = partial(muxing.join, segments, job.source, _result(job), _encoding(job), job.target)
    try:
        join(overwrite=job.overwrite, written=partial(hooks.written, job.target))
    except ImageError as error:
        if isinstance(error.__cause__, ValueError):  # a fault of the source, such as audio timestamps that go back
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return CheckResult()


def work_folder(target: Path) -> Path:
    """Return the folder for the segments of an unfinished video."""
    return target.with_name(f".drrn-film-{sha256(os.fsencode(target.name)).hexdigest()[:16]}")


def enlarge_frame(
    frame: Frame, info: VideoInfo, upscaler: Upscaler, size: tuple[int, int], progress: Callable[[float], None]
) -> Frame:
    """Enlarge a frame to `size`, (height, width).

    Values stay in their nominal range, studio or full; if the frame exceeds it, as those of cameras do, in the frame's
    own range.

    Raises:
        DRRNError: as `Upscaler.upscale`.
    """
    luma, *chroma = frame.planes
    height, width = size
    black, white = _range(info, 219)
    low, high = _ends(luma, black, white)
    slope = np.float32(219 / 255 / (white - black))  # to luma as networks expect it: studio range, divided by 255

    def to_network(values: Plane | int) -> np.ndarray:
        return (np.asarray(values, np.float32) - np.float32(black)) * slope + np.float32(16 / 255)

    picture = Image(pixels=to_network(luma)[..., None])
    bounds = (float(to_network(low)), float(to_network(high)))
    larger = upscaler.upscale(picture, size=(width, height), bounds=bounds, progress=progress).pixels[..., 0]
    planes = [_stored((larger - np.float32(16 / 255)) / slope + np.float32(black), low, high, luma)]
    black, white = _range(info, 224)
    for plane in chroma:
        down, across = (
            SamplePositions(-(-new // step), new / old, site * (0.5 - 0.5 / step) * (1 - old / new))
            for old, new, step, site in zip(luma.shape, size, info.subsampling, SITES[info.siting], strict=True)
        )
        planes.append(_stored(resample(plane.astype(np.float32), down, across), *_ends(plane, black, white), plane))
    return Frame(planes, frame.time, frame.duration)


def _video(header: Header) -> VideoInfo:
    assert header.video is not None
    return header.video


def _encoding(job: Job) -> Target:
    suffix = job.target.suffix.lower()
    codec = job.options.codec or ("av1" if suffix == ".webm" else "h264")
    return Target(job.width, job.height, codec, job.options.crf, suffix, job.options.drop_track)


def _result(job: Job) -> Header:
    """The header of the result: that of the source, except for what its size changes."""
    header, info = job.header, _video(job.header)
    stretched = abs(job.width - header.width * job.height / header.height) >= 1  # more than rounding explains
    if stretched:  # the pixel aspect changes, so that the image keeps its shape when displayed
        info = info._replace(
            aspect=(info.aspect or Fraction(1)) * Fraction(header.width * job.height, header.height * job.width)
        )
    grows = not _is_large(header.width, header.height) and _is_large(job.width, job.height)
    if info.matrix == UNKNOWN and grows and header.channels == 3:
        info = info._replace(matrix=BT601)
    return header._replace(video=info)


def _is_large(width: int, height: int) -> bool:
    """Whether players assume BT.709 rather than BT.601 for an untagged video of this size."""
    return width >= 1280 or height > 576


def _reserved_memory(job: Job) -> int:
    """Bytes in use while a frame is enlarged: by the decoder, the encoder and the cache."""
    header = job.header
    one = encoding.frame_bytes(header, job.width, job.height)
    before = encoding.frame_bytes(header, header.width, header.height)
    return encoding.memory(header, _encoding(job)) + REMEMBERED * one + DECODED * before


def _prepare(folder: Path, recipe: str) -> None:
    """Make the folder if needed, and remove segments that belong to another recipe."""
    kept = folder / "recipe.json"
    with suppress(OSError, UnicodeDecodeError):
        if kept.read_text() == recipe:
            return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise DRRNError(f"{printable(folder)} can't be made a folder: {error.strerror or error}.") from error
    write_text(kept, recipe)


def _segments(job: Job, upscaler: Upscaler, folder: Path, hooks: Hooks) -> list[Path]:
    """Return all segments of the video; missing ones are encoded first."""
    video, count = _video(_result(job)), job.header.frames
    enlarge = _FrameCache(video, upscaler, (job.height, job.width))

    def enlarged(numbered: Iterator[tuple[int, Frame]]) -> Iterator[Frame]:
        for number, frame in numbered:
            progress = hooks.progress_of(number, count)
            larger = enlarge(frame, progress)
            progress(1)
            yield larger

    segments = []
    for number, numbered in groupby(enumerate(_frames(job, folder)), key=lambda each: each[0] // SEGMENT):
        path = folder / f"{number:06}.npz"
        if path.exists():
            for at, _ in numbered:
                hooks.progress_of(at, count)(1)
        else:
            encoding.encode(enlarged(numbered), video, _encoding(job), path)
        segments.append(path)
    return segments


def _frames(job: Job, folder: Path) -> Iterator[Frame]:
    """Yield the frames of the source. If they are damaged, the segments are of no use, and the folder is removed."""
    try:
        yield from decoding.frames(job.source, job.header)
    except ImageError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


class _FrameCache:
    """Enlarges frames, and caches the last few results: animated drawings often repeat a frame."""

    def __init__(self, video: VideoInfo, upscaler: Upscaler, size: tuple[int, int]):
        self.video, self.upscaler, self.size = video, upscaler, size
        self.known: OrderedDict[bytes, list[Plane]] = OrderedDict()

    def __call__(self, frame: Frame, progress: Callable[[float], None]) -> Frame:
        key = blake2b(b"".join(plane.tobytes() for plane in frame.planes)).digest()
        planes = self.known.pop(key, None)
        if planes is None:
            planes = enlarge_frame(frame, self.video, self.upscaler, self.size, progress).planes
        self.known[key] = planes
        if len(self.known) > REMEMBERED:
            self.known.popitem(last=False)
        return Frame(planes, frame.time, frame.duration)


def _range(info: VideoInfo, steps: int) -> tuple[int, int]:
    """Return the nominal minimum and maximum of a plane.

    Args:
        steps: the distance between them in 8-bit studio range: 219 for luma, 224 for chroma.
    """
    if info.range == FULL:
        return 0, (1 << info.bits) - 1
    unit = 1 << (info.bits - 8)
    return 16 * unit, (16 + steps) * unit


def _ends(plane: Plane, black: int, white: int) -> tuple[int, int]:
    """Return the limits for the values of an enlarged plane."""
    return min(black, int(plane.min())), max(white, int(plane.max()))


def _stored(values: np.ndarray, low: int, high: int, like: Plane) -> Plane:
    return np.rint(values).clip(low, high).astype(like.dtype)


VIDEO: Final = Format(
    recognizes=containers.is_video,
    collects=_collects,
    probe=probing.probe,
    suffix=_suffix,
    check_writable=_check_writable,
    changes=_changes,
    estimate=_estimate,
    enlarge=_enlarge,
    condition=lambda job: Condition(True, "a video"),
    counts_frames=False,
)
