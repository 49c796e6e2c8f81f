"""What a training needs to go on, in two files: the last good one and the one before it."""

import io
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from drrn.atomic import write_bytes
from drrn.errors import TrainingError

LAST, BEFORE = "last.ckpt", "before.ckpt"
DIGEST = sha256().digest_size


def save(run: Path, state: dict[str, Any]) -> None:
    """Write `state` to the run's `last.ckpt`, keeping the one before; killed at any moment, one of them is good.

    The file is the SHA-256 of what `torch.save` wrote, then that: torch itself does not notice a flipped bit.
    """
    buffer = io.BytesIO()  # not a path, whose name would be written into the file
    torch.save(state, buffer)
    content = buffer.getvalue()
    if (run / LAST).exists():
        (run / LAST).replace(run / BEFORE)
    write_bytes(run / LAST, sha256(content).digest() + content)


def load(run: Path) -> tuple[dict[str, Any] | None, Path | None]:
    """The newest good state of a run, None where there is none, and the newer file that is damaged, if one is.

    Raises:
        TrainingError: there are checkpoints, and all are damaged.
    """
    damaged = None
    for path in (run / LAST, run / BEFORE):
        if path.exists():
            content = path.read_bytes()
            if sha256(content[DIGEST:]).digest() == content[:DIGEST]:
                return torch.load(io.BytesIO(content[DIGEST:]), map_location="cpu", weights_only=True), damaged
            damaged = path
    if damaged:
        raise TrainingError(f"{damaged} is damaged and there is no other checkpoint. Start again in another --run.")
    return None, None
