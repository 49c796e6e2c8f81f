"""The network in torch, on whatever device torch knows."""

import numpy as np
import torch

from drrn.engines.engine import OutOfMemoryError, Planes
from drrn.errors import EngineError
from drrn.network.model import DRRN
from drrn.weights.store import Weights

LIVE_TENSORS = 4.5
"""Feature maps that exist at once while a unit runs: h, h0, an activation, its convolution, and some change."""


class TorchEngine:
    """Runs `weights` in float32, channels last. See `drrn.engines.engine.Engine`."""

    def __init__(self, weights: Weights, *, device: str = "auto", units: int | None = None, threads: int = 0):
        self.device = _device(device)
        self.name = f"torch ({self.device})"
        self.units = units
        if threads:
            torch.set_num_threads(threads)
        self.network = build(weights).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        features = LIVE_TENSORS * weights.config.width / weights.config.unshuffle**2
        self.bytes_per_pixel = round(4 * (features + 4 * weights.config.channels))

    @torch.inference_mode()
    def run(self, ilr: Planes) -> Planes:
        try:
            given = torch.from_numpy(np.ascontiguousarray(ilr))[None].to(self.device)
            sr = self.network(given, units=self.units)[0]
            planes: Planes = sr.cpu().contiguous().numpy()
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemoryError(_too_large(ilr)) from error
        except RuntimeError as error:
            if "memory" in str(error).lower():  # the CPU allocator has no exception of its own
                raise OutOfMemoryError(_too_large(ilr)) from error
            raise
        return planes


def build(weights: Weights) -> DRRN:
    """The network with these weights, ready to judge or run, not to train."""
    network = DRRN(weights.config)
    state = network.state_dict()  # batch norms also count their batches, which is of no use any more
    state.update({name: torch.from_numpy(np.array(tensor)) for name, tensor in weights.tensors.items()})
    network.load_state_dict(state)
    return network.eval()


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


def _too_large(ilr: Planes) -> str:
    return f"Not enough memory for a piece of {ilr.shape[2]}x{ilr.shape[1]}."
