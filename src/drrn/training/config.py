"""How a network is trained. What it is stands in `drrn.core.config`."""

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
    """The report's recipe, unless told otherwise."""

    scales: tuple[float, ...] = (2, 3, 4)
    """Factors that one model learns, mixed in every batch. One that is named twice is drawn and validated on twice as
    often."""
    patch: int = 31
    """Side of a training patch, in pixels of hr."""
    later_patches: tuple[int, ...] = ()
    """Sides of the patches in later, equal parts of the training: 64, 96 after `patch` 32 makes thirds. A step then has
    as many pixels as before, so fewer patches. Needs `stride` 0."""
    align: bool = False
    """Begin patches at whole pixels of lr, at scales that are whole numbers: a network whose cells are the pixels of lr
    then sees in training what it sees in use. `patch` and `later_patches` must be multiples of those scales."""
    degrade: Literal["clean", "photo"] = "clean"
    """clean: lr is MATLAB's bicubic, the papers' protocol. photo: it is spoilt as photos are, otherwise in each epoch:
    blurred, reduced by one of four kernels, noisy, and saved as JPEG, with strengths up to `blur`, `noise` and
    `quality`."""
    blur: float = 1.2
    """Of photo: the largest standard deviation of blur, in pixels of lr."""
    noise: float = 12.0
    """Of photo: the largest standard deviation of noise, in levels of 255."""
    quality: tuple[int, int] = (30, 95)
    """Of photo: the lowest and the highest quality of JPEG."""
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
    loss: str = "mse"
    """What is minimised between sr and hr: mse, l1, charbonnier, euclidean (Caffe's: half the sum of squares of a
    patch), msssim, focal_frequency, vgg, lpips, or a weighted sum, 0.84*msssim+0.16*l1. vgg and lpips need a
    backbone."""
    optimiser: Literal["adam", "sgd", "muon"] = "adam"
    """sgd takes `momentum` and `weight_decay`, the others take neither. muon moves the convolutions by orthogonal
    steps, ten times as large, and all else as adam does."""
    learning_rate: float = 1e-3
    """Step size at its highest."""
    schedule: Literal["constant", "halving", "cosine", "decay"] = "constant"
    """How the step size falls: not, by half every `halve_every` epochs, along a cosine to 0 at the last of `epochs`, or
    in a straight line to 0 over the last `decay_epochs`. A training that is given more epochs goes on along the longer
    cosine or line, so its step size rises once, unless it was stopped before its decay began."""
    decay_epochs: int = 10
    """Epochs at the end in which `decay` lets the step size fall."""
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
    initial: Initial = "glorot"
    """How random the weights of convolutions are at first: Glorot's uniform, Keras's default and so the report's, or
    He's normal, the paper's. Biases start at 0."""
    unit_gain: float = 1.0
    """What the second convolution of a unit starts at, against that."""
    leave_gain: float = 1.0
    """The same for the last convolution."""
    centred: bool = False
    """Begin with filters of the first convolution that have a mean of 0: blind to brightness."""
    fewest_units: int = 0
    """Draw the number of units of every step between this and the model's; 0 always runs all."""
    recycle: int = 0
    """Epochs, from the first, after each of which features that have died get new filters."""
    ema_decay: float = 0.0
    """Share of the running average of the weights kept at each step. The average is what is validated and saved."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic of forward and backward. auto times bf16-mixed and 32-true at the start and takes the faster: bfloat16
    takes 0.6 of the time on CPUs that have instructions for it, and ten times as long on others. A run keeps what it
    took, and measures again only on another CPU."""
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
        if not (self.blur > 0.2 and self.noise >= 0):
            raise ValueError(f"`blur` must be above 0.2 and `noise` at least 0, got {self.blur} and {self.noise}.")
        if not 1 <= self.quality[0] <= self.quality[1] <= 100:
            raise ValueError(f"`quality` must be two numbers in 1..100, the lower first, got {self.quality}.")
        if not 0 < self.validation < 1:
            raise ValueError(f"`validation` must be in (0, 1), got {self.validation}.")
        if not self.scales or not all(1 < scale <= 8 for scale in self.scales):
            raise ValueError(f"`scales` must be in (1, 8], got {self.scales}.")
        if not self.stride and not self.epoch_steps:
            raise ValueError("`epoch_steps` must be at least 1 where patches are drawn anywhere (`stride` 0).")
        sizes = (self.patch, *self.later_patches)
        if min(sizes) < 1 or (self.later_patches and self.stride):
            raise ValueError(f"`later_patches` must be at least 1, with `stride` 0, got {self.later_patches}.")
        for size in sizes if self.align else ():
            if odd := [scale for scale in self.scales if scale == int(scale) and size % scale]:
                raise ValueError(
                    f"`align` needs patches that are multiples of every whole scale, got {size} at {odd[0]:g}."
                )
        terms(self.loss)  # which refuses what is none

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """A config from a stranger's JSON; fields that are missing are the report's.

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
    """What a training is given: pictures, and weights."""

    data: tuple[Path, ...]
    """Folders of originals (hr); the lr are made from them by MATLAB's bicubic."""
    lr_data: Path | None = None
    """A folder of lr to go with the originals, by name (a.png or ax2.png), instead of made ones."""
    validation_data: tuple[Path, ...] = ()
    """Folders of originals to validate on, instead of a share of `data`."""
    pictures: int = 0
    """Pictures to use of `data`, spread evenly over those that are there; 0 for all."""
    start: str | None = None
    """A packaged model or a weights file to start from, instead of random weights: fine-tuning."""
    teacher: tuple[str, ...] = ()
    """A packaged model or a weights file whose results are learned instead of the originals (distillation); or ONNX
    files of any super-resolution networks for whole scales: the mean of those for the next whole scale is learned.
    Validation stays with the originals."""
    teacher_cache: Path | None = None
    """A folder for what the teacher makes, which several trainings can share; by default `taught` in the run."""
    teacher_data: Path | None = None
    """A folder of what a teacher made, x2/FOLDER/NAME.webp for FOLDER/NAME.png at scale 2, to learn instead of the
    originals: of the size of the original, cropped to a multiple of the scale. Scales without an x folder learn from
    the originals."""
    backbone: tuple[Path, ...] = ()
    """A VGG that the losses vgg and lpips see through, as torchvision's .pth or in .safetensors; LPIPS's linear
    weights may follow."""


