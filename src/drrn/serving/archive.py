"""Several results as one ZIP file, not compressed a second time, made while it is sent."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path, PurePath
from typing import Final

CHUNK: Final = 1 << 20
EPOCH: Final = (2000, 1, 1, 0, 0, 0)
"""When each file was made, as far as the archive says: the same results are the same archive."""


class _Pipe(io.RawIOBase):
    """What is written into it, to be taken."""

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
    """The bytes of an archive with these names and files. What vanishes meanwhile is left out."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for name, path in zip(distinct([name for name, _ in files]), (path for _, path in files), strict=True):
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


def distinct(names: Sequence[str]) -> list[str]:
    """The names with a number where one is there already, in whatever case: photo_x2.png, photo_x2 (2).png."""
    taken, found = set[str](), list[str]()
    for name in names:
        path, number = PurePath(name), 1
        while name.lower() in taken:
            number += 1
            name = f"{path.stem} ({number}){path.suffix}"
        taken.add(name.lower())
        found.append(name)
    return found
