"""Checkpoints: the state a training resumes from, in two files, the last one and the one before it."""

import io
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from drrn.atomic import write_bytes
from drrn.errors import DRRNError, TrainingError

LAST, BEFORE = "last.ckpt", "before.ckpt"
DIGEST = sha256().digest_size


def save(run: Path, state: dict[str, Any]) -> None:
    """Write `state` to the run's `last.ckpt`, and keep the previous file: if the process is killed, one of them is
    good.

    The file is a SHA-256, followed by what `torch.save` wrote, since torch itself does not notice a flipped bit. The
    same state gives the same bytes.

    Raises:
        DRRNError: the file can't be written.
    """
    buffer = io.BytesIO()  # given a path, torch would write its name into the file
    torch.save(_intern_strings(state), buffer)
    content = buffer.getvalue()
    last = run / LAST
    try:
        if last.exists() and _read(last) is not None:  # a damaged file must not replace a good one
            last.replace(run / BEFORE)
    except OSError as error:
        raise DRRNError(f"{last} can't be written: {error.strerror or error}.") from error
    write_bytes(last, sha256(content).digest() + content)


def load(run: Path) -> tuple[dict[str, Any] | None, Path | None]:
    """The newest good state of a run, if any, and the newer file that is damaged, if any.

    Raises:
        TrainingError: every checkpoint is damaged.
    """
    damaged = None
    for path in (run / LAST, run / BEFORE):
        if path.exists():
            content = _read(path)
            if content is not None:
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True), damaged
            damaged = damaged or path
    if damaged:
        raise TrainingError(f"{damaged} is damaged and there is no other checkpoint. Start again with another --run.")
    return None, None


def _read(path: Path) -> bytes | None:
    """What `torch.save` wrote; None if it is damaged."""
    content = path.read_bytes()
    digest, content = content[:DIGEST], content[DIGEST:]
    return content if sha256(content).digest() == digest else None


def _intern_strings(value: Any) -> Any:
    """`value` with equal strings made one object: pickle writes a repeated object differently from an equal one, and
    loaded states have separate objects."""
    if type(value) is dict:
        return {_intern_strings(key): _intern_strings(item) for key, item in value.items()}
    if type(value) is list:
        return [_intern_strings(item) for item in value]
    return sys.intern(value) if type(value) is str else value