REPORT = TrainConfig()
"""The report, section 2.3. It does not give the norm it clips to, nor its batch; 128 is the paper's."""

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
"""The authors' solver. Their biases learn at a tenth of the rate; here they learn at the full one."""

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
"""Ours: crops anywhere, L1, Muon, warm-up and cosine, an average of the weights."""

Recipe = Literal["report", "paper", "modern"]
RECIPES: dict[Recipe, TrainConfig] = {"report": REPORT, "paper": PAPER, "modern": MODERN}

SAVE_SECONDS = 60.0
"""Seconds between two checkpoints within an epoch: what a crash costs at most."""


LONGEST_CONFIG = 1 << 20
"""Bytes of a file that are read: of a device there is no end."""


def read_config(path: Path) -> tuple[DRRNConfig, TrainConfig]:
    """The `model` and the `train` of a JSON file, as of the `config.json` of a run; what else it holds is passed over.

    Raises:
        TrainingError: there is no such file, or it is no such config.
    """
    try:
        with path.open("rb") as file:
            about = json.loads(file.read(LONGEST_CONFIG))
        return DRRNConfig.from_dict(about["model"]), TrainConfig.from_dict(about["train"])
    except OSError as error:
        raise TrainingError(f"{path} can't be read: {error.strerror or error}.") from error
    except (KeyError, TypeError, RecursionError) as error:
        raise TrainingError(f"{path} is no config: it must be an object with `model` and `train`.") from error
    except ValueError as error:
        raise TrainingError(f"{path} is no config to train by: {error}") from error


def _value(name: str, kind: Any, value: Any) -> Any:
    """`value`, of JSON, as a field of `kind`: one of a Literal, a tuple of numbers, or a number, a word or a truth."""
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
    if type(value) is not kind and (kind, type(value)) != (float, int):  # not isinstance: True is no number of epochs
        raise ValueError(f"`{name}` must be {kind.__name__}, got {value!r:.100}.")
    return value
