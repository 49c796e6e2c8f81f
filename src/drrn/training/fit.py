"""The training loop, all of it in this file.

Lightning Fabric owns devices, precision and processes; the loop owns the order of things. What a step does follows from
the checkpoint, the configs, the step's number and nothing else, so a training that is killed and run again ends in the
same bytes as one that never was.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from math import isfinite, log10
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from drrn.core.config import DRRNConfig
from drrn.data.pairs import Pair, unit
from drrn.data.patches import Batch, Index, Sampler, cut
from drrn.engines.pytorch import build
from drrn.errors import DivergedError, TrainingError
from drrn.network.backbone import Backbone
from drrn.network.losses import Loss, make_loss
from drrn.network.model import DRRN
from drrn.training import checkpoint
from drrn.training.config import SAVE_SECONDS, TrainConfig, learning_rate
from drrn.training.dormant import recycle
from drrn.training.logging import Epoch, Journal, write_history
from drrn.training.optimizers import make_optimiser
from drrn.weights.store import Weights
from drrn.weights.store import save as save_weights


class Plan(NamedTuple):
    """The size of a training, known once its images are read."""

    patches: int
    """Per epoch; 0 if they are drawn at random positions."""
    size: int
    """Side of a patch, in pixels."""
    batch_size: int
    """Patches per step."""
    steps: int
    """Per epoch."""
    epochs: int
    """The maximum, including finished ones."""
    done: int
    """Epochs already finished."""
    bicubic: float
    """Bicubic's PSNR on the validation patches, in dB: the baseline for the network's."""


class Watch(Protocol):
    """Who looks on: called by the first process alone.

    No epoch goes untold; one is told twice where a training was killed before it was saved.
    """

    def taught(self, number: int, count: int) -> None:
        """The teacher has enlarged so many of the lr to learn from: one for each picture and scale."""

    def begin(self, plan: Plan) -> None:
        """The images are read; the first step comes next."""

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None: ...

    def epoch(self, row: Epoch, best: bool) -> None: ...

    def note(self, sentence: str) -> None: ...


def fit(
    model: DRRNConfig,
    train: TrainConfig,
    patches: Sampler,
    held_out: Sampler,
    examples: Sequence[Pair],
    run: Path,
    *,
    fabric: Fabric,
    watch: Watch,
    card: Mapping[str, Any],
    start: Weights | None = None,
    backbone: Backbone | None = None,
    stopped: Callable[[], bool] = lambda: False,
    save_seconds: float = SAVE_SECONDS,
) -> list[Epoch]:
    """Train a DRRN; leave in `run` its `best.safetensors` to use and its `last.ckpt` to go on from.

    Args:
        patches, held_out: what to learn from, and what to validate on.
        examples: a few pairs of the pictures held out, to be shown.
        run: an existing folder. Where it holds a checkpoint, the training goes on from there.
        fabric: launched already.
        card: what the weights file shall say of itself.
        start: weights of this very model to start from, instead of random ones.
        backbone: what the loss sees through, if it does.
        stopped: asked after each batch; once true, the training saves its state and returns.
        save_seconds: between two checkpoints within an epoch.

    Returns:
        The history, the epochs of an interrupted run included.

    Raises:
        DivergedError: the loss, the gradient or a weight is not finite.
        TrainingError: no checkpoint is good, or it is another version's.
        DRRNError: a file can't be written.
    """
    first = fabric.is_global_zero
    net = fresh(model, train)
    if start:
        begin_with(net, start)
    net.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = deepcopy(net) if train.ema_decay else net
    optimiser = make_optimiser(net, train)
    history: list[Epoch] = []
    step, sums = 0, torch.zeros(3, dtype=torch.float64)

    # only the first process's: on another machine the folder may hold something else
    state, damaged = fabric.broadcast(checkpoint.load(run) if first else (None, None))
    if damaged and first:
        watch.note(f"{damaged} is damaged: going on from the checkpoint before it.")
    if state:
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        try:
            optimiser.load_state_dict(state["optimiser"])
        except ValueError as error:
            raise TrainingError(f"{run} was begun by another version of drrn. Give another --run.") from error
        history = [Epoch(*row) for row in state["history"]]
        step, sums = state["step"], state["sums"]
        if state.get("scaler"):
            fabric.strategy.precision.load_state_dict(state["scaler"])

    network, optimiser = fabric.setup(net, optimiser)

    def save() -> None:
        if not all(value.isfinite().all() for value in net.state_dict().values()):
            raise diverged("A weight", epoch, step)
        if first:
            kept = {
                "net": net.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "scaler": fabric.strategy.precision.state_dict(),
                "history": [list(row) for row in history],
                "step": step,
                "sums": sums,
            }
            checkpoint.save(run, kept)

    def done() -> bool:
        return len(history) >= train.epochs or stale(history, train.patience)

    loss_of = make_loss(train.loss, backbone.to(fabric.device) if backbone else None)
    journal = Journal(run) if first and not done() else None
    if first and len(history) < train.epochs and done():
        watch.note(
            f"Stopped early: no better validation loss in {train.patience} epochs. "
            "A larger --patience continues, 0 never stops."
        )
    elif first and not done():
        watch.begin(
            Plan(
                patches=len(patches.patches) if patches.stride else 0,
                size=patches.size,
                batch_size=patches.batch_size,
                steps=patches.steps,
                epochs=train.epochs,
                done=len(history),
                bicubic=bicubic_psnr(held_out, train),
            )
        )
    while not done():
        epoch, saved = len(history), time.monotonic()
        began = (saved, time.process_time())
        now = in_epoch(patches, train, epoch, fabric.world_size)
        network.train()
        while step < patches.steps:
            ilr, hr = to_device(fabric, now.batch(epoch, step, fabric.global_rank, fabric.world_size))
            rate = learning_rate(train, epoch * patches.steps + step, patches.steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            sr = network(ilr, units=draw_units(model, train, epoch, step))
            loss = loss_of(sr, hr)
            fabric.backward(loss)
            max_norm = train.clip / rate if train.clip_by_rate else train.clip
            norm = fabric.clip_gradients(network, optimiser, max_norm=max_norm, error_if_nonfinite=False)
            assert norm is not None
            seen = together(fabric, [loss.detach(), *compare(sr.detach(), hr), norm, float(stopped())])
            if not isfinite(seen[0]):
                raise diverged("The loss", epoch, step)
            if not isfinite(seen[3]) and train.precision != "16-mixed":  # which leaves such a step out by itself
                raise diverged("The gradient", epoch, step)
            optimiser.step()
            optimiser.zero_grad()
            if average is not net:
                follow(average, net, train.ema_decay)
            sums = sums + seen[:3]
            step += 1
            if first:
                watch.step(epoch, step, patches.steps, float(seen[0]))
            if seen[4] > 0:
                save()
                return history
            if time.monotonic() - saved > save_seconds:
                save()
                saved = time.monotonic()

        learnt = (sums / patches.steps).tolist()
        judged = validate(fabric, average, held_out, train, loss_of, stopped)
        if judged is None:
            save()
            return history
        if not isfinite(judged[0]):
            raise diverged("The validation loss", epoch, step)
        rate = learning_rate(train, epoch * patches.steps, patches.steps)
        history.append(Epoch(epoch, rate, *score(learnt), *score(judged)))
        step, sums = 0, torch.zeros_like(sums)
        is_best = history[-1] is best(history)
        if first and is_best:
            save_weights(weights_of(average, train, card, history), run / "best.safetensors")
        if first:
            watch.epoch(history[-1], is_best)  # before it is saved: whoever is killed here is told of it again
        if epoch < train.recycle:
            ilr, _ = to_device(fabric, patches.batch(epoch, 0))  # the same for all processes
            new = fresh(model, replace(train, seed=train.seed + epoch + 1)).to(fabric.device)
            dead = recycle(net, [average] if average is not net else [], new, ilr)
            if first and dead:
                watch.note(f"Features that had died and begin anew: {dead}.")
        save()
        if journal:
            journal.epoch(history, time.monotonic() - began[0], time.process_time() - began[1])
            if train.sheet_every and (epoch % train.sheet_every == 0 or epoch + 1 == train.epochs):
                journal.sheet(epoch, show(fabric, average, examples))
    if first:
        write_history(run, history)
    if journal:
        journal.close()
    return history


def fresh(model: DRRNConfig, train: TrainConfig) -> DRRN:
    """The network as a training begins with it."""
    torch.manual_seed(train.seed)
    net = DRRN(model)
    net.initialise(train.initial, train.unit_gain, train.leave_gain, train.centred)
    return net


def begin_with(net: DRRN, start: Weights) -> None:
    """Give `net` the weights of `start`; of one with another `unshuffle` all but the first and last convolutions."""
    ends = ("blocks.0.enter.", "leave.")
    same = net.config == start.config
    state = build(start).state_dict()
    net.load_state_dict(net.state_dict() | {name: state[name] for name in state if same or not name.startswith(ends)})


def in_epoch(patches: Sampler, train: TrainConfig, epoch: int, world: int) -> Sampler:
    """What to draw in an epoch: patches of its size, of as many pixels together as in the first, alike by process."""
    sizes = (train.patch, *train.later_patches)
    size = sizes[min(epoch * len(sizes) // train.epochs, len(sizes) - 1)]
    count = round(train.batch_size * (train.patch / size) ** 2 / world)
    return patches.in_epoch(epoch, size, max(count, 1) * world)


def diverged(what: str, epoch: int, step: int) -> DivergedError:
    return DivergedError(
        f"{what} is not finite, in epoch {epoch + 1} after {step} steps. Lower --learning-rate or --clip and start in "
        "another --run; what is saved is from before."
    )


def draw_units(model: DRRNConfig, train: TrainConfig, epoch: int, step: int) -> int:
    """The number of units to run in this step."""
    if not train.fewest_units:
        return model.units
    chance = np.random.default_rng([train.seed, epoch, step, 1])
    return int(chance.integers(train.fewest_units, model.units + 1))


def compare(sr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
    """The mean squared error, and Keras's accuracy: the share of pixels whose largest channel is the same."""
    return ((sr - hr) ** 2).mean(), (sr.argmax(1) == hr.argmax(1)).float().mean()


