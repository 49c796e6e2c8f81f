"""Small networks with random weights, for tests in which quality does not matter."""

from dataclasses import replace
from typing import Any

import numpy as np

from drrn.core.config import DRRNConfig
from drrn.weights.store import Weights


def small_weights(
    seed: int = 0, *, gain: float = 0.5, trained_units: tuple[int, int] | None = None, **fields: object
) -> Weights:
    """Weights of `DRRNConfig(**fields)`, drawn so that the network changes a picture visibly and stays finite."""
    config = DRRNConfig.from_dict({**DRRNConfig(units=2, width=8).to_dict(), **fields})
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in config.tensors().items():
        if "running_var" in name:
            tensors[name] = rng.uniform(0.5, 2, shape).astype(np.float32)
        else:
            spread = gain * (2 / np.prod(shape[1:])) ** 0.5 if len(shape) == 4 else 0.05
            tensors[name] = rng.normal(0, spread, shape).astype(np.float32)
    return Weights(
        config=config,
        scales=(2, 3, 4),
        units=trained_units or (config.units, config.units),
        tensors=tensors,
        name="random",
    )


def stepped_weights(*scales: int, **fields: object) -> Weights:
    """A model with a network for each of these whole scales, on the grid of lr."""
    first, *others = (
        replace(random_weights({**fields, "unshuffle": scale}, scale), scales=(scale,)) for scale in scales
    )
    return replace(first, larger={int(each.scales[0]): each for each in others})


def random_weights(fields: dict[str, Any], seed: int = 0) -> Weights:
    """`stepped_weights` if the fields contain `scales`, otherwise `small_weights`."""
    fields = dict(fields)
    return stepped_weights(*fields.pop("scales"), **fields) if "scales" in fields else small_weights(seed, **fields)
