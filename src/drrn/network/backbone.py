"""A frozen VGG that perceptual losses see through, read from files that the user names.

It is no part of what is trained, and of no checkpoint.
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
"""Runs of convolutions between two poolings, in every VGG."""
SMALLEST = 2 ** (STAGES - 1)
"""Side of the smallest patch, in pixels, of which the last stage sees anything."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB in [0, 1]: what the network was trained to be given."""


@dataclass(frozen=True)
class Backbone:
    """The convolutions of a VGG, and how much each feature counts in LPIPS."""

    stages: list[list[tuple[Tensor, Tensor]]]
    """(weight, bias) of each convolution; a ReLU follows each, a pooling each stage."""
    scores: list[Tensor]
    """Of each stage, (channels, 1, 1): LPIPS's linear weights, or ones."""

    def features(self, picture: Tensor, stages: int = STAGES) -> list[Tensor]:
        """What leaves the last ReLU of each of the first `stages`: relu1_2, relu2_2, relu3_3, ... of a VGG-16.

        Args:
            picture: (B, 1 or 3, H, W) in [0, 1]; luma stands for all three channels.
        """
        mean, std = (picture.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        x = (picture - mean) / std  # (B, 3, H, W)
        found: list[Tensor] = []
        for stage in self.stages[:stages]:
            x = _pool(x) if found else x
            for weight, bias in stage:
                x = F.relu(F.conv2d(x, weight, bias, padding=1))
            found.append(x)
        return found

    def to(self, device: torch.device) -> "Backbone":
        stages = [[(weight.to(device), bias.to(device)) for weight, bias in stage] for stage in self.stages]
        return Backbone(stages, [score.to(device) for score in self.scores])

    @property
    def digest(self) -> str:
        """SHA-256 of all that it computes with, whichever files hold it."""
        digest = sha256()
        for tensor in [*(part for stage in self.stages for pair in stage for part in pair), *self.scores]:
            digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()


def read_backbone(paths: Sequence[Path]) -> Backbone:
    """The VGG in `paths`, with LPIPS's linear weights where they hold these too (`lin0.model.1.weight`, ...).

    Raises:
        WeightsError: a file is missing, damaged or holds code, or together they are no VGG.
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
            "torchvision without batch norm, as vgg16."
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors that count, with nothing executed."""
    if not os.path.isfile(path):  # noqa: PTH113, which raises where a name is too long
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
    except Exception as error:  # a file from a stranger makes the unpickler fail in any way it likes
        raise WeightsError(f"{path} can't be read as plain tensors: it is damaged, or it holds code.") from error


def _stages(tensors: Mapping[str, Tensor]) -> list[list[tuple[Tensor, Tensor]]]:
    """The convolutions. A layer has a number: one further on is a ReLU, and two a ReLU and a pooling."""
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
    """LPIPS's linear weights for stages of so many `channels`; ones where there are none."""
    found = [tensors[name] for name in sorted(tensors) if name.startswith("lin")]
    expected = [(1, count, 1, 1) for count in channels]
    if found and [tuple(score.shape) for score in found] != expected:
        raise ValueError(f"its linear weights have shapes {[tuple(score.shape) for score in found]}.")
    return [score[0] for score in found] or [torch.ones(count, 1, 1) for count in channels]


def _pool(x: Tensor) -> Tensor:
    """The largest of every 2x2: (B, C, H, W) -> (B, C, H // 2, W // 2)."""
    # not max_pool2d: on CUDA its gradient is added up in another order each time
    x = x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]
    return x.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).amax((-3, -1))
