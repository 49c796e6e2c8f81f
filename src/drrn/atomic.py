"""Write files atomically: whole, or not at all.

If the program is killed or the disk fills up at any moment, the old file or the new one exists, never a part.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from drrn.errors import DRRNError, ImageError, printable

TEMPORARY = f".drrn-{'[0-9a-f]' * 12}*"
"""Pattern of the names of temporary files, of running programs and of killed ones."""


@contextmanager
def atomic(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path to write to; when the block ends without an error, the file is renamed to `path`.

    The temporary file is in the folder of `path`, has the same suffix, and is removed if the block fails.

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
        with suppress(OSError):  # if it could not be created, it can't be removed either
            temporary.unlink()


def refuse_existing(path: Path, *, overwrite: bool, option: str = "--overwrite") -> None:
    """Check before long work what `atomic` checks after it.

    Raises:
        ImageError: `path` exists and `overwrite` is off; the message names the `option` that allows it.
    """
    if not overwrite and os.path.lexists(path):
        raise ImageError(f"{printable(path)} exists. Give another name, or {option}.")


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, replacing an existing file."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` in UTF-8, replacing an existing file."""
    write_bytes(path, content.encode())


def _claim(temporary: Path, path: Path) -> None:
    """Give the file its final name unless it is taken. A link, unlike a rename, fails if another program was faster."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, as on USB sticks
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        temporary.replace(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
