"""What a training reports, in its first process only."""

from typing import NamedTuple

from drrn.progress import Note, Progress
from drrn.training.logging import Epoch


class TargetMade(NamedTuple):
    """The teacher has enlarged `number` of `total` lr images, one for each original and scale."""

    number: int
    total: int


class TrainingPlan(NamedTuple):
    """The size of the training: its images are read, and the first step comes next."""

    patches: int
    """Per epoch; 0 if they are drawn at random positions."""
    size: int
    """Side of a patch, in pixels."""
    batch_size: int
    """Patches per step."""
    steps: int
    """Per epoch."""
    epochs: int
    """The maximum, including finished ones."""
    done: int
    """Epochs already finished."""
    bicubic: float
    """Bicubic's PSNR on the validation patches, in dB: the baseline for the network's."""


class Step(NamedTuple):
    """A step is done."""

    epoch: int
    step: int
    """Steps done in this epoch."""
    steps: int
    """Per epoch."""
    loss: float


class EpochDone(NamedTuple):
    """An epoch is done. It is reported twice if the training was killed before saving it."""

    row: Epoch
    best: bool


TrainingEvent = Note | TargetMade | TrainingPlan | Step | EpochDone
TrainingProgress = Progress[TrainingEvent]
