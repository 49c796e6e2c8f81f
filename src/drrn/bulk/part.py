"""One part of a plan, in one process: each file is fetched, enlarged and put, and a record of all is put last.

A file is enlarged at least once, and there is one version of its result: the same name and the same bytes. A file that
fails is a row of the record. A process that is killed leaves a note, so that the next one that runs the part puts
down each file before it begins: a file over which a process is killed three times becomes a row, too.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from time import perf_counter

from drrn.bulk.plan import FOLDER, WEIGHTS, File, Part, Recipe, read_files
from drrn.bulk.storage import ExistsError, Store
from drrn.core.parsing import parse_record
from drrn.errors import DRRNError, ImageError, StorageError, printable
from drrn.upscaling.batch.choosing import choose
from drrn.upscaling.batch.planning import plan
from drrn.upscaling.fingerprint import sha256
from drrn.upscaling.formats.job import Hooks
from drrn.upscaling.upscaler import Upscaler
from drrn.weights.store import Weights, load

DONE, FAILED, BEGUN = f"{FOLDER}/done", f"{FOLDER}/failed", f"{FOLDER}/begun"
MAX_KILLS = 3
"""Processes that may be killed over one file."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of a file."""

    source: str
    etag: str
    """Of the source, as it was read."""
    target: str = ""
    bytes: int = 0
    """Of the result, as the next."""
    sha256: str = ""
    engine: str = ""
    seconds: float = 0.0
    converted: tuple[str, ...] = ()
    """What was converted, left out or tolerated."""
    error: str = ""
    """Why there is no result."""

    def to_json(self) -> str:
        """A line, without fields that are empty."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}) + "\n"


@dataclass
class Begun:
    """The note of a part that was begun and is not done."""

    starts: int = 0
    """Processes that began it and did not end by themselves."""
    file: str = ""
    """The file at work, if there was an earlier start."""
    kills: dict[str, int] = field(default_factory=dict)
    """By file, how many processes were killed over it."""


def load_weights(target: Store, recipe: Recipe) -> Weights:
    """The weights of the plan, wherever this drrn has others of their name.

    Raises:
        StorageError: they are missing or damaged.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        try:
            target.get(WEIGHTS, path)
            weights = load(path)
        except DRRNError as error:
            raise StorageError(f"The weights of {printable(target.url)} can't be read: {error}") from error
    if weights.digest() != recipe.weights_sha256:
        raise StorageError(f"The weights of {printable(target.url)} are not those of its plan. Plan anew.")
    return replace(weights, name=recipe.model)  # some results say by which model they were made


def enlarge_part(
    recipe: Recipe, part: Part, source: Store, target: Store, upscaler: Upscaler, *, retry: bool = False
) -> list[Row]:
    """Enlarge the files of a part and put its record, unless it is there.

    Args:
        retry: try the files again that failed, and keep the other rows.

    Raises:
        StorageError: a store fails; the part is not done then.
    """
    rows = read_rows(target, part)
    if rows is not None and not any(row.error for row in rows):
        target.remove(_path(FAILED, part))  # left by a process that was killed just before
        return rows
    if rows is not None and not retry:
        return rows
    known = {row.source: row for row in rows or () if not row.error}
    files = read_files(target, part)
    with _noted(target, part) as begun:
        rows = [known.get(file.name) or _run_file(recipe, file, source, target, upscaler, begun) for file in files]
        failed = [row for row in rows if row.error]
        if failed:  # first: whoever sees the part done sees what failed in it
            target.write(_path(FAILED, part), _to_lines(failed))
        target.write(_path(DONE, part), _to_lines(rows))
        if not failed:
            target.remove(_path(FAILED, part))
    return rows


def read_rows(target: Store, part: Part, folder: str = DONE) -> list[Row] | None:
    """The record of a part, None if it is not done.

    Raises:
        StorageError: it is damaged.
    """
    content = target.read(_path(folder, part))
    if content is None:
        return None
    try:
        return [_parse_row(line) for line in content.splitlines()]
    except ValueError as error:
        raise StorageError(f"{_path(folder, part)} of {printable(target.url)} is damaged. Delete it.") from error


def list_numbers(target: Store, folder: str = DONE) -> Iterator[tuple[int, float]]:
    """The numbers of the parts that have a record in `folder`, and when it was put, in seconds since 1970."""
    for entry in target.list(f"{folder}/"):
        yield int(PurePosixPath(entry.name).stem), entry.modified


