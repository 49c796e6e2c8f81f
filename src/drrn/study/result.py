"""The result of an experiment, stored as `result.json`, and all results of a study."""

import base64
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from drrn.core.color import levels
from drrn.core.config import DRRNConfig
from drrn.core.parsing import parse_record, parse_value
from drrn.errors import StudyError
from drrn.evaluation.benchmark import Row
from drrn.study.experiments import BASE, BUDGETS, BudgetName, Experiment
from drrn.training.logging import Epoch

NAME = "result.json"
Failure = Literal["diverged", "dead", "no better than bicubic"]
"""Dead: it learned nothing, and gives bicubic's pictures or, without the global residual, one color."""
DERIVED: dict[str, Callable[[DRRNConfig], int]] = {
    "parameters": lambda model: model.parameters,
    "macs_per_pixel": lambda model: model.macs(),
}
"""Fields of the JSON that are computed from the network config."""
REQUIRED: dict[str, dict[str, Any]] = {
    "data": {"folders": list[str], "pictures": int, "validation_pictures": int},
    "machine": {"cpu": str, "jobs": int, "threads": int, "engine": str, "torch": str},
}
"""Entries of `data` and `machine` that the report needs."""
HELD_OUT = "held out"
"""The name of the test set if held-out images serve as one."""


FAILURES: tuple[Failure, ...] = ("dead", "diverged", "no better than bicubic")


def count_failures(results: Iterable["Result"]) -> str:
    """`2 of 3 dead, 1 of 3 diverged`; empty if none failed."""
    found = [result.failure for result in results]
    counts = {failure: found.count(failure) for failure in FAILURES}
    return ", ".join(f"{count} of {len(found)} {failure}" for failure, count in counts.items() if count)


class StoredVersion(NamedTuple):
    """A part of an image as lr, bicubic, sr or original."""

    caption: str
    picture: str
    """A lossless WebP, in base64."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything known about a finished experiment."""

    experiment: Experiment
    """As trained: at the size of the budget."""
    budget: BudgetName
    outcome: Literal["trained", "diverged"]
    """A training that diverges is a result, too. Its scores are those of its best epoch, if any."""
    reason: str
    """Why it diverged."""
    history: tuple[Epoch, ...]
    seconds: tuple[float, ...]
    """Of each epoch, including validation."""
    cpu_seconds: tuple[float, ...]
    """The same, summed over the process's threads: less affected by a busy machine."""
    constant_loss: float
    """Mean squared error of one color for all held-out images: what a network that learned nothing would get."""
    gradients: Mapping[str, tuple[float, ...]]
    """`start` and `end`: the norm at each layer, see `drrn.training.gradients`."""
    scores: tuple[Row, ...]
    """Bicubic and the network on each test set; the first set decides claims."""
    seconds_per_megapixel: float | None
    """Of the enlarged image; None, like the next, if there is no network to run."""
    peak_mb: float | None
    examples: Mapping[str, tuple[StoredVersion, ...]]
    """By the name of the image; the same images in all experiments. Only the first seed has them."""
    data: Mapping[str, Any]
    """The training data, as in the run's `config.json`."""
    machine: Mapping[str, Any]
    commit: str

    @property
    def name(self) -> str:
        return self.experiment.name

    @property
    def macs(self) -> int:
        return self.experiment.model.macs()

    def row(self, data: str | None = None) -> Row | None:
        """The network's scores on a set, by default the first; None if it has none."""
        rows = [row for row in self.scores if row.model != "bicubic" and (data is None or row.data == data)]
        return rows[0] if rows else None

    def bicubic(self, data: str | None = None) -> Row:
        """Bicubic's scores on a set, by default the first."""
        return next(row for row in self.scores if row.model == "bicubic" and (data is None or row.data == data))

    @property
    def sets(self) -> list[str]:
        return list(dict.fromkeys(row.data for row in self.scores))

    @property
    def psnrs(self) -> list[float]:
        """In dB, for each image of the first set; empty if there are no scores."""
        row = self.row()
        return [image.psnr for image in row.images] if row else []

    @property
    def psnr(self) -> float | None:
        return fmean(self.psnrs) if self.psnrs else None

    @property
    def error_left(self) -> float | None:
        """The validation error of the best epoch, relative to that of one constant color."""
        if not self.history:
            return None
        return 10 ** (-max(row.val_psnr for row in self.history) / 10) / self.constant_loss

    @property
    def failure(self) -> Failure | None:
        """How the training failed; None if the network is better than bicubic."""
        if self.outcome == "diverged":
            return "diverged"
        if self.psnr is None or self.psnr >= (bicubic := self.bicubic().psnr) + 0.01:
            return None
        is_constant = (self.error_left or 0) >= 0.9
        is_bicubic = self.experiment.model.global_residual and self.psnr > bicubic - 0.01
        return "dead" if is_constant or is_bicubic else "no better than bicubic"

    @property
    def training_seconds(self) -> float:
        """CPU seconds of the whole training: the median epoch times the number of epochs."""
        return median(self.cpu_seconds) * len(self.history) if self.cpu_seconds else 0.0


