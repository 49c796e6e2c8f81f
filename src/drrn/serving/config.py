"""The configuration of a service."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drrn.media.images.files import MAX_PIXELS
from drrn.upscaling.upscaler import MEMORY

KindName = Literal["image", "animation", "video", "raster", "dicom"]


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Where a service listens, what it accepts, and its limits."""

    folder: Path
    """Where pictures and results are stored. The service owns the folder, and empties it when it starts."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8640
    token: str = ""
    """The token that clients must send; empty if they need none."""
    host_names: tuple[str, ...] = ()
    """Host names to accept, besides localhost and the address it listens on."""
    prefix: str = ""
    """Path under which a reverse proxy serves it, such as /drrn."""
    models: tuple[str, ...] = ()
    """Packaged models to offer; auto chooses among them."""
    kinds: tuple[KindName, ...] = ("image", "animation")
    """Kinds of files to accept."""
    threads: int = 0
    """CPU threads, 0 for all cores."""
    max_upload: int = 100 << 20
    """Most bytes of an uploaded file."""
    max_pixels: int = MAX_PIXELS
    """Most pixels of a picture, uploaded or enlarged."""
    max_memory: int = MEMORY
    """Most bytes of memory for an enlargement."""
    max_seconds: float = 3600
    """Most seconds for one picture."""
    queue_jobs: int = 50
    """Most jobs that wait."""
    queue_seconds: float = 3600
    """Most expected seconds of all waiting jobs together."""
    queue_bytes: int = 4 << 30
    """Most bytes of all stored files together."""
    keep: float = 3600
    """Seconds after which results and unused pictures are deleted."""
    idle: float = math.inf
    """Seconds without a request or a job after which the service ends."""
    stall: float = 30
    """Longest pause in seconds within the body of a request."""
    tasks_per_worker: int = 200
    """Tasks after which a worker process is replaced by a new one."""