def enlarge_file(recipe: Recipe, file: File, source: Store, target: Store, upscaler: Upscaler, scratch: Path) -> Row:
    """Fetch, enlarge and put one file.

    Args:
        scratch: an empty folder.

    Raises:
        DRRNError: it can't be enlarged.
        StorageError: a store fails.
    """
    began = perf_counter()
    name = PurePosixPath(file.name)
    local, results = scratch / name.name, scratch / "results"
    etag = source.get(file.name, local)
    results.mkdir()
    job = plan(local, results, recipe.request)
    choice = choose(job, [upscaler])
    job.format.enlarge(job, choice.upscaler, Hooks())
    digest = sha256(job.target)
    put_as = str(name.with_name(job.target.name))
    _put(target, job.target, put_as, digest, scratch, overwrite=recipe.overwrite)
    return Row(
        source=file.name,
        etag=etag,
        target=put_as,
        bytes=job.target.stat().st_size,
        sha256=digest,
        engine=engine_kind(choice.upscaler),
        seconds=round(perf_counter() - began, 3),
        converted=(*job.format.changes(job), *job.header.tolerated),
    )


def engine_kind(upscaler: Upscaler) -> str:
    """The engine and its kernels, such as `native (avx512)`: what may round differently from others."""
    return re.sub(r", \d+ threads?", "", upscaler.engine.name)


def _put(target: Store, path: Path, name: str, digest: str, scratch: Path, *, overwrite: bool) -> None:
    """Put a result, unless it is there from an earlier start of its part.

    Raises:
        ImageError: there is another file.
    """
    try:
        target.put(path, name, overwrite=overwrite)
    except ExistsError as error:
        there = scratch / "there"
        target.get(name, there)
        if sha256(there) != digest:
            raise ImageError(
                f"{printable(name)} is there, another file. Plan with --overwrite to replace it."
            ) from error


def _run_file(
    recipe: Recipe, file: File, source: Store, target: Store, upscaler: Upscaler, begun: Callable[[str], int]
) -> Row:
    if begun(file.name) >= MAX_KILLS:
        error = f"The process was killed {MAX_KILLS} times over it, as happens when memory is short."
        return Row(source=file.name, etag=file.etag, error=error)
    with TemporaryDirectory(prefix="drrn-bulk-") as scratch:
        try:
            return enlarge_file(recipe, file, source, target, upscaler, Path(scratch))
        except StorageError:
            raise
        except Exception as error:  # a bug, too, becomes a row: it must not stop the other files of the part
            what = str(error) if isinstance(error, DRRNError) else f"{type(error).__name__}: {error}"
            told = " ".join(what.replace(f"{scratch}/results/", "").replace(f"{scratch}/", "").split())
            return Row(source=file.name, etag=file.etag, error=told)


@contextmanager
def _noted(target: Store, part: Part) -> Iterator[Callable[[str], int]]:
    """Keep the note of the part while it runs: gives a function that notes a file, and returns its kills.

    Who is killed leaves the note. Who is stopped takes the start back.
    """
    path = _path(BEGUN, part)
    try:
        begun = _parse_note(target.read(path) or b"{}")
    except ValueError:
        begun = Begun()
    if begun.file:
        begun.kills[begun.file] = begun.kills.get(begun.file, 0) + 1
    begun = Begun(begun.starts + 1, "", begun.kills)

    def note(file: str) -> int:
        kills = begun.kills.get(file, 0)
        if begun.starts > 1 and kills < MAX_KILLS:
            begun.file = file
            write()
        return kills

    def write() -> None:
        target.write(path, json.dumps(asdict(begun)).encode())

    write()
    try:
        yield note
    except BaseException:
        begun.starts, begun.file = begun.starts - 1, ""
        write()
        raise
    target.remove(path)


def _path(folder: str, part: Part) -> str:
    return f"{folder}/{part.number:08}{'.json' if folder == BEGUN else '.jsonl'}"


def _to_lines(rows: Iterable[Row]) -> bytes:
    return "".join(row.to_json() for row in rows).encode()


def _parse_row(line: bytes) -> Row:
    row: Row = parse_record(Row, json.loads(line))
    return row


def _parse_note(content: bytes) -> Begun:
    begun: Begun = parse_record(Begun, json.loads(content))
    return begun
