"""Everything a training changes as it runs, and therefore everything a checkpoint holds."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import Optimizer

from drrn.core.config import DRRNConfig
from drrn.engines.pytorch import build
from drrn.errors import TrainingError
from drrn.network.model import DRRN
from drrn.training.config import TrainConfig
from drrn.training.convolutions import use_native
from drrn.training.logging import Epoch
from drrn.training.optimizers import make_optimizer
from drrn.weights.store import Weights


@dataclass
class TrainState:
    """The network, its optimizer, the history, and the position within the epoch."""

    net: DRRN
    average: DRRN
    """Running average of the weights; `net` itself if there is none."""
    optimizer: Optimizer
    history: list[Epoch]
    step: int
    """Steps done in the current epoch."""
    sums: Tensor
    """Loss, squared error and accuracy, summed over these steps."""

    @classmethod
    def init(
        cls, model: DRRNConfig, config: TrainConfig, start: Weights | None, device: torch.device, *, native: bool
    ) -> "TrainState":
        """The state before the first step: random weights, or those of `start`."""
        net = init_model(model, config)
        if start:
            copy_weights(start, net)
        net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if native:
            use_native(net)
        average = deepcopy(net) if config.ema_decay else net
        return cls(net, average, make_optimizer(net, config), [], 0, torch.zeros(3, dtype=torch.float64))

    def restore(self, saved: Mapping[str, Any], run: Path, fabric: Fabric) -> None:
        """Continue from what `to_dict` returned.

        Raises:
            TrainingError: another version of drrn saved it.
        """
        self.net.load_state_dict(saved["net"])
        self.average.load_state_dict(saved["average"])
        try:
            self.optimizer.load_state_dict(saved["optimiser"])
        except ValueError as error:
            raise TrainingError(f"{run} was started by another version of drrn. Give another --run.") from error
        self.history = [Epoch(*row) for row in saved["history"]]
        self.step, self.sums = saved["step"], saved["sums"]
        if saved.get("scaler"):
            fabric.strategy.precision.load_state_dict(saved["scaler"])

    def to_dict(self, fabric: Fabric) -> dict[str, Any]:
        """The contents of a checkpoint. The keys, and their order, are those of every checkpoint ever written."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimizer.state_dict(),
            "scaler": fabric.strategy.precision.state_dict(),
            "history": [list(row) for row in self.history],
            "step": self.step,
            "sums": self.sums,
        }

    @torch.no_grad()
    def update_ema(self, decay: float) -> None:
        """Move the average of the weights, and of batch norm statistics, a little towards the network."""
        if self.average is self.net:
            return
        for mean, value in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def is_finite(self) -> bool:
        return all(bool(value.isfinite().all()) for value in self.net.state_dict().values())


def init_model(model: DRRNConfig, config: TrainConfig) -> DRRN:
    """The network before its first step, random from `config.seed`."""
    torch.manual_seed(config.seed)
    net = DRRN(model)
    net.init_weights(config.initial, config.unit_gain, config.leave_gain, config.centred)
    return net


def copy_weights(start: Weights, net: DRRN) -> None:
    """Copy `start` into `net`. If they differ in `unshuffle`, the first and last convolutions stay random."""
    ends = ("blocks.0.enter.", "leave.")
    same = net.config == start.config
    state = build(start).state_dict()
    net.load_state_dict(net.state_dict() | {name: state[name] for name in state if same or not name.startswith(ends)})


def export_weights(net: DRRN, config: TrainConfig, card: Mapping[str, Any], history: list[Epoch]) -> Weights:
    """`net` as it is stored in a weights file, with the last epoch's validation score in its card."""
    units = net.config.units
    tensors = {name: value.cpu().contiguous().numpy() for name, value in net.state_dict().items()}
    return Weights(
        config=net.config,
        scales=tuple(sorted(set(config.scales))),
        units=(config.fewest_units or units, units),
        tensors={name: tensors[name] for name in net.config.tensors()},
        card={**card, "validation": {"epoch": history[-1].epoch, "psnr": round(history[-1].val_psnr, 4)}},
    )
