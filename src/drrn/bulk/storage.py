"""Where files are stored: a folder, or a bucket of an object store, with the same few operations."""

import os
import shutil
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, NamedTuple, Protocol, TypeVar

from drrn.atomic import TEMPORARY, atomic, write_bytes
from drrn.errors import DRRNError, ImageError, StorageError, UsageError, printable
from drrn.media.naming import is_system_folder

Result = TypeVar("Result")
SCHEMES = ("s3://", "gs://", "az://")


class ExistsError(StorageError):
    """A file of that name exists."""


class Entry(NamedTuple):
    """A file in a listing."""

    name: str
    """Path relative to the store, with slashes."""
    size: int
    """Bytes."""
    etag: str
    """A text that changes when the content does."""
    modified: float
    """Seconds since 1970."""


class Store(Protocol):
    """A folder or a bucket. Files are named by their path relative to it, with slashes.

    A file is stored as a whole or not at all. Every operation raises StorageError if the store fails.
    """

    url: str

    def list(self, prefix: str = "", after: str = "") -> Iterator[Entry]:
        """List the files whose names begin with `prefix` and come after `after`, in the byte order of their names."""
        ...

    def get(self, name: str, path: Path) -> str:
        """Copy a file to the local `path`, and return its etag. Raises ImageError: it is missing or can't be read."""
        ...

    def inspect(self, entry: Entry, read: Callable[[BinaryIO], Result]) -> Result:
        """Call `read` with a file that it can seek in, and return its result.

        From a bucket, only what is read is fetched.

        Raises:
            ImageError: as `get`.
        """
        ...

    def put(self, path: Path, name: str, *, overwrite: bool) -> None:
        """Store the local file `path` under a name. Raises ExistsError: it exists, and `overwrite` is off."""
        ...

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if it does not exist."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, or replace it."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        ...

    def local_path(self, name: str) -> Path | None:
        """Where this machine can open the file directly; None if it has to be fetched."""
        ...


def open_store(url: str) -> Store:
    """Open the folder or bucket at `url`.

    Raises:
        UsageError: the URL is neither, or a package that buckets need is not installed.
        StorageError: the bucket can't be opened.
    """
    if "://" not in url:
        return Folder(Path(url))
    if not url.startswith(SCHEMES):
        raise UsageError(f"{printable(url)} is neither a folder nor a bucket. Buckets begin with {', '.join(SCHEMES)}.")
    try:
        from drrn.bulk.bucket import Bucket
    except ModuleNotFoundError as error:
        raise UsageError(f"A bucket needs {error.name}. Install it: pip install 'drrn[bulk]'.") from error
    return Bucket(url)


class Folder:
    """A folder on this machine, or one that several machines mount."""

    def __init__(self, path: Path):
        self.path, self.url = path, str(path)

    def list(self, prefix: str = "", after: str = "") -> Iterator[Entry]:
        """See `Store.list`. Omits links to folders, and hidden folders such as `.git` unless `prefix` is in one."""
        start = prefix.rpartition("/")[0]
        folder = self._path(start) if start else self.path
        if not folder.is_dir():
            if start:
                return
            raise StorageError(f"There is no folder {printable(self.path)}.")
        yield from (
            entry for entry in self._walk(folder, f"{start}/" if start else "", after) if entry.name.startswith(prefix)
        )

    def get(self, name: str, path: Path) -> str:
        try:
            source = self._path(name)
            before = source.stat()
            shutil.copyfile(source, path)
            after = source.stat()
        except OSError as error:
            raise ImageError(f"{printable(name)} can't be read: {error.strerror or error}.") from error
        if _etag(before) != _etag(after):
            raise ImageError(f"{printable(name)} changed while it was being read.")
        return _etag(after)

    def inspect(self, entry: Entry, read: Callable[[BinaryIO], Result]) -> Result:
        try:
            with self._path(entry.name).open("rb") as file:
                return read(file)
        except OSError as error:
            raise ImageError(f"{printable(entry.name)} can't be read: {error.strerror or error}.") from error

    def put(self, path: Path, name: str, *, overwrite: bool) -> None:
        target = self._path(name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic(target, overwrite=overwrite) as temporary:
                shutil.copyfile(path, temporary)
        except OSError as error:
            raise StorageError(f"{printable(target)} can't be written: {error.strerror or error}.") from error
        except DRRNError as error:
            kind = ExistsError if isinstance(error.__cause__, FileExistsError) else StorageError
            raise kind(str(error)) from error

    def read(self, name: str) -> bytes | None:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{printable(self._path(name))} can't be read: {error.strerror or error}.") from error

    def write(self, name: str, content: bytes) -> None:
        target = self._path(name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target, content)
        except (OSError, DRRNError) as error:
            raise StorageError(f"{printable(target)} can't be written: {error}") from error

    def remove(self, name: str) -> None:
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{printable(self._path(name))} can't be removed: {error.strerror or error}.") from error

    def local_path(self, name: str) -> Path | None:
        return self._path(name)

    def _walk(self, folder: Path, prefix: str, after: str) -> Iterator[Entry]:
        """List a folder in byte order. Folders are sorted with their slash: `a.png` comes before `a/b.png`."""
        try:
            with os.scandir(folder) as entries:  # keep only names: entries take ten times the memory
                names = sorted(os.fsencode(f"{each.name}/" if each.is_dir(follow_symlinks=False) else each.name)
                               for each in entries)  # fmt: skip
            for name in map(os.fsdecode, names):
                if name.endswith("/"):
                    inside = f"{prefix}{name}"
                    if not is_system_folder(name[:-1]) and (inside > after or after.startswith(inside)):
                        yield from self._walk(folder / name, inside, after)
                elif f"{prefix}{name}" > after and not fnmatch(name, TEMPORARY):
                    try:
                        status = (folder / name).stat()
                    except FileNotFoundError:  # removed meanwhile, or a broken link
                        continue
                    if S_ISREG(status.st_mode):
                        yield Entry(f"{prefix}{name}", status.st_size, _etag(status), status.st_mtime)
        except OSError as error:
            raise StorageError(f"{printable(folder)} can't be listed: {error.strerror or error}.") from error

    def _path(self, name: str) -> Path:
        """The path of a name. Raises StorageError: it is outside the folder."""
        if name.startswith("/") or ".." in name.split("/"):
            raise StorageError(f"{printable(name)} is outside the folder {printable(self.path)}.")
        return self.path / name


def _etag(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"
