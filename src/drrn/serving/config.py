"""What a service is started with."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drrn.media.images.files import MAX_PIXELS
from drrn.upscaling.upscaler import MEMORY

KindName = Literal["image", "animation", "video", "raster", "dicom"]


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """How a service runs."""

    folder: Path
    """Where pictures are kept while they are needed. The service owns it and empties it at its start."""
    host: str = "127.0.0.1"
    port: int = 8640
    token: str = ""
    """What clients must send; empty if none is needed."""
    host_names: tuple[str, ...] = ()
    """Other names by which clients may call this machine, besides localhost and the bound address."""
    prefix: str = ""
    """Path under which a proxy serves it, such as /drrn."""
    models: tuple[str, ...] = ()
    """Packaged names; auto chooses among all."""
    kinds: tuple[KindName, ...] = ("image", "animation")
    threads: int = 0
    """CPU threads, 0 for all cores."""
    max_upload: int = 100 << 20
    """Bytes of an uploaded file."""
    max_pixels: int = MAX_PIXELS
    """Pixels of a picture, and of its enlargement."""
    max_memory: int = MEMORY
    """Bytes of memory that an enlargement may take."""
    max_seconds: float = 3600
    """Seconds that one picture may take."""
    queue_jobs: int = 50
    queue_seconds: float = 3600
    """Expected seconds of all waiting jobs."""
    queue_bytes: int = 4 << 30
    """Bytes of all kept files."""
    keep: float = 3600
    """Seconds until results and unused pictures are deleted."""
    idle: float = math.inf
    """Seconds without a client or a job after which the service ends by itself."""
    stall: float = 30
    """Seconds that a client may send nothing of a request that it has begun."""
    tasks_per_worker: int = 200
    """After this many, a worker process is replaced by a new one."""
