"""What a training minimises between sr and hr: (B, channels, H, W) twice, in [0, 1] -> a number."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from drrn.core.loss import LossName, terms
from drrn.network.backbone import Backbone

Loss = Callable[[Tensor, Tensor], Tensor]

SIGMAS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Of the windows of `msssim`, in pixels."""


def make_loss(loss: str, backbone: Backbone | None = None) -> Loss:
    """The sum of weighted terms that `loss` is in writing (`drrn.core.loss`).

    Args:
        backbone: what vgg and lpips see through, on the device of what they will compare.
    """
    weighted = [(weight, _named(name, backbone)) for weight, name in terms(loss)]

    def total(sr: Tensor, hr: Tensor) -> Tensor:
        return torch.stack([weight * of(sr, hr) for weight, of in weighted]).sum()

    return total


def charbonnier(sr: Tensor, hr: Tensor, epsilon: float = 1e-3) -> Tensor:
    """A smooth L1: sqrt(d^2 + epsilon^2), averaged (Lai et al. 2017, eq. 5)."""
    return torch.sqrt((sr - hr) ** 2 + epsilon**2).mean()


def euclidean(sr: Tensor, hr: Tensor) -> Tensor:
    """Caffe's EuclideanLoss, the paper's: the sum of squares of a patch, halved, averaged over the batch."""
    return ((sr - hr) ** 2).sum() / (2 * len(sr))


def msssim(sr: Tensor, hr: Tensor) -> Tensor:
    """1 - MS-SSIM (Zhao et al., "Loss Functions for Image Restoration With Neural Networks", IEEE TCI 2017).

    The scales are Gaussian windows of `SIGMAS` on the patch as it is, not smaller patches, so that one of 31x31 has all
    of them: l at the largest, times cs at each. The authors take the middle pixel of a patch; here it is the mean over
    pixels and channels, a window at a border being the part of it that lies inside.
    """
    planes = torch.stack([sr, hr, sr**2 + hr**2, (sr - hr) ** 2])  # (4, B, C, H, W)
    similarity: Tensor | float = 1.0
    for sigma in SIGMAS:
        rows, columns = (_windows(side, sigma, sr) for side in sr.shape[-2:])
        mean_sr, mean_hr, power, error = rows @ planes @ columns.T
        apart = (mean_sr - mean_hr) ** 2
        middle = mean_sr**2 + mean_hr**2
        # SSIM's formulas, by 2ab = a^2 + b^2 - (a - b)^2: equal patches are equal to the last bit, with a slope of 0
        cs = 1 - (error - apart) / (power - middle + 0.03**2)
        similarity = similarity * cs.clamp(-1, 1)  # which rounding leaves where values are far outside of [0, 1]
        luminance = 1 - apart / (middle + 0.01**2)
    return 1 - (luminance * similarity).mean()


def focal_frequency(sr: Tensor, hr: Tensor) -> Tensor:
    """The mean squared distance of the spectra of each channel, where the frequencies furthest apart count most
    (Jiang et al., "Focal Frequency Loss for Image Reconstruction and Synthesis", ICCV 2021, with alpha = 1).

    The weight of a frequency is its own distance over the largest of its patch and channel, and has no slope.
    """
    apart = torch.fft.fft2(sr - hr, norm="ortho")
    power = apart.real**2 + apart.imag**2
    weight = power.detach().sqrt()
    largest = weight.amax((-2, -1), keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)  # equal patches: 0, not 0/0
    return (weight / largest * power).mean()


def vgg(backbone: Backbone, sr: Tensor, hr: Tensor) -> Tensor:
    """Mean squared difference of what leaves the second stage, relu2_2 of a VGG-16 (Johnson et al., "Perceptual Losses
    for Real-Time Style Transfer and Super-Resolution", ECCV 2016, eq. 2, with their layer).

    Each of these features sees 14x14 pixels; those of the third stage would see 40x40, more than a patch of 31x31.
    """
    ours, theirs = (backbone.features(picture, stages=2)[-1] for picture in (sr, hr))
    return F.mse_loss(ours, theirs)


def lpips(backbone: Backbone, sr: Tensor, hr: Tensor) -> Tensor:
    """LPIPS (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, eq. 1).

    Features of each stage, of unit length at each place: squared differences, weighted by channel, averaged over
    places and added up. The weights are the authors' where the backbone has them; else every channel has 1, which is
    their baseline and not LPIPS.
    """
    pairs = zip(backbone.features(sr), backbone.features(hr), backbone.scores, strict=True)
    return torch.stack(
        [(score * (_unit(ours) - _unit(theirs)) ** 2).sum(1).mean() for ours, theirs, score in pairs]
    ).sum()


LOSSES: dict[LossName, Loss] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "charbonnier": charbonnier,
    "euclidean": euclidean,
    "msssim": msssim,
    "focal_frequency": focal_frequency,
}
PERCEPTUAL: dict[LossName, Callable[[Backbone, Tensor, Tensor], Tensor]] = {"vgg": vgg, "lpips": lpips}
"""The losses that need a backbone to see through."""


def _named(name: LossName, backbone: Backbone | None) -> Loss:
    if name not in PERCEPTUAL:
        return LOSSES[name]
    if backbone is None:
        raise ValueError(f"{name} needs a backbone.")
    return partial(PERCEPTUAL[name], backbone)


def _windows(side: int, sigma: float, like: Tensor) -> Tensor:
    """(side, side): in a row, the weights of the Gaussian mean around one place."""
    places = torch.arange(side, dtype=like.dtype, device=like.device)
    weights = torch.exp(-((places - places[:, None]) ** 2) / (2 * sigma**2))
    return weights / weights.sum(1, keepdim=True)


def _unit(features: Tensor) -> Tensor:
    # the 1e-10 is within the root, unlike the authors': where all features are 0, the root has no slope
    return features / torch.sqrt((features**2).sum(1, keepdim=True) + 1e-10)
