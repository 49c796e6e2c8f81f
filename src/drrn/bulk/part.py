"""Run one part of a plan in one process: fetch, enlarge and store each file, and finally write the part's record.

A file is enlarged at least once, and there is only one version of its result: the same name and the same bytes. A file
that fails gets a row with the error in the record. A process that is killed leaves a marker in `begun`; the next one
that runs the part therefore writes down each file before it starts on it. A file that gets a process killed three
times is given up, and counts as failed.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from time import perf_counter

from drrn.bulk.plan import FOLDER, WEIGHTS, File, Part, read_files
from drrn.bulk.recipe import Recipe
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
"""How often a process may be killed while it works on the same file."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one file: a line of the record."""

    source: str
    etag: str
    """Etag of the source when it was read."""
    target: str = ""
    """Name of the result; empty if no result was written."""
    bytes: int = 0
    """Size of the result."""
    sha256: str = ""
    """SHA-256 of the result."""
    engine: str = ""
    """As `engine_kind` gives it."""
    seconds: float = 0.0
    """Time to fetch, enlarge and store the file."""
    converted: tuple[str, ...] = ()
    """What was converted, dropped or tolerated."""
    error: str = ""
    """Why there is no result; empty if there is one."""

    def to_json(self) -> str:
        """A line of JSON without empty fields."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}) + "\n"


@dataclass
class Attempts:
    """Earlier attempts at a part that is not done: the content of its marker in `begun`."""

    starts: int = 0
    """Processes that started on the part and were killed, or are still running."""
    file: str = ""
    """The file being enlarged; only recorded from the second start on."""
    kills: dict[str, int] = field(default_factory=dict)
    """By file: how many processes were killed while they enlarged it."""


def load_weights(target: Store, recipe: Recipe) -> Weights:
    """Load the weights that are stored with the plan, even if a packaged model has the same name.

    Raises:
        StorageError: they are missing or damaged, or not the weights of the recipe.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        try:
            target.get(WEIGHTS, path)
            weights = load(path)
        except DRRNError as error:
            raise StorageError(f"The weights in {printable(target.url)} can't be read: {error}") from error
    if weights.digest() != recipe.weights_sha256:
        raise StorageError(f"The weights in {printable(target.url)} are not those of its plan. Make a new plan.")
    return replace(weights, name=recipe.model)  # some formats record the name of the model


def enlarge_part(
    recipe: Recipe, part: Part, source: Store, target: Store, upscaler: Upscaler, *, retry: bool = False
) -> list[Row]:
    """Enlarge the files of a part and write its record. A part that has a record is left as it is.

    Args:
        retry: in a part that has a record, try the failed files again.

    Returns:
        A row for each file of the part, in order.

    Raises:
        StorageError: a store fails, and the part stays undone.
    """
    rows = read_rows(target, part)
    if rows is not None and not any(row.error for row in rows):
        target.remove(_path(FAILED, part))  # a process that was killed at the last moment leaves it
        return rows
    if rows is not None and not retry:
        return rows
    done = {row.source: row for row in rows or () if not row.error}
    files = read_files(target, part)
    with _track_attempts(target, part) as begin:
        rows = [done.get(file.name) or _run_file(recipe, file, source, target, upscaler, begin) for file in files]
        failed = [row for row in rows if row.error]
        if failed:  # before the record: once a part looks done, its failures can be seen too
            target.write(_path(FAILED, part), _to_lines(failed))
        target.write(_path(DONE, part), _to_lines(rows))
        if not failed:
            target.remove(_path(FAILED, part))
    return rows


