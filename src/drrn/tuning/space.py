"""The `Space` of networks and recipes that a search explores."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from drrn.core.config import DRRNConfig
from drrn.training.config import TrainConfig

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

OF_MODEL = ("blocks", "units", "width")
OF_TRAIN = ("learning_rate", "loss", "clip")
VARIED = OF_MODEL + OF_TRAIN
"""The fields of model and config that a search varies; all others stay as they are."""

Objective = Literal["psnr", "psnr-macs"]


@dataclass(frozen=True, kw_only=True)
class Space:
    """Ranges and choices to try. Give a range two equal ends, or a list one value, to keep it fixed."""

    blocks: tuple[int, int] = (1, 3)
    """Minimum and maximum of recursive blocks."""
    units: tuple[int, int] = (1, 9)
    """Minimum and maximum of residual units in a block."""
    widths: tuple[int, ...] = (16, 32, 48, 64)
    """Feature channels."""
    learning_rates: tuple[float, float] = (1e-4, 1e-2)
    """Minimum and maximum learning rate, drawn on a logarithmic scale."""
    losses: tuple[str, ...] = ("mse", "l1", "charbonnier")
    """Losses, as `drrn train --loss` takes them."""
    clips: tuple[float, float] = (0.01, 10)
    """Minimum and maximum of the norm that gradients are clipped to, drawn on a logarithmic scale."""

    def __post_init__(self) -> None:
        for name in ("blocks", "units", "learning_rates", "clips"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(f"`{name}` must be a minimum and a maximum, got {low} {high}.")
        for name in ("widths", "losses"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"`{name}` must have at least one value and none twice, got {values}.")
        for blocks, units, rate, clip in zip(self.blocks, self.units, self.learning_rates, self.clips, strict=True):
            DRRNConfig(blocks=blocks, units=units)
            TrainConfig(learning_rate=rate, clip=clip)
        for width in self.widths:
            DRRNConfig(width=width)
        for loss in self.losses:
            TrainConfig(loss=loss)


def suggest(trial: "BaseTrial", space: Space) -> dict[str, Any]:
    """A value for each of `VARIED`, in this order: the ones the trial has already, or new ones."""
    return {
        "blocks": trial.suggest_int("blocks", *space.blocks),
        "units": trial.suggest_int("units", *space.units),
        "width": trial.suggest_categorical("width", space.widths),
        "learning_rate": trial.suggest_float("learning_rate", *space.learning_rates, log=True),
        "loss": trial.suggest_categorical("loss", space.losses),
        "clip": trial.suggest_float("clip", *space.clips, log=True),
    }


def apply_values(values: Mapping[str, Any], model: DRRNConfig, config: TrainConfig) -> tuple[DRRNConfig, TrainConfig]:
    """`model` and `config` with a trial's values, one for each of `VARIED`."""
    return (
        replace(model, **{name: values[name] for name in OF_MODEL}),
        replace(config, **{name: values[name] for name in OF_TRAIN}),
    )
