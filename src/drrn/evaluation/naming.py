"""What models and folders of pictures are called where a name must be that of one: in tables, plots and JSON."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from drrn.errors import UsageError
from drrn.weights.store import Weights, load

BICUBIC = "bicubic"
"""The model that is in every table."""


def distinct_names(given: Sequence[str | Path], names: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """A name for each of `given`: its own of `names`, or where that is another's, or of `taken`, what was given.

    Raises:
        UsageError: something is given twice.
    """
    counts = Counter([*names, *taken])
    found = [name if counts[name] == 1 else str(each) for each, name in zip(given, names, strict=True)]
    for name, count in Counter(found).items():
        if count > 1:
            raise UsageError(f"{name} is named twice. Name each once.")
    return found


def load_models(models: Sequence[str], taken: Collection[str] = (BICUBIC,)) -> list[Weights]:
    """Packaged models or weights files, no two of one `name`.

    Raises:
        WeightsError: there is no such model.
        UsageError: one is named twice.
    """
    weights = [load(model) for model in models]
    names = distinct_names(models, [each.name for each in weights], taken)
    return [replace(each, name=name) for each, name in zip(weights, names, strict=True)]