def read_rows(target: Store, part: Part, folder: str = DONE) -> list[Row] | None:
    """Read the record of a part.

    Args:
        folder: `DONE` for all rows, `FAILED` for those of failed files.

    Returns:
        The rows in the order of the part's files, or None if there is no record.

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
    """List the parts that have a record in `folder`: their numbers, and when it was written (seconds since 1970)."""
    for entry in target.list(f"{folder}/"):
        yield int(PurePosixPath(entry.name).stem), entry.modified


def enlarge_file(recipe: Recipe, file: File, source: Store, target: Store, upscaler: Upscaler, scratch: Path) -> Row:
    """Fetch and enlarge one file, and store its result.

    Args:
        scratch: an empty folder.

    Raises:
        DRRNError: the file can't be enlarged.
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
    target_name = str(name.with_name(job.target.name))
    _put(target, job.target, target_name, digest, scratch, overwrite=recipe.overwrite)
    return Row(
        source=file.name,
        etag=etag,
        target=target_name,
        bytes=job.target.stat().st_size,
        sha256=digest,
        engine=engine_kind(choice.upscaler),
        seconds=round(perf_counter() - began, 3),
        converted=(*job.format.changes(job), *job.header.tolerated),
    )


def engine_kind(upscaler: Upscaler) -> str:
    """The engine with its kernels, such as `native (avx512)`, but without the number of threads.

    Engines of different kinds may round differently.
    """
    return re.sub(r", \d+ threads?", "", upscaler.engine.name)


def _put(target: Store, path: Path, name: str, digest: str, scratch: Path, *, overwrite: bool) -> None:
    """Store a result, unless an earlier attempt at the part has stored it already.

    Raises:
        ImageError: the name is taken by a file with other content.
    """
    try:
        target.put(path, name, overwrite=overwrite)
    except ExistsError as error:
        existing = scratch / "existing"
        target.get(name, existing)
        if sha256(existing) != digest:
            raise ImageError(
                f"{printable(name)} already exists, with other content. Plan with --overwrite to replace it."
            ) from error


def _run_file(
    recipe: Recipe, file: File, source: Store, target: Store, upscaler: Upscaler, begin: Callable[[str], int]
) -> Row:
    """The row of one file. Raises StorageError: a store fails."""
    if begin(file.name) >= MAX_KILLS:
        error = f"Its process was killed {MAX_KILLS} times, most likely because memory was short."
        return Row(source=file.name, etag=file.etag, error=error)
    with TemporaryDirectory(prefix="drrn-bulk-") as scratch:
        try:
            return enlarge_file(recipe, file, source, target, upscaler, Path(scratch))
        except StorageError:
            raise
        except Exception as error:  # a bug must not stop the other files of the part either
            text = str(error) if isinstance(error, DRRNError) else f"{type(error).__name__}: {error}"
            line = " ".join(text.replace(f"{scratch}/results/", "").replace(f"{scratch}/", "").split())
            return Row(source=file.name, etag=file.etag, error=line)


@contextmanager
def _track_attempts(target: Store, part: Part) -> Iterator[Callable[[str], int]]:
    """Keep the marker of a part in `begun` while the block runs, and remove it at the end.

    A process that is killed leaves the marker behind. One that is stopped by an exception does not count as a start.

    Yields:
        A function to call with a file's name before it is enlarged. It returns how many processes that file has killed.
    """
    path = _path(BEGUN, part)
    try:
        earlier = _parse_attempts(target.read(path) or b"{}")
    except ValueError:
        earlier = Attempts()
    if earlier.file:
        earlier.kills[earlier.file] = earlier.kills.get(earlier.file, 0) + 1
    attempts = Attempts(earlier.starts + 1, "", earlier.kills)

    def begin(file: str) -> int:
        kills = attempts.kills.get(file, 0)
        if attempts.starts > 1 and kills < MAX_KILLS:
            attempts.file = file
            write()
        return kills

    def write() -> None:
        target.write(path, json.dumps(asdict(attempts)).encode())

    write()
    try:
        yield begin
    except BaseException:
        attempts.starts, attempts.file = attempts.starts - 1, ""
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


def _parse_attempts(content: bytes) -> Attempts:
    attempts: Attempts = parse_record(Attempts, json.loads(content))
    return attempts
