"""The options of `drrn upscale`: a dataclass a group, with the rules that hold within it."""

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
    """A file, or a folder for several pictures; - is stdout. Without it, each result goes beside its picture. A folder
    of pictures needs another folder, where a second run does only what is missing or out of date."""
    format: Annotated[str | None, arg(metavar="FORMAT")] = None
    """Format of results that --output does not name, as the end of their names: webp, png, tif, mkv. By default that
    of each source."""
    name: Annotated[str | None, arg(metavar="PATTERN")] = None
    """Name of such results, without its end: {stem} is that of the source, {scale}, {width} and {height} are numbers.
    By default {stem}_x{scale}; {stem} keeps the name, in another folder."""
    quality: int | None = None
    """Quality of JPEG and WebP, 1 to 100. By default a JPEG made from a JPEG keeps the quality of its source, from 80
    to 95, and its chroma subsampling; any other JPEG gets 95, a lossy WebP 90."""
    lossless: bool = False
    """Write WebP without loss, even from a lossy one, and refuse JPEG. PNG, TIFF and the like are always lossless."""
    overwrite: bool = False
    """Replace files that exist."""

    def __post_init__(self) -> None:
        if self.quality is not None and (self.lossless or not 1 <= self.quality <= 100):
            raise UsageError(f"--quality must be 1 to 100, without --lossless, got {self.quality}.")


@dataclass(frozen=True, kw_only=True)
class SizeOptions:
    """Size: how large the result is."""

    scale: Annotated[float | None, arg(aliases=["-s"])] = None
    """How many times larger, above 1 and at most 8. 2 unless a size is given."""
    size: Annotated[str | None, arg(metavar="SIZE")] = None
    """The size in pixels instead: 4000 is the longer side, 2000x the width, x1000 the height; 1920x1080 is both,
    whatever the proportions, and 1920x1080+ keeps them and is at least as large."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Model: which network enlarges."""

    model: Annotated[str | None, arg(aliases=["-m"], metavar="MODEL")] = None
    """A packaged model (`drrn models list`) or a weights file. By default photo enlarges pictures that JPEG or noise
    has spoilt, and small those that are clean. auto takes, for each picture, the best packaged model for its condition
    that is expected to finish within the --budget, or the fastest if none is."""
    budget: Annotated[str | None, arg(metavar="TIME")] = None
    """How long each picture may take with --model auto: 90, 30s, 2m or 1.5h. 30s by default."""
    units: int | None = None
    """Residual units to run, for models trained with several: fewer are faster."""
    ensemble: bool = False
    """Average the results for the eight flips and turns of the picture: a little better, in eight times the time."""

    def __post_init__(self) -> None:
        if self.budget is not None and self.model != AUTO:
            raise UsageError("--budget only works with --model auto.")
        if self.units is not None and self.model == AUTO:
            raise UsageError("--units needs a named model: pass --model NAME instead of auto.")


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """Folders and many pictures."""

    recursive: Annotated[bool, arg(aliases=["-r"])] = False
    """Take the pictures in subfolders too."""
    watch: bool = False
    """Keep running, and enlarge what arrives in the folders, until a signal ends it."""
    jobs: Annotated[int, arg(aliases=["-j"])] = 1
    """Pictures to enlarge at the same time, as far as --max-memory is enough for all of them."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise UsageError(f"--jobs must be at least 1, got --jobs {self.jobs}.")


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Checks: is the source sound, and the result true to it."""

    check: bool = False
    """Make the result smaller again, by bicubic, and say how far it is from the picture, and how far a bicubic
    enlargement is."""
    check_map: bool = False
    """Also write that as photo_x2_check.png: the largest difference of a channel, black where there is none, white
    from 5 levels of 255."""
    disagreement: bool = False
    """Write the standard deviation of the results for the eight flips and turns as photo_x2_disagreement.png: black
    where there is none, white from 5 levels of 255. It does not say how far they are from the truth. Takes eight times
    the time; the result stays the same without --ensemble."""
    strict: bool = False
    """Refuse files that break the rules of their format, even where no pixel depends on it, as photos of some phones
    do. Otherwise they are read, and what was tolerated is reported."""


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """Videos."""

    codec: CodecName | None = None
    """h264 by default, except in .webm; ffv1 is lossless."""
    crf: int | None = None
    """Loss of quality, 0 the least. By default 17 for h264, 18 for hevc and 20 for av1."""
    drop_track: Annotated[tuple[int, ...], UseAppendAction, arg(metavar="INT")] = ()
    """Number of a sound, subtitle or data track to leave out; repeat it for several."""


@dataclass(frozen=True, kw_only=True)
class GeoTIFFOptions:
    """GeoTIFF."""

    block: Block | None = None
    """Side of its tiles in pixels, 256 by default."""
    overviews: Overviews = "keep"
    """Smaller versions inside the file: keep makes them if the source has some, make always makes halves down to 256
    pixels, none never."""


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """Machine: time and memory."""

    estimate: bool = False
    """Say how much time and memory it would take, and stop."""
    max_memory: int = 2048
    """MB that an enlargement may take. With less, it works in smaller tiles, to the same result."""
    max_pixels: int = 100_000_000
    """Pixels of the largest picture to read or to make."""
    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    engine: EngineName = "auto"
    """What computes. auto is torch if --device names an accelerator, otherwise native, the compiled engine, or
    reference, the same in NumPy, if that was not compiled."""
    threads: int = 0
    """CPU threads, 0 for all cores."""
    precision: Precision = "float32"
    """Arithmetic of the torch engine."""
    compile: bool = False
    """Let torch compile the network first: for many pictures."""