@torch.no_grad()
def follow(average: DRRN, net: DRRN, decay: float) -> None:
    """Move the average of weights and of batch norms' statistics a little towards the network's."""
    for mean, now in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, 1 - decay)
        else:
            mean.copy_(now)


@torch.no_grad()
def validate(
    fabric: Fabric, net: DRRN, held_out: Sampler, train: TrainConfig, loss_of: Loss, stopped: Callable[[], bool]
) -> list[float] | None:
    """Mean loss, squared error and accuracy over the patches held out, in their order, as they are; None if stopped."""
    patches, size = select_validation_patches(held_out, train), held_out.size
    net.eval()
    for buffer in net.buffers():  # statistics of batch norms, of which each process has its own
        buffer.copy_(fabric.broadcast(buffer))
    sums = torch.zeros(4, dtype=torch.float64)
    for start in range(0, len(patches), train.batch_size):
        mine = patches[start : start + train.batch_size][fabric.global_rank :: fabric.world_size]
        if len(mine):
            ilr, hr = to_device(fabric, cut(held_out.pool, mine, np.zeros(len(mine), np.int64), size))
            with fabric.autocast():
                sr = net(ilr).float()
            seen = torch.stack([loss_of(sr, hr), *compare(sr, hr), torch.ones((), device=sr.device)])
            sums += seen.cpu().double() * len(mine)  # in this order: not every device has doubles
        if together(fabric, [float(stopped())]).item():
            return None
    total = reduce(fabric, sums, "sum")
    return (total[:3] / total[3]).tolist()


