"""Experiments as values: the report's, the paper's, and those that a user's file adds.

An experiment states the network and the recipe at the report's full size. A `Budget` makes it smaller; every figure
states the budget it was made with.
"""

import os
import runpy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from drrn.core.config import DRRNConfig
from drrn.errors import StudyError
from drrn.training.config import REPORT, TrainConfig


@dataclass(frozen=True)
class Experiment:
    """A network, how it is trained, and from which seed."""

    name: str
    """Also the name of its folder. Equal experiments of several lists share a name and are trained once."""
    model: DRRNConfig
    train: TrainConfig = REPORT
    seed: int = 0
    """For the weights, the split into training and held-out images, and the order of the patches."""

    def __post_init__(self) -> None:
        if (
            not self.name
            or self.name != self.name.strip()
            or set(self.name) & set('/\\:*?"<>|\0\n')
            or "." in self.name
        ):
            raise ValueError(f"`name` must be a valid folder name without dots, got {self.name!r}.")
        if self.seed < 0:
            raise ValueError(f"`seed` must be at least 0, got {self.seed}.")


BASE = Experiment("B2U4", DRRNConfig(blocks=2, units=4, channels=3), replace(REPORT, scales=(3,), sheet_every=0))
"""The experiment that others vary: the sizes of the report's conclusion (section 5), RGB as in its runs, and x3, where
the paper compares structures."""


def vary(name: str, experiment: Experiment = BASE, **changes: Any) -> Experiment:
    """`experiment` with other values for fields of its model or its recipe, or another `seed`.

    Raises:
        ValueError: neither has such a field, or a value is out of range.
    """
    seed = changes.pop("seed", experiment.seed)  # `shrink` copies it to the recipe
    of_model = {key: changes.pop(key) for key in [*changes] if key in {each.name for each in fields(DRRNConfig)}}
    unknown = changes.keys() - {each.name for each in fields(TrainConfig)}
    if unknown:
        raise ValueError(f"no field of a model or a recipe is named {', '.join(sorted(unknown))}.")
    return replace(
        experiment,
        name=name,
        model=replace(experiment.model, **of_model),
        train=replace(experiment.train, **changes),
        seed=seed,
    )


def sized(blocks: int, units: int) -> Experiment:
    """The base with other numbers of blocks and units, named as in the paper."""
    return vary(f"B{blocks}U{units}", blocks=blocks, units=units)


NO_LOCAL = vary("no local residual", skip="none")
NO_GLOBAL = vary("no global residual", global_residual=False)
NO_RESIDUAL = vary("no residual", skip="none", global_residual=False)
CHAIN = vary("chain", skip="chain")
NOT_SHARED = vary("not shared", share=False)

RESIDUAL = (BASE, NO_LOCAL, NO_GLOBAL, NO_RESIDUAL)
SKIP = (BASE, CHAIN, NO_LOCAL)
UNITS = tuple(sized(1, units) for units in (1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 25))
BLOCKS = tuple(sized(blocks, 3) for blocks in (1, 2, 3, 4, 5, 6))
GRID = tuple(sized(blocks, units) for blocks in (1, 2, 3) for units in (2, 4, 6))
SHARING = (BASE, NOT_SHARED)
INITIAL = (BASE, vary("He", initial="he"))
NORM = (BASE, vary("batch norm", batch_norm=True))
LOSS = (
    BASE,
    vary("L1", loss="l1"),
    vary("Charbonnier", loss="charbonnier"),
    vary("MS-SSIM and L1", loss="0.84*msssim+0.16*l1"),
    vary("MSE and focal frequency", loss="mse+focal_frequency"),
)
UNSHUFFLE = (BASE, vary("unshuffle 2", unshuffle=2), vary("unshuffle 4", unshuffle=4))
COLOR = (BASE, vary("luma", channels=1))

LISTS: dict[str, tuple[Experiment, ...]] = {
    "residual": RESIDUAL,
    "skip": SKIP,
    "units": UNITS,
    "blocks": BLOCKS,
    "grid": GRID,
    "sharing": SHARING,
    "initial": INITIAL,
    "norm": NORM,
    "loss": LOSS,
    "unshuffle": UNSHUFFLE,
    "color": COLOR,
}


FORMER_NAMES = {"colour": "color"}
"""Names of lists that were renamed."""

