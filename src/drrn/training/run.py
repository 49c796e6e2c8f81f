"""A run is a folder: train a network from folders of images in it, or resume there."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from drrn.data.degradations import PhotoDegradations, Strength
from drrn.data.pairs import Pair, Teach, make_pairs, match_pairs
from drrn.data.patches import Pool, Sampler
from drrn.engines.pytorch import is_out_of_memory
from drrn.errors import TooLittleMemoryError, TrainingError
from drrn.progress import Note
from drrn.training.config import TrainConfig
from drrn.training.distributed import all_reduce_mean, shutdown, translate_peer_errors, world_from_torchrun
from drrn.training.events import TargetMade, TrainingProgress
from drrn.training.fit import Inputs, fit
from drrn.training.logging import Epoch
from drrn.training.machine import choose_precision, keep_memory, remember_precision
from drrn.training.record import describe, numeric_environment, open_record
from drrn.training.session import Session, Training
from drrn.training.sources import Sources, find_sources, measured_scales
from drrn.training.teachers import cache_targets, count_targets, target_folder, teach_by_files

MAX_NAMES = 10
"""Images named in one message."""
VALIDATION_EPOCH = 1 << 31
"""The epoch whose degraded lr serve for validation throughout."""


@contextmanager
def translate_memory_errors() -> Iterator[None]:
    """Turn every kind of out-of-memory error into one sentence.

    Raises:
        TooLittleMemoryError: memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TooLittleMemoryError(
            "Not enough memory. Start in another --run with --accumulate 2 or more, a smaller --batch-size or --patch, "
            "or fewer --pictures or --scales."
        ) from error


@translate_peer_errors()
@translate_memory_errors()
def train(training: Training, run: Path, *, session: Session, progress: TrainingProgress) -> list[Epoch]:
    """Train a model in the folder `run`; see `fit` for what it leaves there.

    If `run` already holds this training, it resumes: weights, checkpoint and history end up as if it had never been
    interrupted. Under torchrun, each process uses one device. Several machines need the same number of processes
    each; only the first machine's `run` is read and written.

    Returns:
        The history; empty if stopped while the images are read.

    Raises:
        DataError, ImageError: the images are missing, too few, too small or damaged.
        WeightsError: the weights to start or to learn from, or the backbone, are missing or damaged.
        TrainingError: `run` holds another training; the weights to start or to learn from, or the backbone, do not fit
            this one; or another of its processes has ended.
        TooLittleMemoryError: the images, or a step, need more memory than there is.
        EngineError: the teacher fails.
        DivergedError: a computed value is not finite.
    """
    if session.threads:
        torch.set_num_threads(session.threads)
    sources = find_sources(training)
    training = replace(training, model=sources.model)
    _check_options(training)
    processes, machines = world_from_torchrun()
    keep_memory()
    precision, reason = choose_precision(training, run, session.device, processes * machines)
    fabric = _launch(training.config, session.device, processes, machines, precision)
    record = _open_run(training, run, sources, fabric, session, progress)
    if reason and fabric.is_global_zero:
        progress.report(Note(f"{reason}: using {precision}"))
        remember_precision(run, precision)
    inputs = _read_inputs(training, sources, run, record, fabric, session, progress)
    if inputs and precision == "32-native":
        inputs = replace(inputs, native=True)
    history = fit(inputs, run, fabric=fabric, progress=progress, session=session) if inputs else []
    shutdown(fabric)
    return history


def _check_options(training: Training) -> None:
    """
    Raises:
        TrainingError: two options contradict each other.
    """
    model, config = training.model, training.config
    if config.fewest_units > model.units or (config.fewest_units and (not model.share or model.batch_norm)):
        raise TrainingError(
            f"Can't draw between {config.fewest_units} and {model.units} units. Give --fewest-units at most the "
            "model's units, and a model that shares its convolutions and has no batch norm."
        )
    if config.degrade == "photo" and training.source.lr_data:
        raise TrainingError("--degrade photo makes the lr itself. Leave out --lr-data.")


def _launch(config: TrainConfig, device: str, processes: int, machines: int, precision: str) -> Fabric:
    """Fabric, launched, with deterministic algorithms.

    Raises:
        TrainingError: the batch can't be divided among the processes.
    """
    arithmetic: Any = "32-true" if precision == "32-native" else precision
    fabric = Fabric(accelerator=device, devices=processes, num_nodes=machines, precision=arithmetic)
    # keep images in float32: bfloat16 would leave the network only eight binary digits of them
    fabric.strategy.precision.convert_input = lambda data: data  # type: ignore[method-assign]
    fabric.launch()
    if config.batch_size % fabric.world_size:
        raise TrainingError(
            f"A batch of {config.batch_size} can't be divided among {fabric.world_size} processes. Give a --batch-size "
            f"that is a multiple of {fabric.world_size}."
        )
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # all is written
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, matrix products on CUDA are refused
    return fabric


