"""The training loop.

Lightning Fabric owns devices, precision and processes; the loop owns the order of things. A step depends only on the
checkpoint, the configs and its own number, so a training that is killed and resumed ends in the same bytes as one that
was never interrupted.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from drrn.core.config import DRRNConfig
from drrn.data.pairs import Pair
from drrn.data.patches import Sampler
from drrn.errors import DivergedError
from drrn.network.backbone import Backbone
from drrn.network.losses import make_loss
from drrn.progress import Note
from drrn.training import checkpoint
from drrn.training.config import TrainConfig
from drrn.training.distributed import all_reduce_mean
from drrn.training.dormant import reset_dormant
from drrn.training.events import EpochDone, Step, TrainingPlan, TrainingProgress
from drrn.training.logging import Epoch, Journal, best_epoch, has_stalled, write_history
from drrn.training.optimizers import learning_rate
from drrn.training.session import Session
from drrn.training.state import TrainState, export_weights, init_model
from drrn.training.validation import (
    batch_metrics,
    bicubic_psnr,
    enlarge_examples,
    to_device,
    to_scores,
    validate,
)
from drrn.weights.store import Weights
from drrn.weights.store import save as save_weights


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What `fit` needs, everything read: two configs, patches, and weights."""

    model: DRRNConfig
    config: TrainConfig
    patches: Sampler
    """To learn from."""
    held_out: Sampler
    """To validate on."""
    examples: Sequence[Pair] = ()
    """A few held-out pairs to show."""
    start: Weights | None = None
    """Initial weights, of this very model; random if None."""
    backbone: Backbone | None = None
    """For perceptual losses."""
    native: bool = False
    """Convolve by the native engine, which needs a CPU and float32."""
    card: Mapping[str, Any]
    """What the weights file records about its origin."""


def fit(inputs: Inputs, run: Path, *, fabric: Fabric, progress: TrainingProgress, session: Session) -> list[Epoch]:
    """Train a DRRN. Leaves `best.safetensors` to use and `last.ckpt` to resume from in the folder `run`.

    Args:
        run: an existing folder. If it holds a checkpoint, the training resumes from it.
        fabric: already launched.

    Returns:
        The history, including the epochs before an interruption.

    Raises:
        DivergedError: the loss, the gradient or a weight is not finite.
        TrainingError: every checkpoint is damaged, or another version of drrn wrote it.
        DRRNError: a file can't be written.
    """
    loop = _Loop(inputs, run, fabric, progress, session)
    while not loop.is_done():
        if not (loop.train_epoch() and loop.finish_epoch()):
            loop.save()
            return loop.state.history
    loop.close()
    return loop.state.history