BudgetName = Literal["quick", "standard", "wide", "full"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The size of a study: how much smaller its experiments are than the report's."""

    name: BudgetName
    narrower: int = 1
    """Divisor of every network's width; at least 8 features remain."""
    pictures: int = 0
    """Number of images to train on and hold out, spread evenly; 0 for all."""
    test_pictures: int = 0
    """The same for each folder of test images."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `TrainConfig` that replace the report's, unless the experiment varies them."""

    def shrink(self, experiment: Experiment) -> Experiment:
        """The experiment at this budget; its seed becomes the recipe's, too."""
        width = max(experiment.model.width // self.narrower, min(experiment.model.width, 8))
        smaller = {
            key: value for key, value in self.recipe.items() if getattr(experiment.train, key) == getattr(REPORT, key)
        }
        return replace(
            experiment,
            model=replace(experiment.model, width=width),
            train=replace(experiment.train, **smaller, seed=experiment.seed),
        )


STANDARD = Budget(
    name="standard",
    narrower=8,
    test_pictures=20,
    recipe={"epochs": 25, "epoch_steps": 80, "batch_size": 16, "validation_patches": 1024},
)
BUDGETS: dict[BudgetName, Budget] = {
    "quick": Budget(
        name="quick",
        narrower=16,
        pictures=36,
        test_pictures=12,
        # a third is held out: without --test, these are the test pictures
        recipe={"epochs": 8, "epoch_steps": 50, "batch_size": 16, "validation_patches": 256, "validation": 0.333333},
    ),
    "standard": STANDARD,
    "wide": replace(STANDARD, name="wide", narrower=4),
    "full": Budget(name="full"),
}


def describe_budget(budget: Budget) -> str:
    """A budget in a sentence."""
    recipe = {
        field: budget.recipe.get(field, getattr(REPORT, field)) for field in ("epochs", "epoch_steps", "batch_size")
    }
    steps = f"{recipe['epoch_steps']} steps" if recipe["epoch_steps"] else "all patches"
    return (
        f"networks of width {128 // budget.narrower}, {recipe['epochs']} epochs at most of {steps} in batches of "
        f"{recipe['batch_size']}, {budget.pictures or 'all'} pictures to train on and hold out, "
        f"{f'at most {budget.test_pictures}' if budget.test_pictures else 'all'} of each test folder"
    )


def find_experiments(names: Sequence[str]) -> list[Experiment]:
    """The experiments that `names` refer to: lists, single experiments, or Python files; without names, all lists.

    A file such as `mine.py` defines a list `EXPERIMENTS`. It is executed: name only files you trust.

    Raises:
        StudyError: a name is unknown, a file has no experiments, or two different ones share a name.
    """
    known = {experiment.name: experiment for experiments in LISTS.values() for experiment in experiments}
    found: dict[str, Experiment] = {}
    for name in names or LISTS:
        name = FORMER_NAMES.get(name, name)
        if name in LISTS:
            chosen: Iterable[Experiment] = LISTS[name]
        elif name.endswith(".py"):
            chosen = read_experiments(Path(name))
        elif name in known:
            chosen = [known[name]]
        else:
            raise StudyError(
                f"No experiment {name!r}. Give one of the lists {', '.join(LISTS)}, an experiment of theirs, or a "
                "Python file."
            )
        for experiment in chosen:
            if found.setdefault(experiment.name, experiment) != experiment or (
                known.get(experiment.name, experiment) != experiment
            ):
                raise StudyError(f"Two different experiments are named {experiment.name!r}. Rename the one in {name}.")
    return list(found.values())


def read_experiments(path: Path) -> Sequence[Experiment]:
    """Execute a Python file, and return its `EXPERIMENTS`.

    Raises:
        StudyError: the file is missing, fails, or has no list of experiments.
    """
    if not os.path.isfile(path):  # noqa: PTH113, which raises if a name is too long
        raise StudyError(f"No file {path}. Give a Python file with a list EXPERIMENTS.")
    try:
        experiments = runpy.run_path(str(path)).get("EXPERIMENTS")
    except Exception as error:
        raise StudyError(f"{path} can't be run: {type(error).__name__}: {error}") from error
    if (
        not isinstance(experiments, Sequence)
        or not experiments
        or not all(isinstance(each, Experiment) for each in experiments)
    ):
        raise StudyError(f"{path} has no list EXPERIMENTS of drrn.study.experiments.Experiment.")
    return experiments
