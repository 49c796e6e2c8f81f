"""How a network is trained. What it is stands in `drrn.core.config`."""

from dataclasses import dataclass, replace
from math import cos, pi
from pathlib import Path
from typing import Literal

from drrn.core.config import LossName


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The report's recipe, unless told otherwise."""

    scales: tuple[float, ...] = (2, 3, 4)
    """Factors that one model learns, mixed in every batch."""
    patch: int = 31
    """Side of a training patch, in pixels of hr."""
    stride: int = 21
    """Distance of the patches, in pixels, each being seen once an epoch. 0 draws them anywhere."""
    augment: bool = True
    """Turn and mirror each patch at random, eight ways."""
    validation: float = 0.1
    """Share of the pictures (not patches) that is held out, where no validation folder is given."""
    validation_patches: int = 4096
    """Patches to validate on, at most, spread over all pictures held out. 0 takes all."""
    batch_size: int = 128
    """Patches in one step, over all devices."""
    epochs: int = 50
    """Passes over the patches, at most."""
    epoch_steps: int = 0
    """Steps that are called an epoch; 0 for as many as the patches fill."""
    patience: int = 5
    """Epochs without a better validation loss after which training stops; 0 never stops."""
    loss: LossName = "mse"
    """What is minimised between sr and hr. euclidean is Caffe's: half the sum of squares of a patch."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """sgd takes `momentum` and `weight_decay`, adam takes neither."""
    learning_rate: float = 1e-3
    """Step size at its highest."""
    schedule: Literal["constant", "halving", "cosine"] = "constant"
    """How the step size falls: not, by half every `halve_every` epochs, or along a cosine to 0."""
    halve_every: int = 10
    """Epochs after which `halving` halves."""
    warm_up: int = 0
    """Steps in which the step size first rises from 0."""
    momentum: float = 0.9
    """Of sgd."""
    weight_decay: float = 1e-4
    """Of sgd: an L2 penalty, added after clipping."""
    clip: float = 1.0
    """Norm that the gradient of all weights together is clipped to."""
    clip_by_rate: bool = False
    """Clip to `clip` / step size instead, as the paper does."""
    unit_gain: float = 1.0
    """Where the second convolution of a unit starts, against He's initialisation."""
    leave_gain: float = 1.0
    """The same for the last convolution."""
    fewest_units: int = 0
    """Draw the number of units of every step between this and the model's; 0 always runs all."""
    ema_decay: float = 0.0
    """Share of the running average of the weights kept at each step. The average is what is validated and saved."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic of forward and backward."""
    seed: int = 0
    """Of the weights, the split and the order of the patches."""
    sheet_every: int = 5
    """Epochs between two picture sheets lr | ilr | sr | hr; 0 makes none."""

    def __post_init__(self) -> None:
        for name, low in [
            ("patch", 1),
            ("batch_size", 1),
            ("epochs", 1),
            ("stride", 0),
            ("epoch_steps", 0),
            ("patience", 0),
            ("halve_every", 1),
            ("warm_up", 0),
            ("fewest_units", 0),
            ("seed", 0),
            ("validation_patches", 0),
            ("sheet_every", 0),
        ]:
            if getattr(self, name) < low:
                raise ValueError(f"`{name}` must be at least {low}, got {getattr(self, name)}.")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"`{name}` must be above 0, got {getattr(self, name)}.")
        for name in ("ema_decay", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be in [0, 1), got {getattr(self, name)}.")
        if not 0 < self.validation < 1:
            raise ValueError(f"`validation` must be in (0, 1), got {self.validation}.")
        if not self.scales or not all(1 < scale <= 8 for scale in self.scales):
            raise ValueError(f"`scales` must be in (1, 8], got {self.scales}.")
        if not self.stride and not self.epoch_steps:
            raise ValueError("`epoch_steps` must be at least 1 where patches are drawn anywhere (`stride` 0).")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the pictures of a training are."""

    data: tuple[Path, ...]
    """Folders of originals (hr); the lr are made from them by MATLAB's bicubic."""
    lr_data: Path | None = None
    """A folder of lr to go with the originals, by name (a.png or ax2.png), instead of made ones."""
    validation_data: tuple[Path, ...] = ()
    """Folders of originals to validate on, instead of a share of `data`."""
    start: str | None = None
    """A packaged model or a weights file to start from, instead of random weights: fine-tuning."""


REPORT = TrainConfig()
"""The report, section 2.3. It does not give the norm it clips to, nor its batch; 128 is the paper's."""

PAPER = replace(
    REPORT,
    loss="euclidean",
    optimiser="sgd",
    learning_rate=0.1,
    schedule="halving",
    clip=0.01,
    clip_by_rate=True,
    patience=0,
)
"""The authors' solver. Their biases learn at a tenth of the rate; here they learn at the full one."""

MODERN = replace(
    REPORT,
    patch=48,
    stride=0,
    epochs=100,
    epoch_steps=1000,
    batch_size=16,
    clip=0.03,
    loss="l1",
    schedule="cosine",
    warm_up=500,
    unit_gain=0.3,
    leave_gain=0.1,
    ema_decay=0.999,
    patience=0,
)
"""Ours: crops anywhere, L1, warm-up and cosine, an average of the weights."""

Recipe = Literal["report", "paper", "modern"]
RECIPES: dict[Recipe, TrainConfig] = {"report": REPORT, "paper": PAPER, "modern": MODERN}

SAVE_SECONDS = 60.0
"""Seconds between two checkpoints within an epoch: what a crash costs at most."""


def learning_rate(train: TrainConfig, step: int, epoch_steps: int) -> float:
    """The step size at `step`, counted from 0 over all epochs of `epoch_steps`."""
    rising = min((step + 1) / train.warm_up, 1.0) if train.warm_up else 1.0
    match train.schedule:
        case "constant":
            falling = 1.0
        case "halving":
            falling = 0.5 ** (step // (train.halve_every * epoch_steps))
        case "cosine":
            falling = (1 + cos(pi * step / (train.epochs * epoch_steps))) / 2
    return train.learning_rate * rising * falling
