"""The options of `drrn upscale`: a dataclass per group, with the rules that apply within it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, arg

from drrn.engines import EngineName, Precision
from drrn.errors import UsageError
from drrn.media import Block, CodecName, Overviews
from drrn.weights import AUTO


@dataclass(frozen=True, kw_only=True)
class ResultOptions:
    """Result: where it goes, and in which quality."""

    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """A file, or a folder if there are several pictures; - is stdout. Without it, each result is written next to its
    picture. For a folder of pictures, give another folder; running the command again then only does what is missing or
    out of date.
    """
    format: Annotated[str | None, arg(metavar="FORMAT")] = None
    """Format of the results, given as a suffix: webp, png, tif, mkv. By default, the source's format. Can't be combined
    with a file name in --output.
    """
    name: Annotated[str | None, arg(metavar="PATTERN")] = None
    """Name of the results, without suffix: {stem} is the name of the source, and {scale}, {width} and {height} are
    numbers. By default {stem}_x{scale}. {stem} keeps the name, in another folder. Can't be combined with a file name in
    --output.
    """
    quality: int | None = None
    """Quality of JPEG and WebP, 1 to 100. By default a JPEG made from a JPEG keeps the quality of its source, from 80
    to 95, and its chroma subsampling; any other JPEG gets 95, and a lossy WebP 90.
    """
    lossless: bool = False
    """Write lossless WebP, even from a lossy one, and refuse JPEG. PNG, TIFF and the like are always lossless."""
    overwrite: bool = False
    """Replace existing files."""

    def __post_init__(self) -> None:
        if self.quality is not None and (self.lossless or not 1 <= self.quality <= 100):
            raise UsageError(f"--quality must be 1 to 100, without --lossless, got {self.quality}.")


@dataclass(frozen=True, kw_only=True)
class SizeOptions:
    """Size: how large the result is."""

    scale: Annotated[float | None, arg(aliases=["-s"])] = None
    """How many times larger, above 1 and at most 8. 2 if no --size is given."""
    size: Annotated[str | None, arg(metavar="SIZE")] = None
    """The size in pixels instead: 4000 is the longer side, 2000x the width, x1000 the height. 1920x1080 sets both sides
    and ignores the proportions; 1920x1080+ keeps them, and is at least that large.
    """


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Model: which network enlarges."""

    model: Annotated[str | None, arg(aliases=["-m"], metavar="MODEL")] = None
    """A packaged model (`drrn models list`) or a weights file. By default photo for pictures degraded by JPEG or noise,
    and base for clean ones. auto takes, for each picture, the best packaged model for its condition that is expected
    to finish within the --budget, or the fastest if none is.
    """
    budget: Annotated[str | None, arg(metavar="TIME")] = None
    """Time limit per picture with --model auto: 90, 30s, 2m or 1.5h. 30s by default."""
    units: int | None = None
    """Residual units to run, for models trained with several: fewer are faster."""
    ensemble: bool = False
    """Average the results for the eight flips and rotations of the picture: slightly better, in eight times the time.
    """

    def __post_init__(self) -> None:
        if self.budget is not None and self.model != AUTO:
            raise UsageError("--budget only works with --model auto.")
        if self.units is not None and self.model == AUTO:
            raise UsageError("--units needs a named model: pass --model NAME instead of auto.")


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """Folders and many pictures."""

    recursive: Annotated[bool, arg(aliases=["-r"])] = False
    """Also enlarge the pictures in subfolders."""
    watch: bool = False
    """Keep running, and enlarge pictures that are added to the folders, until a signal ends it."""
    jobs: Annotated[int, arg(aliases=["-j"])] = 1
    """Pictures to enlarge at the same time, if --max-memory is enough for all of them."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise UsageError(f"--jobs must be at least 1, got --jobs {self.jobs}.")


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Checks: is the source sound, and the result true to it."""

    check: bool = False
    """Reduce the result to the size of the source again, by bicubic, and report how much it differs from the source,
    compared to a bicubic enlargement.
    """
    check_map: bool = False
    """Also write these differences as photo_x2_check.png: the largest one of the channels, black for none, white for 5
    levels of 255 or more.
    """
    disagreement: bool = False
    """Write the standard deviation of the results for the eight flips and rotations as photo_x2_disagreement.png: black
    for none, white for 5 levels of 255 or more. It does not measure how far they are from the truth. Takes eight times
    the time; without --ensemble the result stays the same.
    """
    strict: bool = False
    """Refuse files that violate their format, even if no pixel depends on it, as photos of some phones do. Otherwise
    they are read, and what was tolerated is reported.
    """


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """Videos."""

    codec: CodecName | None = None
    """h264 by default, except in .webm; ffv1 is lossless."""
    crf: int | None = None
    """Loss of quality, 0 for the least. By default 17 for h264, 18 for hevc and 20 for av1."""
    drop_track: Annotated[tuple[int, ...], UseAppendAction, arg(metavar="INT")] = ()
    """Number of an audio, subtitle or data track to leave out; repeat it for several."""


@dataclass(frozen=True, kw_only=True)
class GeoTIFFOptions:
    """GeoTIFF."""

    block: Block | None = None
    """Side of the tiles in pixels, 256 by default."""
    overviews: Overviews = "keep"
    """Smaller versions (overviews) inside the file: keep writes them if the source has some, make always, halving down
    to 256 pixels, none never.
    """


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """Machine: time and memory."""

    estimate: bool = False
    """Print the expected time and memory instead of enlarging."""
    max_memory: int = 2048
    """MB that an enlargement may take. With less, it uses smaller tiles, with the same result."""
    max_pixels: int = 100_000_000
    """Most pixels of a picture, read or written."""
    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    engine: EngineName = "auto"
    """The implementation. auto is torch if --device names an accelerator, otherwise native, the compiled engine, or if
    that was not compiled reference, the same in NumPy.
    """
    threads: int = 0
    """CPU threads, 0 for all cores."""
    precision: Precision = "float32"
    """Arithmetic of the torch engine."""
    compile: bool = False
    """Let torch compile the network first: worthwhile for many pictures."""
