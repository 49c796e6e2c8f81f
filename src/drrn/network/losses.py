"""Loss functions of sr and hr: two (B, channels, H, W) in [0, 1] -> a scalar."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from drrn.core.loss import LossName, terms
from drrn.network.backbone import Backbone

Loss = Callable[[Tensor, Tensor], Tensor]

SIGMAS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Standard deviations of the windows of `msssim`, in pixels."""


def make_loss(loss: str, backbone: Backbone | None = None) -> Loss:
    """The function for a weighted sum such as `0.84*msssim+0.16*l1` (see `drrn.core.loss`).

    Args:
        backbone: for vgg and lpips, on the device of the images.
    """
    weighted = [(weight, _named(name, backbone)) for weight, name in terms(loss)]

    def total(sr: Tensor, hr: Tensor) -> Tensor:
        return torch.stack([weight * of(sr, hr) for weight, of in weighted]).sum()

    return total


def charbonnier(sr: Tensor, hr: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Smooth L1: the mean of sqrt(d^2 + epsilon^2) (Lai et al. 2017, eq. 5)."""
    return torch.sqrt((sr - hr) ** 2 + epsilon**2).mean()


def euclidean(sr: Tensor, hr: Tensor) -> Tensor:
    """Caffe's EuclideanLoss, used by the paper: half the sum of squares of a patch, averaged over the batch."""
    return ((sr - hr) ** 2).sum() / (2 * len(sr))


def msssim(sr: Tensor, hr: Tensor) -> Tensor:
    """1 - MS-SSIM (Zhao et al., "Loss Functions for Image Restoration With Neural Networks", IEEE TCI 2017).

    The scales are Gaussian windows of `SIGMAS` on the patch itself, not on smaller versions, so that a 31x31 patch has
    all of them: l at the largest, times cs at each. The authors use the center pixel of a patch; this is the mean over
    pixels and channels. A window at a border is cut off there.
    """
    planes = torch.stack([sr, hr, sr**2 + hr**2, (sr - hr) ** 2])  # (4, B, C, H, W)
    similarity: Tensor | float = 1.0
    for sigma in SIGMAS:
        rows, columns = (_windows(side, sigma, sr) for side in sr.shape[-2:])
        mean_sr, mean_hr, power, error = rows @ planes @ columns.T
        difference = (mean_sr - mean_hr) ** 2
        square = mean_sr**2 + mean_hr**2
        # SSIM's formulas with 2ab = a^2 + b^2 - (a - b)^2: for equal patches, exactly 1 with a gradient of 0
        cs = 1 - (error - difference) / (power - square + 0.03**2)
        similarity = similarity * cs.clamp(-1, 1)  # rounding can exceed this if values are far outside [0, 1]
        luminance = 1 - difference / (square + 0.01**2)
    return 1 - (luminance * similarity).mean()


def focal_frequency(sr: Tensor, hr: Tensor) -> Tensor:
    """The mean squared distance of the spectra of each channel, weighting the most different frequencies highest
    (Jiang et al., "Focal Frequency Loss for Image Reconstruction and Synthesis", ICCV 2021, with alpha = 1).

    The weight of a frequency is its distance relative to the largest one of its patch and channel; it has no gradient.
    """
    difference = torch.fft.fft2(sr - hr, norm="ortho")
    power = difference.real**2 + difference.imag**2
    weight = power.detach().sqrt()
    largest = weight.amax((-2, -1), keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)  # equal patches: 0, not 0/0
    return (weight / largest * power).mean()


def vgg(backbone: Backbone, sr: Tensor, hr: Tensor) -> Tensor:
    """Mean squared difference of the second stage's features, relu2_2 of a VGG-16 (Johnson et al., "Perceptual Losses
    for Real-Time Style Transfer and Super-Resolution", ECCV 2016, eq. 2, with their layer).

    Each of these features sees 14x14 pixels; those of the third stage would see 40x40, more than a 31x31 patch.
    """
    ours, theirs = (backbone.features(picture, stages=2)[-1] for picture in (sr, hr))
    return F.mse_loss(ours, theirs)


def lpips(backbone: Backbone, sr: Tensor, hr: Tensor) -> Tensor:
    """LPIPS (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, eq. 1).

    Features of each stage, normalized at each pixel: squared differences, weighted by channel, averaged over pixels,
    and summed over stages. The weights are the authors' if the backbone has them; otherwise 1 for every channel, which
    is their baseline and not LPIPS.
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
"""Losses that need a backbone."""


def _named(name: LossName, backbone: Backbone | None) -> Loss:
    if name not in PERCEPTUAL:
        return LOSSES[name]
    if backbone is None:
        raise ValueError(f"The loss {name} needs a backbone.")
    return partial(PERCEPTUAL[name], backbone)


def _windows(side: int, sigma: float, like: Tensor) -> Tensor:
    """(side, side): each row has the weights of the Gaussian mean around one pixel."""
    places = torch.arange(side, dtype=like.dtype, device=like.device)
    weights = torch.exp(-((places - places[:, None]) ** 2) / (2 * sigma**2))
    return weights / weights.sum(1, keepdim=True)


def _unit(features: Tensor) -> Tensor:
    # unlike the authors', the 1e-10 is under the root, which has no finite gradient at 0
    return features / torch.sqrt((features**2).sum(1, keepdim=True) + 1e-10)
