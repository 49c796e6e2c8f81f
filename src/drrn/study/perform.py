"""Run one experiment, from images to its `result.json`. Each runs in a process of its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Literal

import numpy as np

from drrn.atomic import write_text
from drrn.core.resize import degrade, imresize, modcrop
from drrn.data.pairs import make_pairs, pick_evenly, unit
from drrn.data.patches import Batch, Pool, cut, grid
from drrn.errors import DivergedError
from drrn.evaluation.benchmark import Row, score_bicubic, score_model
from drrn.evaluation.compare import Crop, compare
from drrn.evaluation.timing import Cost, measure_cost
from drrn.media.image import Image
from drrn.media.images.files import read
from drrn.provenance import machine
from drrn.study.result import NAME, Result, StoredVersion, to_json, to_text
from drrn.study.task import Task
from drrn.training.config import Source
from drrn.training.events import TrainingProgress
from drrn.training.gradients import gradients_at_end, gradients_at_start
from drrn.training.logging import read_history, read_times
from drrn.training.record import read_record
from drrn.training.run import train
from drrn.training.session import Session, Training
from drrn.training.sources import drop_unused_backbone
from drrn.upscaling.upscaler import Upscaler

EXAMPLES = 3
"""Example images of each experiment."""
SIDE = 72
"""Side of the part that is shown, in pixels."""
PATCHES = 16
"""Patches on which gradients are measured."""


def perform(task: Task, progress: TrainingProgress, should_stop: Callable[[], bool]) -> Result | None:
    """Train, test and time an experiment, and write its `result.json`; None if stopped.

    Raises:
        DRRNError: the experiment could not be carried out: an image is damaged, the disk is full.
    """
    experiment = task.experiment
    outcome, reason = "trained", ""
    try:
        train(
            Training(experiment.model, experiment.train, source(task)),
            task.run,
            session=Session(
                command="drrn study run", device=task.device, threads=task.threads, should_stop=should_stop
            ),
            progress=progress,
        )
    except DivergedError as error:
        outcome, reason = "diverged", str(error)
    if should_stop():
        return None
    history, record, best = read_history(task.run), read_record(task.run), task.run / "best.safetensors"
    seconds, cpu_seconds = read_times(task.run, len(history))
    upscaler = Upscaler(best, device=task.device, threads=task.threads) if best.exists() else None
    pool, batch = read_held_out(task)
    scale = experiment.train.scales[0]
    rows = tuple(takewhile(lambda _: not should_stop(), score_sets(task, upscaler, scale)))
    if should_stop():
        return None
    cost = measure_speed(upscaler, task.test_sets(), scale) if upscaler else None
    result = Result(
        experiment=experiment,
        budget=task.budget.name,
        outcome="diverged" if outcome == "diverged" else "trained",
        reason=reason,
        history=tuple(history),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        constant_loss=float(unit(pool.hr).var(axis=1).mean()),
        gradients={"start": tuple(gradients_at_start(experiment.model, experiment.train, batch))}
        | ({"end": tuple(gradients_at_end(upscaler.weights, batch))} if upscaler else {}),
        scores=rows,
        seconds_per_megapixel=cost.seconds if cost else None,
        peak_mb=cost.peak_mb if cost else None,
        examples=render_examples(task.test_sets(), upscaler, scale) if upscaler and task.with_examples else {},
        data=record["data"],
        machine=machine() | record["machine"] | {"jobs": task.jobs, "engine": upscaler.engine.name if upscaler else ""},
        commit=record["commit"],
    )
    write_text(task.run / NAME, to_json(result))
    return result


def source(task: Task) -> Source:
    """What is trained on: with the backbone only if the loss needs one."""
    images = Source(data=task.data, pictures=task.budget.pictures, backbone=task.backbone)
    return drop_unused_backbone(images, task.experiment.train.loss)


def read_held_out(task: Task) -> tuple[Pool, Batch]:
    """The held-out images, and a few patches spread over all of them."""
    config, model = task.experiment.train, task.experiment.model
    _, paths = task.split_images()
    pool = Pool.from_pairs(make_pairs(paths, config.scales, model.channels))
    patches = grid(pool, config.patch, config.patch)
    patches = patches[np.linspace(0, len(patches) - 1, PATCHES).astype(np.int64)]
    return pool, cut(pool, patches, np.zeros(PATCHES, np.int64), config.patch)


def score_sets(task: Task, upscaler: Upscaler | None, scale: float) -> Iterator[Row]:
    """The scores of bicubic, and of the network if there is one, on each set."""
    channels: Literal[1] | None = 1 if task.experiment.model.channels == 1 else None
    for name, paths in task.test_sets().items():
        yield replace(score_bicubic(paths, scale, channels, perceptual=True), data=name)
        if upscaler:
            yield replace(score_model(upscaler, paths, scale, perceptual=True), data=name, model=task.experiment.name)


def measure_speed(upscaler: Upscaler, sets: dict[str, list[Path]], scale: float) -> Cost:
    """The cost of a megapixel of the first image, enlarged: the shortest of three times."""
    hr = modcrop(read(next(iter(sets.values()))[0]).pixels.transpose(2, 0, 1), scale)
    height, width = hr.shape[1:]
    lr = Image(pixels=degrade(hr, scale).clip(0, 1).transpose(1, 2, 0))
    costs = [measure_cost(lambda: upscaler.upscale(lr, size=(width, height)))[1] for _ in range(3)]
    return Cost(min(cost.seconds for cost in costs) * 1e6 / (height * width), max(cost.peak_mb for cost in costs))


def render_examples(
    sets: dict[str, Sequence[Path]] | dict[str, list[Path]], upscaler: Upscaler, scale: float
) -> dict[str, tuple[StoredVersion, ...]]:
    """Lr, bicubic, sr and original of the most detailed part of a few images, spread over the first set."""
    examples = {}
    for path in pick_evenly(next(iter(sets.values())), EXAMPLES):
        image = read(path)
        window = most_detailed(image, scale)
        examples[path.stem if path.stem not in examples else path.name] = tuple(
            StoredVersion(each.caption, to_text(each.planes))
            for each in compare(image, {"drrn": upscaler}, scale, [window])[0]
        )
    return examples


def most_detailed(image: Image, scale: float) -> Crop:
    """The square of at most `SIDE` pixels in which bicubic loses most: the sky loses nothing."""
    hr = modcrop(np.ascontiguousarray(image.pixels.transpose(2, 0, 1), np.float64), scale)
    height, width = hr.shape[1:]
    side = min(SIDE, height, width)
    lost = ((imresize(degrade(hr, scale), height, width) - hr) ** 2).mean(0)
    sums = np.pad(lost.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    of_windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(of_windows.argmax(), of_windows.shape)
    return int(left), int(top), side, side
