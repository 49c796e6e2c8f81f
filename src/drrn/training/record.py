"""The `config.json` of a run: what is trained, on what. A run resumes only with the options it was started with."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from drrn import provenance
from drrn.atomic import write_text
from drrn.data.pairs import label, pictures_in
from drrn.errors import TrainingError
from drrn.training.config import Source, TrainConfig
from drrn.training.session import Training
from drrn.training.sources import Sources
from drrn.training.teachers import find_target, target_folder

EXTENDABLE = ("epochs", "patience")
"""Options that may grow when a run is resumed: they change no step already taken."""


def describe(training: Training, sources: Sources) -> dict[str, Any]:
    """Everything the trained weights depend on, except machine and versions."""
    config, source, start = training.config, training.source, sources.start
    # in the config's order: a file may list its tensors in any order
    tensors = b"".join(start.tensors[name].tobytes() for name in start.config.tensors()) if start else b""
    return {
        "model": sources.model.to_dict(),
        "train": asdict(config),
        "data": {
            "folders": [label(folder) for folder in source.data],
            "pictures": len(sources.paths),
            "sha256": digest_files(sources.paths),
            "validation_pictures": len(sources.validation_paths),
            "validation_sha256": digest_files(sources.validation_paths),
            "lr": label(source.lr_data) if source.lr_data else "MATLAB's bicubic (drrn.core.resize)",
            "start_sha256": sha256(tensors).hexdigest() if start else None,
            "teacher_sha256": sources.teacher.digest if sources.teacher else None,
            "teacher_data_sha256": _digest_targets(source, config, sources.paths),
            "backbone_sha256": sources.backbone.digest if sources.backbone else None,
            "lr_sha256": digest_files(pictures_in([source.lr_data])) if source.lr_data else None,
        },
    }


def open_record(run: Path, wanted: dict[str, Any], command: str, *, extends: bool = False) -> dict[str, Any]:
    """Write the run's `config.json`, or check that it describes the same training.

    Args:
        wanted: as `describe` returns it.
        extends: accept a run with fewer epochs or less patience. Its config is updated; `extended` lists the values
            it had before.

    Raises:
        TrainingError: the run holds another training, or its config is damaged.
    """
    path = run / "config.json"
    if not path.exists():
        if any(run.glob("*.ckpt")):
            raise TrainingError(f"{run} holds a checkpoint but no config.json. Give another --run.")
        created = {**wanted, "command": command, "commit": provenance.commit(), "machine": numeric_environment()}
        record: dict[str, Any] = json.loads(json.dumps(created))
        write_text(path, json.dumps(record, indent=2) + "\n")
        return record
    record = read_record(run)
    before = _compare(run, record, wanted, extends=extends)
    if before:
        record |= {"train": {**record["train"], **{key: wanted["train"][key] for key in before}}}
        record["extended"] = [*record.get("extended", []), before]
        write_text(path, json.dumps(record, indent=2) + "\n")
    return record


def read_record(run: Path) -> dict[str, Any]:
    """The run's `config.json`: what is trained, on what, by which command, commit and machine.

    Raises:
        TrainingError: it is missing or damaged.
    """
    path = run / "config.json"
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise _not_a_record(path) from error


def numeric_environment() -> dict[str, Any]:
    """What the last digits of a training depend on, apart from its config."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads()}


def digest_files(paths: Sequence[Path]) -> str:
    """SHA-256 over the names and contents of files, in their order."""
    digest = sha256()
    for path in paths:
        digest.update(path.name.encode() + sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _compare(run: Path, record: dict[str, Any], wanted: dict[str, Any], *, extends: bool) -> dict[str, int]:
    """The values that `wanted` extends.

    Raises:
        TrainingError: another value differs.
    """
    try:
        was = {key: dict(record[key]) for key in wanted}
        defaults = json.loads(json.dumps(asdict(TrainConfig())))
        # the only initialization there was before runs recorded it
        was["train"] = {**defaults, "initial": "he", "centred": False, **was["train"]}
    except (ValueError, KeyError, TypeError) as error:
        raise _not_a_record(run / "config.json") from error
    before: dict[str, int] = {}
    for part, values in json.loads(json.dumps(wanted)).items():
        for key, value in values.items():
            known: Any = was[part].get(key)
            if extends and key in EXTENDABLE and _is_extension(known, value):
                before[key] = known
            elif known != value:
                or_more = f", or a larger --{key}" if extends and key in EXTENDABLE else ""
                raise TrainingError(
                    f"{run} holds a training with {part}.{key} = {known}, now it is {value}. "
                    f"Give another --run, or the same options to resume{or_more}."
                )
    return before


def _is_extension(before: Any, now: int) -> bool:
    """Whether `now` epochs, or patience (0 is unlimited), let a training run longer than `before`."""
    return type(before) is int and before > 0 and (now > before or now == 0)


def _digest_targets(source: Source, config: TrainConfig, paths: Sequence[Path]) -> str | None:
    """The digest of the targets in `Source.teacher_data`, if any."""
    if source.teacher_data is None:
        return None
    folders = [target_folder(source.teacher_data, scale) for scale in sorted(set(config.scales))]
    return digest_files([find_target(path, folder) for folder in folders if folder.is_dir() for path in paths])


def _not_a_record(path: Path) -> TrainingError:
    return TrainingError(f"{path} is not the config of a run. Give another --run.")
