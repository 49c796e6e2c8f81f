"""The kinds of files that can be enlarged."""

from pathlib import Path
from typing import Final

from drrn.upscaling.formats.animation import ANIMATIONS
from drrn.upscaling.formats.dicom import SLICES
from drrn.upscaling.formats.image import PICTURES
from drrn.upscaling.formats.job import Format
from drrn.upscaling.formats.raster import SCENES
from drrn.upscaling.formats.video import FILMS

FORMATS: Final[tuple[Format, ...]] = (SLICES, SCENES, FILMS, ANIMATIONS, PICTURES)
"""The first that knows a file has it; the last takes all."""


def format_of(path: Path) -> Format:
    return next(kind for kind in FORMATS if kind.knows(path))
