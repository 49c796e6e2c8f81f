"""Seconds a megapixel of the enlarged picture, engines and networks in turn in one run, and the start of the command.

`make bench` writes `benchmarks/speed.json`. Machines differ and are shared: compare the ratios.
"""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from drrn.core.config import DRRNConfig
from drrn.core.resize import imresize
from drrn.engines.pytorch import TorchEngine
from drrn.weights.store import Weights, load, names

SIDE = 384
ROUNDS = 5


def untrained(config: DRRNConfig) -> Weights:
    """A network that costs what a trained one costs."""
    chance = np.random.default_rng(0)
    tensors = {name: chance.normal(0, 0.01, shape).astype(np.float32) for name, shape in config.tensors().items()}
    return Weights(config=config, scales=(2, 3, 4), units=(config.units, config.units), tensors=tensors)


def main() -> None:
    ilr = np.random.default_rng(0).random((1, SIDE, SIDE), np.float32)
    lr = np.ascontiguousarray(ilr[:, ::2, ::2])
    work: dict[str, Callable[[], object]] = {"bicubic (imresize x2)": lambda: imresize(lr, SIDE, SIDE)}
    for name in names():
        engine = TorchEngine(load(name), device="cpu")
        work[f"{name}, {engine.name}"] = lambda engine=engine: engine.run(ilr)  # type: ignore[misc]
    paper = TorchEngine(untrained(DRRNConfig()), device="cpu")
    work[f"the paper's B1U9, width 128, {paper.name}"] = lambda: paper.run(ilr)
    work["drrn --help"] = lambda: subprocess.run(
        [sys.executable, "-m", "drrn", "--help"], capture_output=True, check=True
    )

    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(ROUNDS + 1):
        for name, do in work.items():
            began = time.perf_counter()
            do()
            if turn:  # the first warms up
                seconds[name].append(time.perf_counter() - began)
    megapixels = SIDE * SIDE / 1e6
    found = {
        name: {"seconds": round(median(taken), 4)}
        | ({} if "--help" in name else {"seconds_per_megapixel": round(median(taken) / megapixels, 3)})
        for name, taken in seconds.items()
    }
    about = {"machine": platform.processor() or platform.machine(), "side": SIDE, "rounds": ROUNDS, "results": found}
    Path(__file__).with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
    for name, result in found.items():
        print(f"{name:50s} {result}")


if __name__ == "__main__":
    main()
