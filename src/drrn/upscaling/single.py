"""Enlarge one image, with the model for its condition."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from numpy.typing import NDArray

from drrn.media.conversion import to_image
from drrn.media.image import Image
from drrn.media.images.files import probe
from drrn.upscaling.condition import condition_of
from drrn.upscaling.size import Size
from drrn.upscaling.upscaler import Sample, Upscaler
from drrn.weights import DEFAULT, PHOTO
from drrn.weights.store import Weights

if TYPE_CHECKING:
    from PIL.Image import Image as Pillow


@overload
def upscale(
    image: Image | str | PathLike[str],
    scale: float | None = None,
    *,
    size: Size | None = None,
    weights: Weights | str | Path | None = None,
) -> Image: ...
@overload
def upscale(
    image: NDArray[Sample],
    scale: float | None = None,
    *,
    size: Size | None = None,
    weights: Weights | str | Path | None = None,
) -> NDArray[Sample]: ...
@overload
def upscale(
    image: "Pillow",
    scale: float | None = None,
    *,
    size: Size | None = None,
    weights: Weights | str | Path | None = None,
) -> "Pillow": ...
def upscale(
    image: "Image | str | PathLike[str] | NDArray[Any] | Pillow",
    scale: float | None = None,
    *,
    size: Size | None = None,
    weights: Weights | str | Path | None = None,
) -> Any:
    """Enlarge one image, as `Upscaler.upscale` does. For many images, create an `Upscaler` once and reuse it::

        drrn.upscale("photo.jpg", scale=2).save("large.jpg")

    Args:
        image: a path or an Image (the result is an Image), a NumPy array (an array), or a PIL image (a PIL image).
        scale: above 1 and at most 8; 2 if no size is given either.
        size: (width, height) in pixels instead; one of them may be None.
        weights: a packaged name, the path of a weights file, or Weights. By default a model for photos if JPEG or noise
            has degraded the image (`drrn.upscaling.condition`), and another one if it is clean.

    Raises:
        TypeError, ValueError: an argument is of another type, or the image is not gray or RGB.
        DRRNError: the file, the scale or the weights cannot be used.
    """
    source, back = to_image(image)
    if weights is None:
        quality = probe(Path(image)).jpeg_quality if isinstance(image, str | PathLike) else None
        weights = PHOTO if condition_of(source.pixels, quality).degraded else DEFAULT
    return back(Upscaler(weights).upscale(source, scale, size=size))
