"""What `native/module.cpp` gives."""

from collections.abc import Iterable

from torch import Tensor

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

class Convolutions:
    """3x3 convolutions with interleaved channels and their gradients, for training; float32."""

    def __init__(self, threads: int, kernels: str) -> None: ...
    @property
    def panel(self) -> int:
        """Channels of the result in a panel of the transformed kernel."""
    def run(self, x: Tensor, kernel: Tensor, bias: Tensor, y: Tensor) -> None:
        """Write to y (B, H, W, out) the convolution of x (B, H, W, in) plus bias (out)."""
    def gradients(self, x: Tensor, dy: Tensor, sums: Tensor) -> None:
        """Write to sums (64, in, out), flat, the gradient for the transformed kernel."""

def kernels() -> list[str]: ...
