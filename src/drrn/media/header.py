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
    """What a video states besides its `Header`, which its enlargement must state too."""

    stream: int
    """Number of the video stream; other streams are copied."""
    pixel_format: str
    """FFmpeg's pixel format, one of `PIXELS`, without a j."""
    bits: int
    time_base: Fraction
    """Unit of its timestamps, in seconds."""
    rate: Fraction
    """Average frames per second."""
    range: int
    matrix: int
    primaries: int
    transfer: int
    """FFmpeg's number, like the three above."""
    siting: str
    """FFmpeg's name for the chroma location: left, center, topleft, ..., unspecified."""
    aspect: Fraction | None
    """Width of a pixel divided by its height."""
    display_matrix: tuple[int, ...] | None
    """FFmpeg's display matrix: the rotation to apply when shown."""
    hdr: HDRMetadata

    @property
    def subsampling(self) -> tuple[int, int]:
        """Rows and columns of luma per sample of chroma."""
        return (2 if "420" in self.pixel_format else 1), (
            2 if "420" in self.pixel_format or "422" in self.pixel_format else 1
        )


class Header(NamedTuple):
    """What a file states before a pixel is decoded."""

    format: FileFormat
    width: int
    height: int
    """Upright, with the EXIF orientation applied; likewise the width."""
    channels: int
    """1 gray or 3 color."""
    alpha: bool
    bits: Literal[8, 16]
    """Bits per sample once decoded; 8 if the file has fewer."""
    converted: tuple[str, ...] = ()
    """What decoding converts or drops, each as `CMYK to sRGB`."""
    holds: tuple[str, ...] = ()
    """Metadata in the file, such as `ICC`, `EXIF`, `XMP` and `dpi`."""
    frames: int = 1
    seconds: tuple[Fraction, ...] = ()
    """Duration of each frame of an animation."""
    plays: int = 1
    """How often an animation is played; 0 for ever."""
    decoding: int = 0
    """Upper bound of the memory that decoding takes, in bytes."""
    coded: int = 0
    """Pixels that the decoder allocates if more than the image has, because it is cropped; otherwise 0."""
    tolerated: tuple[str, ...] = ()
    """Faults that are repaired on reading, each as `wrong scan parameters corrected`."""
    loss: Loss | None = None
    """The encoding quality of a lossy file; None if it is lossless or unknown."""
    video: VideoInfo | None = None
    """Further properties of a video; None for other files."""

    @property
    def pixels(self) -> int:
        """Pixels of all frames together."""
        return self.width * self.height * self.frames

    @property
    def decoded(self) -> int:
        """Pixels to be decoded, including those that are cropped; this is compared with limits."""
        return max(self.pixels, self.coded)

    @property
    def jpeg_quality(self) -> int | None:
        """1 to 100, estimated from a JPEG's tables; None for other formats, or if unknown."""
        return self.loss.quality if self.format == "JPEG" and self.loss else None


class OpenImage(NamedTuple):
    """An open file that can be decoded, judging by its header."""

    rows: Callable[[], Iterator[NDArray[Any]]]
    """Returns an iterator over bands of rows (h, W, channels and alpha), uint8 or uint16, as stored. Call it once."""
    header: Header
    metadata: Metadata
    orientation: int
    """EXIF orientation, 1 to 8, still to be applied."""
