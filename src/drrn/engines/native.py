"""The compiled engine (`native/`): the streaming Winograd of `drrn.engines.reference`, on this CPU's vectors and cores.

It imports only where drrn was installed with a C++ compiler, or from a wheel.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

import drrn.engines._native as _native  # which says, unlike `from`, that there is no such module
from drrn.engines.engine import OutOfMemoryError, Planes, cores, run_streaming
from drrn.engines.layers import layers
from drrn.weights.store import Weights


class NativeEngine:
    """Runs `weights` in float32 on the CPU. See `drrn.engines.engine.StreamingEngine`.

    The result is the same to the last bit for any number of threads, on one kind of CPU.
    """

    streams = True

    def __init__(self, weights: Weights, *, units: int | None = None, threads: int = 0, kernels: str = ""):
        """Transform the kernels, and start the threads.

        Args:
            threads: 0 for as many as there are cores for this process.
            kernels: one of `kernels_here()`; the fastest where none is named.
        """
        config = weights.config
        self.network = _native.Network(
            layers(weights, units),
            channels=config.channels,
            unshuffle=config.unshuffle,
            global_residual=config.global_residual,
            threads=threads or cores(),
            kernels=kernels,
        )
        count = self.network.threads
        self.name = f"native ({self.network.kernels}, {count} thread{'s' if count > 1 else ''})"

    def memory(self, height: int, width: int) -> int:
        return self.network.memory(width)

    def run(self, ilr: Planes, done: Callable[[int], None] = lambda rows: None) -> Planes:
        return run_streaming(self, ilr, done)

    def stream(self, bands: Iterable[Planes]) -> Iterator[Planes]:
        flow: _native.Stream | None = None
        try:
            for band in bands:
                flow = flow or _native.Stream(self.network, band.shape[2])
                yield flow.push(np.ascontiguousarray(band, np.float32))
            if flow:
                yield flow.finish()
        except MemoryError as error:
            raise OutOfMemoryError("Not enough memory for a picture of this width.") from error


def kernels_here() -> list[str]:
    """What this CPU can run, the fastest first: avx512, avx2, neon, baseline."""
    return _native.kernels()
