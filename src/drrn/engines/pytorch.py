"""The network in PyTorch, on any device that it supports."""

from collections.abc import Callable

import numpy as np
import torch

from drrn.engines import Precision
from drrn.engines.engine import OutOfMemoryError, Planes
from drrn.errors import EngineError
from drrn.network.model import DRRN
from drrn.weights.store import Weights

LIVE_TENSORS = 4.5
"""Feature maps in memory at once while a unit runs: h, h0, an activation, its convolution, and some reserve."""


class TorchEngine:
    """Runs `weights` on any device of PyTorch. See `drrn.engines.engine.Engine`."""

    streams = False

    def __init__(
        self,
        weights: Weights,
        *,
        device: str = "auto",
        units: int | None = None,
        threads: int = 0,
        precision: Precision = "float32",
        compiled: bool = False,
        channels_last: bool = True,
    ):
        """Move the network to the device.

        Args:
            precision: of the network. Its output is added to ilr in float32 in any case.
            compiled: use torch.compile, which is faster but takes a while for the first image.
            channels_last: memory format of the feature maps; off is the layout of the popular ports.

        Raises:
            EngineError: there is no such device.
        """
        self.device = _device(device)
        self.dtype: torch.dtype = getattr(torch, precision)
        odd = [precision] if precision != "float32" else []
        self.name = f"torch ({', '.join([str(self.device), *odd, *(['compiled'] if compiled else [])])})"
        self.units = weights.config.units if units is None else units
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        if threads:
            torch.set_num_threads(threads)
        # ilr is added afterwards: 16-bit floats would round it to far fewer levels than an image has
        self.global_residual = weights.config.global_residual
        network = build(weights).to(self.device, self.dtype, memory_format=self.layout)  # type: ignore[call-overload]
        detail = network.detail
        self.detail: Callable[..., torch.Tensor] = torch.compile(detail, dynamic=True) if compiled else detail
        features = LIVE_TENSORS * weights.config.width / weights.config.unshuffle**2
        self.bytes_per_pixel = round(4 * (features + 4 * weights.config.channels))

    def memory(self, height: int, width: int) -> int:
        return self.bytes_per_pixel * height * width

    @torch.inference_mode()
    def run(self, ilr: Planes, done: Callable[[int], None] = lambda rows: None) -> Planes:
        try:
            given = torch.from_numpy(np.ascontiguousarray(ilr))[None].to(self.device)  # (1, channels, H, W)
            sr = self.detail(given.to(self.dtype), units=self.units).float()
            if self.global_residual:
                sr = given + sr
            planes: Planes = sr[0].cpu().contiguous().numpy()
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise OutOfMemoryError(f"Not enough memory for an image of {ilr.shape[2]}x{ilr.shape[1]}.") from error
            if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                reason = str(error).splitlines()[0]
                raise EngineError(f"torch can't compile the network here ({reason}). Leave out --compile.") from error
            raise
        done(ilr.shape[1])
        return planes


def build(weights: Weights) -> DRRN:
    """Build the network with these weights for inference or evaluation, not for training."""
    network = DRRN(weights.config)
    state = network.state_dict()  # batch norms also count batches, which only training uses
    state.update({name: torch.from_numpy(np.array(tensor)) for name, tensor in weights.tensors.items()})
    network.load_state_dict(state)
    return network.eval()


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch ran out of memory, which its CPU allocators report only in the message."""
    named = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    told = str(error).lower()
    wanting = ("allocate memory", "not enough memory", "out of memory", "bad_alloc")
    return named or (isinstance(error, RuntimeError) and any(words in told for words in wanting))


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise EngineError(f"There is no device {name!r} here. Give auto or cpu.") from error
    return device
