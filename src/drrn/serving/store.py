"""The folder of a service, where it stores pictures and results while they are needed.

    lock                  held as long as the service runs
    uploads/*             uploads in progress
    sources/SHA256        pictures, named by their content
    jobs/ID/job.json      a job that was accepted
    jobs/ID/result.*      its complete result

No name or path from a client ever becomes part of a path here.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from drrn.errors import UsageError, printable

PARTS = ("uploads", "sources", "jobs")


class Store:
    """The folder of a service. No other service can use it at the same time."""

    def __init__(self, folder: Path):
        """Lock the folder and empty it.

        Raises:
            UsageError: another service uses it, or it can't be written to.
        """
        self.folder, name = folder, printable(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
            self._lock = _lock(folder / "lock")
        except BlockingIOError as error:
            raise UsageError(f"Another drrn serve uses {name}. Stop it, or give another --folder.") from error
        except OSError as error:
            raise UsageError(f"{name} can't be used: {error.strerror or error}. Give another --folder.") from error
        self.lost = list(self._leftovers())
        """Jobs that an earlier service left behind: their plans, with their ids."""
        self.clear()
        self.used: dict[str, float] = {}
        """When each picture was last needed, by its SHA-256."""

    def source(self, sha256: str) -> Path:
        """The path of a picture."""
        return self.folder / "sources" / sha256

    def has(self, sha256: str) -> bool:
        """Whether the picture is stored. This counts as using it: the time until it is deleted starts again."""
        if sha256 not in self.used:
            return False
        self.used[sha256] = time.monotonic()
        return True

    def job(self, identity: str) -> Path:
        """The folder of a job."""
        return self.folder / "jobs" / identity

    def new_upload(self) -> Path:
        """A new path for an upload."""
        return self.folder / "uploads" / secrets.token_hex(16)

    def add(self, upload: Path, sha256: str) -> None:
        """Store a completed upload as a picture."""
        upload.replace(self.source(sha256))
        self.used[sha256] = time.monotonic()

    def remove_source(self, sha256: str) -> None:
        """Delete a picture, if it exists."""
        self.used.pop(sha256, None)
        with suppress(OSError):
            self.source(sha256).unlink()

    def add_job(self, identity: str, about: dict[str, Any]) -> Path:
        """Make the folder of a new job.

        Args:
            about: the plan, which is stored in it.

        Raises:
            OSError: it can't be written, for example because the disk is full.
        """
        folder = self.job(identity)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        (folder / "job.json").write_text(json.dumps(about))
        return folder

    def remove_job(self, identity: str) -> None:
        """Delete the folder of a job, if it exists."""
        shutil.rmtree(self.job(identity), ignore_errors=True)

    def bytes(self) -> int:
        """The size of all files together, in bytes."""
        total = 0
        for path in self.folder.rglob("*"):
            with suppress(OSError):
                total += path.stat().st_size if path.is_file() else 0
        return total

    def clear(self) -> None:
        """Delete all pictures, jobs and uploads."""
        for part in PARTS:
            shutil.rmtree(self.folder / part, ignore_errors=True)
            with suppress(OSError):
                (self.folder / part).mkdir(mode=0o700)

    def close(self) -> None:
        """Delete everything, and unlock the folder."""
        for part in PARTS:
            shutil.rmtree(self.folder / part, ignore_errors=True)
        self._lock.close()

    def _leftovers(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self.folder.glob("jobs/*/job.json")):
            with suppress(OSError, ValueError):
                yield {**json.loads(path.read_text()), "id": path.parent.name}


def _lock(path: Path) -> IO[str]:
    """Lock a file until it is closed. Raises BlockingIOError: another process has locked it."""
    with ExitStack() as stack:
        file = stack.enter_context(path.open("w"))
        if os.name == "nt":
            import msvcrt

            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
            except OSError as error:
                raise BlockingIOError from error
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stack.pop_all()
        return file
