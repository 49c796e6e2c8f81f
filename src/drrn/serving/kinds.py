"""The kinds of files that a service can accept, by the names that clients use."""

from typing import Any, Final

from drrn.errors import UsageError
from drrn.serving.config import KindName


class KindError(UsageError):
    """The service does not accept this kind of file."""


KINDS: Final[dict[KindName, str]] = {
    "image": "a single picture",
    "animation": "an animation",
    "video": "a video",
    "raster": "a GeoTIFF",
    "dicom": "a DICOM file",
}


def kind_name(file_format: Any) -> KindName:
    """The name of a kind of file, given its `drrn.upscaling.formats.job.Format`."""
    from drrn.upscaling.formats import animation, dicom, raster, video

    names: list[tuple[Any, KindName]] = [
        (animation.ANIMATION, "animation"),
        (dicom.DICOM, "dicom"),
        (raster.RASTER, "raster"),
        (video.VIDEO, "video"),
    ]
    return next((name for each, name in names if each is file_format), "image")
