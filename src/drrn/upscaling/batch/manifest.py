"""A record of what drrn has written to a folder and from what, so that the next run only makes what is missing or
stale.

It is an SQLite database in that folder, locked by one process at a time. Each row states that the file of this name and
content was written by drrn. The row is written before the file gets its name: even if a run is killed, no file of
drrn's is unknown.
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
"""Names are stored as bytes, since they may not be valid text; `target` is relative to the folder, with slashes."""


class Record(NamedTuple):
    """A file that drrn has written."""

    file: Fingerprint
    source: Fingerprint
    recipe: str
    """Everything besides the source that determines its pixels, as text."""


class Manifest:
    """The records of `folder`, stored in `database`. Safe to use from several threads."""

    def __init__(self, folder: Path, database: sqlite3.Connection):
        self.folder, self.database = folder, database
        self.turn = threading.Lock()

    def find(self, target: Path) -> Record | None:
        """Return the record of `target`, if the file still exists and is unchanged."""
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
        except OSError:  # for example, it is a folder now
            return None
        for made in known:
            if made.file.sha256 == digest:
                self._do("UPDATE made SET mark = ? WHERE target = ? AND sha256 = ?", now, self._name(target), digest)
                return made
        return None

    def is_fresh(self, target: Path, made: Record, source: Path, recipe: str) -> bool:
        """Whether enlarging `source` by `recipe` would give the file recorded in `made`."""
        if made.recipe != recipe:
            return False
        if made.source.mark == file_stamp(source):
            return True
        try:
            now = Fingerprint.of(source)
        except ImageError:  # reading it will report the error
            return False
        if made.source.sha256 != now.sha256:
            return False
        query = "UPDATE made SET source_mark = ? WHERE target = ? AND sha256 = ?"
        self._do(query, now.mark, self._name(target), made.file.sha256)
        return True

    def add(self, target: Path, temporary: Path, source: Path, seen: Fingerprint, recipe: str) -> None:
        """Record that the content of `temporary`, which will be renamed to `target`, was made by drrn.

        Args:
            seen: fingerprint of `source` when it was read.
            recipe: everything besides the source that determines the result.
        """
        self._do(
            "INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(self._name(target), *Fingerprint.of(temporary), os.fsencode(source), *seen, recipe),
        )

    def forget_others(self, target: Path) -> None:
        """Delete records of earlier contents of `target`, once the new file is in place."""
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
    """Open the manifest of `folder`, locked against other processes for the duration of the block.

    Args:
        writes: off does not create one if there is none.

    Raises:
        UsageError: another process has locked it, or it can't be used.
    """
    path = folder / NAME
    kept = path if writes or path.exists() else ":memory:"
    with _sqlite_errors(folder):
        # autocommit: each statement is a transaction, and is on the disk when it returns
        database = sqlite3.connect(kept, timeout=0, isolation_level=None, check_same_thread=False)
    with closing(database):
        with _sqlite_errors(folder):
            database.execute("PRAGMA locking_mode = EXCLUSIVE")  # a lock, once taken, is kept
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
    """Translate what SQLite raises into one sentence."""

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
