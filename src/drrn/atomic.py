"""The one way a file is written: whole, or not at all.

A program killed, or a disk that fills up, at any moment leaves the old file or the new one, never a half.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from drrn.errors import DRRNError, ImageError, printable

TEMPORARY = f".drrn-{'[0-9a-f]' * 12}*"
"""What temporary files are called, as a pattern: of programs that are at work, or were killed."""


@contextmanager
def atomic(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Write to the path that is given; when the block ends without an error, it becomes `path`.

    The temporary file lies in the folder of `path`, has the same suffix, and is gone if the block fails.

    Raises:
        DRRNError: the folder is missing or read-only, the disk is full, or `path` exists and `overwrite` is off.
    """
    temporary = path.with_name(f".drrn-{secrets.token_hex(6)}{path.suffix}")
    try:
        yield temporary
        _sync(temporary)
        if overwrite:
            temporary.replace(path)
        else:
            _claim(temporary, path)
        _sync(path.parent)
    except FileExistsError as error:
        raise DRRNError(f"{path} exists. Give another name, or --overwrite.") from error
    except OSError as error:
        raise DRRNError(f"{path} can't be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):  # where it could not be made, it can't be removed either
            temporary.unlink()


def refuse_existing(path: Path, *, overwrite: bool, option: str = "--overwrite") -> None:
    """Check before long work what `atomic` checks after it.

    Raises:
        ImageError: there is something at `path` and `overwrite` is off; the message names the `option` that allows it.
    """
    if not overwrite and os.path.lexists(path):
        raise ImageError(f"{printable(path)} exists. Give another name, or {option}.")


def write_bytes(path: Path, content: bytes) -> None:
    """Make `path` hold `content`, replacing what was there."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Make `path` hold `content` in UTF-8, replacing what was there."""
    write_bytes(path, content.encode())


def _claim(temporary: Path, path: Path) -> None:
    """Give the file its name, unless the name is taken: a link, unlike a rename, sees a program that was faster."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, as on a memory stick
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        temporary.replace(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
