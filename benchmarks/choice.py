"""`python -m benchmarks.choice`: does the condition of a picture choose the better of two models?"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Final

import numpy as np
import tyro
from rich.console import Console
from tyro.conf import arg

from drrn.atomic import write_text
from drrn.core.color import levels, luma
from drrn.core.metrics import measure_quality
from drrn.core.resize import degrade, modcrop
from drrn.data.degradations import add_noise, compress_jpeg
from drrn.data.pairs import Levels, pictures_in, read_levels, unit
from drrn.media.image import Image
from drrn.provenance import command, commit
from drrn.tables import markdown
from drrn.upscaling.condition import condition_of
from drrn.upscaling.upscaler import Upscaler
from drrn.weights import DEFAULT, PHOTO

PROGRAM: Final = "python -m benchmarks.choice"
SCALE: Final = 2
MATTERS: Final = 0.1
"""In dB: below that it does not matter which model is chosen."""
DAMAGES: Final[dict[str, tuple[int | None, float]]] = {
    "none": (None, 0),
    **{f"JPEG {quality}": (quality, 0) for quality in (97, 95, 92, 90, 85, 80, 75, 50, 30)},
    **{f"noise {sigma}": (None, sigma) for sigma in (1, 2, 3, 5, 7, 10)},
    "noise 5, JPEG 75": (75, 5),
    "noise 2, JPEG 90": (90, 2),
}
"""The quality of JPEG, and before that the standard deviation of noise in levels."""


TEXT: Final = """# How the default model is chosen

By default `{photo}` enlarges pictures degraded by JPEG or noise, and `{clean}` the others.
`drrn.upscaling.condition` tells them apart: by the quality that the tables of a JPEG stand for, by the noise in the
flattest squares, and by steps at the borders of 8x8 blocks.

{pictures} pictures at x2, from an lr of 8 bits that was degraded first. *dB*: by how much the model for photos is
better on luma, on average. *It matters*: how many pictures differ by more than {matters} dB. *Right*: in how many of
these the better one is chosen: *as a file*, which for a JPEG states its quality, and *as pixels* alone.

{table}

Written by `{command}` at commit {commit}.
"""


@dataclass(frozen=True)
class Row:
    """One picture, degraded in one way."""

    picture: str
    damage: str
    gain: float
    """In dB of luma: how much better the model for photos is than the other."""
    as_file: bool
    """Whether it is chosen, where the quality of the JPEG is known."""
    as_pixels: bool
    """Whether it is chosen, where it is not."""


def measure(
    *,
    data: tuple[Path, ...],
    every: int = 1,
    photo: str = PHOTO,
    clean: str = DEFAULT,
    output: Annotated[Path, arg(aliases=["-o"])],
    page: Path | None = None,
    threads: int = 0,
) -> None:
    """Compare two models on degraded pictures, with what `drrn upscale` would choose.

    Args:
        data: Folders of pictures that neither model learned from, nor was chosen by.
        every: Take every so-many-th of them, the first left out.
        photo: The model for photos.
        clean: The other.
        output: The JSON file to write.
        page: The Markdown file to write.
        threads: CPU threads, 0 for all cores.
    """
    paths = [path for number, path in enumerate(pictures_in(data)) if number % every == every // 2]
    upscalers = [Upscaler(name, threads=threads) for name in (photo, clean)]
    with Console(stderr=True, highlight=False).status("measuring") as status:
        rows = list(_rows(upscalers, paths, status.update))
    settings = {"photo": photo, "clean": clean, "command": command(PROGRAM), "commit": commit()}
    write_text(output, json.dumps({**settings, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    text = _page(rows, settings)
    if page:
        write_text(page, text)
    print(text)


def _rows(upscalers: Sequence[Upscaler], paths: Sequence[Path], progress: Callable[[str], None]) -> Iterator[Row]:
    for path in paths:
        hr = modcrop(read_levels(path, 3), SCALE)
        original = luma(unit(hr))
        for name, (quality, sigma) in DAMAGES.items():
            progress(f"{path.name}, {name}")
            lr: Levels = levels(degrade(unit(hr), SCALE)).astype(np.uint8)
            if sigma:
                lr = add_noise(lr, sigma=sigma, rng=np.random.default_rng(0))
            if quality:
                lr = compress_jpeg(lr, quality=quality)
            image = Image(pixels=np.ascontiguousarray(unit(lr).transpose(1, 2, 0)))
            outputs = [each.upscale(image, SCALE).pixels.transpose(2, 0, 1) for each in upscalers]
            ours, other = (measure_quality(luma(np.ascontiguousarray(sr)), original, SCALE).psnr for sr in outputs)
            chosen = [condition_of(image.pixels, known).degraded for known in (quality, None)]
            yield Row(path.name, name, round(ours - other, 4), *chosen)


def _page(rows: Sequence[Row], settings: dict[str, str]) -> str:
    head = [
        "degraded by",
        f"{settings['photo']} against {settings['clean']}, dB",
        "it matters",
        "right as a file",
        "as pixels",
    ]
    lines = [_line(name, [row for row in rows if row.damage == name]) for name in DAMAGES]
    table = markdown(head, [*lines, _line("all", rows)], texts=1)
    return TEXT.format(**settings, pictures=len({row.picture for row in rows}), matters=MATTERS, table=table)


def _line(name: str, rows: Sequence[Row]) -> list[str]:
    matter = [row for row in rows if abs(row.gain) > MATTERS]
    choices = [[row.as_file for row in matter], [row.as_pixels for row in matter]]
    right = [sum(chosen == (row.gain > 0) for chosen, row in zip(each, matter, strict=True)) for each in choices]
    shares = [f"{each / len(matter):.0%}" if matter else "" for each in right]
    return [name, f"{fmean(row.gain for row in rows):+.2f}", f"{len(matter)} of {len(rows)}", *shares]


if __name__ == "__main__":
    tyro.cli(measure, prog=PROGRAM)
