"""Training by the native engine: its Winograd convolutions, F(6x6, 3x3), and their gradients, in float32 on a CPU.

For one tile, Y = A^T [(G g G^T) * (B^T d B)] A (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
CVPR 2016, equation 8), which is linear in the kernel g. So the gradient for g is G^T S G, where S sums
(B^T d B) * (A dY A^T) over all tiles. The gradient for the input is dY convolved with the kernels that are turned by
180 degrees and have their channels exchanged.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from drrn.engines.selection import is_compiled

if TYPE_CHECKING:
    from drrn.engines._native import Convolutions

CHANNELS = 16
"""Both numbers of channels must be multiples of this: of the longest vectors of any CPU."""
G = torch.tensor(
    [[90, 0, 0], [-20, -20, -20], [-20, 20, -20], [1, 2, 4], [1, -2, 4], [64, 32, 16], [64, -32, 16], [0, 0, 90]],
    dtype=torch.float64,
).div_(90).float()  # fmt: skip
"""Of the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity: (8, 3)."""


def use_native(net: nn.Module) -> int:
    """Let the native engine compute those convolutions of `net` that it can, which in a DRRN are all between features,
    if the width fits. Returns their number; 0 if drrn was installed without its native engine."""
    fitting = [module for module in net.modules() if is_compiled() and _fits(module)]
    for module in fitting:
        module._conv_forward = _convolve  # type: ignore[assignment]
    return len(fitting)


def _fits(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (3, 3)
        and module.padding == module.stride == module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and module.groups == 1
        and module.in_channels % CHANNELS == module.out_channels % CHANNELS == 0
    )


def _convolve(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    y: Tensor = _Convolution.apply(x, kernel, bias)  # type: ignore[no-untyped-call]
    return y


class _Convolution(torch.autograd.Function):
    """x (B, in, H, W), kernel (out, in, 3, 3), bias (out) or None -> (B, out, H, W), zero-padded."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, kernel)
        return _run(x, kernel, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        x_learns, kernel_learns, bias_learns = ctx.needs_input_grad
        return (
            _run(dy, kernel.flip(2, 3).transpose(0, 1)) if x_learns else None,
            _kernel_gradient(x, dy) if kernel_learns else None,
            dy.sum((0, 2, 3)) if bias_learns else None,
        )


def _run(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    out = len(kernel)
    y = x.new_empty(len(x), *x.shape[2:], out)
    added = x.new_zeros(out) if bias is None else bias.detach()
    _engine().run(_interleaved(x), _transformed(kernel), added, y)
    return y.permute(0, 3, 1, 2)


def _kernel_gradient(x: Tensor, dy: Tensor) -> Tensor:
    in_, out = x.shape[1], dy.shape[1]
    sums = x.new_empty(64 * in_ * out)
    _engine().gradients(_interleaved(x), _interleaved(dy), sums)
    columns = G.T @ sums.view(8, -1)  # (3, 8 in out)
    return (G.T @ columns.view(3, 8, -1)).view(3, 3, in_, out).permute(3, 2, 0, 1)


def _transformed(kernel: Tensor) -> Tensor:
    """G g G^T of every pair of channels, in the order of the engine: panels of `out`, the 8x8 planes, `in`, the panel's
    columns."""
    out, in_ = kernel.shape[:2]
    rows = G @ kernel.detach().permute(2, 3, 1, 0).reshape(3, -1)  # (8, 3 in out)
    planes = (G @ rows.view(8, 3, -1)).view(64, in_, out)
    return torch.cat([panel.flatten() for panel in planes.split(_engine().panel, dim=2)])


def _interleaved(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W, C), contiguous: a view, if the memory format is channels_last."""
    return x.detach().permute(0, 2, 3, 1).contiguous()


def _engine() -> "Convolutions":
    from drrn.engines import native  # may not have been compiled

    return _engine_of(torch.get_num_threads(), native.kernels_here()[0])


@cache
def _engine_of(threads: int, kernels: str) -> "Convolutions":
    from drrn.engines._native import Convolutions

    return Convolutions(threads, kernels)
