"""What a training is given: its pictures, the weights it starts or learns from, and what its loss sees through."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from drrn.core.color import levels
from drrn.core.config import DRRNConfig
from drrn.core.loss import terms
from drrn.data.pairs import Levels, Pair, Teach, pictures_in, read_levels, split, spread
from drrn.engines import EngineName
from drrn.engines.engine import Planes
from drrn.engines.selection import is_compiled
from drrn.errors import DataError, TrainingError
from drrn.media.image import Image
from drrn.network.backbone import SMALLEST, Backbone, read_backbone
from drrn.network.losses import SEEING
from drrn.training.config import Source, TrainConfig
from drrn.upscaling.upscaler import Upscaler
from drrn.weights.store import Weights, load

UNBOUND = 1 << 40
"""Bytes for a teacher: whoever has room for the pictures of a training has room to enlarge one, in tiles."""


class Given(NamedTuple):
    """What was found."""

    start: Weights | None
    """To start from."""
    teacher: Weights | None
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


def teacher_of(model: DRRNConfig, how: TrainConfig, source: Source) -> Weights | None:
    """The weights to learn from.

    Raises:
        WeightsError: there are no such weights.
        TrainingError: they can't teach this model, or not such scales.
    """
    if source.teacher is None:
        return None
    if source.teacher_data:
        raise TrainingError("--teacher and --teacher-data are two teachers. Give one of them.")
    teacher = load(source.teacher)
    if teacher.config.channels != model.channels:
        raise TrainingError(
            f"{source.teacher} has channels = {teacher.config.channels} and can't teach a model with channels = "
            f"{model.channels}. Give another --teacher, or another --channels."
        )
    if not source.lr_data:  # whose scales its pictures tell
        for scale in how.scales:
            see_covered(teacher, scale)
    return teacher


def teaching(teacher: Weights, device: str, threads: int, taught: Callable[[int], None]) -> Teach:
    """What `teacher` makes of pictures, as `drrn upscale` does.

    Args:
        taught: told after each lr how many there were.

    Raises:
        TrainingError, EngineError: in the making, where it was not trained for the scale, or fails.
    """
    # where nothing was compiled, auto is NumPy's, which is many times slower
    engine: EngineName = "torch" if device == "cpu" and not is_compiled() else "auto"
    upscaler, numbers = Upscaler(teacher, engine=engine, device=device, threads=threads, max_memory=UNBOUND), count(1)

    def teach(path: Path, lr: Planes, scale: float, hr: Levels) -> Levels:
        see_covered(teacher, scale)
        larger = upscaler.upscale(Image(pixels=lr.transpose(1, 2, 0)), size=(hr.shape[2], hr.shape[1]))
        taught(next(numbers))
        return levels(larger.pixels.transpose(2, 0, 1)).astype(np.uint8)

    return teach


def targets(folder: Path, scales: Sequence[float], channels: Literal[1, 3]) -> Teach:
    """What a teacher left in `folder` as files, see `Source.teacher_data`.

    Raises:
        DataError: there is no x folder for any of the scales; in the making, a target is missing or of another size.
    """
    taught = {scale: folder / f"x{scale:g}" for scale in scales if (folder / f"x{scale:g}").is_dir()}
    if not taught:
        wanted = ", ".join(f"x{scale:g}" for scale in sorted(set(scales)))
        raise DataError(f"{folder} holds no targets for these scales. Expected folders {wanted} in it.")

    def teach(path: Path, lr: Planes, scale: float, hr: Levels) -> Levels:
        if scale not in taught:
            return hr
        target = target_of(path, taught[scale])
        made = read_levels(target, 3)
        if channels == 1:  # WebP has no gray: equal colors are luma as it is, as in any gray file
            made = made[:1] if (made == made[:1]).all() else read_levels(target, 1)
        if made.shape != hr.shape:
            raise DataError(
                f"{target} is {made.shape[2]}x{made.shape[1]}. Expected {hr.shape[2]}x{hr.shape[1]}: {path.name}, "
                f"cropped to a multiple of {scale:g}."
            )
        return made

    return teach


def target_of(path: Path, folder: Path) -> Path:
    """The file for `path` in `folder`, or in a folder there that is called as its own: T91, or BSDS500_train.

    Raises:
        DataError: there is none.
    """
    parents = path.resolve().parts[:-1]
    places = [folder, *(folder / "_".join(parents[-count:]) for count in range(1, min(len(parents), 3) + 1))]
    for place in places:
        for suffix in (".webp", ".png", ".tif"):
            if (found := place / f"{path.stem}{suffix}").exists():
                return found
    raise DataError(f"No target for {path} in {folder}. Expected {places[1] / path.stem}.webp.")


def see_covered(teacher: Weights, scale: float) -> None:
    """See that `teacher` can teach `scale`.

    Raises:
        TrainingError: it was not trained for it.
    """
    if outside := teacher.outside(scale):
        raise TrainingError(f"{outside}, and so can't be taught by it. Give another --teacher, or other scales.")


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
