"""The plan: how every file of a source is enlarged, and the parts that the work is divided into.

It is stored in the folder `.drrn` of the target: `recipe.json`, the weights, `plan/00000000-100.json` (the number of a
part and how many files it has), and, once the whole source is listed, `plan.json`.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from drrn.bulk.pixels import measure
from drrn.bulk.recipe import Recipe, parse_recipe
from drrn.bulk.storage import Folder, Store
from drrn.errors import StorageError, UsageError, printable
from drrn.weights.store import Weights, save

FOLDER = ".drrn"
RECIPE, WEIGHTS, PLAN, PARTS = f"{FOLDER}/recipe.json", f"{FOLDER}/weights.safetensors", f"{FOLDER}/plan.json", "plan"
PART_FILES = 100
PART_PIXELS = 200_000_000
"""Pixels of its sources: a few minutes of work for two cores and the default model."""


class File(NamedTuple):
    """A file of the source, as it was when it was listed."""

    name: str
    size: int
    """Bytes."""
    etag: str


@dataclass(frozen=True, slots=True)
class Part:
    """Files that one process enlarges."""

    number: int
    """Counted from 0."""
    count: int
    """How many files."""

    @property
    def path(self) -> str:
        return f"{FOLDER}/{PARTS}/{self.number:08}-{self.count}.json"


class Outline(NamedTuple):
    """A finished plan without its list of parts."""

    recipe: Recipe
    parts: int
    """How many parts."""
    skipped: int
    """Files of the source whose names are not those of images."""


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

    The names are never all in memory: a part is written as soon as it is full.

    Args:
        part_files, part_pixels: a part is full when it has this many files, or its files this many pixels.
        headers: read the header of each file for its pixels; otherwise estimate them from its size.
        progress: called after each part with the number of parts and of files so far.

    Raises:
        UsageError: the recipe is invalid, the target has a different plan, or source and target overlap.
        StorageError: a store fails, or the source has no images.
    """
    _ = recipe.request  # refuse bad options once, now, and not for each file
    check_apart(source, target)
    known = target.read(RECIPE)
    if known is not None and known.decode() != recipe.to_json():
        raise UsageError(
            f"{printable(target.url)} already has a different plan. Give the same options, or another target."
        )
    if finished := target.read(PLAN):
        return Plan(recipe, list(_list_parts(target)), json.loads(finished)["skipped"])
    with TemporaryDirectory() as folder:
        save(weights, Path(folder) / "weights.safetensors")
        target.put(Path(folder) / "weights.safetensors", WEIGHTS, overwrite=True)
    target.write(RECIPE, recipe.to_json().encode())

    draft = _resume_draft(target)

    def write_part() -> None:
        draft.write_part()
        progress(len(draft.parts), sum(part.count for part in draft.parts))

    for entry, pixels in measure(source, source.list(after=draft.last_name), headers=headers):
        if pixels is None:
            draft.skipped += 1
            continue
        draft.add(File(entry.name, entry.size, entry.etag), pixels)
        if len(draft.files) >= part_files or draft.pixels >= part_pixels:
            write_part()
    if draft.files:
        write_part()
    if not draft.parts:
        raise StorageError(f"{printable(source.url)} has no images; {draft.skipped} other files were skipped.")
    target.write(PLAN, json.dumps({"parts": len(draft.parts), "skipped": draft.skipped}).encode())
    return Plan(recipe, draft.parts, draft.skipped)


def load_plan(target: Store) -> Plan:
    """Read the plan of a target. Raises StorageError: as `load_outline`."""
    outline = load_outline(target)
    return Plan(outline.recipe, list(_list_parts(target)), outline.skipped)


def load_outline(target: Store) -> Outline:
    """Read a plan without its list of parts, which may be a million names.

    Raises:
        StorageError: the plan is missing, unfinished or damaged, or was made by another version of drrn.
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
    """Find one part without listing the others. Raises StorageError: there is no such part."""
    part = next(_list_parts(target, after=f"{number:08}"), None)  # its full name ends with an unknown count
    if part is None or part.number != number:
        raise StorageError(f"{printable(target.url)} has no part {number}.")
    return part


def read_files(target: Store, part: Part) -> list[File]:
    """Read the list of files of a part. Raises StorageError: it is damaged."""
    try:
        return [
            File(str(name), int(size), str(etag))
            for name, size, etag in json.loads(target.read(part.path) or b"")["files"]
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(
            f"{part.path} of {printable(target.url)} is damaged. Make a new plan in another target."
        ) from error


def check_apart(source: Store, target: Store) -> None:
    """Raises UsageError: one of them is inside the other, or they are the same."""
    one, other = (
        f"{each.path.resolve() if isinstance(each, Folder) else each.url}".rstrip("/") + "/"
        for each in (source, target)
    )
    if one.startswith(other) or other.startswith(one):
        raise UsageError(
            f"{printable(source.url)} and {printable(target.url)} overlap. Give a target outside the source."
        )


@dataclass
class _Draft:
    """A plan that is being written."""

    target: Store
    parts: list[Part]
    skipped: int
    last_name: str
    """The last file of the last part, empty if there are no parts."""
    files: list[File] = field(default_factory=list)
    """Files of the next part."""
    pixels: int = 0
    """Pixels of `files`."""

    def add(self, file: File, pixels: int) -> None:
        """Add a file to the next part."""
        self.files.append(file)
        self.pixels += pixels

    def write_part(self) -> None:
        """Write the next part, with the number of files skipped so far in the whole source."""
        part = Part(len(self.parts), len(self.files))
        content = json.dumps({"files": self.files, "skipped": self.skipped}) + "\n"
        self.target.write(part.path, content.encode())
        self.parts.append(part)
        self.files, self.pixels = [], 0


def _resume_draft(target: Store) -> _Draft:
    """The draft that an interrupted plan left in the target, or an empty one."""
    parts = list(_list_parts(target))
    if not parts:
        return _Draft(target, [], 0, "")
    last = json.loads(target.read(parts[-1].path) or b"{}")
    return _Draft(target, parts, last.get("skipped", 0), last["files"][-1][0])


def _list_parts(target: Store, after: str = "") -> Iterator[Part]:
    """The parts whose file names come after `after`, in order."""
    folder = f"{FOLDER}/{PARTS}/"
    for entry in target.list(folder, after and f"{folder}{after}"):
        number, _, count = entry.name.removeprefix(folder).removesuffix(".json").partition("-")
        yield Part(int(number), int(count))
