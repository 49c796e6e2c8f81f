"""Distillation: targets that a teacher makes, in place of the originals."""

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Literal

import numpy as np

from drrn.core.color import levels
from drrn.core.config import DRRNConfig
from drrn.data.pairs import Levels, Teach, read_levels
from drrn.engines import EngineName
from drrn.engines.engine import Planes
from drrn.engines.selection import is_compiled
from drrn.errors import DataError, TrainingError
from drrn.media.image import Image
from drrn.training.config import Source, TrainConfig
from drrn.upscaling.upscaler import Upscaler
from drrn.weights.store import Weights, load

UNLIMITED = 1 << 40
"""Memory limit of a teacher, in bytes. A machine that holds the images of a training can enlarge one, in tiles."""


def load_teacher(model: DRRNConfig, config: TrainConfig, source: Source) -> Weights | None:
    """The weights to learn from, if any.

    Raises:
        WeightsError: there are no such weights.
        TrainingError: they can't teach this model, or not at these scales.
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
    if not source.lr_data:  # otherwise the scales follow from its images
        for scale in config.scales:
            check_scale(teacher, scale)
    return teacher


def check_scale(teacher: Weights, scale: float) -> None:
    """
    Raises:
        TrainingError: the teacher was not trained for this scale.
    """
    if outside := teacher.outside(scale):
        raise TrainingError(f"{outside}, so it can't teach that scale. Give another --teacher, or other scales.")


def teach_by_weights(teacher: Weights, device: str, threads: int, report: Callable[[int], None]) -> Teach:
    """Targets that `teacher` computes, exactly as `drrn upscale` does.

    Args:
        report: called after each lr with the number enlarged so far.

    Raises:
        TrainingError, EngineError: when a target is made, if the teacher was not trained for its scale, or fails.
    """
    # without the compiled engine, auto would choose NumPy's, which is many times slower
    engine: EngineName = "torch" if device == "cpu" and not is_compiled() else "auto"
    upscaler, numbers = Upscaler(teacher, engine=engine, device=device, threads=threads, max_memory=UNLIMITED), count(1)

    def teach(path: Path, lr: Planes, scale: float, hr: Levels) -> Levels:
        check_scale(teacher, scale)
        larger = upscaler.upscale(Image(pixels=lr.transpose(1, 2, 0)), size=(hr.shape[2], hr.shape[1]))
        report(next(numbers))
        return levels(larger.pixels.transpose(2, 0, 1)).astype(np.uint8)

    return teach


def teach_by_files(folder: Path, scales: Sequence[float], channels: Literal[1, 3]) -> Teach:
    """Targets that a teacher left as files, see `Source.teacher_data`.

    Raises:
        DataError: there is no folder for any of the scales; or, when a target is read, it is missing or has the wrong
            size.
    """
    folders = {scale: target_folder(folder, scale) for scale in scales if target_folder(folder, scale).is_dir()}
    if not folders:
        wanted = ", ".join(f"x{scale:g}" for scale in sorted(set(scales)))
        raise DataError(f"{folder} holds no targets for these scales. Expected folders {wanted} in it.")

    def teach(path: Path, lr: Planes, scale: float, hr: Levels) -> Levels:
        if scale not in folders:
            return hr
        target = find_target(path, folders[scale])
        values = read_levels(target, 3)
        if channels == 1:  # WebP has no gray: equal channels are luma as it is, as in any gray file
            values = values[:1] if (values == values[:1]).all() else read_levels(target, 1)
        if values.shape != hr.shape:
            raise DataError(
                f"{target} is {values.shape[2]}x{values.shape[1]}. Expected {hr.shape[2]}x{hr.shape[1]}: {path.name}, "
                f"cropped to a multiple of {scale:g}."
            )
        return values

    return teach


def target_folder(folder: Path, scale: float) -> Path:
    """Where `Source.teacher_data` has the targets of a scale."""
    return folder / f"x{scale:g}"


def find_target(path: Path, folder: Path) -> Path:
    """The target of an original: in `folder`, or in a subfolder named like the original's (T91, or BSDS500_train).

    Raises:
        DataError: there is none.
    """
    parents = path.resolve().parts[:-1]
    places = [folder, *(folder / "_".join(parents[-depth:]) for depth in range(1, min(len(parents), 3) + 1))]
    for place in places:
        for suffix in (".webp", ".png", ".tif"):
            if (target := place / f"{path.stem}{suffix}").exists():
                return target
    raise DataError(f"No target for {path} in {folder}. Expected {places[1] / path.stem}.webp.")
