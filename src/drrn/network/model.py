"""Deep Recursive Residual Network, complete in this file.

Reference: Tai, Yang and Liu, "Image Super-Resolution via Deep Recursive Residual Network", CVPR 2017, section 3.

Shapes: B = batch, C = features (`width`), H, W = the enlarged image, h, w = H, W / `unshuffle`. An image is
(B, `channels`, H, W), with values in [0, 1].
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drrn.core.config import DRRNConfig, Initial

Conv = Callable[..., nn.Conv2d]


class ImageConv(nn.Conv2d):
    """A convolution of an image, which autocast leaves in the precision of its weights.

    The detail that a slightly enlarged image lacks is faint compared to its values; with its eight binary digits,
    bfloat16 would round it away.
    """

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        if not torch.is_autocast_enabled(device):
            return super().forward(x)
        with torch.autocast(device, enabled=False):
            y = super().forward(x.to(self.weight.dtype))
        return y.to(torch.get_autocast_dtype(device))


class FlatConv(ImageConv):
    """An `ImageConv` that returns exactly 0 where the image is constant, up to its border (`DRRNConfig.flat`).

    Each filter's mean over each color is subtracted on every use, so that it stays zero during training.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, padding: int, bias: bool, colors: int):
        super().__init__(channels_in, channels_out, kernel, padding=padding, padding_mode="replicate", bias=bias)
        self.colors = colors

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        by_color = weight.unflatten(1, (self.colors, -1))
        centered = by_color - by_color.mean((2, 3, 4), keepdim=True)
        return super()._conv_forward(input, centered.flatten(1, 2), bias)


class PreActivation(nn.Module):
    """(Batch norm,) ReLU, 3x3 convolution: the building block of a DRRN."""

    def __init__(self, channels_in: int, channels_out: int, config: DRRNConfig, conv: Conv = nn.Conv2d):
        super().__init__()
        self.norm = _norm(channels_in, config)
        self.conv = _conv3x3(channels_in, channels_out, config, conv)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(F.relu(self.norm(x)))
        return y


class RecursiveBlock(nn.Module):
    """One layer, then residual units that share two convolutions (the paper's figure 3)."""

    def __init__(self, channels_in: int, config: DRRNConfig, conv: Conv = nn.Conv2d):
        super().__init__()
        width, units = config.width, config.units
        convolutions = min(units, 1) if config.share else units
        self.skip, self.units = config.skip, units
        self.enter = PreActivation(channels_in, width, config, conv)
        # a shared convolution is listed once, not in every unit, so that its tensor has one name
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
    """Sharpen an interpolated image: ilr (B, channels, H, W) -> sr, the same shape.

    Sides need not be multiples of `unshuffle`: the last row and column are repeated, and cropped off again.
    """

    def __init__(self, config: DRRNConfig):
        super().__init__()
        self.config = config
        outside = config.channels * config.unshuffle**2
        conv = partial(FlatConv, colors=config.channels) if config.flat else ImageConv
        self.blocks = nn.ModuleList([RecursiveBlock(outside, config, conv)])
        self.blocks.extend(RecursiveBlock(config.width, config) for _ in range(config.blocks - 1))
        self.leave = PreActivation(config.width, outside, config)

    def forward(self, ilr: Tensor, units: int | None = None) -> Tensor:
        """`units`: residual units to run in each block instead of the config's."""
        detail = self.detail(ilr, units)
        return ilr + detail if self.config.global_residual else detail

    def detail(self, ilr: Tensor, units: int | None = None) -> Tensor:
        """The output of the last convolution, in the shape of ilr; a global residual adds it to ilr."""
        units = self.config.units if units is None else units
        height, width = ilr.shape[-2:]
        h = F.pixel_unshuffle(_pad(ilr, self.config.unshuffle), self.config.unshuffle)
        for block in self.blocks:
            h = block(h, units)
        return F.pixel_shuffle(self.leave(h), self.config.unshuffle)[..., :height, :width]

    @torch.no_grad()
    def init_weights(
        self, method: Initial = "he", unit_gain: float = 1.0, leave_gain: float = 1.0, centered: bool = False
    ) -> None:
        """Draw random convolutions; set biases to 0.

        Args:
            method: he: normal, with variance 2 / fan in (the paper's "msra"), which preserves the variance through a
                ReLU. glorot: uniform, with variance 2 / (fan in + fan out), half of that at constant width.
            unit_gain: factor for the second convolution of a unit. Without batch norm, the features of a deep recursion
                grow with every unit; a factor below 1 keeps them near H_0 at first.
            leave_gain: factor for the last convolution; below 1, training starts near the bicubic image.
            centered: give each filter of the first convolution a mean of 0: features then start blind to brightness,
                which needs no correction.
        """
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                if method == "he":
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                else:
                    nn.init.xavier_uniform_(module.weight)
                module.weight *= unit_gain if ".second." in name else 1.0
                module.weight *= leave_gain if name == "leave.conv" else 1.0
                if centered and name == "blocks.0.enter.conv":
                    module.weight -= module.weight.mean((1, 2, 3), keepdim=True)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def _conv3x3(channels_in: int, channels_out: int, config: DRRNConfig, conv: Conv = nn.Conv2d) -> nn.Conv2d:
    return conv(channels_in, channels_out, 3, padding=1, bias=config.bias)


def _norm(channels: int, config: DRRNConfig) -> nn.Module:
    return nn.BatchNorm2d(channels) if config.batch_norm else nn.Identity()


def _pad(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples."""
    below, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    if below:
        x = torch.cat([x, x[..., -1:, :].expand(*x.shape[:-2], below, x.shape[-1])], dim=-2)
    if right:
        x = torch.cat([x, x[..., -1:].expand(*x.shape[:-1], right)], dim=-1)
    return x
