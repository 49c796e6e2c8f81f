"""Find the images in folders, map them to output files, and watch folders for new ones."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from drrn.errors import DRRNError, ImageError, UsageError, printable
from drrn.media.naming import is_system_file, is_system_folder
from drrn.media.signatures import unreadable as unreadable_kind
from drrn.upscaling.fingerprint import file_stamp
from drrn.upscaling.formats.registry import FORMATS

WATCH_SECONDS = 1.0
"""Poll interval for a watched folder: a file that has not changed for this long is assumed to be complete."""


class SourceFile(NamedTuple):
    """An image file to be enlarged."""

    path: Path
    output: Path | None
    """As the argument of `drrn.upscaling.batch.planning.plan`."""


class SourceFiles(NamedTuple):
    """What was found at the paths given."""

    sources: list[SourceFile]
    skipped: int
    """Files that are not images, system files and folders, and links that are broken or lead out of their folder."""
    failed: list[tuple[Path, DRRNError]]
    """Folders that have no images, or can't be read."""
    unreadable: list[Path]
    """The skipped files that are images or videos of kinds that drrn can't read, such as HEIC."""


def find_sources(paths: Sequence[Path], output: Path | None, *, recursive: bool = False) -> SourceFiles:
    """Find the image files among `paths` and in the folders among them.

    The results of a folder are written to `output`, with the same subfolders: `folder/of/photo.png` becomes
    `output/of/photo_x2.png`. Links to folders are not followed, and `output` itself is skipped.

    Args:
        recursive: also search subfolders.

    Raises:
        UsageError: there is a folder, but `output` is missing or inside it.
    """
    sources: list[SourceFile] = []
    skipped, failed, unreadable = 0, [], []
    for path in paths:
        if not is_folder(path):
            sources.append(SourceFile(path, output))
            continue
        if output is None:
            raise UsageError(f"{printable(path)} is a folder: its results need another folder. Give an --output.")
        if path.resolve().is_relative_to(
            output.resolve()
        ):  # otherwise the next run would enlarge the results of this one
            raise UsageError(f"{printable(path)} is inside the --output {printable(output)}. Give another one.")
        found, others, unread, foreign = _walk(path, output, recursive=recursive)
        sources += found
        skipped += others
        failed += unread
        unreadable += foreign
        if not found and not unread:
            deeper = "" if recursive else " (subfolders are searched with --recursive)"
            other = ""
            if foreign and (kind := unreadable_kind(foreign[0])):
                other = f" {printable(foreign[0].name)} is {kind[0]}, which drrn can't read. {kind[1]}."
            failed.append((path, ImageError(f"{printable(path)} contains no pictures{deeper}.{other}")))
    return SourceFiles(list(dict.fromkeys(sources)), skipped, failed, unreadable)


def is_folder(path: Path) -> bool:
    """Whether the path is a folder; also accepts paths that are too long for any file."""
    try:
        return path.is_dir()
    except OSError:
        return False


def arrivals(look: Callable[[], Sequence[SourceFile]]) -> Iterator[list[SourceFile]]:
    """Yield new or changed sources, once they have not changed between two polls. Never ends.

    Args:
        look: finds all current sources.
    """
    before: dict[SourceFile, str] = {}
    taken: dict[SourceFile, str] = {}
    while True:
        now = {source: file_stamp(source.path) for source in look()}
        whole = [source for source in now if before.get(source) == now[source] != taken.get(source)]
        taken = {source: seen for source, seen in taken.items() if source in now} | {each: now[each] for each in whole}
        before = now
        if whole:
            yield whole
        time.sleep(WATCH_SECONDS)


def _walk(folder: Path, output: Path, *, recursive: bool) -> SourceFiles:
    root, out = os.path.realpath(folder), os.path.realpath(output)
    sources: list[SourceFile] = []
    unread: list[tuple[Path, DRRNError]] = []
    unreadable: list[Path] = []
    skipped = 0

    def fail(error: OSError) -> None:
        path = Path(error.filename)
        unread.append((path, ImageError(f"{printable(path)} can't be read: {error.strerror or error}.")))

    for where, folders, names in os.walk(folder, onerror=fail):
        at = Path(where)
        if recursive:
            skipped += sum(map(is_system_folder, folders))
        folders[:] = sorted(
            name for name in folders if recursive and not is_system_folder(name) and os.path.realpath(at / name) != out
        )
        for name in sorted(names):
            path = at / name
            inside = not path.is_symlink() or (path.is_file() and Path(os.path.realpath(path)).is_relative_to(root))
            if inside and not is_system_file(name) and any(each.collects(path) for each in FORMATS):
                sources.append(SourceFile(path, output / at.relative_to(folder)))
                continue
            skipped += 1
            if inside and not is_system_file(name) and unreadable_kind(path):
                unreadable.append(path)
    return SourceFiles(sources, skipped, unread, unreadable)
