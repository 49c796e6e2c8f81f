"""The tables of docs/reference/formats.md: what becomes of every kind of samples and metadata in every format.

For each cell a file is made without drrn, goes through `drrn upscale` with pixels that are merely doubled, and is read
without drrn. The cell says what was found: there is no list of expectations.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from docs.write import DOCS, Texts, read, replace_between
from drrn.errors import DRRNError
from drrn.media.geotiff import files as geotiff
from drrn.media.images.files import read as read_image
from drrn.media.images.files import write as write_image
from drrn.media.images.formats import changes
from drrn.tables import markdown
from drrn.upscaling.batch.planning import Request, plan
from drrn.upscaling.formats.animation import ANIMATION
from drrn.upscaling.formats.job import Job
from drrn.upscaling.formats.raster import RASTER
from tests.media import animated_modes
from tests.media.mode_files import FORMATS, NOTES, SUFFIXES, TRUTH, encode_metadata, encode_mode
from tests.media.mode_reading import has_metadata, is_the_same, read_mode
from tests.media.moving import as_pillow_has_them

PAGE = DOCS / "reference/formats.md"
WRITTEN = ("JPEG", "WebP", "TIFF", "BMP", "PNM")
LOSSY = {"JPEG": 8, "AVIF": 3}
"""Levels of 255 by which a sample may be off."""
KEPT = [mode for mode, (kind, _) in TRUTH.items() if " of 8" in kind or " of 16" in kind]
KEPT.remove("RGB with a transparent color")
NOTHING = "-"


def texts(scratch: Path) -> Texts:
    """The page with its tables."""
    page = read(PAGE)
    for name, table in tables(scratch).items():
        page = replace_between(page, name, table)
    return {PAGE: page}


def tables(scratch: Path) -> dict[str, str]:
    """The tables by the names of their marks."""
    modes = [[mode, *(mode_cell(mode, form, scratch) for form in FORMATS)] for mode in TRUTH]
    notes = [[note, *(note_cell(note, form, scratch) for form in FORMATS)] for note in NOTES]
    others = [[mode, *(mode_cell(mode, "PNG", scratch, to=form) for form in WRITTEN)] for mode in KEPT]
    others += [[note, *(note_cell(note, "PNG", scratch, to=form) for form in WRITTEN)] for note in NOTES]
    return {
        "samples": _table("Samples", FORMATS, modes),
        "metadata": _table("Beside the pixels", FORMATS, notes),
        "conversions": _table("From PNG to", WRITTEN, others),
        "animations": _table("Animation", animated_modes.COLUMNS, animated_modes.rows(scratch)),
    }


def _table(title: str, columns: Iterable[str], rows: list[list[str]]) -> str:
    head = [title, *columns]
    return markdown(head, rows, texts=len(head))


def mode_cell(mode: str, form: str, folder: Path, to: str | None = None) -> str:
    content = encode_mode(mode, form)
    if content is None:
        return NOTHING
    kind, truth = TRUTH[mode]
    outcome = journey(content, form, folder, to)
    if isinstance(outcome, str):
        return outcome
    target, reported = outcome
    found_kind, found = (
        read_mode(target) if kind != "several" else (kind, as_pillow_has_them(target)[0][1][::-1, ::-1, :3])
    )
    small = found[::2, ::2]
    if kind == "CMYK":  # Pillow made the inks without a profile
        right = small.shape == truth.shape and np.corrcoef(small.ravel(), truth.ravel())[0, 1] > 0.85
    else:
        lossy = LOSSY.get(to or form, 0) if found.dtype == np.uint8 else 0  # the deep ones are made without loss
        most = 5 if kind == "multiplied" else lossy
        right = is_the_same(truth, small, most)
    reported = tuple(word for word in reported if not word.startswith("without"))  # metadata: see note_cell
    same = found_kind == kind and not (kind == "several" and form == "GIF")  # whose palettes are others
    return describe(to or form, target, reported, same=same, right=right)


def note_cell(note: str, form: str, folder: Path, to: str | None = None) -> str:
    content = encode_metadata(note, form)
    if content is None:
        return NOTHING
    outcome = journey(content, form, folder, to)
    if isinstance(outcome, str):
        return outcome
    target, reported = outcome
    return describe(
        to or form, target, [word for word in reported if note in word], same=has_metadata(note, target), right=True
    )


def describe(form: str, target: Path, reported: Sequence[str], *, same: bool, right: bool) -> str:
    """The cell; an exclamation mark where it is not as it must be."""
    if not right:
        return "wrong values!"
    if same == bool(reported):
        return f"{'kept' if same else 'changed'}, and reported as {', '.join(reported) or 'kept'}!"
    result = {b"\x89PNG": "PNG", b"II*\0": "TIFF"}.get(target.read_bytes()[:4], form)
    return (f"converted ({', '.join(reported)})" if reported else "kept") + (f", as {result}" if result != form else "")


def journey(content: bytes, form: str, folder: Path, to: str | None) -> tuple[Path, tuple[str, ...]] | str:
    """The file that `drrn upscale` makes, and what it says is converted; or the cell of what it refuses."""
    path = folder / f"a.{SUFFIXES[form]}"
    path.write_bytes(content)
    try:
        output = folder / f"b.{SUFFIXES[to]}" if to else None
        job = plan(path, output, Request(2, overwrite=True))
        if job.format is RASTER:
            return double(job), RASTER.changes(job)
        if job.format is ANIMATION:
            animated_modes.double(job)
            return job.target, ANIMATION.changes(job)
        small = read_image(path)
        alpha = None if small.alpha is None else small.alpha.repeat(2, 0).repeat(2, 1)
        write_image(
            replace(small, pixels=small.pixels.repeat(2, 0).repeat(2, 1), alpha=alpha), job.target, overwrite=True
        )
    except DRRNError as error:
        line = str(error).removeprefix(str(output)).removeprefix(str(path)).rstrip(".")
        return f"refused ({line.partition(';')[0].strip()})"
    header = job.header
    assert (header.width, header.height, header.channels, header.alpha) == (
        small.width, small.height, small.pixels.shape[2], small.alpha is not None,
    )  # fmt: skip
    assert header.bits == small.bits
    return job.target, changes(header, job.target)


def double(job: Job) -> Path:
    """A raster of measurements, with pixels that are merely doubled."""
    with geotiff.open_raster(job.source, max_pixels=job.header.pixels) as scene:
        values = scene.read((slice(0, scene.height), slice(0, scene.width)))
        with geotiff.create_raster(scene, job.target, job.width, job.height, "a test", target=job.target) as larger:
            larger.write((slice(0, job.height), slice(0, job.width)), values.repeat(2, 1).repeat(2, 2), None)
    return job.target
