"""The recipe of a request: how to enlarge its picture, parsed from the query parameters."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Final, Literal

from drrn import __version__
from drrn.errors import UsageError
from drrn.upscaling.batch.naming import parse_size
from drrn.upscaling.size import MAX_SCALE
from drrn.weights import AUTO

FORMATS: Final = ("keep", "png", "jpg", "webp", "tif", "bmp", "pnm", "gif", "mp4", "mkv", "webm", "mov", "dcm")
"""Formats of results. Not every format is possible for every kind of file."""
MAX_NAME: Final = 200
"""Characters of a client's file name that are kept."""


class ParameterError(UsageError):
    """A parameter of a request is unknown, repeated or invalid."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to enlarge a picture. Together with the picture and the version of drrn, it determines the result."""

    name: str = ""
    """Name of the client's file: the name of the result follows from it, and whether that ends with .jpg or .jpeg."""
    scale: float | None = None
    size: str = ""
    """As `drrn.upscaling.batch.naming.parse_size` takes it; empty if there is a scale."""
    model: str = AUTO
    units: int | None = None
    format: str = "keep"
    """One of `FORMATS`."""
    quality: int | None = None
    """Quality of JPEG and WebP, 1 to 100."""
    lossless: bool = False
    metadata: Literal["keep", "drop"] = "keep"
    check: bool = False
    """Whether to reduce the result again and compare it with the picture."""


def parse_recipe(query: Iterable[tuple[str, str]], name: str, models: Sequence[str]) -> Recipe:
    """Parse the query parameters of a request.

    Args:
        query: (name, value) pairs.
        name: name of the client's file; empty if it is not known.
        models: the models that the service offers.

    Raises:
        ParameterError: a parameter is unknown, repeated or out of range.
    """
    given: dict[str, str] = {}
    for key, value in query:
        if key in given:
            raise ParameterError(f"`{_short(key)}` is given twice.")
        given[key] = value
    known = [each.name for each in fields(Recipe) if each.name != "name"]
    if unknown := set(given).difference(known):
        raise ParameterError(f"There is no parameter `{_short(min(unknown))}`. There are {', '.join(known)}.")
    scale = _number(given, "scale", low=1, high=MAX_SCALE)
    size = _plus(given.get("size", ""))
    if "scale" in given and "size" in given:
        raise ParameterError("Give `scale` or `size`, not both.")
    if "size" in given:
        if len(size) > 20:
            raise ParameterError(
                f"A size is written 4000, 2000x, x1000, 1920x1080 or 1920x1080+, got {_short(size)!r}."
            )
        try:
            parse_size(size)
        except UsageError as error:
            raise ParameterError(str(error)) from error
    quality, lossless = _integer(given, "quality", 1, 100), _flag(given, "lossless")
    if quality is not None and lossless:
        raise ParameterError("Give `quality` or `lossless`, not both.")
    model, units = _one_of(given, "model", (AUTO, *models)), _integer(given, "units", 0, 1000)
    if units is not None and model == AUTO:
        raise ParameterError(f"`units` needs a named model: add model={models[0]}.")
    return Recipe(
        name=clean_name(name),
        scale=scale if size or scale else 2.0,
        size=size,
        model=model,
        units=units,
        format=_one_of(given, "format", FORMATS),
        quality=quality,
        lossless=lossless,
        metadata="drop" if _one_of(given, "metadata", ("keep", "drop")) == "drop" else "keep",
        check=_flag(given, "check"),
    )


def job_id(source: str, recipe: Recipe) -> str:
    """SHA-256 over the SHA-256 of the picture, the recipe and the version of drrn: the same request has the same id."""
    return sha256(json.dumps([source, asdict(recipe), __version__]).encode()).hexdigest()


def clean_name(name: str) -> str:
    """The last part of a client's file name, without control characters. It is displayed, and never used as a path."""
    name = re.split(r"[/\\]", name.encode(errors="replace").decode())[-1]
    name = "".join(c for c in name if c.isprintable()).strip(". ")
    return name if len(name) <= MAX_NAME else name[: MAX_NAME // 2] + name[-MAX_NAME // 2 :]


def parse_crop(text: str) -> tuple[int, int, int, int]:
    """Parse 160x120+200+40 to (left, top, width, height). Raises ParameterError: it is not written like this."""
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})\+(\d{1,6})\+(\d{1,6})", _plus(text), re.ASCII)
    if not found or not int(found[1]) or not int(found[2]):
        raise ParameterError(f"A crop is written 160x120+200+40 (width, height, left, top), got {_short(text)!r}.")
    width, height, left, top = map(int, found.groups())
    return left, top, width, height


def parse_region(text: str) -> tuple[int, int, int, int]:
    """Parse left,top,width,height. Raises ParameterError: it is not written like this."""
    found = re.fullmatch(r"(\d{1,6}),(\d{1,6}),(\d{1,6}),(\d{1,6})", text, re.ASCII)
    if not found or not int(found[3]) or not int(found[4]):
        raise ParameterError(
            f"A region is written left,top,width,height in pixels of the result, got {_short(text)!r}."
        )
    left, top, width, height = map(int, found.groups())
    return left, top, width, height


def _number(given: dict[str, str], key: str, *, low: float, high: float) -> float | None:
    if key not in given:
        return None
    text = given[key]
    value = float(text) if re.fullmatch(r"\d{1,3}(\.\d{1,6})?", text, re.ASCII) else math.nan
    if not low < value <= high:
        raise ParameterError(f"`{key}` must be a number above {low:g} and at most {high:g}, got {_short(text)!r}.")
    return value


def _integer(given: dict[str, str], key: str, low: int, high: int) -> int | None:
    if key not in given:
        return None
    text = given[key]
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not low <= int(text) <= high:
        raise ParameterError(f"`{key}` must be a whole number from {low} to {high}, got {_short(text)!r}.")
    return int(text)


def _flag(given: dict[str, str], key: str) -> bool:
    return _one_of(given, key, ("false", "true")) == "true"


def _one_of(given: dict[str, str], key: str, choices: Sequence[str]) -> str:
    """The value of a parameter; the first choice if it is not given."""
    value = given.get(key, choices[0])
    if value not in choices:
        raise ParameterError(f"`{key}` must be one of {', '.join(choices)}, got {_short(value)!r}.")
    return value


def _plus(text: str) -> str:
    """Restore each + that the client did not escape: in a URL it stands for a space, which no size or crop contains."""
    return text.replace(" ", "+")


def _short(text: str) -> str:
    """A client's text as a message may quote it."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 40 else text[:40] + "..."
