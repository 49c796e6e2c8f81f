"""What a training needs to go on, in two files: the last good one and the one before it."""

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
    """Write `state` to the run's `last.ckpt`, keeping the one before; killed at any moment, one of them is good.

    The file is the SHA-256 of what `torch.save` wrote, then that: torch itself does not notice a flipped bit. The same
    state gives the same bytes.

    Raises:
        DRRNError: the file can't be written.
    """
    buffer = io.BytesIO()  # not a path, whose name would be written into the file
    torch.save(_interned(state), buffer)
    content = buffer.getvalue()
    last = run / LAST
    try:
        if last.exists() and _read(last) is not None:  # a damaged one must not take the place of a good one
            last.replace(run / BEFORE)
    except OSError as error:
        raise DRRNError(f"{last} can't be written: {error.strerror or error}.") from error
    write_bytes(last, sha256(content).digest() + content)


def load(run: Path) -> tuple[dict[str, Any] | None, Path | None]:
    """The newest good state of a run, None where there is none, and the newer file that is damaged, if one is.

    Raises:
        TrainingError: there are checkpoints, and all are damaged.
    """
    damaged = None
    for path in (run / LAST, run / BEFORE):
        if path.exists():
            content = _read(path)
            if content is not None:
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True), damaged
            damaged = damaged or path
    if damaged:
        raise TrainingError(f"{damaged} is damaged and there is no other checkpoint. Start again in another --run.")
    return None, None


def _read(path: Path) -> bytes | None:
    """What `torch.save` wrote, None where it is damaged."""
    content = path.read_bytes()
    digest, content = content[:DIGEST], content[DIGEST:]
    return content if sha256(content).digest() == digest else None


def _interned(value: Any) -> Any:
    """`value`, equal strings in it being one object: pickle writes the second mention of an object in another way than
    that of an equal one, and what was loaded has objects of its own."""
    if type(value) is dict:
        return {_interned(key): _interned(inside) for key, inside in value.items()}
    if type(value) is list:
        return [_interned(inside) for inside in value]
    return sys.intern(value) if type(value) is str else value
