"""The frozen VGG of perceptual losses, read from the user's files.

It is not trained, and not part of any checkpoint.
Reference: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from drrn.errors import WeightsError

STAGES = 5
"""Groups of convolutions between poolings, in every VGG."""
SMALLEST = 2 ** (STAGES - 1)
"""Side of the smallest patch, in pixels, that leaves something for the last stage."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB in [0, 1], the network's training data."""


@dataclass(frozen=True)
class Backbone:
    """The convolutions of a VGG, and the weights of its features in LPIPS."""

    stages: list[list[tuple[Tensor, Tensor]]]
    """(weight, bias) of each convolution; a ReLU follows each, a pooling each stage."""
    scores: list[Tensor]
    """For each stage, (channels, 1, 1): LPIPS's linear weights, or ones."""

    def features(self, image: Tensor, stages: int = STAGES) -> list[Tensor]:
        """The output of the last ReLU of each of the first `stages`: relu1_2, relu2_2, relu3_3, ... of a VGG-16.

        Args:
            image: (B, 1 or 3, H, W) in [0, 1]; luma is used for all three channels.
        """
        mean, std = (image.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        x = (image - mean) / std  # (B, 3, H, W)
        outputs: list[Tensor] = []
        for stage in self.stages[:stages]:
            x = _pool(x) if outputs else x
            for weight, bias in stage:
                x = F.relu(F.conv2d(x, weight, bias, padding=1))
            outputs.append(x)
        return outputs

    def to(self, device: torch.device) -> "Backbone":
        stages = [[(weight.to(device), bias.to(device)) for weight, bias in stage] for stage in self.stages]
        return Backbone(stages, [score.to(device) for score in self.scores])

    @property
    def digest(self) -> str:
        """SHA-256 of all its tensors, whichever files they come from."""
        digest = sha256()
        for tensor in [*(part for stage in self.stages for pair in stage for part in pair), *self.scores]:
            digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()


def read_backbone(paths: Sequence[Path]) -> Backbone:
    """Read the VGG in `paths`, and LPIPS's linear weights if present (`lin0.model.1.weight`, ...).

    Raises:
        WeightsError: a file is missing, damaged or contains code, or together they are not a VGG.
    """
    tensors: dict[str, Tensor] = {}
    for path in paths:
        tensors |= _read(path)
    try:
        stages = _stages(tensors)
        return Backbone(stages, _scores(tensors, [len(stage[-1][0]) for stage in stages]))
    except ValueError as error:
        raise WeightsError(
            f"{' and '.join(map(str, paths))} can't be a backbone: {error} Give the state_dict() of a VGG of "
            "torchvision without batch norm, such as vgg16."
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    """Read the relevant tensors without executing anything."""
    if not os.path.isfile(path):  # noqa: PTH113, which raises if a name is too long
        raise WeightsError(f"No file {path}. Give the backbone's .pth or .safetensors file.")
    try:
        if path.suffix == ".safetensors":
            loaded = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        return {
            name: value.detach().float()
            for name, value in loaded.items()
            if re.fullmatch(r"features\.\d+\.\w+|lin\d\.model\.1\.weight", name)
        }
    except Exception as error:  # untrusted files can make the unpickler fail in any way
        raise WeightsError(f"{path} can't be read as plain tensors: it is damaged, or contains code.") from error


def _stages(tensors: Mapping[str, Tensor]) -> list[list[tuple[Tensor, Tensor]]]:
    """The convolutions. Layers are numbered: a gap of one is a ReLU, a gap of two a ReLU and a pooling."""
    numbers = sorted({int(name.split(".")[1]) for name in tensors if name.startswith("features.")})
    stages: list[list[tuple[Tensor, Tensor]]] = [[]]
    channels = 3
    for before, number in pairwise([-2, *numbers]):
        if number - before == 3 and stages[-1]:
            stages.append([])
        elif number - before != 2:
            raise ValueError(f"its layers are numbered {numbers}.")
        weight, bias = (tensors.get(f"features.{number}.{part}", torch.empty(0)) for part in ("weight", "bias"))
        if weight.shape[1:] != (channels, 3, 3) or bias.shape != weight.shape[:1]:
            raise ValueError(f"layer {number} has shapes {tuple(weight.shape)} and {tuple(bias.shape)}.")
        stages[-1].append((weight, bias))
        channels = len(weight)
    if len(stages) != STAGES:
        raise ValueError(f"it has {len(stages)} stages, a VGG {STAGES}.")
    return stages


def _scores(tensors: Mapping[str, Tensor], channels: Sequence[int]) -> list[Tensor]:
    """LPIPS's linear weights for stages with these `channels`; ones if there are none."""
    weights = [tensors[name] for name in sorted(tensors) if name.startswith("lin")]
    expected = [(1, count, 1, 1) for count in channels]
    if weights and [tuple(weight.shape) for weight in weights] != expected:
        raise ValueError(f"its linear weights have shapes {[tuple(weight.shape) for weight in weights]}.")
    return [weight[0] for weight in weights] or [torch.ones(count, 1, 1) for count in channels]


def _pool(x: Tensor) -> Tensor:
    """2x2 max pooling: (B, C, H, W) -> (B, C, H // 2, W // 2)."""
    # not max_pool2d: on CUDA, its gradient is summed in a different order each time
    x = x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]
    return x.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).amax((-3, -1))
