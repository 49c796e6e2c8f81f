"""Convert an image from whatever type a caller has, and the result back to that type."""

from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drrn.media.image import Image, type_name
from drrn.media.pillow import from_pil, is_pillow, to_pil


def to_image(value: object) -> tuple[Image, Callable[[Image], Any]]:
    """Return the image, and a function that converts a result to the type of `value`.

    For an array that is an array, for a PIL image a PIL image, otherwise an `Image`.

    Raises:
        TypeError: `value` is neither a path, an Image, an array nor a PIL image.
        ValueError: the array or the PIL image is not gray or RGB, with or without alpha.
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
    """Return the pixels of `image` with the dtype and the axes of `array`, as the inverse of `Image.from_array`."""
    if array.dtype.kind == "f":  # floats are not rounded to levels
        planes = [image.pixels] if image.alpha is None else [image.pixels, image.alpha[..., None]]
        made: NDArray[Any] = np.concatenate(planes, axis=2)
    else:
        made = image.to_array()
    return (made[..., 0] if array.ndim == 2 else made).astype(array.dtype, copy=False)
