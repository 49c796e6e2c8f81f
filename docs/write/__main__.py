"""`python -m docs.write`: write the parts of the documents that follow from measurements and results."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import tyro
from tyro.conf import Positional

from docs.write import (
    ROOT,
    Texts,
    commands,
    copies,
    dicom,
    drawings,
    formats,
    geotiff,
    man,
    memory,
    performance,
    pictures,
    presets,
)
from drrn.atomic import write_text

Page = Literal[
    "copies",
    "commands",
    "drawings",
    "man",
    "pictures",
    "presets",
    "performance",
    "formats",
    "dicom",
    "geotiff",
    "memory",
]
PAGES: dict[Page, Callable[[Path, Path], Texts]] = {
    "copies": lambda data, scratch: copies.texts(),
    "commands": lambda data, scratch: commands.texts(),
    "drawings": lambda data, scratch: drawings.texts(),
    "man": lambda data, scratch: man.texts(),
    "pictures": lambda data, scratch: pictures.texts(),
    "presets": lambda data, scratch: presets.texts(),
    "performance": lambda data, scratch: performance.texts(),
    "formats": lambda data, scratch: formats.texts(scratch),
    "dicom": lambda data, scratch: dicom.texts(scratch),
    "geotiff": geotiff.texts,
    "memory": lambda data, scratch: memory.texts(scratch),
}
"""Each takes the folder of pictures and an empty folder."""
QUICK: tuple[Page, ...] = tuple(page for page in PAGES if page not in ("geotiff", "memory"))
"""Pages that need neither --data nor many minutes."""


def write(
    pages: Positional[tuple[Page, ...]] = QUICK,
    /,
    *,
    data: Path | None = None,
) -> None:
    """Write the parts of the documents that follow from measurements and results.

    copies: tables that stand in several documents. commands: a page for each command. drawings: those of
    docs/explanation. man: the manual page. pictures: run the commands that stand beside them. presets: the table of
    docs/how-to/presets.md. performance: the page and figure from docs/performance.json. formats, dicom: enlarge small
    files and write down what becomes of them. geotiff: the same for files of --data. memory: measures for 15 minutes.

    Args:
        pages: Which ones.
        data: The folder that holds formats/geo; by default DRRN_DATA, or data.
    """
    data = data or Path(os.environ.get("DRRN_DATA", ROOT / "data"))
    for page in pages:
        with TemporaryDirectory() as scratch:
            for path, text in PAGES[page](data, Path(scratch)).items():
                write_text(path, text)
                print(path.relative_to(ROOT))


if __name__ == "__main__":
    tyro.cli(write, prog="python -m docs.write")