class _Loop:
    """A training in progress."""

    def __init__(self, inputs: Inputs, run: Path, fabric: Fabric, progress: TrainingProgress, session: Session):
        self.inputs, self.run, self.fabric, self.progress, self.session = inputs, run, fabric, progress, session
        self.config = inputs.config
        self.is_first = fabric.is_global_zero
        self.state = TrainState.init(inputs.model, inputs.config, inputs.start, fabric.device, native=inputs.native)
        self._resume()
        self.network, self.state.optimizer = fabric.setup(self.state.net, self.state.optimizer)
        self.loss_of = make_loss(self.config.loss, inputs.backbone.to(fabric.device) if inputs.backbone else None)
        self.journal = Journal(run) if self.is_first and not self.is_done() else None
        self.epoch_start = self.cpu_start = self.last_save = 0.0
        if self.is_first:
            self._announce()

    def _resume(self) -> None:
        # only the first process reads: on another machine the folder may hold something else
        saved, damaged = self.fabric.broadcast(checkpoint.load(self.run) if self.is_first else (None, None))
        if damaged and self.is_first:
            self.progress.report(Note(f"{damaged} is damaged: resuming from the checkpoint before it."))
        if saved:
            self.state.restore(saved, self.run, self.fabric)

    def _announce(self) -> None:
        patches, done = self.inputs.patches, len(self.state.history)
        if not self.is_done():
            self.progress.report(
                TrainingPlan(
                    patches=len(patches.patches) if patches.stride else 0,
                    size=patches.size,
                    batch_size=patches.batch_size,
                    steps=patches.steps,
                    epochs=self.config.epochs,
                    done=done,
                    bicubic=bicubic_psnr(self.inputs.held_out, self.config),
                )
            )
        elif done < self.config.epochs:
            self.progress.report(
                Note(
                    f"Stopped early: no better validation loss in {self.config.patience} epochs. "
                    "A larger --patience continues, 0 never stops."
                )
            )

    def is_done(self) -> bool:
        history = self.state.history
        return len(history) >= self.config.epochs or has_stalled(history, self.config.patience)

    def train_epoch(self) -> bool:
        """Take the remaining steps of the current epoch; False if stopped."""
        epoch, steps = len(self.state.history), self.inputs.patches.steps
        self.epoch_start = self.last_save = time.monotonic()
        self.cpu_start = time.process_time()
        sampler = sampler_of_epoch(self.inputs.patches, self.config, epoch, self.fabric.world_size)
        self.network.train()
        while self.state.step < steps:
            loss, stopped = self._train_step(sampler, epoch)
            if self.is_first:
                self.progress.report(Step(epoch, self.state.step, steps, loss))
            if stopped:
                return False
            if time.monotonic() - self.last_save > self.session.save_seconds:
                self.save()
                self.last_save = time.monotonic()
        return True

    def _train_step(self, sampler: Sampler, epoch: int) -> tuple[float, bool]:
        """The loss, and whether any process was asked to stop."""
        state, config, fabric = self.state, self.config, self.fabric
        ilr, hr = to_device(fabric, sampler.batch(epoch, state.step, fabric.global_rank, fabric.world_size))
        steps = self.inputs.patches.steps
        rate = learning_rate(config, epoch * steps + state.step, steps)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        batch_means = self._backward(ilr, hr, draw_units(self.inputs.model, config, epoch, state.step))
        max_norm = config.clip / rate if config.clip_by_rate else config.clip
        norm = fabric.clip_gradients(self.network, state.optimizer, max_norm=max_norm, error_if_nonfinite=False)
        assert isinstance(norm, Tensor)
        means = all_reduce_mean(fabric, [*batch_means, norm, float(self.session.should_stop())])
        if not isfinite(means[0]):
            raise self._diverged("The loss")
        if not isfinite(means[3]) and config.precision != "16-mixed":  # whose gradient scaler skips such a step
            raise self._diverged("The gradient")
        state.optimizer.step()
        state.optimizer.zero_grad()
        state.update_ema(config.ema_decay)
        state.sums = state.sums + means[:3]
        state.step += 1
        return float(means[0]), bool(means[4] > 0)

    def _backward(self, ilr: Tensor, hr: Tensor, units: int) -> Tensor:
        """Add the gradient of a batch, part by part; return its mean loss, squared error and accuracy."""
        sums = torch.zeros(3, device=ilr.device)
        size = -(-len(ilr) // self.config.accumulate)
        parts = list(zip(ilr.split(size), hr.split(size), strict=True))
        for number, (given, wanted) in enumerate(parts, start=1):
            share = len(given) / len(ilr)
            with self.fabric.no_backward_sync(self.network, enabled=number < len(parts)):
                sr = self.network(given, units=units)
                loss = self.loss_of(sr, wanted)
                self.fabric.backward(loss * share if share < 1 else loss)
            sums += share * torch.stack([loss.detach(), *batch_metrics(sr.detach(), wanted)])
        return sums

    def finish_epoch(self) -> bool:
        """Validate, record the epoch, and save; False if stopped."""
        state, config, epoch = self.state, self.config, len(self.state.history)
        validation = validate(
            self.fabric, state.average, self.inputs.held_out, config, self.loss_of, self.session.should_stop
        )
        if validation is None:
            return False
        if not isfinite(validation[0]):
            raise self._diverged("The validation loss")
        steps = self.inputs.patches.steps
        rate = learning_rate(config, epoch * steps, steps)
        training = (state.sums / steps).tolist()
        state.history.append(Epoch(epoch, rate, *to_scores(training), *to_scores(validation)))
        state.step, state.sums = 0, torch.zeros_like(state.sums)
        if self.is_first:
            self._report_epoch()
        if epoch < config.recycle:
            self._reset_dormant(epoch)
        self.save()
        self._log_epoch(epoch)
        return True

    def _report_epoch(self) -> None:
        history = self.state.history
        is_best = history[-1] is best_epoch(history)
        if is_best:
            weights = export_weights(self.state.average, self.config, self.inputs.card, history)
            save_weights(weights, self.run / "best.safetensors")
        # before the checkpoint: a training killed here reports it again
        self.progress.report(EpochDone(history[-1], is_best))

    def _reset_dormant(self, epoch: int) -> None:
        state = self.state
        ilr, _ = to_device(self.fabric, self.inputs.patches.batch(epoch, 0))  # the same for all processes
        new = init_model(self.inputs.model, replace(self.config, seed=self.config.seed + epoch + 1))
        averages = [state.average] if state.average is not state.net else []
        count = reset_dormant(state.net, averages, new.to(self.fabric.device), ilr)
        if self.is_first and count:
            self.progress.report(Note(f"Dormant features reset: {count}."))

    def _log_epoch(self, epoch: int) -> None:
        if not self.journal:
            return
        self.journal.epoch(
            self.state.history, time.monotonic() - self.epoch_start, time.process_time() - self.cpu_start
        )
        every = self.config.sheet_every
        if every and (epoch % every == 0 or epoch + 1 == self.config.epochs):
            self.journal.sheet(epoch, enlarge_examples(self.fabric, self.state.average, self.inputs.examples))

    def save(self) -> None:
        if not self.state.is_finite():
            raise self._diverged("A weight")
        if self.is_first:
            checkpoint.save(self.run, self.state.to_dict(self.fabric))

    def close(self) -> None:
        if self.is_first:
            write_history(self.run, self.state.history)
        if self.journal:
            self.journal.close()

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"{what} is not finite, in epoch {len(self.state.history) + 1} after {self.state.step} steps. Lower "
            "--learning-rate or --clip and start in another --run; the checkpoint is from before that."
        )


def sampler_of_epoch(patches: Sampler, config: TrainConfig, epoch: int, world: int) -> Sampler:
    """The sampler of one epoch: its patch size, and a batch of as many pixels as in the first, shared by processes."""
    sizes = (config.patch, *config.later_patches)
    size = sizes[min(epoch * len(sizes) // config.epochs, len(sizes) - 1)]
    count = round(config.batch_size * (config.patch / size) ** 2 / world)
    return patches.for_epoch(epoch, size, max(count, 1) * world)


def draw_units(model: DRRNConfig, config: TrainConfig, epoch: int, step: int) -> int:
    """The number of units to run in this step."""
    if not config.fewest_units:
        return model.units
    rng = np.random.default_rng([config.seed, epoch, step, 1])
    return int(rng.integers(config.fewest_units, model.units + 1))
