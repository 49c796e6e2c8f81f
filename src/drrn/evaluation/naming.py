"""Distinct names for models and image folders, for tables, plots and JSON."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from drrn.errors import UsageError
from drrn.weights.store import Weights, load

BICUBIC = "bicubic"
"""The baseline in every table."""


def distinct_names(paths: Sequence[str | Path], names: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """`names`, with paths in place of any that are duplicates or in `taken`.

    Raises:
        UsageError: a path is given twice.
    """
    counts = Counter([*names, *taken])
    distinct = [name if counts[name] == 1 else str(each) for each, name in zip(paths, names, strict=True)]
    for name, count in Counter(distinct).items():
        if count > 1:
            raise UsageError(f"{name} is given twice. Give each once.")
    return distinct


def load_models(models: Sequence[str], taken: Collection[str] = (BICUBIC,)) -> list[Weights]:
    """Load packaged models or weights files, and give each a distinct `name`.

    Raises:
        WeightsError: a model does not exist.
        UsageError: a model is given twice.
    """
    weights = [load(model) for model in models]
    names = distinct_names(models, [each.name for each in weights], taken)
    return [replace(each, name=name) for each, name in zip(weights, names, strict=True)]
