"""A file that is to be enlarged, and what each kind of file must be able to do.

What is true of all files, and in which order they are done, is in `drrn.upscaling.batch.jobs`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from drrn import __version__
from drrn.media import Block, CodecName, Overviews
from drrn.media.dicom.derivation import Derivation
from drrn.media.header import Header
from drrn.media.images.quality import Loss, choose_loss
from drrn.media.metadata.notes import FileFormat
from drrn.upscaling.consistency import CheckResult, Checks
from drrn.upscaling.upscaler import Estimate, Upscaler

Made = Callable[[Path, Path], None]
"""Told of a file of the result and of the temporary file that has all of it, before this gets that name."""


@dataclass(frozen=True)
class Options:
    """What was asked for beside the size, the same for all files of a run."""

    asked: Checks = Checks()
    budget: float | None = None
    """Seconds for each file, where there are several models to choose from."""
    quality: int | None = None
    """Of JPEG and WebP, 1 to 100; by the source where none is given, see `drrn.media.images.quality`."""
    lossless: bool = False
    """Whether nothing may be lost in encoding."""
    codec: CodecName | None = None
    """Of films; H.264, and in WebM AV1, where none is named."""
    crf: int | None = None
    """How much of films may be lost, as encoders count it: less is better."""
    drop_track: tuple[int, ...] = ()
    """Numbers of tracks of films to leave out, counted from 0 as ffprobe does."""
    block: Block | None = None
    """Side of the tiles of a GeoTIFF, in pixels; 256 where nothing is said."""
    overviews: Overviews = "keep"
    """Of a GeoTIFF."""


@dataclass(frozen=True)
class Job:
    """A file and the file it becomes."""

    format: "Format"
    source: Path
    target: Path
    header: Header
    width: int
    """Of the result, in pixels, as the next."""
    height: int
    overwrite: bool = False
    """Whether the target and the maps may be there."""
    options: Options = Options()
    wanted: str = ""
    """The scale or the size that was asked for, the same for all files of a run."""

    @property
    def files(self) -> list[Path]:
        """The target, and the maps that were asked for."""
        return [self.target, *self.options.asked.maps(self.target)]

    @property
    def scales(self) -> tuple[float, float]:
        """How many times as wide and as high it becomes."""
        return self.width / self.header.width, self.height / self.header.height

    def loss(self, form: FileFormat) -> Loss | None:
        """How much of the target may be lost, in this format. Raises UsageError: that can't be as little as asked."""
        quality, lossless = self.options.quality, self.options.lossless
        return choose_loss(form, self.header.format, self.header.loss, quality=quality, lossless=lossless)

    def recipe(self, upscaler: Upscaler) -> str:
        """All that decides the result beside the source."""
        return self._recipe(upscaler, [self.width, self.height])

    def derived(self, upscaler: Upscaler) -> Derivation:
        """What a file may say of its making."""
        return Derivation(
            self.recipe(upscaler), self._recipe(upscaler, self.wanted), upscaler.weights.name, __version__
        )

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
    checks = options.asked
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


class Format(Protocol):
    """How files of a kind are enlarged."""

    @property
    def checks(self) -> bool:
        """Whether its results can be checked, and have maps."""
        ...

    @property
    def counts_frames(self) -> bool:
        """Whether a limit of pixels is one of all frames together, and not of each."""
        ...

    @property
    def warning(self) -> str:
        """What its users must know, or nothing."""
        ...

    def knows(self, path: Path) -> bool:
        """Whether the file says that it is of this kind, whatever its name."""
        ...

    def gathers(self, path: Path) -> bool:
        """Whether a file in a folder is one, by its name first of all: other files there are no errors."""
        ...

    def probe(self, source: Path, *, max_pixels: int) -> Header:
        """What the file says of itself. No pixel is decoded.

        Raises:
            DRRNError: it can't be read, or has more than `max_pixels`.
        """
        ...

    def name(self, source: Path, header: Header) -> tuple[str, str]:
        """The stem and the suffix of what it becomes, where no file was named."""
        ...

    def writable(self, job: Job, path: Path, *, overwrite: bool) -> None:
        """Raises ImageError: this one of the job's files can't be written."""
        ...

    def changes(self, job: Job) -> tuple[str, ...]:
        """What becomes something else on the way to the target, each as `CMYK to sRGB` or `without EXIF`."""
        ...

    def estimate(self, job: Job, upscaler: Upscaler) -> Estimate:
        """What it will cost. Raises UsageError: it does not fit into the upscaler's memory."""
        ...

    def enlarge(
        self,
        job: Job,
        upscaler: Upscaler,
        *,
        start: Callable[[], None],
        progress: Callable[[float], None],
        made: Made,
    ) -> CheckResult:
        """Read, enlarge, write, and say what was found.

        Args:
            start: to be called once what can be found out about the file has been, and before the target is touched.
            progress: told the share that is done; what it raises ends the work and leaves nothing half-written.

        Raises:
            DRRNError: it is damaged, has grown since it was probed, or can't be written.
        """
        ...
