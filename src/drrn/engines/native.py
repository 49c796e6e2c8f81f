"""The compiled engine (`native/`): streaming Winograd convolutions, F(6x6, 3x3), vectorized and multithreaded.

It can be imported only if drrn was installed from a wheel or with a C++ compiler. With DRRN_KERNELS=avx2 in the
environment, the process runs as on a CPU that supports nothing faster.
"""

import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np

import drrn.engines._native as _native  # unlike `from`, raises ModuleNotFoundError
from drrn.engines.engine import OutOfMemoryError, Planes, cores, run_streaming
from drrn.engines.layers import layers
from drrn.errors import EngineError
from drrn.tables import plural
from drrn.weights.store import Weights


class NativeEngine:
    """Runs `weights` in float32 on the CPU. See `drrn.engines.engine.StreamingEngine`.

    On one type of CPU, the result is identical to the last bit for any number of threads.
    """

    streams = True

    def __init__(self, weights: Weights, *, units: int | None = None, threads: int = 0, kernels: str = ""):
        """Transform the kernels, and start the threads.

        Args:
            threads: 0 for as many as this process may use cores.
            kernels: one of `kernels_here()`; its first if empty.

        Raises:
            EngineError: as `kernels_here()`.
        """
        config = weights.config
        self.network = _native.Network(
            layers(weights, units),
            channels=config.channels,
            unshuffle=config.unshuffle,
            global_residual=config.global_residual,
            threads=threads or cores(),
            kernels=kernels or kernels_here()[0],
        )
        self.name = f"native ({self.network.kernels}, {plural(self.network.threads, 'thread')})"

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
            raise OutOfMemoryError("Not enough memory for an image of this width.") from error


def kernels_here() -> list[str]:
    """Return the kernels that this process may use, fastest first.

    These are the ones of avx512, avx2 and baseline that the CPU supports or, with DRRN_KERNELS in the environment, the
    named one and the slower ones.

    Raises:
        EngineError: this CPU does not support the kernels that DRRN_KERNELS names.
    """
    kernels = _native.kernels()
    fastest = os.environ.get("DRRN_KERNELS") or kernels[0]
    if fastest not in kernels:
        raise EngineError(f"DRRN_KERNELS is {fastest!r}, but this CPU runs {', '.join(kernels)}. Set one of these.")
    return kernels[kernels.index(fastest) :]
