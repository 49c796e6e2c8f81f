"""A run is a folder: from folders of pictures to a trained network, begun or gone on with."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric

from drrn import provenance
from drrn.atomic import write_text
from drrn.core.config import DRRNConfig
from drrn.data.degradations import Spoiler, Strength
from drrn.data.pairs import Pair, Teach, label, make_pairs, match_pairs, pictures_in
from drrn.data.patches import Pool, Sampler
from drrn.engines.pytorch import is_out_of_memory
from drrn.errors import TooLittleMemoryError, TrainingError
from drrn.training.config import SAVE_SECONDS, Source, TrainConfig
from drrn.training.fit import Watch, fit, together
from drrn.training.inputs import Given, backbone_of, pictures_of, scales_of, start_of
from drrn.training.logging import Epoch
from drrn.training.machine import faster_precision, keep_memory, known_precision, remember_precision
from drrn.training.teachers import count_targets, keep_targets, target_of, targets, teacher_of

EXTENDABLE = ("epochs", "patience")
"""Options that may grow when a run is resumed: they change no step already taken."""
MAX_NAMES = 10
"""Images named in one message."""
VALIDATION = 1 << 31
"""The epoch whose spoilt lr judge all others."""


@contextmanager
def memory_watched() -> Iterator[None]:
    """Make one sentence of every way in which memory ends.

    Raises:
        TooLittleMemoryError: it did.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TooLittleMemoryError(
            "Not enough memory. Start in another --run with a smaller --batch-size or --patch, or fewer --pictures or "
            "--scales."
        ) from error


@contextmanager
def peer_errors() -> Iterator[None]:
    """Turn torch's errors about a lost peer process into one sentence.

    Raises:
        TrainingError: another process of this training is gone.
    """
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
            raise
        raise TrainingError(
            "Another process of this training ended or can't be reached. Start all of them again to resume."
        ) from error


