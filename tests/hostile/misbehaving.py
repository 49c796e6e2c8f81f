"""Formats that fail in every way that the harness must detect, for about one input in four."""

import os
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from signal import SIGSEGV
from typing import Final

from drrn.errors import ImageError
from tests.hostile.formats import Format

SEED: Final = bytes(range(200))


def _sometimes(wrong: Callable[[Path], object], path: Path, folder: Path) -> None:
    content = path.read_bytes()
    if content != SEED and sha256(content).digest()[0] < 64:
        wrong(folder)
    if len(content) < len(SEED):
        raise ImageError("It is short.")


def _refuse_and_leave(folder: Path) -> None:
    (folder / "left").touch()
    raise ImageError("It is refused.")


def _refuse(sentence: str, folder: Path) -> None:
    raise ImageError(sentence)


def _deeper(folder: Path) -> None:
    _deeper(folder)


WRONG: Final[dict[str, Callable[[Path], object]]] = {
    "crashed": lambda folder: os.kill(os.getpid(), SIGSEGV),
    "hung": lambda folder: time.sleep(600),
    "greedy": lambda folder: len(bytearray(80 << 20)),
    "other": lambda folder: int("absent"),
    "other, recursion": _deeper,
    "other, two lines": partial(_refuse, "It is\nrefused."),
    "other, a terminal's orders": partial(_refuse, "\x1b[2J is refused."),
    "other, a file is left": _refuse_and_leave,
    "other, noise": lambda folder: os.write(2, b"oh"),
}


FORMATS: Final = {
    name: Format(lambda: [SEED], ".bin", attempt=partial(_sometimes, wrong)) for name, wrong in WRONG.items()
}
