"""Where pictures and results lie while they are needed: a folder that is the service's own.

    lock                  held as long as the service runs
    uploads/*             what is on its way
    sources/SHA256        pictures, by their content
    jobs/ID/job.json      a job that was accepted
    jobs/ID/result.*      its result, whole

No name or path that a client gave is ever part of a path here.
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
    """The folder, which no other service uses at the same time."""

    def __init__(self, folder: Path):
        """Take it, and remove what is in it.

        Raises:
            UsageError: another service has it, or it can't be written.
        """
        self.folder, name = folder, printable(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
            self._lock = _locked(folder / "lock")
        except BlockingIOError as error:
            raise UsageError(f"Another drrn serve uses {name}. Stop it, or give another --folder.") from error
        except OSError as error:
            raise UsageError(f"{name} can't be used: {error.strerror or error}. Give a --folder.") from error
        self.lost = list(self._leftovers())
        """What is known of jobs that an earlier service left, with their ids."""
        self.clear()
        self.used: dict[str, float] = {}
        """When each picture was last needed, by its SHA-256."""

    def source(self, sha256: str) -> Path:
        return self.folder / "sources" / sha256

    def has(self, sha256: str) -> bool:
        """Whether the picture is there; it is kept for some time from now on."""
        if sha256 not in self.used:
            return False
        self.used[sha256] = time.monotonic()
        return True

    def job(self, identity: str) -> Path:
        return self.folder / "jobs" / identity

    def new_upload(self) -> Path:
        return self.folder / "uploads" / secrets.token_hex(16)

    def add(self, upload: Path, sha256: str) -> None:
        """Keep what was uploaded whole."""
        upload.replace(self.source(sha256))
        self.used[sha256] = time.monotonic()

    def remove_source(self, sha256: str) -> None:
        self.used.pop(sha256, None)
        with suppress(OSError):
            self.source(sha256).unlink()

    def add_job(self, identity: str, about: dict[str, Any]) -> Path:
        """The folder of a new job.

        Raises:
            OSError: the disk is full, or the like.
        """
        folder = self.job(identity)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        (folder / "job.json").write_text(json.dumps(about))
        return folder

    def remove_job(self, identity: str) -> None:
        shutil.rmtree(self.job(identity), ignore_errors=True)

    def bytes(self) -> int:
        """Size of all files together."""
        total = 0
        for path in self.folder.rglob("*"):
            with suppress(OSError):
                total += path.stat().st_size if path.is_file() else 0
        return total

    def clear(self) -> None:
        """Remove all."""
        for part in PARTS:
            shutil.rmtree(self.folder / part, ignore_errors=True)
            with suppress(OSError):
                (self.folder / part).mkdir(mode=0o700)

    def close(self) -> None:
        """Remove all, and let others have the folder."""
        for part in PARTS:
            shutil.rmtree(self.folder / part, ignore_errors=True)
        self._lock.close()

    def _leftovers(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self.folder.glob("jobs/*/job.json")):
            with suppress(OSError, ValueError):
                yield {**json.loads(path.read_text()), "id": path.parent.name}


def _locked(path: Path) -> IO[str]:
    """Raises BlockingIOError: another process has it."""
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
