"""What drrn made in a folder, and of what, so that the next run does only what is missing or stale.

It is a database in that folder, which one run at a time holds, as long as it lives. A row says that under this name
these bytes are drrn's. It is written before the file gets its name: whenever a run is killed, no file of drrn's is
unknown.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from drrn.errors import ImageError, UsageError, printable, translate_errors
from drrn.upscaling.fingerprint import Fingerprint, file_stamp, sha256

NAME = ".drrn.sqlite"
FORMAT = 1
TABLE = """
CREATE TABLE IF NOT EXISTS made (
    target BLOB NOT NULL, mark TEXT NOT NULL, sha256 TEXT NOT NULL,
    source BLOB NOT NULL, source_mark TEXT NOT NULL, source_sha256 TEXT NOT NULL,
    recipe TEXT NOT NULL,
    PRIMARY KEY (target, sha256)
)
"""
"""Names as bytes, since they need not be text; `target` is relative to the folder, with slashes."""


class Record(NamedTuple):
    """A file that drrn made."""

    file: Fingerprint
    source: Fingerprint
    recipe: str
    """All that decides its pixels beside the source, as text."""


class Manifest:
    """What is known of `folder`, read from `database`. Several threads may use it."""

    def __init__(self, folder: Path, database: sqlite3.Connection):
        self.folder, self.database = folder, database
        self.turn = threading.Lock()

    def find(self, target: Path) -> Record | None:
        """What drrn made at `target`, if it is still there to the byte."""
        query = "SELECT mark, sha256, source_mark, source_sha256, recipe FROM made WHERE target = ?"
        known = [
            Record(Fingerprint(*row[:2]), Fingerprint(*row[2:4]), row[4]) for row in self._do(query, self._name(target))
        ]
        now = file_stamp(target)
        for made in known:
            if made.file.mark == now:
                return made
        if not known or not now:
            return None
        try:
            digest = sha256(target)
        except OSError:  # a folder, say
            return None
        for made in known:
            if made.file.sha256 == digest:
                self._do("UPDATE made SET mark = ? WHERE target = ? AND sha256 = ?", now, self._name(target), digest)
                return made
        return None

    def is_fresh(self, target: Path, made: Record, source: Path, recipe: str) -> bool:
        """Whether `source` by `recipe` would become what was `made` at `target`."""
        if made.recipe != recipe:
            return False
        if made.source.mark == file_stamp(source):
            return True
        try:
            now = Fingerprint.of(source)
        except ImageError:  # who goes on to read it says so
            return False
        if made.source.sha256 != now.sha256:
            return False
        query = "UPDATE made SET source_mark = ? WHERE target = ? AND sha256 = ?"
        self._do(query, now.mark, self._name(target), made.file.sha256)
        return True

    def add(self, target: Path, temporary: Path, source: Path, seen: Fingerprint, recipe: str) -> None:
        """Say that what lies in `temporary`, and will be `target`, is drrn's."""
        self._do(
            "INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(self._name(target), *Fingerprint.of(temporary), os.fsencode(source), *seen, recipe),
        )

    def forget_others(self, target: Path) -> None:
        """`target` is there: what was there before is no more."""
        made = self.find(target)
        if made:
            self._do("DELETE FROM made WHERE target = ? AND sha256 != ?", self._name(target), made.file.sha256)

    def _name(self, target: Path) -> bytes:
        return os.fsencode(target.relative_to(self.folder).as_posix())

    def _do(self, query: str, *values: str | bytes) -> list[tuple[str, ...]]:
        with self.turn, _sqlite_errors(self.folder):
            return self.database.execute(query, values).fetchall()


@contextmanager
def open_manifest(folder: Path, *, writes: bool = True) -> Iterator[Manifest]:
    """The manifest of `folder`, which no other process can have for as long as the block lasts.

    Args:
        writes: off makes none where there is none.

    Raises:
        UsageError: another process has it, or it can't be used.
    """
    path = folder / NAME
    kept = path if writes or path.exists() else ":memory:"
    with _sqlite_errors(folder):
        # no transactions but SQLite's own, one a statement; on the disk when the statement ends
        database = sqlite3.connect(kept, timeout=0, isolation_level=None, check_same_thread=False)
    with closing(database):
        with _sqlite_errors(folder):
            database.execute("PRAGMA locking_mode = EXCLUSIVE")  # what is locked once stays so
            database.execute("BEGIN EXCLUSIVE")
            database.execute(TABLE)
            (form,) = database.execute("PRAGMA user_version").fetchone()
            database.execute(f"PRAGMA user_version = {FORMAT}")
            if form in (0, FORMAT):
                database.execute("COMMIT")
        if form not in (0, FORMAT):
            raise UsageError(f"{printable(path)} was written by a newer drrn. Use that one, or give another --output.")
        yield Manifest(folder, database)


@contextmanager
def _sqlite_errors(folder: Path) -> Iterator[None]:
    """What SQLite raises becomes one sentence."""

    def describe(error: Exception) -> str | None:
        if not isinstance(error, sqlite3.Error):
            return None
        code = getattr(error, "sqlite_errorcode", None)
        sentence = f"{printable(folder / NAME)} can't be used: {error}. Give another --output"
        if code == sqlite3.SQLITE_BUSY:
            sentence = (
                f"Another drrn is running in {printable(folder)}. Wait until it is done, or give another --output"
            )
        elif code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            sentence += ", or remove that file"
        return f"{sentence}."

    with translate_errors(describe, UsageError):
        yield
