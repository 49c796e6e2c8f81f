"""The networks that are measured: packaged and own models, the paper's with random weights, and baselines."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from drrn.core.config import DRRNConfig
from drrn.core.resize import imresize
from drrn.engines.engine import Planes
from drrn.engines.layers import EPSILON
from drrn.errors import EngineError
from drrn.weights import store
from drrn.weights.store import Weights

UNTRAINED = {f"B1U9-{width}": DRRNConfig(width=width) for width in (128, 64, 32)}
"""The paper's network and two narrower ones, measured with random weights."""
BICUBIC = "bicubic x2"
PRODUCT, CONVOLUTION = "matrix product", "wide convolutions"
"""They show the peak of the machine: as much arithmetic per byte as possible."""
PRODUCT_SIDE = 2048


@dataclass(frozen=True)
class Network:
    """A network, independent of what runs it."""

    name: str
    scale: int = 1
    """How many times as large its result is. 1 for a DRRN, whose input bicubic has already enlarged."""
    channels: Literal[1, 3] = 1
    macs: int = 0
    """Multiply-adds per pixel of the result; 0 if they are not counted."""
    parameters: int = 0
    weights: Weights | None = None
    """The weights of a DRRN; None for a baseline."""

    def onnx(self) -> bytes:
        """The network as an ONNX graph for any height and width."""
        if self.weights is not None:
            from drrn.engines.onnx import model

            return model(self.weights).SerializeToString()
        from benchmarks.baselines import GRAPHS

        return GRAPHS[self.name].model().SerializeToString()


def load_network(name: str) -> Network:
    """Load one of UNTRAINED, a baseline, a packaged model or a weights file.

    Raises:
        WeightsError: there is no network of that name.
        EngineError: it is a baseline, and onnx is not installed.
    """
    if name == BICUBIC:
        return Network(name, scale=2)
    if name == PRODUCT:
        return Network(name, macs=PRODUCT_SIDE)
    if name in UNTRAINED:
        return _drrn(random_weights(UNTRAINED[name]), name)
    if name in [*baselines(), CONVOLUTION]:
        try:
            from benchmarks.baselines import GRAPHS, macs, parameters
        except ModuleNotFoundError as error:
            raise EngineError(f"it needs {error.name}.") from error
        baseline, model = GRAPHS[name], GRAPHS[name].model()
        return Network(name, baseline.scale, baseline.channels, macs(model), parameters(model))
    weights = store.load(name)
    return _drrn(weights, weights.name)


def baselines() -> list[str]:
    """The names of other people's networks, the cheapest first; empty without onnx."""
    try:
        from benchmarks.baselines import BASELINES
    except ModuleNotFoundError:
        return []
    return list(BASELINES)


def random_weights(config: DRRNConfig) -> Weights:
    """Random weights that keep the features of a deep recursion finite (He's, with gains as in `DRRN.init_weights`)."""
    rng = np.random.default_rng(0)
    tensors = {}
    for name, shape in config.tensors().items():
        gain = 0.3 if ".second." in name else 0.1 if name.startswith("leave") else 1.0
        deviation = gain * (2 / np.prod(shape[1:])) ** 0.5 if len(shape) == 4 else 0.01
        tensors[name] = rng.normal(0, deviation, shape).astype(np.float32)
    return Weights(config=config, scales=(2, 3, 4), units=(config.units, config.units), tensors=tensors)


def with_batch_norm(weights: Weights) -> Weights:
    """Add batch norms that change nothing: the popular ports run the network with them.

    Raises:
        EngineError: it keeps flat areas flat, which a network with batch norms can't.
    """
    if weights.config.flat:
        raise EngineError("a network that keeps flat areas flat has no batch norms.")
    config = replace(weights.config, batch_norm=True)
    values = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1 - EPSILON}
    tensors = {
        name: weights.tensors.get(name, np.full(shape, values.get(name.rsplit(".", 1)[1]), np.float32))
        for name, shape in config.tensors().items()
    }
    return replace(weights, config=config, tensors=tensors)


def example_input(network: Network, height: int, width: int) -> Planes:
    """Smooth noise for a result of `height` x `width`: (channels, height / scale, width / scale)."""
    down, across = height // network.scale, width // network.scale
    coarse = np.random.default_rng(0).random((network.channels, -(-down // 2), -(-across // 2)), np.float32)
    return imresize(coarse, down, across)


def _drrn(weights: Weights, name: str) -> Network:
    weights = weights.network(2)
    config = weights.config
    return Network(name, 1, config.channels, config.macs(), config.parameters, weights)
