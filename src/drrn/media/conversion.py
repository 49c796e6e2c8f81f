"""Whatever a caller has an image in becomes an `Image`, and the result what fits it."""

from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrn.media.image import Image, type_name
from drrn.media.pillow import from_pil, is_pillow, to_pil


def to_image(value: object) -> tuple[Image, Callable[[Image], Any]]:
    """The image, and a function that makes of a result what fits: an array of an array, a PIL image of a PIL image.

    Raises:
        TypeError: it is neither a path, an Image, an array nor a PIL image.
        ValueError: the array or the PIL image holds something else than gray or RGB, with or without alpha.
        ImageError: the file cannot be read.
    """
    if isinstance(value, Image):
        return value, lambda result: result
    if isinstance(value, str | PathLike):
        return Image.open(value), lambda result: result
    if isinstance(value, np.ndarray):
        return Image.from_array(value), lambda result: array_like(value, result)
    if is_pillow(value):
        return from_pil(value), to_pil
    raise TypeError(
        f"An image is a path (str or Path), a drrn.Image, a NumPy array or a PIL image, got {type_name(value)}."
    )


def array_like(array: NDArray[Any], image: Image) -> NDArray[Any]:
    """The pixels of `image` in the dtype and the axes of `array`, of which `Image.from_array` makes such an image."""
    if array.dtype.kind == "f":  # not rounded to levels
        planes = [image.pixels] if image.alpha is None else [image.pixels, image.alpha[..., None]]
        made: NDArray[Any] = np.concatenate(planes, axis=2)
    else:
        made = image.to_array()
    return (made[..., 0] if array.ndim == 2 else made).astype(array.dtype, copy=False)
