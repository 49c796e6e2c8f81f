"""Several processes training one network: averages over them, their common end, and what torchrun tells them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import Tensor

from drrn.errors import TrainingError


def world_from_torchrun() -> tuple[int, int]:
    """Processes per machine and number of machines; (1, 1) without torchrun.

    Raises:
        TrainingError: the machines run different numbers of processes.
    """
    launched = "TORCHELASTIC_RUN_ID" in os.environ  # schedulers set WORLD_SIZE for other purposes
    per_machine, total = (int(os.environ[name]) if launched else 1 for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    if total % per_machine:
        raise TrainingError(
            f"{total} processes can't be split evenly over machines. Use the same --nproc-per-node on each."
        )
    return per_machine, total // per_machine


def all_reduce_mean(fabric: Fabric, values: list[Tensor | float]) -> Tensor:
    """The means over all processes: (len(values),), double precision, the same in each process."""
    return all_reduce(fabric, torch.tensor([float(value) for value in values], dtype=torch.float64), "mean")


def all_reduce(fabric: Fabric, values: Tensor, operation: str) -> Tensor:
    if fabric.world_size == 1:
        return values
    reduced = fabric.all_reduce(values.to(fabric.device), reduce_op=operation)
    assert isinstance(reduced, Tensor)
    return reduced.cpu()


def shutdown(fabric: Fabric) -> None:
    """Leave the process group together: a process that left early would take down the first one, which writes last."""
    if fabric.world_size > 1:
        fabric.barrier()
        torch.distributed.destroy_process_group()


@contextmanager
def translate_peer_errors() -> Iterator[None]:
    """Turn torch's errors about a lost peer process into one sentence.

    Raises:
        TrainingError: another process of this training is gone.
    """
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
            raise
        raise TrainingError(
            "Another process of this training ended or can't be reached. Start all of them again to resume."
        ) from error