def select_validation_patches(held_out: Sampler, train: TrainConfig) -> Index:
    """All held-out patches, or `train.validation_patches` of them, spread evenly."""
    patches = held_out.patches
    if train.validation_patches and len(patches) > train.validation_patches:
        patches = patches[np.linspace(0, len(patches) - 1, train.validation_patches).astype(np.int64)]
    return patches


def bicubic_psnr(held_out: Sampler, train: TrainConfig) -> float:
    """Bicubic's PSNR on the validation patches, in dB."""
    patches, squared = select_validation_patches(held_out, train), 0.0
    for start in range(0, len(patches), train.batch_size):
        some = patches[start : start + train.batch_size]
        ilr, hr = cut(held_out.pool, some, np.zeros(len(some), np.int64), held_out.size)
        squared += float(np.square(ilr - hr, dtype=np.float64).sum())
    return -10 * log10(max(squared / (len(patches) * len(held_out.pool.hr) * held_out.size**2), 1e-12))


@torch.no_grad()
def show(fabric: Fabric, net: DRRN, examples: Iterable[Pair], side: int = 144) -> list[list[NDArray[np.float32]]]:
    """The middles of the examples: rows of lr, ilr, sr, hr, each (channels, h, w)."""
    net.eval()
    rows = []
    for pair in examples:
        ilr = middle(pair.ilr.astype(np.float32), side)
        sr = net(torch.from_numpy(ilr)[None].to(fabric.device))[0].float().cpu().numpy()
        lr = middle(pair.lr.astype(np.float32), round(side / pair.scale))
        rows.append([lr, ilr, sr, middle(unit(pair.hr), side)])
    return rows


