"""Several results as one ZIP file, uncompressed, written while it is being sent."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path, PurePath
from typing import Final

CHUNK: Final = 1 << 20
EPOCH: Final = (2000, 1, 1, 0, 0, 0)
"""Timestamp of every file, so that the same results always give the same archive."""


class _Pipe(io.RawIOBase):
    """A file whose written bytes are taken out again with `take`."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self.written)
        self.written.clear()
        return taken


async def stream_zip(files: Sequence[tuple[str, Path]]) -> AsyncIterator[bytes]:
    """Yield the bytes of a ZIP archive of (name, path) pairs. Files that no longer exist are left out."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for name, path in zip(unique_names([name for name, _ in files]), (path for _, path in files), strict=True):
            try:
                source = path.open("rb")
            except OSError:
                continue
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o644 << 16
            with source, archive.open(info, "w", force_zip64=True) as entry:
                while piece := await asyncio.to_thread(source.read, CHUNK):
                    entry.write(piece)
                    yield pipe.take()
    yield pipe.take()


def unique_names(names: Sequence[str]) -> list[str]:
    """Number repeated names, ignoring case: photo_x2.png, photo_x2 (2).png."""
    taken, unique = set[str](), list[str]()
    for name in names:
        path, number = PurePath(name), 1
        while name.lower() in taken:
            number += 1
            name = f"{path.stem} ({number}){path.suffix}"
        taken.add(name.lower())
        unique.append(name)
    return unique