@peer_errors()
@memory_watched()
def train(
    model: DRRNConfig,
    how: TrainConfig,
    source: Source,
    run: Path,
    *,
    watch: Watch,
    command: str,
    device: str = "auto",
    threads: int = 0,
    extends: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    save_seconds: float = SAVE_SECONDS,
) -> list[Epoch]:
    """Train `model` on the pictures of `source`, in the folder `run`; see `fit` for what it leaves there.

    Where `run` holds this very training already, it goes on; weights, checkpoint and history are in the end what they
    would be uninterrupted. Under torchrun each process uses one device. Several machines need the same number
    of processes each; only the first machine's `run` is read and written.

    Args:
        extends: allow more epochs or patience than the run in `run` was started with.

    Returns:
        The history; nothing where it is stopped while the pictures are read.

    Raises:
        DataError, ImageError: the pictures are missing, too few, too small or damaged.
        WeightsError: there are no weights to start or to learn from, or no backbone in its files.
        TrainingError: `run` holds another training, the weights to start from are of another model, those to learn from
            can't teach this one, the backbone is none that the loss needs, or another process of it has ended.
        TooLittleMemoryError: there is not enough for the pictures, or for a step.
        EngineError: the network to learn from fails.
        DivergedError: what is computed is not finite any more.
    """
    if threads:
        torch.set_num_threads(threads)
    model, start = start_of(model, source)
    backbone = backbone_of(how, source)
    teacher = teacher_of(model, how, source)
    if how.fewest_units > model.units or (how.fewest_units and (not model.share or model.batch_norm)):
        raise TrainingError(
            f"Between {how.fewest_units} and {model.units} units can't be drawn. Give --fewest-units at most the "
            "model's units, and a model that shares its convolutions and has no batch norm."
        )
    if how.degrade == "photo" and source.lr_data:
        raise TrainingError("--degrade photo makes the lr itself. Leave out --lr-data.")
    launched = "TORCHELASTIC_RUN_ID" in os.environ  # by torchrun; schedulers set WORLD_SIZE for other purposes
    on_each, on_all = (int(os.environ[name]) if launched else 1 for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    if on_all % on_each:
        raise TrainingError(
            f"{on_all} processes can't be split evenly over machines. Use the same --nproc-per-node on each."
        )
    if on_all > 1 and how.precision == "auto":  # each would measure, and might choose another
        raise TrainingError("--precision auto is for one process. For several, give 32-true or bf16-mixed.")
    keep_memory()
    measured = ""
    if how.precision != "auto":
        precision = how.precision
    elif known := known_precision(run):
        precision = known
    else:
        precision, measured = faster_precision(model, device)
    fabric = Fabric(accelerator=device, devices=on_each, num_nodes=on_all // on_each, precision=precision)
    # as they are: of a picture in bfloat16 the network would learn no more than eight binary digits
    fabric.strategy.precision.convert_input = lambda data: data  # type: ignore[method-assign]
    fabric.launch()
    if how.batch_size % fabric.world_size:
        raise TrainingError(f"A batch of {how.batch_size} can't be shared by {fabric.world_size} processes.")
    torch.use_deterministic_algorithms(True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, matrix products on CUDA are refused

    given = Given(start, teacher, backbone, *pictures_of(how, source))
    described = describe(model, how, source, given) if fabric.local_rank == 0 else {}
    about: dict[str, Any] = {}
    if fabric.is_global_zero:
        try:
            run.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{run} can't be made a folder: {error.strerror or error}.") from error
        about = open_run(run, described, command, extends=extends)
        for left in run.rglob(".drrn-????????????.*"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)
        watch.note(f"{len(given.paths)} pictures to learn from, {len(given.validating)} to validate on, in {run}")
        if measured:
            watch.note(f"{measured}: {precision} is taken")
            remember_precision(run, precision)
        if about.get("machine") != numerics():
            watch.note(f"begun with {about.get('machine')}, goes on with {numerics()}: the last digits may differ")
    about = fabric.broadcast(about)
    for name, digest in described.get("data", {}).items():
        if name.endswith("sha256") and digest != about["data"].get(name):
            raise TrainingError(f"The images or weights on this machine differ from those on the first one: {name}.")

    def pairs(of: Sequence[Path], teach: Teach | None = None) -> list[Pair]:
        if source.lr_data:
            made = match_pairs(of, source.lr_data, model.channels, teach)
        else:
            made = make_pairs(of, how.scales, model.channels, teach)
        return list(takewhile(lambda _: not stopped(), made))

    shown = pairs(given.validating)
    count = len(given.paths) * (1 if source.lr_data else len(set(how.scales)))

    def taught(number: int) -> None:
        if fabric.is_global_zero:
            watch.taught(number, count)

    teach: Teach | None = None
    if teacher:
        teach = teacher.teach(str(fabric.device), threads)
        if fabric.node_rank == 0:  # the other machines have no run folder
            teach = keep_targets(teach, source.teacher_cache or run / "taught", teacher.digest)
        teach = count_targets(teach, taught)
    elif source.teacher_data:
        teach = targets(source.teacher_data, how.scales, model.channels)
        untaught = [
            f"x{scale:g}" for scale in sorted(set(how.scales)) if not (source.teacher_data / f"x{scale:g}").is_dir()
        ]
        if untaught and fabric.is_global_zero:
            watch.note(f"no targets for {', '.join(untaught)} in {source.teacher_data}: these learn from the originals")
    learnt = pairs(given.paths, teach)
    if together(fabric, [float(stopped())]).item():
        part(fabric)
        return []
    if source.lr_data:
        how = replace(how, scales=scales_of(shown + learnt))
    if fabric.is_global_zero and (small := too_small(shown + learnt, how.patch)):
        watch.note(small)
    examples = shown[:: max(len(shown) // 4, 1)][:4]
    held_out = sampler(Pool.of(shown, how.align), how, stride=how.patch)
    patches = sampler(Pool.of(learnt, how.align), how, stride=how.stride)
    if how.degrade == "photo":
        held_out, patches = (
            replace(each, renew=spoiler(paths, how, model.channels).ilr)
            for each, paths in ((held_out, given.validating), (patches, given.paths))
        )
        held_out = held_out.in_epoch(VALIDATION, how.patch, how.batch_size)
    del shown, learnt  # which the pools hold
    history = fit(
        model,
        how,
        patches,
        held_out,
        examples,
        run,
        fabric=fabric,
        watch=watch,
        card={key: about[key] for key in ("data", "command", "commit")}
        | {"recipe": asdict(how), "seed": how.seed}
        | {key: about[key] for key in ("extended",) if key in about}
        | ({"start": dict(start.card)} if start else {}),
        start=start,
        backbone=backbone,
        stopped=stopped,
        save_seconds=save_seconds,
    )
    part(fabric)
    return history


def part(fabric: Fabric) -> None:
    """End as many processes together: the first is the last to write, and who leaves it early may crash and end it."""
    if fabric.world_size > 1:
        fabric.barrier()
        torch.distributed.destroy_process_group()


def sampler(pool: Pool, how: TrainConfig, stride: int) -> Sampler:
    return Sampler(
        pool=pool,
        size=how.patch,
        stride=stride,
        batch_size=how.batch_size,
        epoch_steps=how.epoch_steps,
        augment=how.augment,
        seed=how.seed,
    )


def describe(model: DRRNConfig, how: TrainConfig, source: Source, given: Given) -> dict[str, Any]:
    """All that the result depends on, the machine and the versions left out."""
    start, teacher, backbone, paths, validating = given
    # by the config's names: a file gives its tensors in any order
    tensors = b"".join(start.tensors[name].tobytes() for name in start.config.tensors()) if start else b""
    return {
        "model": model.to_dict(),
        "train": asdict(how),
        "data": {
            "folders": [label(folder) for folder in source.data],
            "pictures": len(paths),
            "sha256": _digest(paths),
            "validation_pictures": len(validating),
            "validation_sha256": _digest(validating),
            "lr": label(source.lr_data) if source.lr_data else "MATLAB's bicubic (drrn.core.resize)",
            "start_sha256": sha256(tensors).hexdigest() if start else None,
            "teacher_sha256": teacher.digest if teacher else None,
            "teacher_data_sha256": digest_of_targets(source.teacher_data, how.scales, paths),
            "backbone_sha256": backbone.digest if backbone else None,
            "lr_sha256": _digest(pictures_in([source.lr_data])) if source.lr_data else None,
        },
    }


def digest_of_targets(folder: Path | None, scales: Sequence[float], paths: Sequence[Path]) -> str | None:
    """`_digest` of the targets in a folder of `Source.teacher_data`."""
    if folder is None:
        return None
    folders = [folder / f"x{scale:g}" for scale in sorted(set(scales))]
    return _digest([target_of(path, taught) for taught in folders if taught.is_dir() for path in paths])


def spoiler(paths: Sequence[Path], how: TrainConfig, channels: Literal[1, 3]) -> Spoiler:
    strength = Strength(blur=how.blur, noise=how.noise, quality=how.quality)
    return Spoiler(paths, how.scales, channels, strength, how.seed)


def too_small(pairs: Sequence[Pair], patch: int) -> str:
    """A message naming the images that are smaller than a patch, or an empty string."""
    names = list(dict.fromkeys(pair.name for pair in pairs if min(pair.hr.shape[1:]) < patch))
    if not names:
        return ""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"left out, smaller than a {patch}x{patch} patch: {', '.join(names[:MAX_NAMES])}{more}"


def open_run(run: Path, wanted: dict[str, Any], command: str, *, extends: bool = False) -> dict[str, Any]:
    """Make the run's `config.json`, or see that it is of the same training.

    Args:
        extends: accept a run with fewer epochs or less patience. Its config is updated; `extended` lists the values
            it had before.

    Raises:
        TrainingError: it is of another one, or no config of ours.
    """
    path = run / "config.json"
    if not path.exists():
        if any(run.glob("*.ckpt")):
            raise TrainingError(f"{run} holds a checkpoint but no config.json. Give another --run.")
        about = json.loads(
            json.dumps({**wanted, "command": command, "commit": provenance.commit(), "machine": numerics()})
        )
        write_text(path, json.dumps(about, indent=2) + "\n")
        return dict(about)
    about = about_run(run)
    try:
        was = {key: dict(about[key]) for key in wanted}
        # the only ones, in runs from before there was a choice
        was["train"] = {
            **json.loads(json.dumps(asdict(TrainConfig()))),
            "initial": "he",
            "centred": False,
            **was["train"],
        }
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is no config of a run. Give another --run.") from error
    before: dict[str, int] = {}
    for part, values in json.loads(json.dumps(wanted)).items():
        for key, value in values.items():
            if extends and key in EXTENDABLE and is_extension(was[part].get(key), value):
                before[key] = was[part][key]
            elif was[part].get(key) != value:
                or_more = f", or a larger --{key}" if extends and key in EXTENDABLE else ""
                raise TrainingError(
                    f"{run} holds a training with {part}.{key} = {was[part].get(key)}, now it is {value}. "
                    f"Give another --run, or the same options to go on{or_more}."
                )
    if before:
        about |= {"train": {**about["train"], **{key: wanted["train"][key] for key in before}}}
        about["extended"] = [*about.get("extended", []), before]
        write_text(path, json.dumps(about, indent=2) + "\n")
    return about


def is_extension(before: Any, now: int) -> bool:
    """Whether `now` epochs, or patience (0 is unlimited), let a training run longer than `before`."""
    return type(before) is int and before > 0 and (now > before or now == 0)


def about_run(run: Path) -> dict[str, Any]:
    """The run's `config.json`: what is trained, on what, by which command, commit and machine.

    Raises:
        TrainingError: there is none, or it is damaged.
    """
    path = run / "config.json"
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"{path} is no config of a run. Give another --run.") from error


def numerics() -> dict[str, Any]:
    """What the last digits of a training depend on, besides its config."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads()}


def _digest(paths: Sequence[Path]) -> str:
    """SHA-256 over the names and contents of the pictures, in their order."""
    digest = sha256()
    for path in paths:
        digest.update(path.name.encode() + sha256(path.read_bytes()).digest())
    return digest.hexdigest()
