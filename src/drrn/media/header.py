"""What a file states before a pixel is decoded."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from drrn.media.file_format import FileFormat
from drrn.media.images.quality import Loss
from drrn.media.metadata.metadata import Metadata


class HDRMetadata(NamedTuple):
    """The mastering display of an HDR video, and its content light levels."""

    primaries: tuple[tuple[Fraction, Fraction], ...] = ()
    """x and y of red, green, blue and white; empty if unknown."""
    luminance: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))
    """Minimum and maximum, in cd/m2."""
    brightest: tuple[int, int] = (0, 0)
    """Maximum content light level and maximum frame average, in cd/m2."""


class VideoInfo(NamedTuple):
    """What a video states besides its `Header`, and its enlargement must state too."""

    stream: int
    """Its number in the file; other streams are copied."""
    pixels: str
    """FFmpeg's name of the pixel format, of `PIXELS`, without a j."""
    bits: int
    time_base: Fraction
    """Seconds that are one unit of its times."""
    rate: Fraction
    """Frames a second, on average."""
    range: int
    matrix: int
    primaries: int
    transfer: int
    """The four as FFmpeg numbers them."""
    siting: str
    """Where chroma lies, as FFmpeg calls it: left, center, topleft, ..., unspecified."""
    aspect: Fraction | None
    """Width of a pixel by its height."""
    turn: tuple[int, ...] | None
    """FFmpeg's display matrix: how it is to be turned when shown."""
    hdr: HDRMetadata

    @property
    def subsampling(self) -> tuple[int, int]:
        """Rows and columns of luma for each of chroma."""
        return (2 if "420" in self.pixels else 1), (2 if "420" in self.pixels or "422" in self.pixels else 1)


class Header(NamedTuple):
    """What a file states before a pixel is decoded."""

    format: FileFormat
    width: int
    height: int
    """Upright: after the EXIF orientation."""
    channels: int
    """1 gray or 3 color."""
    alpha: bool
    bits: Literal[8, 16]
    """Of a sample once it is read: 8 where the file has fewer."""
    converted: tuple[str, ...] = ()
    """What reading changes, each as `CMYK to sRGB`."""
    holds: tuple[str, ...] = ()
    """Metadata that the file has, of `ICC`, `EXIF`, `XMP` and `dpi`."""
    frames: int = 1
    seconds: tuple[Fraction, ...] = ()
    """How long each frame of an animation is shown."""
    plays: int = 1
    """How often an animation is; 0 for ever."""
    decoding: int = 0
    """Upper bound of the bytes that its decoder takes."""
    coded: int = 0
    """Pixels that its decoder makes, if these are more than the image has, because it is cropped."""
    tolerated: tuple[str, ...] = ()
    """What breaks the rules of its format and is read all the same, each as `wrong scan parameters corrected`."""
    loss: Loss | None = None
    """What its format has lost; None where that is nothing, or unknown."""
    video: VideoInfo | None = None
    """The rest, where it is one."""

    @property
    def pixels(self) -> int:
        """Of all frames together."""
        return self.width * self.height * self.frames

    @property
    def decoded(self) -> int:
        """Pixels that reading it takes, cropped ones included: what a limit must allow."""
        return max(self.pixels, self.coded)

    @property
    def jpeg_quality(self) -> int | None:
        """1 to 100, estimated from a JPEG's tables; None for other formats, or if it is unknown."""
        return self.loss.quality if self.format == "JPEG" and self.loss else None


class OpenImage(NamedTuple):
    """A file that can be read, judging by its beginning."""

    bands: Callable[[], Iterator[NDArray[Any]]]
    """Bands of rows (h, W, channels and alpha), uint8 or uint16, as stored; an iterator to use once."""
    header: Header
    metadata: Metadata
    orientation: int
    """1 to 8, as EXIF numbers them."""
