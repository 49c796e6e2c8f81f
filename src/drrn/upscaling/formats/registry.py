"""The formats that can be enlarged."""

from pathlib import Path
from typing import Final

from drrn.upscaling.formats.animation import ANIMATION
from drrn.upscaling.formats.dicom import DICOM
from drrn.upscaling.formats.image import IMAGE
from drrn.upscaling.formats.job import Format
from drrn.upscaling.formats.raster import RASTER
from drrn.upscaling.formats.video import VIDEO

FORMATS: Final[tuple[Format, ...]] = (DICOM, RASTER, VIDEO, ANIMATION, IMAGE)
"""In order of precedence: a file belongs to the first that recognizes it, and the last one accepts any."""


def format_of(path: Path) -> Format:
    return next(each for each in FORMATS if each.recognizes(path))
