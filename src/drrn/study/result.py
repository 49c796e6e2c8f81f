"""What an experiment left: `result.json`, and a folder of them."""

import base64
import io
import json
from collections.abc import Callable, Mapping
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
DERIVED: dict[str, Callable[[DRRNConfig], int]] = {
    "parameters": lambda model: model.parameters,
    "macs_per_pixel": lambda model: model.macs(),
}
"""Fields of the JSON that are computed from the network."""
REQUIRED: dict[str, dict[str, Any]] = {
    "data": {"folders": list[str], "pictures": int, "validation_pictures": int},
    "machine": {"cpu": str, "jobs": int, "threads": int, "engine": str, "torch": str},
}
"""Entries of `data` and `machine` that the report needs."""
HELD_OUT = "held out"
"""What the set is called whose pictures were held out from learning, where no other was named."""


class Version(NamedTuple):
    """A part of a picture as lr, bicubic, sr or original."""

    caption: str
    picture: str
    """A WebP without loss, in base64."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """All that is known of an experiment when it is over."""

    experiment: Experiment
    """As it was trained: at the size of the budget."""
    budget: BudgetName
    outcome: Literal["trained", "diverged"]
    """A training that diverges is a result. Its scores are those of its best epoch, if there was one."""
    reason: str
    """Why it diverged."""
    history: tuple[Epoch, ...]
    seconds: tuple[float, ...]
    """Of each epoch, its validation included."""
    cpu_seconds: tuple[float, ...]
    """The same, of all the process's cores together: what a busy machine changes less."""
    constant_loss: float
    """Mean squared error of one colour for all pictures held out: what a network that learnt nothing gets."""
    gradients: Mapping[str, tuple[float, ...]]
    """`start` and `end`: the norm at each layer, see `drrn.training.gradients`."""
    scores: tuple[Row, ...]
    """Bicubic and the network, for each set of pictures; the first set is what claims are decided on."""
    seconds_per_megapixel: float | None
    """Of the enlarged picture; None where there is no network to run, as the next."""
    peak_mb: float | None
    examples: Mapping[str, tuple[Version, ...]]
    """By the name of the picture; the same pictures in all experiments. Only the first seed has them."""
    data: Mapping[str, Any]
    """What was learnt from, as in the run's `config.json`."""
    machine: Mapping[str, Any]
    commit: str

    @property
    def name(self) -> str:
        return self.experiment.name

    @property
    def macs(self) -> int:
        return self.experiment.model.macs()

    def row(self, data: str | None = None) -> Row | None:
        """The network's scores on a set, by default the first; None where it has none."""
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
        """dB, picture by picture of the first set; empty where there are no scores."""
        row = self.row()
        return [image.psnr for image in row.images] if row else []

    @property
    def psnr(self) -> float | None:
        return fmean(self.psnrs) if self.psnrs else None

    @property
    def training_seconds(self) -> float:
        """CPU seconds of the whole training: the median of an epoch, as often as there were epochs."""
        return median(self.cpu_seconds) * len(self.history) if self.cpu_seconds else 0.0


def to_json(result: Result) -> str:
    """Numbers have six digits; what follows from the config (parameters, multiply-adds) stands beside it."""
    model = result.experiment.model
    values = asdict(result) | {
        "history": [row._asdict() for row in result.history],
        "examples": {name: [version._asdict() for version in shown] for name, shown in result.examples.items()},
        **{name: follow(model) for name, follow in DERIVED.items()},
    }
    return json.dumps(_short(values), indent=1) + "\n"


def from_json(text: str) -> Result:
    """
    Raises:
        ValueError: it is no result, or one of another version.
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
    def counted(self) -> str:
        """How many seeds: 3 seeds, or 1 to 3 where not all experiments have as many."""
        counts = sorted({len(seeds) for seeds in self.by_name.values()} - {0})
        return f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seed{'s' * (counts[-1] > 1)}"

    @property
    def usual(self) -> Result:
        """One that shows what all have in common: of the base where it was run, trained if any was."""
        candidates = [*self.of(BASE.name), *self.all]
        return next((result for result in candidates if result.outcome == "trained"), candidates[0])

    @property
    def same_pictures(self) -> bool:
        """Whether all were judged by the same pictures: each seed holds out others, where no set was named."""
        rows = [row for result in self.all if (row := result.row())]
        return len({tuple(image.name for image in row.images) for row in rows}) == 1

    def of(self, name: str) -> list[Result]:
        """The results of an experiment, a seed each; none where it was not run."""
        return list(self.by_name.get(name, {}).values())


def load(folder: Path) -> Results:
    """Every `result.json` under `folder`.

    Raises:
        StudyError: there are none, one is damaged, or they are of several studies.
    """
    found: dict[str, dict[int, Result]] = {}
    for path in sorted(folder.rglob(NAME)):
        try:
            result = from_json(path.read_text())
        except (OSError, ValueError) as error:
            raise StudyError(f"{path} is no result of a study ({error}). Delete it and run the study again.") from error
        if found.setdefault(result.name, {}).setdefault(result.experiment.seed, result) is not result:
            raise StudyError(
                f"{folder} holds {result.name} of seed {result.experiment.seed} twice, also as {path}. Name the folder "
                "of one study."
            )
    if not found:
        raise StudyError(f"No results in {folder}. Run `drrn study run` first, or name its folder.")
    results = Results({name: dict(sorted(found[name].items())) for name in sorted(found)})
    budgets = {result.budget for result in results.all}
    if len(budgets) > 1 or not budgets <= BUDGETS.keys():
        raise StudyError(
            f"The results in {folder} are of several budgets: {', '.join(sorted(budgets))}. Name one's folder."
        )
    if len(pictures := {(*result.data["folders"], "judged by", *result.sets) for result in results.all}) > 1:
        several = "; ".join(sorted(map(", ".join, pictures)))
        raise StudyError(f"The results in {folder} are of several sets of pictures: {several}. Name one's folder.")
    return results


def to_text(planes: NDArray[np.float32]) -> str:
    """Planes (channels, h, w) in [0, 1] as a WebP without loss in base64, rounded to 8 bits."""
    pixels = levels(planes.transpose(1, 2, 0)).astype(np.uint8)
    content = io.BytesIO()
    Pillow.fromarray(pixels.squeeze()).save(content, "WebP", lossless=True, method=6, exact=True)
    return base64.b64encode(content.getvalue()).decode()


def from_text(text: str) -> NDArray[np.uint8]:
    """The pixels of `to_text`: (h, w, 3)."""
    return np.asarray(Pillow.open(io.BytesIO(base64.b64decode(text))))


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _short(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_short(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
