"""A tiny VGG with random weights, in a file like those of torchvision."""

import torch
from torch import Tensor

LAYERS = {0: 4, 2: 4, 5: 5, 7: 5, 10: 6, 13: 6, 15: 7, 18: 8}
"""Layer number of each convolution and its channels: stages of 2, 2, 1, 2 and 1."""


def small_vgg(seed: int = 0, *, linear: bool = False) -> dict[str, Tensor]:
    """The state dict of the VGG; with `linear` also the linear weights of LPIPS for its stages."""
    rng, channels = torch.Generator().manual_seed(seed), 3
    tensors = {"classifier.0.weight": torch.zeros(2, 2)}
    for number, count in LAYERS.items():
        spread = (2 / (9 * channels)) ** 0.5
        tensors[f"features.{number}.weight"] = spread * torch.randn(count, channels, 3, 3, generator=rng)
        tensors[f"features.{number}.bias"] = 0.1 * torch.randn(count, generator=rng)
        channels = count
    for stage, number in enumerate((2, 7, 10, 15, 18) if linear else ()):
        tensors[f"lin{stage}.model.1.weight"] = torch.rand(1, LAYERS[number], 1, 1, generator=rng)
    return tensors
