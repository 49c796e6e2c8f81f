"""Gradient norms per layer match the chain rule written out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from drrn.core.config import DRRNConfig
from drrn.network.model import DRRN
from drrn.training.config import TrainConfig
from drrn.training.gradients import gradient_norms, gradients_at_start


def batch(channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    ilr, hr = rng.random((2, 2, channels, 12, 12), np.float32)
    return ilr, hr


@pytest.mark.parametrize("skip", ["source", "chain", "none"])
@pytest.mark.parametrize("share", [True, False])
def test_there_is_one_gradient_norm_per_application_of_a_convolution(skip: str, share: bool) -> None:
    config = DRRNConfig(blocks=2, units=3, width=4, channels=3, share=share, skip=skip)  # type: ignore[arg-type]
    norms = gradients_at_start(config, TrainConfig(seed=1), batch(3))
    assert len(norms) == config.depth and all(norm > 0 for norm in norms)
    assert norms == gradients_at_start(config, TrainConfig(seed=1), batch(3))


def test_gradient_norms_match_the_chain_rule() -> None:
    torch.manual_seed(0)
    net = DRRN(DRRNConfig(units=2, width=3))
    ilr, hr = (torch.from_numpy(part) for part in batch())
    block, leave = net.blocks[0], net.leave
    enter = block.enter.conv(F.relu(ilr)).detach().requires_grad_()  # type: ignore[operator,union-attr]
    first, second = block.first[0], block.second[0]  # type: ignore[index]
    assert isinstance(first, nn.Module) and isinstance(second, nn.Module)
    outputs, h = [enter], enter
    for _ in range(2):
        inner = first(F.relu(h))
        outer = second(F.relu(inner))
        outputs += [inner, outer]
        h = outer + enter
    outputs.append(leave.conv(F.relu(h)))
    loss = F.mse_loss(ilr + outputs[-1], hr)
    by_hand = [float(gradient.norm()) for gradient in torch.autograd.grad(loss, outputs)]
    assert gradient_norms(net, batch()) == pytest.approx(by_hand, rel=1e-5)


def test_without_residuals_gradients_vanish_in_the_first_layers() -> None:
    deep = DRRNConfig(units=12, width=8, skip="none", global_residual=False)
    plain, shortcut = (
        gradients_at_start(config, TrainConfig(), batch()) for config in (deep, DRRNConfig(units=12, width=8))
    )
    assert plain[0] / plain[-1] < 0.1 < shortcut[0] / shortcut[-1]
