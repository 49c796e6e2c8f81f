"""Map points and areas of a stored image to the image turned upright."""

from fractions import Fraction
from typing import NamedTuple, TypeVar

Number = TypeVar("Number", int, float, Fraction)


class Area(NamedTuple):
    """An area; a point if both sides are 0."""

    x: Fraction
    y: Fraction
    """Vertical center."""
    width: Fraction = Fraction(0)
    height: Fraction = Fraction(0)


def is_quarter(orientation: int) -> bool:
    """Whether the orientation swaps width and height."""
    return orientation >= 5


def turn(area: Area, orientation: int, width: Fraction | int, height: Fraction | int) -> Area:
    """Map an area of the stored image to the upright image.

    Args:
        orientation: EXIF orientation, 1 to 8.
        width, height: sides of the stored image, in the units of the area.
    """
    x, y = area.x, area.y
    place = {
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }.get(orientation, (x, y))
    sides = (area.height, area.width) if is_quarter(orientation) else (area.width, area.height)
    return Area(Fraction(place[0]), Fraction(place[1]), *sides)
