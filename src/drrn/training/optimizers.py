"""What moves the weights: Adam, the authors' SGD, or Muon."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import hardshrink
from torch.optim import SGD, Adam, Optimizer

from drrn.network.model import DRRN
from drrn.training.config import TrainConfig

MUON_RATE = 10.0
"""Muon's step size against that of Adam beside it. 5 and 20 were worse."""

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""The coefficients of the authors' quintic: singular values of 0.01 and more come to lie between 0.68 and 1.2."""


def make_optimiser(net: DRRN, train: TrainConfig) -> Optimizer:
    """That of `train.optimiser` for all weights of `net`. The loop sets its step size before each step."""
    match train.optimiser:
        case "adam":
            return Adam(net.parameters(), lr=train.learning_rate)
        case "sgd":
            rate, decay = train.learning_rate, train.weight_decay
            return SGD(net.parameters(), lr=rate, momentum=train.momentum, weight_decay=decay)
        case "muon":
            return Muon(net, train.learning_rate)


class Muon(Optimizer):
    """Momentum made orthogonal for the convolutions, Adam for biases and batch norms.

    Reference: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024. A filter is a row of the
    matrix. `torch.optim.Muon` takes matrices alone, and no Adam beside it.
    """

    def __init__(self, net: DRRN, rate: float, momentum: float = 0.95, ratio: float = MUON_RATE):
        """
        Args:
            rate: Adam's step size; a step of Muon has singular values near `rate` x `ratio`.
            momentum: what Muon keeps of the mean gradient at each step.
            ratio: Muon's step size against Adam's.
        """
        filters = [weight for weight in net.parameters() if weight.ndim == 4]
        others = [weight for weight in net.parameters() if weight.ndim != 4]
        groups = [{"params": filters, "orthogonal": True}, {"params": others, "orthogonal": False}]
        super().__init__(groups, {"lr": rate})
        self.momentum, self.ratio = momentum, ratio

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move the weights that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if group["orthogonal"]:
                    weight.sub_(self._orthogonal(weight.grad, self.state[weight]), alpha=group["lr"] * self.ratio)
                else:
                    weight.sub_(_adam(weight.grad, self.state[weight]), alpha=group["lr"])

    def _orthogonal(self, grad: Tensor, state: dict[str, Any]) -> Tensor:
        if not state:
            state["mean"] = torch.zeros_like(grad)
        state["mean"].lerp_(grad, 1 - self.momentum)
        ahead = grad.lerp(state["mean"], self.momentum)  # Nesterov's
        return orthogonalise(ahead.flatten(1)).view(grad.shape)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Nearly U V^T of the singular value decomposition U S V^T of a matrix; quickest where it is wide.

    Of a matrix that is all but 0, as the gradient of a layer is that has died, something near 0.
    """
    a, b, c = NEWTON_SCHULZ
    largest = matrix.abs().amax().clamp_min(1e-30)  # first, lest the squares of float32 over- or underflow
    x = matrix / largest
    # what is next to nothing, as the rows of features that have died, would make denormal products, which take for ever
    x = hardshrink(x / x.norm().clamp_min(1e-7), 1e-12)
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x


def _adam(grad: Tensor, state: dict[str, Any]) -> Tensor:
    """The step of Adam at a rate of 1 (Kingma and Ba 2015, algorithm 1, with their constants)."""
    if not state:
        state |= {"steps": 0, "mean": torch.zeros_like(grad), "square": torch.zeros_like(grad)}
    state["steps"] += 1
    state["mean"].lerp_(grad, 0.1)
    state["square"].lerp_(grad**2, 0.001)
    deviation = (state["square"] / (1 - 0.999 ** state["steps"])).sqrt() + 1e-8
    step: Tensor = state["mean"] / (1 - 0.9 ** state["steps"]) / deviation
    return step
