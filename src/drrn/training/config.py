"""How a network is trained: `TrainConfig`, recipes, and the sources of images and weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from drrn.core.config import DRRNConfig, Initial
from drrn.core.loss import terms
from drrn.errors import TrainingError


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Recipe: by default, the report's."""

    scales: tuple[float, ...] = (2, 3, 4)
    """Scales that the model learns, mixed in every batch. A scale given twice counts twice as much."""
    patch: int = 31
    """Side of a training patch, in pixels of hr."""
    later_patches: tuple[int, ...] = ()
    """Patch sides for later parts of the training, all of equal length: 64, 96 after `patch` 32 makes thirds. A step
    keeps its number of pixels, so it has fewer patches. Needs `stride` 0."""
    align: bool = False
    """Start patches at whole pixels of lr, for integer scales: a network whose cells are the pixels of lr then sees in
    training what it sees in use. `patch` and `later_patches` must be multiples of these scales."""
    degrade: Literal["clean", "photo"] = "clean"
    """clean: lr by MATLAB's bicubic, the papers' protocol. photo: degraded like photos, differently in each epoch:
    blurred, downscaled by one of several kernels, noisy, and saved as JPEG, as the next five options say."""
    blur: float = 1.2
    """For photo: the maximum standard deviation of blur, in pixels of lr."""
    noise: float = 12.0
    """For photo: the maximum standard deviation of noise, in levels of 255."""
    quality: tuple[int, int] = (30, 95)
    """For photo: the minimum and maximum JPEG quality."""
    other_kernels: float = 0.3
    """For photo: the probability of making lr by area, bilinear or Lanczos, each alike, instead of by bicubic."""
    odds: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """For photo: the probabilities of blur, noise and JPEG, drawn independently."""
    stride: int = 21
    """Distance between patches, in pixels; each is seen once per epoch. 0 draws patches anywhere."""
    augment: bool = True
    """Rotate and flip each patch at random, eight ways."""
    validation: float = 0.1
    """Share of the pictures (not patches) to hold out if no validation folder is given."""
    validation_patches: int = 4096
    """Maximum number of validation patches, spread over all held-out pictures. 0 takes all."""
    batch_size: int = 128
    """Patches per step, over all devices."""
    accumulate: int = 1
    """Compute each step in so many parts, one after another, in a fraction of the memory: the gradient is that of the
    whole batch, up to rounding. Batch norm, if any, sees the parts."""
    epochs: int = 50
    """Maximum number of epochs."""
    epoch_steps: int = 0
    """Steps per epoch; 0 for as many as the patches fill."""
    patience: int = 5
    """Epochs without a better validation loss after which training stops; 0 never stops."""
    loss: str = "mse"
    """The difference between sr and hr to minimize: mse, l1, charbonnier, euclidean (Caffe's: half the sum of squares
    of a patch), msssim, focal_frequency, vgg, lpips, or a weighted sum such as 0.84*msssim+0.16*l1. vgg and lpips need
    a backbone."""
    optimiser: Literal["adam", "sgd", "muon"] = "adam"
    """sgd uses `momentum` and `weight_decay`, the others do not. muon moves convolutions by orthogonal steps, ten times
    as large, and everything else like adam."""
    learning_rate: float = 1e-3
    """Maximum learning rate."""
    schedule: Literal["constant", "halving", "cosine", "decay"] = "constant"
    """How the learning rate falls: not at all, by half every `halve_every` epochs, along a cosine to 0 at the end of
    `epochs`, or linearly to 0 over the last `decay_epochs`. Extending a training follows the longer cosine or line, so
    the rate rises once, unless decay had not begun."""
    decay_epochs: int = 10
    """Final epochs over which `decay` reduces the learning rate."""
    halve_every: int = 10
    """Epochs between two halvings."""
    warm_up: int = 0
    """Initial steps during which the learning rate rises from 0."""
    momentum: float = 0.9
    """For sgd."""
    weight_decay: float = 1e-4
    """For sgd: an L2 penalty, added after clipping."""
    clip: float = 1.0
    """Clip the gradient of all weights together to this norm."""
    clip_by_rate: bool = False
    """Clip to `clip` / learning rate instead, as the paper does."""
    initial: Initial = "glorot"
    """Initialization of convolutions: Glorot's uniform (Keras's default and so the report's) or He's normal (the
    paper's). Biases start at 0."""
    unit_gain: float = 1.0
    """Factor for the initial second convolution of each unit."""
    leave_gain: float = 1.0
    """Factor for the initial last convolution."""
    centred: bool = False
    """Give the initial filters of the first convolution a mean of 0, which makes them blind to brightness."""
    fewest_units: int = 0
    """Draw the number of units of every step between this and the model's. 0 always runs all."""
    recycle: int = 0
    """Number of initial epochs after each of which dormant features get new filters."""
    ema_decay: float = 0.0
    """Share of the weights' running average that is kept at each step. The average is validated and saved."""
    precision: Literal["auto", "32-true", "32-native", "bf16-mixed", "16-mixed"] = "32-true"
    """Precision of forward and backward passes. 32-native is float32 on a CPU by the native engine. auto times
    bf16-mixed, 32-native and 32-true at the start and takes the fastest: bfloat16 takes 0.6 of the time of 32-true on
    CPUs with instructions for it, and ten times as long on others. A run keeps its choice, and measures again only on
    another CPU."""
    seed: int = 0
    """For the weights, the split and the order of the patches."""
    sheet_every: int = 5
    """Epochs between two picture sheets lr | ilr | sr | hr; 0 writes none."""

    def __post_init__(self) -> None:
        for name, low in [
            ("patch", 1),
            ("batch_size", 1),
            ("accumulate", 1),
            ("epochs", 1),
            ("stride", 0),
            ("epoch_steps", 0),
            ("patience", 0),
            ("halve_every", 1),
            ("decay_epochs", 1),
            ("warm_up", 0),
            ("fewest_units", 0),
            ("recycle", 0),
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
        if not (self.blur >= 0 and self.noise >= 0):
            raise ValueError(f"`blur` and `noise` must be at least 0, got {self.blur} and {self.noise}.")
        if not 0 <= self.other_kernels <= 1:
            raise ValueError(f"`other_kernels` must be in [0, 1], got {self.other_kernels}.")
        if not all(0 <= each <= 1 for each in self.odds):
            raise ValueError(f"`odds` must be in [0, 1], got {self.odds}.")
        if not 1 <= self.quality[0] <= self.quality[1] <= 100:
            raise ValueError(f"`quality` must be a minimum and a maximum in 1..100, got {self.quality}.")
        if not 0 < self.validation < 1:
            raise ValueError(f"`validation` must be in (0, 1), got {self.validation}.")
        if not self.scales or not all(1 < scale <= 8 for scale in self.scales):
            raise ValueError(f"`scales` must be in (1, 8], got {self.scales}.")
        if not self.stride and not self.epoch_steps:
            raise ValueError("`epoch_steps` must be at least 1 if patches are drawn anywhere (`stride` 0).")
        sizes = (self.patch, *self.later_patches)
        if min(sizes) < 1 or (self.later_patches and self.stride):
            raise ValueError(f"`later_patches` must be at least 1, with `stride` 0, got {self.later_patches}.")
        for size in sizes if self.align else ():
            if odd := [scale for scale in self.scales if scale == int(scale) and size % scale]:
                raise ValueError(
                    f"`align` needs patches that are multiples of every whole scale, got {size} at {odd[0]:g}."
                )
        terms(self.loss)  # raises if it is not a loss

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """A config from untrusted JSON; missing fields are the report's.

        Raises:
            ValueError: a field is unknown, of the wrong type or out of range.
        """
        if not isinstance(values, Mapping):
            raise ValueError("its training is not an object.")
        kinds = get_type_hints(cls)
        if unknown := ", ".join(sorted(values.keys() - kinds.keys())):
            raise ValueError(f"its training has unknown fields: {unknown[:200]!r}.")
        return cls(**{name: _value(name, kinds[name], value) for name, value in values.items()})


@dataclass(frozen=True, kw_only=True)
class Source:
    """Images and weights: those of a training."""

    data: tuple[Path, ...]
    """Folders of originals (hr), from which lr are made by MATLAB's bicubic."""
    lr_data: Path | None = None
    """A folder of lr to use instead, matched to originals by name (a.png or ax2.png)."""
    validation_data: tuple[Path, ...] = ()
    """Folders of originals to validate on instead of a share of `data`."""
    pictures: int = 0
    """Number of pictures to use from `data`, spread evenly; 0 for all."""
    start: str | None = None
    """A packaged model or a weights file to start from instead of random weights (fine-tuning)."""
    teacher: tuple[str, ...] = ()
    """A packaged model or a weights file whose results are learned instead of the originals (distillation); or ONNX
    files of any super-resolution networks for integer scales: the mean of those for the next integer scale is learned.
    Validation still uses the originals."""
    teacher_cache: Path | None = None
    """A folder to cache the teacher's results, which several trainings can share; by default `taught` in the run."""
    teacher_data: Path | None = None
    """A folder of a teacher's results to learn instead of the originals: x2/FOLDER/NAME.webp for FOLDER/NAME.png at
    scale 2, of the original's size cropped to a multiple of the scale. Scales without a folder learn from the
    originals."""
    backbone: tuple[Path, ...] = ()
    """A VGG for the losses vgg and lpips, as torchvision's .pth or as .safetensors; optionally followed by LPIPS's
    linear weights."""


REPORT = TrainConfig()
"""The report, section 2.3. It states neither its clipping norm nor its batch size; 128 is the paper's."""

PAPER = replace(
    REPORT,
    initial="he",
    loss="euclidean",
    optimiser="sgd",
    learning_rate=0.1,
    schedule="halving",
    clip=0.01,
    clip_by_rate=True,
    patience=0,
)
"""The authors' solver. Their biases learn at a tenth of the rate; here, at the full rate."""

MODERN = replace(
    REPORT,
    initial="he",
    centred=True,
    patch=32,
    stride=0,
    epochs=100,
    epoch_steps=1000,
    batch_size=36,
    clip=0.03,
    loss="l1",
    optimiser="muon",
    schedule="cosine",
    warm_up=500,
    unit_gain=0.3,
    leave_gain=0.1,
    ema_decay=0.999,
    patience=0,
)
"""Ours: crops anywhere, L1, Muon, warm-up and cosine, averaged weights."""

Recipe = Literal["report", "paper", "modern"]
RECIPES: dict[Recipe, TrainConfig] = {"report": REPORT, "paper": PAPER, "modern": MODERN}

SAVE_SECONDS = 60.0
"""Seconds between two checkpoints within an epoch: what a crash costs at most."""


LONGEST_CONFIG = 1 << 20
"""Bytes to read at most: a device file may never end."""


def read_config(path: Path) -> tuple[DRRNConfig, TrainConfig]:
    """The `model` and `train` objects of a JSON file such as a run's `config.json`; other keys are ignored.

    Raises:
        TrainingError: the file is missing or not such a config.
    """
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(LONGEST_CONFIG))
        return DRRNConfig.from_dict(content["model"]), TrainConfig.from_dict(content["train"])
    except OSError as error:
        raise TrainingError(f"{path} can't be read: {error.strerror or error}.") from error
    except (KeyError, TypeError, RecursionError) as error:
        raise TrainingError(f"{path} is not a config. Expected an object with `model` and `train`.") from error
    except ValueError as error:
        raise TrainingError(f"{path} is not a valid config: {error}") from error


def _value(name: str, kind: Any, value: Any) -> Any:
    """Check a JSON `value` for a field of type `kind`: a Literal, a tuple of numbers, a number, a string or a
    boolean."""
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"`{name}` must be one of {', '.join(get_args(kind))}, got {value!r:.100}.")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"`{name}` must be a list, got {value!r:.100}.")
        if Ellipsis not in get_args(kind) and len(value) != len(get_args(kind)):
            raise ValueError(f"`{name}` must be a list of {len(get_args(kind))}, got {value!r:.100}.")
        return tuple(_value(name, get_args(kind)[0], each) for each in value)
    if type(value) is not kind and (kind, type(value)) != (
        float,
        int,
    ):  # not isinstance: True is no integer
        raise ValueError(f"`{name}` must be {kind.__name__}, got {value!r:.100}.")
    return value
