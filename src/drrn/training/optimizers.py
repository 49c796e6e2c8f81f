"""The optimizers (Adam, the authors' SGD, Muon) and the learning rate of each step."""

from math import cos, pi
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import hardshrink
from torch.optim import SGD, Adam, Optimizer

from drrn.network.model import DRRN
from drrn.training.config import TrainConfig

MUON_RATIO = 10.0
"""Muon's learning rate relative to that of Adam beside it. 5 and 20 were worse."""

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the authors' quintic: singular values of at least 0.01 end up between 0.68 and 1.2."""


def make_optimizer(net: DRRN, config: TrainConfig) -> Optimizer:
    """`config.optimiser` for all weights of `net`. The training loop sets its learning rate before each step."""
    match config.optimiser:
        case "adam":
            return Adam(net.parameters(), lr=config.learning_rate)
        case "sgd":
            rate, decay = config.learning_rate, config.weight_decay
            return SGD(net.parameters(), lr=rate, momentum=config.momentum, weight_decay=decay)
        case "muon":
            return Muon(net, config.learning_rate)


def learning_rate(config: TrainConfig, step: int, epoch_steps: int) -> float:
    """The learning rate at `step`, counted from 0 over all epochs of `epoch_steps` each."""
    warm_up = min((step + 1) / config.warm_up, 1.0) if config.warm_up else 1.0
    match config.schedule:
        case "constant":
            decay = 1.0
        case "halving":
            decay = 0.5 ** (step // (config.halve_every * epoch_steps))
        case "cosine":
            decay = (1 + cos(pi * step / (config.epochs * epoch_steps))) / 2
        case "decay":
            decay = min((config.epochs * epoch_steps - step) / (config.decay_epochs * epoch_steps), 1.0)
    return config.learning_rate * warm_up * decay


class Muon(Optimizer):
    """Orthogonalized momentum for convolutions, Adam for biases and batch norms.

    Reference: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024. Each filter is one row of
    the matrix. `torch.optim.Muon` accepts matrices only, and no Adam beside it.
    """

    def __init__(self, net: DRRN, rate: float, momentum: float = 0.95, ratio: float = MUON_RATIO):
        """
        Args:
            rate: Adam's learning rate; the singular values of a Muon step are near `rate` x `ratio`.
            momentum: the share of the mean gradient that Muon keeps at each step.
            ratio: Muon's learning rate relative to Adam's.
        """
        filters = [weight for weight in net.parameters() if weight.ndim == 4]
        others = [weight for weight in net.parameters() if weight.ndim != 4]
        groups = [{"params": filters, "orthogonal": True}, {"params": others, "orthogonal": False}]
        super().__init__(groups, {"lr": rate})
        self.momentum, self.ratio = momentum, ratio

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if group["orthogonal"]:
                    weight.sub_(self._muon_step(weight.grad, self.state[weight]), alpha=group["lr"] * self.ratio)
                else:
                    weight.sub_(_adam_step(weight.grad, self.state[weight]), alpha=group["lr"])

    def _muon_step(self, grad: Tensor, state: dict[str, Any]) -> Tensor:
        if not state:
            state["mean"] = torch.zeros_like(grad)
        state["mean"].lerp_(grad, 1 - self.momentum)
        ahead = grad.lerp(state["mean"], self.momentum)  # Nesterov
        return orthogonalize(ahead.flatten(1)).view(grad.shape)


def orthogonalize(matrix: Tensor) -> Tensor:
    """Approximately U V^T, where U S V^T is the singular value decomposition of a matrix; fastest if it is wide.

    A matrix that is nearly 0, such as the gradient of a layer without active features, gives something near 0.
    """
    a, b, c = NEWTON_SCHULZ
    largest = matrix.abs().amax().clamp_min(1e-30)  # first, or squares could over- or underflow in float32
    x = matrix / largest
    # zero tiny values, as in the rows of dormant features: their products are denormal, and extremely slow
    x = hardshrink(x / x.norm().clamp_min(1e-7), 1e-12)
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x


def _adam_step(grad: Tensor, state: dict[str, Any]) -> Tensor:
    """Adam's step at a learning rate of 1 (Kingma and Ba 2015, algorithm 1, with their constants)."""
    if not state:
        state |= {"steps": 0, "mean": torch.zeros_like(grad), "square": torch.zeros_like(grad)}
    state["steps"] += 1
    state["mean"].lerp_(grad, 0.1)
    state["square"].lerp_(grad**2, 0.001)
    deviation = (state["square"] / (1 - 0.999 ** state["steps"])).sqrt() + 1e-8
    step: Tensor = state["mean"] / (1 - 0.9 ** state["steps"]) / deviation
    return step
