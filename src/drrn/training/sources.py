"""What the options of a training refer to: image files, and weights to start from, to learn from, or for its loss."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from drrn.core.config import DRRNConfig
from drrn.core.loss import terms
from drrn.data.pairs import Pair, pick_evenly, pictures_in, split
from drrn.errors import DataError, TrainingError
from drrn.network.backbone import SMALLEST, Backbone, read_backbone
from drrn.network.losses import PERCEPTUAL
from drrn.training.config import Source, TrainConfig
from drrn.training.session import Training
from drrn.training.teachers import Teacher, load_teacher
from drrn.weights.store import Weights, load


@dataclass(frozen=True)
class Sources:
    """Everything a `Source` names, found and loaded; the images are not read yet."""

    model: DRRNConfig
    """The model to train: that of `start` if no other was asked for."""
    start: Weights | None
    teacher: Teacher | None
    backbone: Backbone | None
    paths: list[Path]
    """Images to learn from."""
    validation_paths: list[Path]


def find_sources(training: Training) -> Sources:
    """Find and load what `training` refers to.

    Raises:
        DataError: a folder is missing or empty, or there are too few images to split.
        WeightsError: weights or a backbone are missing or damaged.
        TrainingError: weights or a backbone do not fit the model, or the loss.
    """
    config, source = training.config, training.source
    model, start = load_start(training.model, source)
    backbone, teacher = load_backbone(config, source), load_teacher(model, config, source)
    return Sources(model, start, teacher, backbone, *split_images(config, source))


def split_images(config: TrainConfig, source: Source) -> tuple[list[Path], list[Path]]:
    """The images to learn from and those to validate on.

    Raises:
        DataError: a folder is missing or empty, or there are too few images to split.
    """
    paths = pick_evenly(pictures_in(source.data), source.pictures)
    if source.validation_data:
        return paths, pictures_in(source.validation_data)
    return split(paths, config.validation, config.seed)


def measured_scales(pairs: Sequence[Pair]) -> tuple[float, ...]:
    """The scales of given pairs, rounded to a tenth: rounding to whole pixels makes them inexact.

    Raises:
        DataError: a scale is out of range.
    """
    scales = tuple(sorted({round(pair.scale, 1) for pair in pairs}))
    if not all(1 < scale <= 8 for scale in scales):
        raise DataError(f"The lr are {', '.join(f'{scale:g}' for scale in scales)} times smaller. Expected 1.1 to 8.")
    return scales


def load_start(model: DRRNConfig, source: Source) -> tuple[DRRNConfig, Weights | None]:
    """The model to train, and the weights to start from, if any.

    The default model gives way to that of the weights. A model may differ from them in `unshuffle`: its first and last
    convolutions then start from random weights.

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


def drop_unused_backbone(source: Source, loss: str) -> Source:
    """`source` without its backbone, unless `loss` needs one."""
    return source if any(name in PERCEPTUAL for _, name in terms(loss)) else replace(source, backbone=())


def load_backbone(config: TrainConfig, source: Source) -> Backbone | None:
    """The backbone of the loss, if any.

    Raises:
        WeightsError: a file is missing, or not a backbone.
        TrainingError: the loss needs a backbone and has none, or the other way round; or the patches are too small.
    """
    needing = [name for _, name in terms(config.loss) if name in PERCEPTUAL]
    if not needing and not source.backbone:
        return None
    if not needing:
        raise TrainingError(
            f"--loss {config.loss} needs no backbone. Leave out --backbone, or use {' or '.join(PERCEPTUAL)}."
        )
    if not source.backbone:
        raise TrainingError(f"--loss {config.loss} needs a backbone. Give a VGG: --backbone vgg16.pth.")
    if config.patch < SMALLEST:
        raise TrainingError(f"--loss {config.loss} needs patches of at least {SMALLEST} pixels. Give a larger --patch.")
    return read_backbone(source.backbone)