def middle(planes: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    top, left = (max(length - side, 0) // 2 for length in planes.shape[-2:])
    return np.ascontiguousarray(planes[..., top : top + side, left : left + side])


def weights_of(net: DRRN, train: TrainConfig, card: Mapping[str, Any], history: list[Epoch]) -> Weights:
    """The weights of `net` as they are stored, with what is known of them."""
    units = net.config.units
    tensors = {name: value.cpu().contiguous().numpy() for name, value in net.state_dict().items()}
    return Weights(
        config=net.config,
        scales=tuple(sorted(set(train.scales))),
        units=(train.fewest_units or units, units),
        tensors={name: tensors[name] for name in net.config.tensors()},
        card={**card, "validation": {"epoch": history[-1].epoch, "psnr": round(history[-1].val_psnr, 4)}},
    )


def to_device(fabric: Fabric, batch: Batch) -> tuple[Tensor, Tensor]:
    ilr, hr = (torch.from_numpy(part).to(fabric.device, memory_format=torch.channels_last) for part in batch)
    return ilr, hr


def together(fabric: Fabric, values: list[Tensor | float]) -> Tensor:
    """The means over all processes, so that each of them sees the same and does the same."""
    return reduce(fabric, torch.tensor([float(value) for value in values], dtype=torch.float64), "mean")


def reduce(fabric: Fabric, mine: Tensor, how: str) -> Tensor:
    if fabric.world_size == 1:
        return mine
    all_of_them = fabric.all_reduce(mine.to(fabric.device), reduce_op=how)
    assert isinstance(all_of_them, Tensor)
    return all_of_them.cpu()


def score(means: list[float]) -> tuple[float, float, float]:
    """Loss, PSNR in dB and accuracy, from means of loss, squared error and accuracy."""
    loss, squared, accuracy = means
    return loss, -10 * log10(max(squared, 1e-12)), accuracy


def best(history: list[Epoch]) -> Epoch:
    """The first of the epochs with the lowest validation loss."""
    return min(history, key=lambda row: row.val_loss)


def stale(history: list[Epoch], patience: int) -> bool:
    """Whether the best epoch lies `patience` epochs back."""
    return bool(history and patience) and history[-1].epoch - best(history).epoch >= patience