def to_json(result: Result) -> str:
    """Numbers have six digits. Values derived from the config (parameters, multiply-adds) are added."""
    model = result.experiment.model
    values = asdict(result) | {
        "history": [row._asdict() for row in result.history],
        "examples": {name: [version._asdict() for version in shown] for name, shown in result.examples.items()},
        **{name: derive(model) for name, derive in DERIVED.items()},
    }
    return json.dumps(_round_numbers(values), indent=1) + "\n"


def from_json(text: str) -> Result:
    """
    Raises:
        ValueError: it is not a result, or one of another version.
    """
    values = json.loads(text)
    if isinstance(values, dict):
        values = {key: value for key, value in values.items() if key not in DERIVED}
    result: Result = parse_record(Result, values)
    for name, kinds in REQUIRED.items():
        for key, kind in kinds.items():
            parse_value(kind, getattr(result, name).get(key), f"{name}.{key}")
    return result


@dataclass(frozen=True)
class Results:
    """The results of a study: all of one budget."""

    by_name: Mapping[str, Mapping[int, Result]]
    """By experiment, then by seed, in order."""

    @property
    def all(self) -> list[Result]:
        return [result for seeds in self.by_name.values() for result in seeds.values()]

    @property
    def budget(self) -> BudgetName:
        return self.all[0].budget

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for seeds in self.by_name.values() for seed in seeds})

    @property
    def seed_counts(self) -> str:
        """How many seeds there are: 3 seeds, or 1 to 3 seeds if experiments differ."""
        counts = sorted({len(seeds) for seeds in self.by_name.values()} - {0})
        return f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seed{'s' * (counts[-1] > 1)}"

    def living(self, name: str) -> list[Result]:
        """Those results of an experiment whose network is not dead."""
        return [result for result in self.of(name) if result.failure != "dead"]

    @property
    def typical(self) -> Result:
        """A result to take shared settings from: of the base experiment if possible, and of a completed training."""
        candidates = [*self.of(BASE.name), *self.all]
        return next((result for result in candidates if result.outcome == "trained"), candidates[0])

    @property
    def same_images(self) -> bool:
        """Whether all were tested on the same images: without a test folder, each seed holds out others."""
        rows = [row for result in self.all if (row := result.row())]
        return len({tuple(image.name for image in row.images) for row in rows}) == 1

    def of(self, name: str) -> list[Result]:
        """The results of an experiment, one per seed; empty if it was not run."""
        return list(self.by_name.get(name, {}).values())


def load_results(folder: Path) -> Results:
    """Every `result.json` under `folder`.

    Raises:
        StudyError: there are none, one is damaged, or they belong to several studies.
    """
    return group_results(((path, read_result(path)) for path in sorted(folder.rglob(NAME))), str(folder))


def read_result(path: Path) -> Result:
    """Raises StudyError: it is damaged."""
    try:
        return from_json(path.read_text())
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} is no result of a study ({error}). Delete it and run the study again.") from error


def group_results(files: Iterable[tuple[Path, Result]], folder: str) -> Results:
    """The results of a study.

    Args:
        files: where each result was read.
        folder: where all were, for messages.

    Raises:
        StudyError: there are none, one is there twice, or they belong to several studies.
    """
    found: dict[str, dict[int, Result]] = {}
    for path, result in files:
        if found.setdefault(result.name, {}).setdefault(result.experiment.seed, result) is not result:
            raise StudyError(
                f"{folder} has {result.name} with seed {result.experiment.seed} twice, also as {path}. Give the "
                "folder of one study."
            )
    if not found:
        raise StudyError(f"No results in {folder}. Run `drrn study run` first, or give its folder.")
    results = Results({name: dict(sorted(found[name].items())) for name in sorted(found)})
    budgets = {result.budget for result in results.all}
    if len(budgets) > 1 or not budgets <= BUDGETS.keys():
        raise StudyError(
            f"The results in {folder} have several budgets: {', '.join(sorted(budgets))}. Give a folder with one."
        )
    if len(sets := {(*result.data["folders"], "tested on", *result.sets) for result in results.all}) > 1:
        several = "; ".join(sorted(map(", ".join, sets)))
        raise StudyError(f"The results in {folder} have several sets of pictures: {several}. Give a folder with one.")
    return results


def to_text(planes: NDArray[np.float32]) -> str:
    """Planes (channels, h, w) in [0, 1], rounded to 8 bits, as a lossless WebP in base64."""
    pixels = levels(planes.transpose(1, 2, 0)).astype(np.uint8)
    content = io.BytesIO()
    Pillow.fromarray(pixels.squeeze()).save(content, "WebP", lossless=True, method=6, exact=True)
    return base64.b64encode(content.getvalue()).decode()


def from_text(text: str) -> NDArray[np.uint8]:
    """The pixels that `to_text` encoded: (h, w, 3)."""
    return np.asarray(Pillow.open(io.BytesIO(base64.b64decode(text))))


def _round_numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _round_numbers(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_round_numbers(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
