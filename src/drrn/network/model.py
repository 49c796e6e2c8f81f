"""Deep Recursive Residual Network, all of it in this file.

Reference: Tai, Yang and Liu, "Image Super-Resolution via Deep Recursive Residual Network", CVPR 2017, section 3.

Shapes: B = batch, C = features (`width`), H, W = the enlarged picture, h, w = H, W / `unshuffle`. A picture is
(B, `channels`, H, W), its values in [0, 1].
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drrn.core.config import DRRNConfig, Initial

Conv = Callable[..., nn.Conv2d]


class PictureConv(nn.Conv2d):
    """A convolution of a picture, which autocast leaves in the precision of its weights.

    What a picture that was enlarged a little lacks is a faint part of what it holds; bfloat16, of eight binary digits,
    rounds it away.
    """

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        if not torch.is_autocast_enabled(device):
            return super().forward(x)
        with torch.autocast(device, enabled=False):
            y = super().forward(x.to(self.weight.dtype))
        return y.to(torch.get_autocast_dtype(device))


class FlatConv(PictureConv):
    """A `PictureConv` that gives exactly nothing where the picture is constant, up to its border (`DRRNConfig.flat`).

    Each filter's mean over each color is taken off whenever it is used, so that it stays zero while it is trained.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, padding: int, bias: bool, colors: int):
        super().__init__(channels_in, channels_out, kernel, padding=padding, padding_mode="replicate", bias=bias)
        self.colors = colors

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        by_color = weight.unflatten(1, (self.colors, -1))
        centered = by_color - by_color.mean((2, 3, 4), keepdim=True)
        return super()._conv_forward(input, centered.flatten(1, 2), bias)


class PreActivation(nn.Module):
    """(Batch norm,) ReLU, 3x3 convolution: the layer that a DRRN is made of."""

    def __init__(self, channels_in: int, channels_out: int, config: DRRNConfig, conv: Conv = nn.Conv2d):
        super().__init__()
        self.norm = _norm(channels_in, config)
        self.conv = _conv3x3(channels_in, channels_out, config, conv)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(F.relu(self.norm(x)))
        return y


class RecursiveBlock(nn.Module):
    """One layer, then residual units that are all the same two convolutions (the paper's figure 3)."""

    def __init__(self, channels_in: int, config: DRRNConfig, conv: Conv = nn.Conv2d):
        super().__init__()
        width, units = config.width, config.units
        convolutions = min(units, 1) if config.share else units
        self.skip, self.units = config.skip, units
        self.enter = PreActivation(channels_in, width, config, conv)
        # a shared convolution stands here once, and not in every unit: its tensor then has one name
        self.first = nn.ModuleList(_conv3x3(width, width, config) for _ in range(convolutions))
        self.second = nn.ModuleList(_conv3x3(width, width, config) for _ in range(convolutions))
        self.first_norms = nn.ModuleList(_norm(width, config) for _ in range(units))
        self.second_norms = nn.ModuleList(_norm(width, config) for _ in range(units))

    def forward(self, x: Tensor, units: int) -> Tensor:
        h = h0 = self.enter(x)  # (B, C, h, w)
        # never ReLU in place: h may be h0, which every unit adds
        for unit in range(units):
            f = self.first[unit % len(self.first)](F.relu(self._norm(self.first_norms, unit)(h)))
            f = self.second[unit % len(self.second)](F.relu(self._norm(self.second_norms, unit)(f)))
            match self.skip:
                case "source":
                    h = f + h0
                case "chain":
                    h = f + h
                case "rectified":
                    h = f + F.relu(h0)
                case "none":
                    h = f
        return h

    def _norm(self, norms: nn.ModuleList, unit: int) -> nn.Module:
        return norms[unit] if unit < len(norms) else nn.Identity()


class DRRN(nn.Module):
    """Sharpen an interpolated picture: ilr (B, channels, H, W) -> sr, the same shape.

    Sides that are no multiple of `unshuffle` are allowed: the last rows and columns are repeated, and cut off again.
    """

    def __init__(self, config: DRRNConfig):
        super().__init__()
        self.config = config
        outside = config.channels * config.unshuffle**2
        conv = partial(FlatConv, colors=config.channels) if config.flat else PictureConv
        self.blocks = nn.ModuleList([RecursiveBlock(outside, config, conv)])
        self.blocks.extend(RecursiveBlock(config.width, config) for _ in range(config.blocks - 1))
        self.leave = PreActivation(config.width, outside, config)

    def forward(self, ilr: Tensor, units: int | None = None) -> Tensor:
        """`units`: residual units to run in each block instead of the config's."""
        detail = self.detail(ilr, units)
        return ilr + detail if self.config.global_residual else detail

    def detail(self, ilr: Tensor, units: int | None = None) -> Tensor:
        """What the last convolution gives, the same shape as ilr: added to ilr where there is a global residual."""
        units = self.config.units if units is None else units
        height, width = ilr.shape[-2:]
        h = F.pixel_unshuffle(_fill(ilr, self.config.unshuffle), self.config.unshuffle)
        for block in self.blocks:
            h = block(h, units)
        return F.pixel_shuffle(self.leave(h), self.config.unshuffle)[..., :height, :width]

    @torch.no_grad()
    def init_weights(
        self, how: Initial = "he", unit_gain: float = 1.0, leave_gain: float = 1.0, centred: bool = False
    ) -> None:
        """Random convolutions with gains on the last ones, biases 0.

        Args:
            how: he: normal, of variance 2 / fan in (the paper's "msra"), which keeps what passes a ReLU as large as it
                was. glorot: uniform, of variance 2 / (fan in + fan out), half of that where the width stays.
            unit_gain: what the second convolution of a unit is multiplied by. Without batch norm the features of a
                deep recursion grow with every unit; less than 1 starts them near H_0.
            leave_gain: the same for the last convolution; less than 1 starts near the bicubic picture.
            centred: each filter of the first convolution has a mean of 0, so that the features start blind to
                brightness, of which nothing is to be corrected.
        """
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                if how == "he":
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                else:
                    nn.init.xavier_uniform_(module.weight)
                module.weight *= unit_gain if ".second." in name else 1.0
                module.weight *= leave_gain if name == "leave.conv" else 1.0
                if centred and name == "blocks.0.enter.conv":
                    module.weight -= module.weight.mean((1, 2, 3), keepdim=True)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def _conv3x3(channels_in: int, channels_out: int, config: DRRNConfig, conv: Conv = nn.Conv2d) -> nn.Conv2d:
    return conv(channels_in, channels_out, 3, padding=1, bias=config.bias)


def _norm(channels: int, config: DRRNConfig) -> nn.Module:
    return nn.BatchNorm2d(channels) if config.batch_norm else nn.Identity()


def _fill(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both sides are whole multiples."""
    below, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    if below:
        x = torch.cat([x, x[..., -1:, :].expand(*x.shape[:-2], below, x.shape[-1])], dim=-2)
    if right:
        x = torch.cat([x, x[..., -1:].expand(*x.shape[:-1], right)], dim=-1)
    return x
