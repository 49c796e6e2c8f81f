"""A job, which is one file to enlarge, and a format, which is how files of one kind are enlarged.

The formats are listed in `drrn.upscaling.formats.registry`; `drrn.upscaling.batch` plans and runs jobs.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from drrn import __version__
from drrn.atomic import refuse_existing
from drrn.media import Block, CodecName, Overviews
from drrn.media.dicom.derivation import Derivation
from drrn.media.file_format import FileFormat
from drrn.media.header import Header
from drrn.media.images.quality import Loss, choose_loss
from drrn.media.naming import split
from drrn.upscaling.condition import CLEAN, Condition
from drrn.upscaling.consistency import CheckResult, Checks
from drrn.upscaling.cost import Estimate
from drrn.upscaling.upscaler import Upscaler


@dataclass(frozen=True)
class Options:
    """What the user chose besides the size; the same for all files of a run."""

    checks: Checks = Checks()
    budget: float | None = None
    """Seconds per file, when there are several models to choose from."""
    quality: int | None = None
    """JPEG and WebP quality, 1 to 100; None follows the source, see `drrn.media.images.quality`."""
    lossless: bool = False
    """Refuse lossy encoding."""
    codec: CodecName | None = None
    """Video codec; None is H.264, or AV1 in WebM."""
    crf: int | None = None
    """How much a video encoder may lose, on the encoder's own scale: less is better."""
    drop_track: tuple[int, ...] = ()
    """Numbers of the video tracks to leave out, counted from 0 as ffprobe does."""
    block: Block | None = None
    """Side of a GeoTIFF's tiles in pixels; None is 256."""
    overviews: Overviews = "keep"
    """Which overviews a GeoTIFF gets."""


@dataclass(frozen=True)
class Hooks:
    """What a format calls while it enlarges a file."""

    start: Callable[[], None] = lambda: None
    """Called once all checks of the source have passed and before the target is touched."""
    progress: Callable[[float], None] = lambda share: None
    """Called with the share that is done, in [0, 1]. An exception from it stops the work and leaves no partial file."""
    written: Callable[[Path, Path], None] = lambda path, temporary: None
    """Called with the path of each result and the complete temporary file, before that is renamed to the path."""

    def progress_of(self, part: int, parts: int) -> Callable[[float], None]:
        """The progress of one of several equal parts, such as the frames of a video, as progress of the whole.

        Args:
            part: its number, from 0.
            parts: how many there are; if there turn out to be more, the whole stays at 1.
        """
        return lambda share: self.progress(min((part + share) / parts, 1.0))


@dataclass(frozen=True)
class Job:
    """One file to enlarge, and the file it becomes."""

    format: "Format"
    source: Path
    target: Path
    header: Header
    width: int
    """Width of the result in pixels."""
    height: int
    overwrite: bool = False
    """Whether the target and the maps may replace files."""
    options: Options = Options()
    requested_size: str = ""
    """The scale or the size as the user gave it; the same for all files of a run."""

    @property
    def outputs(self) -> list[Path]:
        """The target, and the maps of the checks."""
        return [self.target, *self.options.checks.maps(self.target)]

    @property
    def scales(self) -> tuple[float, float]:
        """Horizontal and vertical scale."""
        return self.width / self.header.width, self.height / self.header.height

    def check_writable(self, path: Path, *, overwrite: bool) -> None:
        """Raises ImageError: this one of the outputs cannot be written, or exists and `overwrite` is off."""
        self.format.check_writable(self, path)
        refuse_existing(path, overwrite=overwrite)

    def loss(self, form: FileFormat) -> Loss | None:
        """How much a target in this format may lose. Raises UsageError: it cannot lose as little as requested."""
        quality, lossless = self.options.quality, self.options.lossless
        return choose_loss(form, self.header.format, self.header.loss, quality=quality, lossless=lossless)

    def recipe(self, upscaler: Upscaler) -> str:
        """Everything that decides the result besides the source, as JSON."""
        return self._recipe(upscaler, [self.width, self.height])

    def derivation(self, upscaler: Upscaler) -> Derivation:
        """What a result may say about how it was made."""
        series = self._recipe(upscaler, self.requested_size)
        return Derivation(self.recipe(upscaler), series, upscaler.weights.name, __version__)

    def _recipe(self, upscaler: Upscaler, size: list[int] | str) -> str:
        return json.dumps(
            {
                "model": upscaler.weights.digest(),
                "units": upscaler.units,
                "engine": upscaler.engine.name.partition(" ")[0],
                "precision": upscaler.precision,
                "ensemble": upscaler.ensemble,
                "size": size,
                "options": _recipe_of(self.options),
            }
        )


def _recipe_of(options: Options) -> dict[str, Any]:
    """The options as recipes hold them.

    These keys and their order are in manifests and DICOM files that exist: fields may be renamed, keys may not.
    """
    checks = options.checks
    return {
        "asked": {
            "disagreement": checks.disagreement,
            "check": checks.check,
            "check_map": checks.check_map,
        },
        "budget": options.budget,
        "quality": options.quality,
        "lossless": options.lossless,
        "codec": options.codec,
        "crf": options.crf,
        "drop_track": options.drop_track,
        "block": options.block,
        "overviews": options.overviews,
    }


class Probe(Protocol):
    def __call__(self, path: Path, /, *, max_pixels: int) -> Header:
        """Read the header of a file without decoding a pixel.

        Raises:
            DRRNError: the file cannot be read, or has more than `max_pixels`.
        """
        ...


@dataclass(frozen=True)
class Format:
    """How files of one kind are enlarged: a value made of functions."""

    recognizes: Callable[[Path], bool]
    """Whether a file's content is of this kind, whatever its name."""
    collects: Callable[[Path], bool]
    """Whether a file found in a folder is one, judged by its name first: all others are skipped without an error."""
    probe: Probe
    suffix: Callable[[Path, Header, str], str]
    """Suffix of the result for a source, its header and its name, which is not opened, if the user names none."""
    check_writable: Callable[[Job, Path], None]
    """Raises ImageError: this one of the job's outputs cannot be written. Whether it exists is not checked here."""
    changes: Callable[[Job], tuple[str, ...]]
    """What is converted or dropped on the way to the target, each as `CMYK to sRGB` or `without EXIF`."""
    estimate: Callable[[Job, Upscaler], Estimate]
    """Predict the cost. Raises UsageError: it does not fit into the upscaler's memory."""
    enlarge: Callable[[Job, Upscaler, Hooks], CheckResult]
    """Read, enlarge and write the file, and return what the checks found.

    Raises DRRNError: it is damaged, has grown since it was probed, or cannot be written.
    """
    condition: Callable[[Job], Condition] = lambda job: CLEAN
    """Whether the file's images are clean. Raises DRRNError: it is damaged."""
    has_checks: bool = False
    """Whether results can be checked, and have maps."""
    counts_frames: bool = True
    """Whether a limit on pixels applies to all frames together rather than to each."""
    warning: str = ""
    """What users of the result must know; empty if nothing."""


def keep_suffix(name: str, allowed: Sequence[str]) -> str:
    """The suffix of the source's name if results may have it, otherwise the first that is `allowed`."""
    suffix = split(name)[1]
    return suffix if suffix.lower() in allowed else allowed[0]
