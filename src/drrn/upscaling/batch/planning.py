"""Plan the enlargement of a file: everything that can be checked is checked before any work begins."""

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from drrn.errors import ImageError, UsageError, printable
from drrn.media.header import Header
from drrn.media.images.files import MAX_PIXELS
from drrn.media.images.formats import SUFFIXES
from drrn.media.naming import split
from drrn.upscaling.batch.folders import is_folder
from drrn.upscaling.batch.naming import Fit, Naming
from drrn.upscaling.consistency import Checks
from drrn.upscaling.formats.job import Format, Job, Options
from drrn.upscaling.formats.registry import format_of
from drrn.upscaling.size import Size, target_size

LOSSY: Final = (*SUFFIXES["JPEG"], *SUFFIXES["WebP"])
LONGEST_NAME: Final = 255
"""Longest file name in bytes, on all common file systems."""


@dataclass(frozen=True)
class Request:
    """What the user requested for all files of a run."""

    scale: float | None = None
    """2 if no size is given either."""
    size: Size | Fit | None = None
    many: bool = False
    """Whether there may be several files: an output is then a folder, whatever its suffix."""
    naming: Naming = Naming()
    """How results are named if the output is not a file."""
    max_pixels: int = MAX_PIXELS
    """Limit for each source and each result."""
    overwrite: bool = False
    strict: bool = False
    """Refuse files that break the rules of their format, even if no pixel depends on it."""
    options: Options = Options()

    def __str__(self) -> str:
        """The scale or the size, as in recipes: x2, 1920x1080, 2000x, x1000, 4000 or 1920x1080+."""
        if self.size is None:
            return f"x{self.scale or 2:g}"
        return str(self.size) if isinstance(self.size, Fit) else "x".join(str(side or "") for side in self.size)


def plan(source: Path, output: Path | None, request: Request = Request()) -> Job:
    """Plan the enlargement of one file.

    Args:
        output: the file to write if it has a suffix and there is one source, otherwise the folder to write to.
            None writes next to the source: `photo.png` becomes `photo_x2.png` or `photo_1920x1080.png`. If that name
            would be too long for a file, the end of `photo` is dropped.

    Raises:
        ImageError: the source cannot be read, or the target or a map cannot be written.
        UsageError: scale or size is out of range, or the source would overwrite itself.
    """
    format = format_of(source)
    header = format.probe(source, max_pixels=request.max_pixels)
    _check_source(source, format, header, request)
    width, height = _result_size(source, format, header, request)
    if output is not None and output.suffix and not request.many and not is_folder(output):
        target = _named_target(output, request.naming)
    else:
        target = (output or source.parent) / _default_name(source, format, header, (width, height), request)
    if request.options.quality is not None and not request.many and target.suffix.lower() not in LOSSY:
        raise UsageError(f"--quality is for JPEG and WebP, and {printable(target)} will be neither. Leave it out.")
    job = Job(format, source, target, header, width, height, request.overwrite, request.options, str(request))
    for path in job.outputs:
        with suppress(OSError):  # most do not exist
            if path.samefile(source):
                raise UsageError(f"{printable(source)} would overwrite itself. Give another --output.")
        job.check_writable(path, overwrite=request.overwrite)
    return job


def _check_source(source: Path, format: Format, header: Header, request: Request) -> None:
    if request.strict and header.tolerated:
        faults = ", ".join(header.tolerated)
        raise ImageError(
            f"{printable(source)} breaks the rules of {header.format}: without --strict it is read, {faults}."
        )
    if request.options.checks != Checks() and not format.has_checks:
        what = "an animation" if header.seconds else f"a {header.format} file"
        raise UsageError(f"{printable(source)} is {what}, which has no checks and no maps. Leave them out.")


def _result_size(source: Path, format: Format, header: Header, request: Request) -> tuple[int, int]:
    size = request.size.size(header.width, header.height) if isinstance(request.size, Fit) else request.size
    width, height = target_size(header.width, header.height, request.scale, size)
    frames = header.frames if format.counts_frames else 1
    if width * height * frames > request.max_pixels:
        counted = f" in {frames} frames" if frames > 1 else ""
        raise UsageError(
            f"{printable(source)} would become {width}x{height}{counted}, more than {request.max_pixels} pixels. "
            "Give a smaller scale, or a larger --max-pixels."
        )
    return width, height


def _named_target(output: Path, naming: Naming) -> Path:
    if naming != Naming():
        raise UsageError(f"{printable(output)} names a file. Leave out --name and --format, or give a folder.")
    if not is_folder(output.parent):  # checked now, not after the work
        raise UsageError(f"{printable(output)} can't be written: there is no folder {printable(output.parent)}.")
    return output


def _default_name(source: Path, format: Format, header: Header, size: tuple[int, int], request: Request) -> str:
    """A name by the request's pattern. The stem is shortened until there is room for the names of the maps too."""
    exact = request.size is not None
    scale = f"{size[0] / header.width:.4g}" if exact else f"{request.scale or 2:g}"
    named = partial(
        request.naming.name, suffix=format.suffix(source, header, source.name), scale=scale, size=size, exact=exact
    )
    stem = split(source.name)[0]
    while _longest(named(stem), request.options.checks) > LONGEST_NAME and stem:
        stem = stem[:-1]
    return named(stem)


def _longest(name: str, checks: Checks) -> int:
    """Return the longest name of a result and its maps, in bytes."""
    return max(len(os.fsencode(path.name)) for path in [Path(name), *checks.maps(Path(name))])
