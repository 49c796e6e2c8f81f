"""Read and write images, animations, videos, rasters and DICOM with their metadata. Knows no network."""

from typing import Literal

CodecName = Literal["h264", "hevc", "av1", "ffv1"]
Block = Literal[128, 256, 512, 1024]
"""Side of a tile of a GeoTIFF, in pixels."""
Overviews = Literal["keep", "make", "none"]
"""Whether a GeoTIFF gets smaller versions of itself: as its source has them, in any case, or never."""
