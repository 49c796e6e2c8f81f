"""What a file was when it was looked at: enough to know later whether it has changed."""

from hashlib import file_digest
from pathlib import Path
from typing import NamedTuple, Self

from drrn.errors import ImageError, printable


class Fingerprint(NamedTuple):
    """A file as it was."""

    mark: str
    """Size, time of its last change in ns, and number: while these are the same, the content is taken to be."""
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Raises ImageError: it can't be read, or changes meanwhile."""
        before = file_stamp(path)
        try:
            seen = cls(before, sha256(path))
        except OSError as error:
            raise ImageError(f"{printable(path)} can't be read: {error.strerror or error}.") from error
        if file_stamp(path) != before:
            raise ImageError(f"{printable(path)} is being written. Run it again.")
        return seen


def file_stamp(path: Path) -> str:
    """See `Fingerprint.mark`; nothing where there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def sha256(path: Path) -> str:
    """Of the content of a file. Raises OSError."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
