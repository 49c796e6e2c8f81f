"""A run is a folder: from folders of pictures to a trained network, begun or gone on with."""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from drrn.atomic import write_text
from drrn.core.config import DRRNConfig
from drrn.data.pairs import Pair, make_pairs, match_pairs, pictures_in, split
from drrn.data.patches import Pool, Sampler
from drrn.errors import TrainingError
from drrn.training.config import Source, TrainConfig
from drrn.training.fit import Watch, fit
from drrn.training.journal import Epoch


def train(
    model: DRRNConfig,
    how: TrainConfig,
    source: Source,
    run: Path,
    *,
    watch: Watch,
    command: str,
    device: str = "auto",
    devices: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Epoch]:
    """Train `model` on the pictures of `source`, in the folder `run`; see `fit` for what it leaves there.

    Where `run` holds this very training already, it goes on; what it left is what it would have left uninterrupted.

    Raises:
        DataError, PictureError: the pictures are missing, too few, too small or damaged.
        TrainingError: `run` holds another training, or the loss is not finite.
    """
    if how.fewest_units > model.units or (how.fewest_units and (not model.share or model.batch_norm)):
        raise TrainingError(
            f"Between {how.fewest_units} and {model.units} units can't be drawn. Give --fewest-units at most the "
            "model's units, and a model that shares its convolutions and has no batch norm."
        )
    fabric = Fabric(
        accelerator=device, devices=int(os.environ.get("LOCAL_WORLD_SIZE", devices)), precision=how.precision
    )
    fabric.launch()
    if how.batch_size % fabric.world_size:
        raise TrainingError(f"A batch of {how.batch_size} can't be shared by {fabric.world_size} processes.")
    torch.use_deterministic_algorithms(True)

    paths = pictures_in(source.data)
    validating = pictures_in(source.validation_data) if source.validation_data else []
    if not validating:
        paths, validating = split(paths, how.validation, how.seed)
    if len(paths) + len(validating) < 2:
        raise TrainingError("One picture is too few: give at least one to learn from and one to validate on.")
    if fabric.is_global_zero:
        run.mkdir(parents=True, exist_ok=True)
        about = open_run(run, describe(model, how, source, paths, validating), command)
        watch.note(f"{len(paths)} pictures to learn from, {len(validating)} to validate on, in {run}")
    fabric.barrier()
    about = json.loads((run / "config.json").read_text())

    def pairs(of: Sequence[Path]) -> list[Pair]:
        if source.lr_data:
            return list(match_pairs(of, source.lr_data, model.channels))
        return list(make_pairs(of, how.scales, model.channels))

    shown = pairs(validating)
    held_out = sampler(Pool.of(shown), how, stride=how.patch)
    examples = shown[:: max(len(shown) // 4, 1)][:4]
    return fit(
        model,
        how,
        sampler(Pool.of(pairs(paths)), how, stride=how.stride),
        held_out,
        examples,
        run,
        fabric=fabric,
        watch=watch,
        card={key: about[key] for key in ("data", "command", "commit")} | {"recipe": asdict(how), "seed": how.seed},
        stopped=stopped,
    )


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


def describe(
    model: DRRNConfig, how: TrainConfig, source: Source, paths: Sequence[Path], validating: Sequence[Path]
) -> dict[str, Any]:
    """All that the result depends on, the machine and the versions left out."""
    return {
        "model": model.to_dict(),
        "train": asdict(how),
        "data": {
            "folders": [_short(folder) for folder in source.data],
            "pictures": len(paths),
            "sha256": _digest(paths),
            "validation_pictures": len(validating),
            "validation_sha256": _digest(validating),
            "lr": _short(source.lr_data) if source.lr_data else "MATLAB's bicubic (drrn.core.resize)",
        },
    }


def open_run(run: Path, wanted: dict[str, Any], command: str) -> dict[str, Any]:
    """Make the run's `config.json`, or see that it is of the same training.

    Raises:
        TrainingError: it is of another one, or no config of ours.
    """
    path = run / "config.json"
    here = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    if not path.exists():
        if any(run.glob("*.ckpt")):
            raise TrainingError(f"{run} holds a checkpoint but no config.json. Give another --run.")
        about = json.loads(json.dumps({**wanted, "command": command, "commit": commit(), "machine": here}))
        write_text(path, json.dumps(about, indent=2) + "\n")
        return dict(about)
    try:
        about = json.loads(path.read_text())
        was = {key: about[key] for key in wanted}
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is no config of a run. Give another --run.") from error
    for part, values in json.loads(json.dumps(wanted)).items():
        for key, value in values.items():
            if was[part].get(key) != value:
                raise TrainingError(
                    f"{run} holds a training with {part}.{key} = {was[part].get(key)}, now it is {value}. "
                    "Give another --run, or the same options to go on."
                )
    return dict(about)


def commit() -> str:
    """The commit that runs, marked where files were changed since; empty outside a checkout."""
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        told = subprocess.run(asked, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip()


def _digest(paths: Sequence[Path]) -> str:
    """SHA-256 over the names and contents of the pictures, in their order."""
    digest = sha256()
    for path in paths:
        digest.update(path.name.encode() + sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _short(folder: Path) -> str:
    """A folder by its last two names: enough to know the set, and nothing of the machine."""
    return "/".join(folder.parts[-2:]) if folder.parts[-1:] != ("..",) else folder.name
