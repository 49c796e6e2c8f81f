"""How much of the gradient reaches each layer: shows whether gradients vanish."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drrn.core.config import DRRNConfig
from drrn.data.patches import Batch
from drrn.engines.pytorch import build
from drrn.training.config import TrainConfig
from drrn.training.state import init_model
from drrn.weights.store import Weights


def gradients_at_start(model: DRRNConfig, config: TrainConfig, batch: Batch) -> list[float]:
    """`gradient_norms` of the network before its first step."""
    return gradient_norms(init_model(model, config), batch)


def gradients_at_end(weights: Weights, batch: Batch) -> list[float]:
    """`gradient_norms` of a trained network."""
    return gradient_norms(build(weights), batch)


def gradient_norms(net: nn.Module, batch: Batch) -> list[float]:
    """Norm of the gradient of the mean squared error with respect to the output of each 3x3 convolution.

    A convolution that units share is applied several times; each application has its own norm.

    Returns:
        One norm per application, from the first layer to the last: as many as the network's depth.
    """
    outputs: list[Tensor] = []

    def record(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        output.retain_grad()
        outputs.append(output)

    hooks = [module.register_forward_hook(record) for module in net.modules() if isinstance(module, nn.Conv2d)]
    ilr, hr = (torch.from_numpy(part) for part in batch)
    F.mse_loss(net(ilr), hr).backward()
    for hook in hooks:
        hook.remove()
    return [float(output.grad.norm()) for output in outputs if output.grad is not None]
