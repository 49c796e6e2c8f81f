"""Read and write images, animations, videos, rasters and DICOM with their metadata. Independent of networks."""

from typing import Literal

CodecName = Literal["h264", "hevc", "av1", "ffv1"]
Block = Literal[128, 256, 512, 1024]
"""Side of a tile of a GeoTIFF, in pixels."""
Overviews = Literal["keep", "make", "none"]
"""Whether a GeoTIFF gets overviews: if its source has them, always, or never."""
