"""The identity of a file's content: enough to know later whether it has changed."""

from hashlib import file_digest
from pathlib import Path
from typing import NamedTuple, Self

from drrn.errors import ImageError, printable


class Fingerprint(NamedTuple):
    """A file at one time."""

    mark: str
    """Size, time of modification in ns, and inode: while these are the same, the content is assumed to be."""
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Take the fingerprint of a file. Raises ImageError if it can't be read, or changes meanwhile."""
        before = file_stamp(path)
        try:
            seen = cls(before, sha256(path))
        except OSError as error:
            raise ImageError(f"{printable(path)} can't be read: {error.strerror or error}.") from error
        if file_stamp(path) != before:
            raise ImageError(f"{printable(path)} is being written. Run it again.")
        return seen


def file_stamp(path: Path) -> str:
    """Return `Fingerprint.mark`; empty if there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
