"""The kinds of files that a service can take, by the names that clients know."""

from typing import Any, Final

from drrn.errors import UsageError
from drrn.serving.config import KindName


class KindError(UsageError):
    """This service does not take files of this kind."""


KINDS: Final[dict[KindName, str]] = {
    "image": "a single picture",
    "animation": "an animation",
    "video": "a video",
    "raster": "a GeoTIFF",
    "dicom": "a DICOM file",
}


def kind_name(of: Any) -> KindName:
    """Name of the files of a `drrn.upscaling.formats.job.Format`."""
    from drrn.upscaling.formats import animation, dicom, raster, video

    names: list[tuple[Any, KindName]] = [
        (animation.ANIMATION, "animation"),
        (dicom.DICOM, "dicom"),
        (raster.RASTER, "raster"),
        (video.VIDEO, "video"),
    ]
    return next((name for each, name in names if each is of), "image")
