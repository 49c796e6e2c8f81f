"""How every kind of animation is converted: a table of docs/reference/formats.md, made like those of single images."""

import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from drrn.media.animation import files as animation
from drrn.upscaling.batch.planning import Request, plan
from drrn.upscaling.formats.job import Job
from tests.media import moving
from tests.media.mode_files import ICC, XMP
from tests.media.mode_reading import has_metadata
from tests.media.moving import Step, as_pillow_has_them, multiplied
from tests.media.png_by_the_book import decode

SUFFIXES = {"GIF": "gif", "PNG": "png", "WebP": "webp"}
COLUMNS = tuple(f"{source} to {target}" for source in SUFFIXES for target in SUFFIXES)
SIZE = (16, 12)
COLORS = np.array([[255, 0, 0], [0, 255, 0], [9, 99, 200], [1, 2, 3], [77, 77, 77]], np.uint8)
NUMBERS = np.add.outer(np.arange(12), np.arange(16)) % 5


def steps(
    alpha: Sequence[int] = (255,), *, deep: bool = False, delays: Sequence[tuple[int, int]] = ((7, 100),)
) -> list[Step]:
    """Two frames of five colors, with these alpha values."""
    result = []
    for number in range(2):
        opacity = np.resize(np.array(alpha, np.uint8), 5)[(NUMBERS + number) % 5]
        samples = np.dstack([np.roll(COLORS[NUMBERS], number, axis=1), opacity])
        if deep:
            samples = samples.astype(np.uint16) * 257
            samples[..., :3] ^= 0x0101  # values that 8 bits can't represent
        result.append(Step(samples, delay=delays[number % len(delays)], over=False, after=moving.CLEAR))
    return result


def _gif(**more: Any) -> Callable[[], bytes]:
    return lambda: moving.gif(steps(**more), SIZE)


def _png(bands: Sequence[int] = (0, 1, 2), extra: bytes = b"", plays: int = 0, **more: Any) -> Callable[[], bytes]:
    return lambda: moving.png(steps(**more), SIZE, bands=bands, extra=extra, plays=plays)


def _webp(plays: int = 0, **more: Any) -> Callable[[], bytes]:
    return lambda: moving.webp([step._replace(over=True) for step in steps(**more)], SIZE, plays=plays)


def _palette() -> bytes:
    table = np.column_stack([COLORS, np.array([255, 255, 0, 255, 255], np.uint8)])
    indices = [Step(np.repeat(((NUMBERS + number) % 5)[..., None], 4, axis=2).astype(np.uint8)) for number in range(2)]
    return moving.png(indices, SIZE, palette=table)


def _with(**metadata: Any) -> Callable[[str], Callable[[], bytes]]:
    def make(form: str) -> Callable[[], bytes]:
        def save() -> bytes:
            file = io.BytesIO()
            first, second = (Image.fromarray(step.samples[..., :3].copy()) for step in steps())
            more = {"lossless": True} if form == "WebP" else {}
            first.save(file, form, save_all=True, append_images=[second], duration=70, loop=0, **metadata, **more)
            return file.getvalue()

        return save

    return make


def _exif(**resolution: bool) -> bytes:
    tags = Image.Exif()
    tags[0x10F] = "Maker"
    if resolution:
        tags[0x11A], tags[0x11B], tags[0x128] = 300.0, 300.0, 2
    return tags.tobytes()


