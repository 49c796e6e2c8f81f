"""What a service is started with, and what a picture may ask of it."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

from drrn.errors import UsageError
from drrn.media.images.files import MAX_PIXELS
from drrn.upscaling.batch.naming import parse_size
from drrn.upscaling.size import MAX_SCALE
from drrn.upscaling.upscaler import MEMORY
from drrn.weights import AUTO

KindName = Literal["image", "animation", "video", "raster", "dicom"]
FORMATS: Final = ("keep", "png", "jpg", "webp", "tif", "bmp", "pnm", "gif", "mp4", "mkv", "webm", "mov", "dcm")
"""What a result can be asked to be. A picture's kind decides which of them it can be."""
LONGEST_NAME: Final = 200
"""Characters of a client's file name that are kept."""


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """How a service runs."""

    folder: Path
    """Where pictures lie while they are needed. The service owns it: what it finds there at its start is removed."""
    host: str = "127.0.0.1"
    port: int = 8640
    token: str = ""
    """What clients must show; nothing on a loopback address."""
    host_names: tuple[str, ...] = ()
    """Names by which clients may call this machine, beside localhost and the address that is bound."""
    prefix: str = ""
    """Path under which a proxy serves it, such as /drrn."""
    models: tuple[str, ...] = ()
    """Packaged names. The first is used where none is named; auto chooses among all."""
    kinds: tuple[KindName, ...] = ("image", "animation")
    threads: int = 0
    """CPU threads, 0 for all cores."""
    max_upload: int = 100 << 20
    """Bytes of a picture's file."""
    max_pixels: int = MAX_PIXELS
    """Of a picture, and of its enlargement."""
    max_memory: int = MEMORY
    """Bytes that an enlargement may take."""
    max_seconds: float = 3600
    """How long one picture may take."""
    queue_jobs: int = 50
    queue_seconds: float = 3600
    """Expected seconds of all jobs that wait."""
    queue_bytes: int = 4 << 30
    """Of all files that are kept."""
    keep: float = 3600
    """Seconds until results, and pictures that nothing was done with, are deleted."""
    idle: float = math.inf
    """Seconds without a client or a job after which the service ends by itself."""
    stall: float = 30
    """Seconds that a client may send nothing of a request that it has begun."""
    tasks_per_worker: int = 200
    """After so many a worker process is replaced by a new one."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is asked for. With the picture's bytes and drrn's version it decides the result."""

    name: str = ""
    """Of the client's file: it decides what the result is called, and whether it is .jpg or .jpeg."""
    scale: float | None = None
    size: str = ""
    """As `drrn.upscaling.batch.naming.parse_size` takes it; nothing where there is a scale."""
    model: str = AUTO
    units: int | None = None
    format: str = "keep"
    quality: int | None = None
    lossless: bool = False
    metadata: Literal["keep", "drop"] = "keep"
    check: bool = False


def parse_recipe(query: Iterable[tuple[str, str]], name: str, models: Sequence[str]) -> Recipe:
    """The recipe that the parameters of a request describe.

    Raises:
        UsageError: there is no such parameter, it is given twice, or its value is out of range.
    """
    given: dict[str, str] = {}
    for key, value in query:
        if key in given:
            raise UsageError(f"`{_short(key)}` is given twice.")
        given[key] = value
    known = [each.name for each in fields(Recipe) if each.name != "name"]
    if unknown := set(given).difference(known):
        raise UsageError(f"There is no parameter `{_short(min(unknown))}`. There are {', '.join(known)}.")
    scale = _number(given, "scale", low=1, high=MAX_SCALE)
    size = given.get("size", "")
    if "scale" in given and "size" in given:
        raise UsageError("`scale` and `size` can't both be given.")
    if "size" in given:
        if len(size) > 20:
            raise UsageError(f"A size is written 4000, 2000x, x1000, 1920x1080 or 1920x1080+, got {_short(size)!r}.")
        parse_size(size)
    quality, lossless = _integer(given, "quality", 1, 100), _flag(given, "lossless")
    if quality is not None and lossless:
        raise UsageError("`quality` and `lossless` can't both be given.")
    model, units = _one_of(given, "model", (AUTO, *models)), _integer(given, "units", 0, 1000)
    if units is not None and model == AUTO:
        raise UsageError("`units` are those of one model. Name it: model=" + models[0] + ".")
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


def clean_name(name: str) -> str:
    """The last part of a client's file name, without control characters; it is shown, and never used as a path."""
    name = re.split(r"[/\\]", name.encode(errors="replace").decode())[-1]
    name = "".join(c for c in name if c.isprintable()).strip(". ")
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME // 2] + name[-LONGEST_NAME // 2 :]


def parse_crop(text: str) -> tuple[int, int, int, int]:
    """160x120+200+40 as (left, top, width, height). Raises UsageError: it is written otherwise."""
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})\+(\d{1,6})\+(\d{1,6})", text, re.ASCII)
    if not found or not int(found[1]) or not int(found[2]):
        raise UsageError(f"A crop is written 160x120+200+40 (width, height, left, top), got {_short(text)!r}.")
    width, height, left, top = map(int, found.groups())
    return left, top, width, height


def _number(given: dict[str, str], key: str, *, low: float, high: float) -> float | None:
    if key not in given:
        return None
    text = given[key]
    value = float(text) if re.fullmatch(r"\d{1,3}(\.\d{1,6})?", text, re.ASCII) else math.nan
    if not low < value <= high:
        raise UsageError(f"`{key}` is a number above {low:g} and at most {high:g}, got {_short(text)!r}.")
    return value


def _integer(given: dict[str, str], key: str, low: int, high: int) -> int | None:
    if key not in given:
        return None
    text = given[key]
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not low <= int(text) <= high:
        raise UsageError(f"`{key}` is a whole number from {low} to {high}, got {_short(text)!r}.")
    return int(text)


def _flag(given: dict[str, str], key: str) -> bool:
    return _one_of(given, key, ("false", "true")) == "true"


def _one_of(given: dict[str, str], key: str, choices: Sequence[str]) -> str:
    """The first where it is not given."""
    value = given.get(key, choices[0])
    if value not in choices:
        raise UsageError(f"`{key}` is one of {', '.join(choices)}, got {_short(value)!r}.")
    return value


def _short(text: str) -> str:
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 40 else text[:40] + "..."
