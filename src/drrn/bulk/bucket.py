"""A bucket of an object store (S3, Google Cloud Storage, Azure), accessed through obstore.

Credentials come from the environment.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import SEEK_CUR, SEEK_END, SEEK_SET, BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from drrn.bulk.storage import Entry, ExistsError, Result
from drrn.errors import ImageError, StorageError, printable
from drrn.media.naming import is_system_folder

ATTEMPTS = 6
"""Attempts at an operation, on top of obstore's own retries, which do not cover interrupted transfers, for example."""
FIRST_PAUSE = 0.5
"""Seconds before the second attempt; doubled before each further one."""
PAGE = 1000
"""Names per request, the most that S3 returns."""
BLOCK = 1 << 16
"""Fewest bytes that are fetched at a time when a file is inspected."""


class Bucket:
    """A bucket, or the part of it under a prefix. See `drrn.bulk.storage.Store`."""

    def __init__(self, url: str):
        """
        Args:
            url: s3://bucket/prefix, or with gs:// or az://.

        Raises:
            StorageError: the URL or the credentials in the environment are invalid.
        """
        self.url = url.rstrip("/")
        try:
            self.store: Any = from_url(self.url)
        except (BaseError, ValueError) as error:
            raise StorageError(f"{printable(url)} can't be opened: {_reason(error)}.") from error

    def list(self, prefix: str = "", after: str = "") -> Iterator[Entry]:
        pages: Iterator[Any] = iter(self._pages(prefix, after))
        last = after
        while True:
            try:
                page = next(pages, None)
            except BaseError:
                pages = self._list_again(prefix, last)
                continue
            if page is None:
                return
            for item in page:
                last = item["path"]
                hidden = any(map(is_system_folder, last.removeprefix(prefix).split("/")[:-1]))
                if last.startswith(prefix) and last > after and not hidden:
                    yield Entry(last, item["size"], _etag(item), item["last_modified"].timestamp())

    def get(self, name: str, path: Path) -> str:
        def copy() -> str:
            answer = obstore.get(self.store, name)
            with path.open("wb") as file:
                for chunk in answer.stream():
                    file.write(chunk)
            if path.stat().st_size != answer.meta["size"]:
                raise BaseError(f"{path.stat().st_size} of {answer.meta['size']} bytes arrived")
            return _etag(answer.meta)

        try:
            return self._try("read", name, copy)
        except FileNotFoundError as error:
            raise ImageError(f"{printable(name)} can't be read: there is no such file.") from error

    def inspect(self, entry: Entry, read: Callable[[BinaryIO], Result]) -> Result:
        def open_and_read() -> Result:
            with BufferedReader(_Ranges(self.store, entry), BLOCK) as file:
                return read(file)

        try:
            return self._try("read", entry.name, open_and_read)
        except FileNotFoundError as error:
            raise ImageError(f"{printable(entry.name)} can't be read: there is no such file.") from error

    def put(self, path: Path, name: str, *, overwrite: bool) -> None:
        mode: Any = "overwrite" if overwrite else "create"
        try:
            self._try("written", name, lambda: obstore.put(self.store, name, path, mode=mode))
        except AlreadyExistsError as error:
            raise ExistsError(f"{printable(name)} exists. Give another name, or --overwrite.") from error

    def read(self, name: str) -> bytes | None:
        try:
            return self._try("read", name, lambda: bytes(obstore.get(self.store, name).bytes()))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        self._try("written", name, lambda: obstore.put(self.store, name, content))

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._try("removed", name, lambda: obstore.delete(self.store, name))

    def local_path(self, name: str) -> Path | None:
        return None

    def _try(self, what: str, name: str, operation: Callable[[], Result]) -> Result:
        """Run an operation, and retry it after errors of the network or the store.

        Args:
            what: past participle for the message, such as "read".

        Raises:
            FileNotFoundError, AlreadyExistsError: retrying would not help.
            StorageError: every attempt failed.
        """
        for attempt in range(ATTEMPTS):
            try:
                return operation()
            except AlreadyExistsError:
                raise
            except (BaseError, ConnectionError, TimeoutError) as error:
                fault = error
            time.sleep(FIRST_PAUSE * 2**attempt * (attempt + 1 < ATTEMPTS))
        raise StorageError(f"{self.url}/{printable(name)} can't be {what}: {_reason(fault)}.") from fault

    def _pages(self, prefix: str, after: str) -> Any:
        return obstore.list(self.store, prefix=prefix or None, offset=after or None, chunk_size=PAGE)

    def _list_again(self, prefix: str, after: str) -> Iterator[Any]:
        """The pages of a listing that come after a name, retried until the store answers."""

        def first() -> tuple[Iterator[Any], Any]:
            pages = iter(self._pages(prefix, after))
            return pages, next(pages, None)

        pages, page = self._try("listed", prefix, first)
        if page is not None:
            yield page
        yield from pages


class _Ranges(RawIOBase):
    """A file in a bucket; each read is a request for a range of its bytes."""

    def __init__(self, store: Any, entry: Entry):
        self.store, self.entry, self.position = store, entry, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        self.position = offset + {SEEK_SET: 0, SEEK_CUR: self.position, SEEK_END: self.entry.size}[whence]
        return self.position

    def readinto(self, buffer: Any) -> int:
        count = max(min(len(buffer), self.entry.size - self.position), 0)
        if count:
            start, end = self.position, self.position + count
            buffer[:count] = bytes(obstore.get_range(self.store, self.entry.name, start=start, end=end))
        self.position += count
        return count


def _etag(meta: Any) -> str:
    return str(meta["e_tag"] or meta["version"] or meta["last_modified"].timestamp())


def _reason(error: BaseException) -> str:
    """The first line of an obstore message; the others are details for developers."""
    return printable(str(error).partition("\n")[0][:300].rstrip(".")) or type(error).__name__
