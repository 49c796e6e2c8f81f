"""What `native/module.cpp` gives."""

from collections.abc import Iterable

from drrn.engines.engine import Planes
from drrn.engines.layers import Layer

class Network:
    """Layers, transformed for this CPU, and the threads that run them."""

    def __init__(
        self,
        layers: Iterable[Layer],
        *,
        channels: int,
        unshuffle: int,
        global_residual: bool,
        threads: int,
        kernels: str,
    ) -> None: ...
    @property
    def kernels(self) -> str: ...
    @property
    def threads(self) -> int: ...
    def memory(self, width: int) -> int:
        """Bytes that a stream of this width takes."""

class Stream:
    """A picture of `width` pixels on its way through a network."""

    def __init__(self, network: Network, width: int) -> None: ...
    def push(self, rows: Planes) -> Planes: ...
    def finish(self) -> Planes: ...

def kernels() -> list[str]: ...
