"""What a training minimises between sr and hr: (B, channels, H, W) twice -> a number."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from drrn.core.config import LossName

Loss = Callable[[Tensor, Tensor], Tensor]


def charbonnier(sr: Tensor, hr: Tensor, epsilon: float = 1e-3) -> Tensor:
    """A smooth L1: sqrt(d^2 + epsilon^2), averaged (Lai et al. 2017, eq. 5)."""
    return torch.sqrt((sr - hr) ** 2 + epsilon**2).mean()


def euclidean(sr: Tensor, hr: Tensor) -> Tensor:
    """Caffe's EuclideanLoss, the paper's: the sum of squares of a patch, halved, averaged over the batch."""
    return ((sr - hr) ** 2).sum() / (2 * len(sr))


LOSSES: dict[LossName, Loss] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "charbonnier": charbonnier,
    "euclidean": euclidean,
}
