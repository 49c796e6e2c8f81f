"""Make small valid files with several frames or a georeference."""

from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.media import moving

SIZE = (8, 6)
"""Width and height of animations, in pixels."""


def steps(dtype: type = np.uint8) -> list[moving.Step]:
    """Three frames: a full one, a partial one, and one that is disposed."""
    top = int(np.iinfo(dtype).max)
    whole: moving.Samples = np.zeros((6, 8, 4), dtype)
    whole[..., 0], whole[..., 3] = top // 2, top
    part: moving.Samples = np.full((3, 4, 4), top, dtype)
    part[0, 0] = 0
    return [
        moving.Step(whole),
        moving.Step(part, 2, 2, moving.CLEAR, True, (0, 100)),
        moving.Step(part, 4, 2, moving.RESTORE, False, (1, 10)),
    ]


@cache
def gif() -> list[bytes]:
    return [moving.gif(steps(), SIZE), moving.gif(steps(), SIZE, loop=None, own=False), moving.gif(steps()[:1], SIZE)]


@cache
def apng() -> list[bytes]:
    gray = moving.png(steps(np.uint16), SIZE, bands=(0, 3), plays=2)
    return [
        moving.png(steps(), SIZE),
        gray,
        moving.png(steps(), SIZE, hidden=steps()[0].samples),
        moving.png(steps()[:1], SIZE),
    ]


@cache
def webp() -> list[bytes]:
    frames = [step._replace(after=moving.KEEP) for step in steps()]
    return [
        moving.webp(frames, SIZE),
        moving.webp(frames, SIZE, lossless=False, plays=3),
        moving.webp(frames[:1], SIZE),
    ]


@cache
def geotiff() -> list[bytes]:
    from tests.scene_files import put

    values: list[tuple[np.ndarray[Any, Any], dict[str, Any]]] = [
        (np.arange(120, dtype=np.uint8).reshape(10, 12), {}),
        (np.arange(360, dtype=np.uint16).reshape(3, 10, 12), {"nodata": 0, "compress": "deflate"}),
        (np.linspace(-1, 1, 120, dtype=np.float32).reshape(10, 12), {"nodata": float("nan")}),
        (np.arange(4096, dtype=np.int16).reshape(64, 64), {"tiled": True, "blockxsize": 16, "blockysize": 16}),
        (np.arange(120, dtype=np.uint8).reshape(10, 12), {"crs": "EPSG:4326", "compress": "lzw", "BIGTIFF": "YES"}),
    ]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        return [put(path, array, **options).read_bytes() for array, options in values]


@cache
def film(suffix: str) -> list[bytes]:
    from tests.film_files import Extra, film

    times = [number * 512 for number in range(3)]
    extra = Extra(sounds=[("aac", "eng")], tags=(("title", "a"),)) if suffix != ".avi" else Extra()
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        small: dict[str, Any] = {"times": times, "size": (16, 16)}
        if suffix == ".avi":
            small |= {"codec": "mpeg4", "options": {}, "base": Fraction(1, 25), "times": range(3)}
        return [film(path, **small).read_bytes(), film(path, **small, extra=extra).read_bytes()]
