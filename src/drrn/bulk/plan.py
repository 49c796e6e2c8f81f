"""The plan: what is done with every file of a source, and the parts in which it is done.

It lies in the target, under `.drrn`: `recipe.json`, the weights, `plan/00000000-100.json` (the number of a part and how
many files it has), and `plan.json` once all files of the source were listed.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple

from PIL import Image as Pillow

from drrn import __version__
from drrn.bulk.storage import Entry, Folder, Store
from drrn.core.parsing import parse_record
from drrn.errors import DRRNError, StorageError, UsageError, printable
from drrn.media.images.files import MAX_PIXELS
from drrn.media.naming import IMAGES, RASTERS, VIDEOS, is_system_file, split
from drrn.upscaling.batch.naming import Naming, parse_size
from drrn.upscaling.batch.planning import Request
from drrn.upscaling.formats.job import Options
from drrn.upscaling.formats.registry import format_of
from drrn.upscaling.size import target_size
from drrn.weights.store import Weights, save

FOLDER = ".drrn"
RECIPE, WEIGHTS, PLAN, PARTS = f"{FOLDER}/recipe.json", f"{FOLDER}/weights.safetensors", f"{FOLDER}/plan.json", "plan"
SUFFIXES = frozenset({*IMAGES, *VIDEOS, *RASTERS})
PART_FILES = 100
PART_PIXELS = 200_000_000
"""Of its sources: some minutes for two cores and the default model."""
PIXELS_A_BYTE = 4
"""Where no header is read: a JPEG has some 2 bits a pixel."""
REQUESTS = 32
"""Headers that are read from a bucket at the same time."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the results beside the sources."""

    source: str
    weights_sha256: str
    """`Weights.digest`."""
    model: str
    version: str = __version__
    """Of drrn: another one may give other bytes."""
    scale: float | None = None
    size: str | None = None
    units: int | None = None
    ensemble: bool = False
    format: str | None = None
    name: str | None = None
    quality: int | None = None
    lossless: bool = False
    strict: bool = False
    overwrite: bool = False
    """Whether results may replace files of the target that are others."""
    max_pixels: int = MAX_PIXELS

    @property
    def request(self) -> Request:
        """Raises UsageError: a field is out of range."""
        if self.scale is not None and self.size is not None:
            raise UsageError("--scale and --size both say how large. Give one of them.")
        target_size(100, 100, self.scale, None)
        return Request(
            scale=self.scale,
            size=parse_size(self.size) if self.size else None,
            many=True,
            naming=Naming(self.name, self.format),
            max_pixels=self.max_pixels,
            strict=self.strict,
            options=Options(quality=self.quality, lossless=self.lossless),
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


class File(NamedTuple):
    """A file of the source, as it was when it was listed."""

    name: str
    size: int
    """Bytes."""
    etag: str


@dataclass(frozen=True, slots=True)
class Part:
    """Some files that one process enlarges."""

    number: int
    count: int

    @property
    def path(self) -> str:
        return f"{FOLDER}/{PARTS}/{self.number:08}-{self.count}.json"


class Outline(NamedTuple):
    """A finished plan without its parts."""

    recipe: Recipe
    parts: int
    skipped: int
    """Files of the source that are not images by their suffix."""


@dataclass(frozen=True)
class Plan:
    """A finished plan."""

    recipe: Recipe
    parts: list[Part]
    skipped: int
    """As in `Outline`."""

    @property
    def files(self) -> int:
        return sum(part.count for part in self.parts)


def make_plan(
    source: Store,
    target: Store,
    recipe: Recipe,
    weights: Weights,
    *,
    part_files: int = PART_FILES,
    part_pixels: int = PART_PIXELS,
    headers: bool = True,
    progress: Callable[[int, int], None] = lambda parts, files: None,
) -> Plan:
    """List the source and write the plan to the target, or continue a plan that was interrupted.

    Names are never all in memory: a part is written as soon as it is full.

    Args:
        part_files, part_pixels: a part ends when it has so many files, or so many pixels of them.
        headers: read the header of each file for its pixels; otherwise guess them from its bytes.
        progress: is told the number of parts and of files so far.

    Raises:
        UsageError: the target has another plan, or one of the two folders lies in the other.
        StorageError: a store fails, or the source has no images.
    """
    _ = recipe.request  # refused now, not for each file
    check_apart(source, target)
    known = target.read(RECIPE)
    if known is not None and known.decode() != recipe.to_json():
        raise UsageError(f"{printable(target.url)} has another plan. Give the same options, or another target.")
    if finished := target.read(PLAN):
        return Plan(recipe, list(_list_parts(target)), json.loads(finished)["skipped"])
    with TemporaryDirectory() as folder:
        save(weights, Path(folder) / "weights.safetensors")
        target.put(Path(folder) / "weights.safetensors", WEIGHTS, overwrite=True)
    target.write(RECIPE, recipe.to_json().encode())

    parts = list(_list_parts(target))
    last = json.loads(target.read(parts[-1].path) or b"{}") if parts else {}
    skipped = last.get("skipped", 0)
    files: list[File] = []
    pixels = 0

    def write_part() -> None:
        part = Part(len(parts), len(files))
        target.write(part.path, _to_json(files, skipped))
        parts.append(part)
        progress(len(parts), sum(each.count for each in parts))

    entries = source.list(after=last["files"][-1][0] if parts else "")
    for entry, size in measure(source, entries, headers=headers):
        if size is None:
            skipped += 1
            continue
        files.append(File(entry.name, entry.size, entry.etag))
        pixels += size
        if len(files) >= part_files or pixels >= part_pixels:
            write_part()
            files, pixels = [], 0
    if files:
        write_part()
    if not parts:
        raise StorageError(f"{printable(source.url)} has no images; {skipped} other files were skipped.")
    target.write(PLAN, json.dumps({"parts": len(parts), "skipped": skipped}).encode())
    return Plan(recipe, parts, skipped)


def load_plan(target: Store) -> Plan:
    """The plan of a target. Raises StorageError: as `load_outline`."""
    outline = load_outline(target)
    return Plan(outline.recipe, list(_list_parts(target)), outline.skipped)


def load_outline(target: Store) -> Outline:
    """What a plan says without its parts, which may be a million names.

    Raises:
        StorageError: there is none, it is unfinished or damaged, or another version of drrn made it.
    """
    try:
        recipe = parse_recipe(target.read(RECIPE))
        about = json.loads(target.read(PLAN) or b"")
        return Outline(recipe, int(about["parts"]), int(about["skipped"]))
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(
            f"{printable(target.url)} has no finished plan. Run `drrn bulk plan SOURCE {printable(target.url)}`."
        ) from error


def find_part(target: Store, number: int) -> Part:
    """One part, without listing the others. Raises StorageError: it is missing."""
    part = next(_list_parts(target, after=f"{number:08}"), None)  # a bucket finds no name by its beginning
    if part is None or part.number != number:
        raise StorageError(f"{printable(target.url)} has no part {number}.")
    return part


def parse_recipe(content: bytes | None) -> Recipe:
    """
    Raises:
        ValueError: there is none, or it is damaged.
        StorageError: another version of drrn made it.
    """
    values = json.loads(content or b"")
    version = values.get("version") if isinstance(values, dict) else None
    if version not in (None, __version__):
        raise StorageError(f"The plan is of drrn {version}, this is {__version__}. Install that version, or plan anew.")
    recipe: Recipe = parse_record(Recipe, values)
    return recipe


def read_files(target: Store, part: Part) -> list[File]:
    """The files of a part. Raises StorageError: it is damaged."""
    try:
        return [
            File(str(name), int(size), str(etag))
            for name, size, etag in json.loads(target.read(part.path) or b"")["files"]
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(
            f"{part.path} of {printable(target.url)} is damaged. Plan anew in another target."
        ) from error


def is_candidate(name: str) -> bool:
    """Whether a file is an image by its name: its content is not looked at, as that may be far away."""
    last = name.rpartition("/")[2]
    return not is_system_file(last) and split(last)[1].lower() in SUFFIXES


def measure(source: Store, entries: Iterable[Entry], *, headers: bool) -> Iterator[tuple[Entry, int | None]]:
    """Each file with its pixels, in their order; None for what is no image by its name."""

    def count(entry: Entry) -> int | None:
        if not is_candidate(entry.name):
            return None
        return count_pixels(source, entry) if headers else entry.size * PIXELS_A_BYTE

    if isinstance(source, Folder) or not headers:
        yield from ((entry, count(entry)) for entry in entries)
        return
    with ThreadPoolExecutor(REQUESTS) as threads:
        pending = deque[tuple[Entry, Future[int | None]]]()
        for entry in entries:
            pending.append((entry, threads.submit(count, entry)))
            if len(pending) > 4 * REQUESTS:
                entry, pixels = pending.popleft()
                yield entry, pixels.result()
        yield from ((entry, pixels.result()) for entry, pixels in pending)


def count_pixels(source: Store, entry: Entry) -> int:
    """Pixels of a file, of all its frames; of a bucket, by the beginning of the file, or guessed from its size."""
    path = source.local_path(entry.name)
    try:
        if path is None:
            return source.inspect(entry, read_pixels) or entry.size * PIXELS_A_BYTE
        header = format_of(path).probe(path, max_pixels=MAX_PIXELS)
    except DRRNError:
        return 0  # it will fail as fast
    return header.width * header.height * header.frames


def read_pixels(file: BinaryIO) -> int | None:
    """Pixels of an image of one frame, from its header; None for formats that say so only in the whole file."""
    try:
        with Pillow.open(file, formats=("JPEG", "PNG", "TIFF", "BMP", "PPM")) as image:
            return image.width * image.height
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError):
        return None


def check_apart(source: Store, target: Store) -> None:
    """Raises UsageError: source and target lie in one another."""
    one, other = (
        f"{each.path.resolve() if isinstance(each, Folder) else each.url}".rstrip("/") + "/"
        for each in (source, target)
    )
    if one.startswith(other) or other.startswith(one):
        raise UsageError(
            f"{printable(source.url)} and {printable(target.url)} lie in one another. Give a target outside."
        )


def _list_parts(target: Store, after: str = "") -> Iterator[Part]:
    """The parts whose names come after `after`, in their order."""
    folder = f"{FOLDER}/{PARTS}/"
    for entry in target.list(folder, after and f"{folder}{after}"):
        number, _, count = entry.name.removeprefix(folder).removesuffix(".json").partition("-")
        yield Part(int(number), int(count))


def _to_json(files: list[File], skipped: int) -> bytes:
    """
    Args:
        skipped: files that were skipped so far, in all parts.
    """
    return (json.dumps({"files": files, "skipped": skipped}) + "\n").encode()
