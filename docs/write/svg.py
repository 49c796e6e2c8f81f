"""A few shapes as SVG text: the same drawing gives the same bytes."""

from collections.abc import Iterable
from html import escape
from math import atan2, cos, sin

from drrn.plotting import GRID, INK, OTHERS, OURS

PALE = "#f7e3d9"
"""A light shade of OURS, for filled boxes."""
LIGHT = "#eef1f4"
"""A light shade of OTHERS."""
FONT = "font-family='Helvetica, Arial, sans-serif'"
HEAD = 8.0
"""Length of an arrow's head."""

Point = tuple[float, float]

__all__ = [
    "GRID",
    "INK",
    "LIGHT",
    "OTHERS",
    "OURS",
    "PALE",
    "arrow",
    "box",
    "circle",
    "drawing",
    "line",
    "path",
    "text",
]


def drawing(width: int, height: int, title: str, shapes: Iterable[str]) -> str:
    """A drawing on white, `width` x `height` units large; `title` is what a screen reader says."""
    size = f"viewBox='0 0 {width} {height}' width='{width}'"
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img' {FONT}>",
            f"<title>{escape(title)}</title>",
            f"<rect width='{width}' height='{height}' rx='6' fill='#ffffff'/>",
            *shapes,
            "</svg>\n",
        ]
    )


def text(x: float, y: float, words: str, *, size: int = 15, fill: str = INK, anchor: str = "middle") -> str:
    """Words whose middle (or start, or end) is at (x, y)."""
    at = f"x='{x:g}' y='{y:g}' font-size='{size}' fill='{fill}' text-anchor='{anchor}'"
    return f"<text {at} dominant-baseline='central'>{escape(words)}</text>"


def box(
    x: float,
    y: float,
    width: float,
    height: float,
    words: str = "",
    *,
    fill: str = LIGHT,
    stroke: str = OTHERS,
    size: int = 15,
) -> str:
    """A box with words in its middle; (x, y) is its upper left corner."""
    place = f"x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}'"
    shape = f"<rect {place} rx='3' fill='{fill}' stroke='{stroke}'/>"
    lines = words.split("\n") if words else []
    first = y + height / 2 - (len(lines) - 1) * size * 0.6
    return shape + "".join(
        text(x + width / 2, first + row * size * 1.2, each, size=size) for row, each in enumerate(lines)
    )


def circle(x: float, y: float, radius: float, words: str = "", *, fill: str = "#ffffff", stroke: str = INK) -> str:
    """A circle with words in its middle."""
    shape = f"<circle cx='{x:g}' cy='{y:g}' r='{radius:g}' fill='{fill}' stroke='{stroke}'/>"
    return shape + (text(x, y, words, size=18) if words else "")


def line(points: Iterable[Point], *, stroke: str = INK, width: float = 1.5, dashed: bool = False) -> str:
    """Straight lines from point to point."""
    joined = " ".join(f"{x:g},{y:g}" for x, y in points)
    dashes = " stroke-dasharray='5 4'" if dashed else ""
    return f"<polyline points='{joined}' fill='none' stroke='{stroke}' stroke-width='{width:g}'{dashes}/>"


def path(commands: str, *, stroke: str = INK, width: float = 1.5, fill: str = "none") -> str:
    """Any curve, as SVG writes it."""
    return f"<path d='{commands}' fill='{fill}' stroke='{stroke}' stroke-width='{width:g}'/>"


def arrow(*points: Point, stroke: str = INK, width: float = 1.5, dashed: bool = False) -> str:
    """Straight lines from point to point, with a head at the last."""
    (x0, y0), (x, y) = points[-2:]
    angle = atan2(y - y0, x - x0)
    foot = (x - HEAD * cos(angle), y - HEAD * sin(angle))
    side = HEAD * 0.45
    corners = [
        (x, y),
        (foot[0] - side * sin(angle), foot[1] + side * cos(angle)),
        (foot[0] + side * sin(angle), foot[1] - side * cos(angle)),
    ]
    head = " ".join(f"{round(a, 2):g},{round(b, 2):g}" for a, b in corners)
    shaft = line([*points[:-1], (round(foot[0], 2), round(foot[1], 2))], stroke=stroke, width=width, dashed=dashed)
    return shaft + f"<polygon points='{head}' fill='{stroke}'/>"
