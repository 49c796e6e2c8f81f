"""The gate: a file becomes a `Picture` and back, and nothing is lost. Knows no network."""

from typing import Literal

CodecName = Literal["h264", "hevc", "av1", "ffv1"]
