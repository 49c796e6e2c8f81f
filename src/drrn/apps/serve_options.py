"""The options of `drrn serve`: a dataclass per group, with the rules that apply within it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import UseAppendAction, arg

from drrn.apps.words import parse_duration
from drrn.errors import UsageError

if TYPE_CHECKING:
    from drrn.serving.config import KindName

KINDS: "tuple[KindName, ...]" = ("image", "animation", "video", "raster", "dicom")


@dataclass(frozen=True, kw_only=True)
class AddressOptions:
    """Address: where the service listens, and who may use it."""

    host: str = "127.0.0.1"
    """Address to listen on. Any but a loopback address needs a token."""
    port: int = 8640
    """Port to listen on; 0 takes a free one."""
    token: Annotated[str | None, arg(metavar="TOKEN")] = None
    """The token that clients must send. By default, the value of DRRN_TOKEN in the environment, or, if other machines
    can reach --host, a new one that is printed.
    """
    host_name: Annotated[tuple[str, ...], UseAppendAction, arg(metavar="NAME")] = ()
    """Another name by which clients call this machine; repeat it for several."""
    prefix: Annotated[str, arg(metavar="PATH")] = ""
    """Path under which a reverse proxy serves it, such as /drrn."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port must be from 0 to 65535, got {self.port}.")
        if self.prefix and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", self.prefix):
            raise UsageError(f"--prefix must be a path such as /drrn, got {self.prefix!r}.")


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """Service: which models and kinds of files."""

    models: tuple[str, ...] = ()
    """Packaged models to offer. All by default."""
    kinds: Annotated[tuple[str, ...], arg(metavar="KIND...")] = ("image", "animation")
    """Kinds of files to accept: image, animation, video, raster, dicom."""

    def __post_init__(self) -> None:
        from drrn.weights.store import names

        if unknown := set(self.models).difference(names()):
            raise UsageError(f"There is no packaged model {min(unknown)!r}. There are {', '.join(names())}.")
        if unknown := set(self.kinds).difference(KINDS):
            raise UsageError(f"--kinds must be among {', '.join(KINDS)}, got {min(unknown)!r}.")

    def model_names(self) -> tuple[str, ...]:
        """The models to offer; the default model comes first if all are offered."""
        from drrn.weights import DEFAULT
        from drrn.weights.store import names

        return self.models or (DEFAULT, *(each for each in names() if each != DEFAULT))

    def kind_names(self) -> "tuple[KindName, ...]":
        """The kinds to accept, with their type."""
        return tuple(KINDS[KINDS.index(each)] for each in self.kinds)


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """Limits: size, memory and time."""

    max_upload: int = 100
    """MB of a file."""
    max_pixels: int = 100_000_000
    """Most pixels of a picture, read or written."""
    max_memory: int = 2048
    """MB that an enlargement may take."""
    max_time: Annotated[str, arg(metavar="TIME")] = "1h"
    """Longest time for one picture: 90, 30s, 2m or 1.5h."""
    threads: int = 0
    """CPU threads, 0 for all cores."""

    @property
    def max_seconds(self) -> float:
        """Raises UsageError: the time is not written like this."""
        return parse_duration(self.max_time)


@dataclass(frozen=True, kw_only=True)
class StorageOptions:
    """Storage: where pictures are kept, and for how long."""

    folder: Annotated[Path | None, arg(metavar="PATH")] = None
    """Folder for pictures and results, by default in the cache of the user. Everything in it is deleted."""
    keep: Annotated[str, arg(metavar="TIME")] = "1h"
    """How long results are kept."""
