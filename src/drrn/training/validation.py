"""How a training is scored on held-out patches, and the example images it shows."""

from collections.abc import Callable, Iterable
from math import log10

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from drrn.data.pairs import Pair, unit
from drrn.data.patches import Batch, Index, Sampler, cut
from drrn.network.losses import Loss
from drrn.network.model import DRRN
from drrn.training.config import TrainConfig
from drrn.training.distributed import all_reduce, all_reduce_mean


@torch.no_grad()
def validate(
    fabric: Fabric, net: DRRN, held_out: Sampler, config: TrainConfig, loss_of: Loss, should_stop: Callable[[], bool]
) -> list[float] | None:
    """Mean loss, squared error and accuracy over the validation patches, unaugmented; None if stopped."""
    patches, size = select_validation_patches(held_out, config), held_out.size
    net.eval()
    for buffer in net.buffers():  # batch norm statistics, which differ between processes
        buffer.copy_(fabric.broadcast(buffer))
    sums = torch.zeros(4, dtype=torch.float64)
    count = -(-config.batch_size // config.accumulate)
    for start in range(0, len(patches), count):
        own = patches[start : start + count][fabric.global_rank :: fabric.world_size]
        if len(own):
            ilr, hr = to_device(fabric, cut(held_out.pool, own, np.zeros(len(own), np.int64), size))
            with fabric.autocast():
                sr = net(ilr).float()
            metrics = torch.stack([loss_of(sr, hr), *batch_metrics(sr, hr), torch.ones((), device=sr.device)])
            sums += metrics.cpu().double() * len(own)  # in this order: some devices have no doubles
        if all_reduce_mean(fabric, [float(should_stop())]).item():
            return None
    total = all_reduce(fabric, sums, "sum")
    return (total[:3] / total[3]).tolist()


def batch_metrics(sr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared error, and Keras's accuracy: the share of pixels whose largest channel agrees."""
    return ((sr - hr) ** 2).mean(), (sr.argmax(1) == hr.argmax(1)).float().mean()


def to_scores(means: list[float]) -> tuple[float, float, float]:
    """Loss, PSNR in dB and accuracy, from the means of loss, squared error and accuracy."""
    loss, squared_error, accuracy = means
    return loss, -10 * log10(max(squared_error, 1e-12)), accuracy


def select_validation_patches(held_out: Sampler, config: TrainConfig) -> Index:
    """All held-out patches, or `config.validation_patches` of them, spread evenly."""
    patches = held_out.patches
    if config.validation_patches and len(patches) > config.validation_patches:
        patches = patches[np.linspace(0, len(patches) - 1, config.validation_patches).astype(np.int64)]
    return patches


def bicubic_psnr(held_out: Sampler, config: TrainConfig) -> float:
    """Bicubic's PSNR on the validation patches, in dB."""
    patches, squared_error = select_validation_patches(held_out, config), 0.0
    for start in range(0, len(patches), config.batch_size):
        batch = patches[start : start + config.batch_size]
        ilr, hr = cut(held_out.pool, batch, np.zeros(len(batch), np.int64), held_out.size)
        squared_error += float(np.square(ilr - hr, dtype=np.float64).sum())
    values = len(patches) * len(held_out.pool.hr) * held_out.size**2
    return -10 * log10(max(squared_error / values, 1e-12))


@torch.no_grad()
def enlarge_examples(
    fabric: Fabric, net: DRRN, examples: Iterable[Pair], side: int = 144
) -> list[list[NDArray[np.float32]]]:
    """The center of each example as a row of lr, ilr, sr and hr, each (channels, h, w)."""
    net.eval()
    rows = []
    for pair in examples:
        ilr = center_crop(pair.ilr.astype(np.float32), side)
        sr = net(torch.from_numpy(ilr)[None].to(fabric.device))[0].float().cpu().numpy()
        lr = center_crop(pair.lr.astype(np.float32), round(side / pair.scale))
        rows.append([lr, ilr, sr, center_crop(unit(pair.hr), side)])
    return rows


def center_crop(planes: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    top, left = (max(length - side, 0) // 2 for length in planes.shape[-2:])
    return np.ascontiguousarray(planes[..., top : top + side, left : left + side])


def to_device(fabric: Fabric, batch: Batch) -> tuple[Tensor, Tensor]:
    ilr, hr = (torch.from_numpy(part).to(fabric.device, memory_format=torch.channels_last) for part in batch)
    return ilr, hr
