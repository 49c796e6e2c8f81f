"""How much of the gradient reaches each layer: what the vanishing of gradients would be seen by."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drrn.core.config import DRRNConfig
from drrn.data.patches import Batch
from drrn.engines.pytorch import build
from drrn.training.config import TrainConfig
from drrn.training.fit import fresh
from drrn.weights.store import Weights


def gradients_at_start(model: DRRNConfig, train: TrainConfig, batch: Batch) -> list[float]:
    """`gradients` of the network as a training begins with it."""
    return gradients(fresh(model, train), batch)


def gradients_at_end(weights: Weights, batch: Batch) -> list[float]:
    """`gradients` of a trained network."""
    return gradients(build(weights), batch)


def gradients(net: nn.Module, batch: Batch) -> list[float]:
    """Norms of the gradient of the mean squared error with respect to what each 3x3 convolution put out.

    A convolution that units share is applied many times, and each time has a norm of its own.

    Returns:
        One norm an application, from the first layer to the last: as many as the network's depth.
    """
    put_out: list[Tensor] = []

    def keep(_module: nn.Module, _given: tuple[Tensor, ...], output: Tensor) -> None:
        output.retain_grad()
        put_out.append(output)

    hooks = [module.register_forward_hook(keep) for module in net.modules() if isinstance(module, nn.Conv2d)]
    ilr, hr = (torch.from_numpy(part) for part in batch)
    F.mse_loss(net(ilr), hr).backward()
    for hook in hooks:
        hook.remove()
    return [float(output.grad.norm()) for output in put_out if output.grad is not None]
