"""What a training is given: its pictures, the weights it starts or learns from, and what its loss sees through."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from drrn.core.config import DRRNConfig
from drrn.core.loss import terms
from drrn.data.pairs import Pair, pictures_in, split, spread
from drrn.errors import DataError, TrainingError
from drrn.network.backbone import SMALLEST, Backbone, read_backbone
from drrn.network.losses import SEEING
from drrn.training.config import Source, TrainConfig
from drrn.training.teachers import Teacher
from drrn.weights.store import Weights, load


class Given(NamedTuple):
    """What was found."""

    start: Weights | None
    """To start from."""
    teacher: Teacher | None
    """To learn from."""
    backbone: Backbone | None
    """For the loss to see through."""
    paths: list[Path]
    """Pictures to learn from."""
    validating: list[Path]
    """Pictures to validate on."""


def pictures_of(how: TrainConfig, source: Source) -> tuple[list[Path], list[Path]]:
    """The pictures to learn from and those to validate on.

    Raises:
        DataError: a folder is missing or empty, or there are too few to split.
    """
    paths = spread(pictures_in(source.data), source.pictures)
    if source.validation_data:
        return paths, pictures_in(source.validation_data)
    return split(paths, how.validation, how.seed)


def scales_of(pairs: Sequence[Pair]) -> tuple[float, ...]:
    """The scales of pairs that were given, to a tenth: sides that are no multiple of it blur them.

    Raises:
        DataError: they are no scales to train for.
    """
    scales = tuple(sorted({round(pair.scale, 1) for pair in pairs}))
    if not all(1 < scale <= 8 for scale in scales):
        raise DataError(f"The lr are {', '.join(f'{scale:g}' for scale in scales)} times smaller. Expected 1.1 to 8.")
    return scales


def start_of(model: DRRNConfig, source: Source) -> tuple[DRRNConfig, Weights | None]:
    """The model to train, which is that of the weights to start from where none else was asked for, and these.

    A model may differ from them in `unshuffle`: its first and last convolutions then begin anew.

    Raises:
        WeightsError: there are no such weights.
        TrainingError: they are of another model.
    """
    if source.start is None:
        return model, None
    start = load(source.start)
    if model == DRRNConfig():
        return start.config, start
    if model != replace(start.config, unshuffle=model.unshuffle):
        ours, theirs = model.to_dict(), start.config.to_dict()
        odd = ", ".join(f"{key} = {theirs[key]}" for key in ours if ours[key] != theirs[key])
        raise TrainingError(f"{source.start} is of another model, with {odd}. Leave out the options of the model.")
    return model, start


def seen_through(source: Source, loss: str) -> Source:
    """`source` without the backbone that `loss` does not need."""
    return source if any(name in SEEING for _, name in terms(loss)) else replace(source, backbone=())


def backbone_of(how: TrainConfig, source: Source) -> Backbone | None:
    """What the loss sees through.

    Raises:
        WeightsError: a file is missing, or is no backbone.
        TrainingError: there is one and the loss needs none, or the other way round; or the patches are too small.
    """
    needing = [name for _, name in terms(how.loss) if name in SEEING]
    if not needing and not source.backbone:
        return None
    if not needing:
        raise TrainingError(
            f"--loss {how.loss} needs no backbone. Leave out --backbone, or give {' or '.join(SEEING)}."
        )
    if not source.backbone:
        raise TrainingError(f"--loss {how.loss} needs a backbone. Give a VGG: --backbone vgg16.pth.")
    if how.patch < SMALLEST:
        raise TrainingError(f"--loss {how.loss} needs patches of at least {SMALLEST} pixels. Give a larger --patch.")
    return read_backbone(source.backbone)
