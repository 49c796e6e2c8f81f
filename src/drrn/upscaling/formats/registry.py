"""The kinds of files that can be enlarged."""

from pathlib import Path
from typing import Final

from drrn.upscaling.formats.animation import ANIMATIONS
from drrn.upscaling.formats.dicom import SLICES
from drrn.upscaling.formats.image import PICTURES
from drrn.upscaling.formats.job import Kind
from drrn.upscaling.formats.raster import SCENES
from drrn.upscaling.formats.video import FILMS

KINDS: Final[tuple[Kind, ...]] = (SLICES, SCENES, FILMS, ANIMATIONS, PICTURES)
"""The first that knows a file has it; the last takes all."""


def kind_of(path: Path) -> Kind:
    return next(kind for kind in KINDS if kind.knows(path))