def _open_run(
    training: Training, run: Path, sources: Sources, fabric: Fabric, session: Session, progress: TrainingProgress
) -> dict[str, Any]:
    """Create the folder or check it, and return its record, the same in all processes.

    Raises:
        TrainingError: the folder holds another training, or the images differ between machines.
    """
    described = describe(training, sources) if fabric.local_rank == 0 else {}
    record: dict[str, Any] = {}
    if fabric.is_global_zero:
        try:
            run.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{run} can't be made a folder: {error.strerror or error}.") from error
        record = open_record(run, described, session.command, extends=session.extends)
        for leftover in run.rglob(".drrn-????????????.*"):  # of a process that was killed while writing
            leftover.unlink(missing_ok=True)
        progress.report(
            Note(
                f"{len(sources.paths)} pictures to learn from, {len(sources.validation_paths)} to validate on, in {run}"
            )
        )
        if record.get("machine") != numeric_environment():
            progress.report(
                Note(
                    f"started with {record.get('machine')}, resuming with {numeric_environment()}: the last digits may "
                    "differ"
                )
            )
    record = fabric.broadcast(record)
    for name, digest in described.get("data", {}).items():
        if name.endswith("sha256") and digest != record["data"].get(name):
            raise TrainingError(f"The images or weights on this machine differ from those on the first one: {name}.")
    return record


def _read_inputs(
    training: Training,
    sources: Sources,
    run: Path,
    record: dict[str, Any],
    fabric: Fabric,
    session: Session,
    progress: TrainingProgress,
) -> Inputs | None:
    """Read the images; None if stopped."""
    validation_pairs = _read_pairs(sources.validation_paths, training, session)
    teach = _make_teach(training, sources, run, fabric, session, progress)
    pairs = _read_pairs(sources.paths, training, session, teach)
    if all_reduce_mean(fabric, [float(session.should_stop())]).item():
        return None
    config = training.config
    if training.source.lr_data:
        config = replace(config, scales=measured_scales(validation_pairs + pairs))
    if fabric.is_global_zero and (message := _list_too_small(validation_pairs + pairs, config.patch)):
        progress.report(Note(message))
    held_out = _make_sampler(validation_pairs, config, stride=config.patch)
    patches = _make_sampler(pairs, config, stride=config.stride)
    if config.degrade == "photo":
        held_out = replace(held_out, renew=_degradations(sources.validation_paths, training).ilr)
        patches = replace(patches, renew=_degradations(sources.paths, training).ilr)
        held_out = held_out.for_epoch(VALIDATION_EPOCH, config.patch, config.batch_size)
    return Inputs(
        model=training.model,
        config=config,
        patches=patches,
        held_out=held_out,
        examples=validation_pairs[:: max(len(validation_pairs) // 4, 1)][:4],
        start=sources.start,
        backbone=sources.backbone,
        card={key: record[key] for key in ("data", "command", "commit")}
        | {"recipe": asdict(config), "seed": config.seed}
        | {key: record[key] for key in ("extended",) if key in record}
        | ({"start": dict(sources.start.card)} if sources.start else {}),
    )


def _read_pairs(paths: Sequence[Path], training: Training, session: Session, teach: Teach | None = None) -> list[Pair]:
    config, source, channels = training.config, training.source, training.model.channels
    if source.lr_data:
        pairs = match_pairs(paths, source.lr_data, channels, teach)
    else:
        pairs = make_pairs(paths, config.scales, channels, teach)
    return list(takewhile(lambda _: not session.should_stop(), pairs))


def _make_teach(
    training: Training, sources: Sources, run: Path, fabric: Fabric, session: Session, progress: TrainingProgress
) -> Teach | None:
    """What makes targets in place of the originals, if anything."""
    config, source = training.config, training.source
    if sources.teacher:
        count = len(sources.paths) * (1 if source.lr_data else len(set(config.scales)))

        def report(number: int) -> None:
            if fabric.is_global_zero:
                progress.report(TargetMade(number, count))

        teach = sources.teacher.teach(str(fabric.device), session.threads)
        if fabric.node_rank == 0:  # the other machines have no run folder
            teach = cache_targets(teach, source.teacher_cache or run / "taught", sources.teacher.digest)
        return count_targets(teach, report)
    if not source.teacher_data:
        return None
    missing = [scale for scale in sorted(set(config.scales)) if not target_folder(source.teacher_data, scale).is_dir()]
    if 0 < len(missing) < len(set(config.scales)) and fabric.is_global_zero:
        names = ", ".join(f"x{scale:g}" for scale in missing)
        progress.report(Note(f"no targets for {names} in {source.teacher_data}: these learn from the originals"))
    return teach_by_files(source.teacher_data, config.scales, training.model.channels)


def _make_sampler(pairs: Sequence[Pair], config: TrainConfig, stride: int) -> Sampler:
    return Sampler(
        pool=Pool.from_pairs(pairs, config.align),
        size=config.patch,
        stride=stride,
        batch_size=config.batch_size,
        epoch_steps=config.epoch_steps,
        augment=config.augment,
        seed=config.seed,
    )


def _degradations(paths: Sequence[Path], training: Training) -> PhotoDegradations:
    config = training.config
    strength = Strength(
        blur=config.blur,
        noise=config.noise,
        quality=config.quality,
        other_kernels=config.other_kernels,
        odds=config.odds,
    )
    return PhotoDegradations(paths, config.scales, training.model.channels, strength, config.seed)


def _list_too_small(pairs: Sequence[Pair], patch: int) -> str:
    """A message naming the images that are smaller than a patch, or an empty string."""
    names = list(dict.fromkeys(pair.name for pair in pairs if min(pair.hr.shape[1:]) < patch))
    if not names:
        return ""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"left out, smaller than a {patch}x{patch} patch: {', '.join(names[:MAX_NAMES])}{more}"