HARD, SOFT = (255, 0), (255, 102, 0)
LOOP = {"PNG": lambda: moving.png(steps(), SIZE, bands=(0, 1, 2), plays=3), "WebP": _webp(plays=3)}
ROWS: dict[str, dict[str, Callable[[], bytes]]] = {
    "palette": {"GIF": _gif()},
    "palette with a transparent entry": {"GIF": _gif(alpha=HARD), "PNG": _palette},
    "gray": {"PNG": _png((0,))},
    "RGB": {"PNG": _png(), "WebP": _webp()},
    "RGBA": {"PNG": _png((0, 1, 2, 3), alpha=SOFT), "WebP": _webp(alpha=SOFT)},
    "gray, 16 bit": {"PNG": _png((0,), deep=True)},
    "RGBA, 16 bit": {"PNG": _png((0, 1, 2, 3), deep=True, alpha=SOFT)},
    "durations in 1/100 s": {"GIF": _gif(), "PNG": _png(), "WebP": _webp()},
    "durations of 33 and 34 ms": {
        "PNG": _png(delays=[(33, 1000), (34, 1000)]),
        "WebP": _webp(delays=[(33, 1000), (34, 1000)]),
    },
    "durations of 1/30 s": {"PNG": _png(delays=[(1, 30)])},
    "shown three times": {"GIF": lambda: moving.gif(steps(), SIZE, loop=2), **LOOP},
    "shown once": {
        "GIF": lambda: moving.gif(steps(), SIZE, loop=None),
        "PNG": _png(plays=1),
        "WebP": _webp(plays=1),
    },
    "ICC": {form: _with(icc_profile=ICC)(form) for form in ("PNG", "WebP")},
    "EXIF": {form: _with(exif=_exif())(form) for form in ("PNG", "WebP")},
    "XMP": {
        "PNG": _png(extra=moving.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)),
        "WebP": _with(xmp=XMP)("WebP"),
    },
    "dpi": {
        "PNG": _png(extra=moving.chunk(b"pHYs", struct.pack(">LLB", 11811, 11811, 1))),
        "WebP": _with(exif=_exif(resolution=True))("WebP"),
    },
}
"""Feature -> for each format that has it, a function that makes a file."""
SAMPLES = list(ROWS)[:7]
NOTES = ("ICC", "EXIF", "XMP", "dpi")


def rows(folder: Path) -> list[list[str]]:
    return [[row, *(_cell(row, source, target, folder) for source in SUFFIXES for target in SUFFIXES)] for row in ROWS]


def _cell(row: str, source: str, target: str, folder: Path) -> str:
    if source not in ROWS[row]:
        return "-"
    path = folder / f"a.{SUFFIXES[source]}"
    path.write_bytes(ROWS[row][source]())
    job = plan(path, folder / f"b.{SUFFIXES[target]}", Request(2, overwrite=True))
    before = as_pillow_has_them(path)
    double(job)
    after = as_pillow_has_them(job.target)
    reported = [word for word in job.format.changes(job) if _is_of(word, row)]
    if row in SAMPLES:
        right, same = _samples(after[0], job)
        same = same and "palette" not in row and target != "GIF"
    elif row in NOTES:
        right, same = True, has_metadata(row, job.target, dpi=600)
    else:
        right = abs(sum(after[1]) - sum(before[1])) <= 10
        plays = [each if form != "GIF" else 1 if each is None else each + 1 if each else 0
                 for each, form in ((before[2], source), (after[2], target))]  # fmt: skip
        same = animation.probe(path).seconds == animation.probe(job.target).seconds and plays[0] == plays[1]
    if not right or same == bool(reported):
        return f"{'kept' if same else 'changed'}, and reported as {', '.join(reported) or 'kept'}!"
    return f"converted ({', '.join(reported)})" if reported else "kept"


def double(job: Job) -> None:
    """The animation, enlarged by repeating pixels."""
    whole = animation.read(job.source)
    frames = (frame.repeat(2, 0).repeat(2, 1) for frame in whole.frames())
    animation.write(frames, job.target, whole, (job.width, job.height), overwrite=True)


def _is_of(word: str, row: str) -> bool:
    kind = "note" if word.startswith("without") else "time" if word.startswith(("durations", "shown")) else "samples"
    return row in word if row in NOTES else kind == ("samples" if row in SAMPLES else "time")


def _samples(after: list[Any], job: Job) -> tuple[bool, bool]:
    """Compare the samples with the expected ones."""
    before, right = list(animation.read(job.source).frames()), True  # Pillow has no 16 bit
    if job.target.suffix == ".png" and job.header.bits == 16:
        after = list(animation.read(job.target).frames())
    for small, large in zip(map(multiplied, before), map(multiplied, after), strict=True):
        hard = (small[..., 3] == 0) | (small[..., 3] == 1)
        right = right and bool(np.abs(small - large[::2, ::2])[hard].max() <= 1 / 255)
    first = animation.read(job.target)
    bits = first.header.bits == job.header.bits and first.header.channels == job.header.channels
    same = bits and first.header.alpha == job.header.alpha
    if same and job.header.bits == 16:
        theirs = decode(job.target.read_bytes())
        same = np.array_equal(theirs[::2, ::2], before[0])
    return right, same
