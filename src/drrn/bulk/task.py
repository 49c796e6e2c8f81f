"""Run a part, given its number, in this process. Called by worker processes and by the tasks of any cluster."""

import json
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np

from drrn.bulk.part import engine_kind, enlarge_part, load_weights
from drrn.bulk.plan import FOLDER, find_part, load_outline
from drrn.bulk.recipe import Recipe
from drrn.bulk.storage import Store, open_store
from drrn.core.color import levels
from drrn.engines import EngineName, Precision
from drrn.errors import UsageError
from drrn.media.image import Image
from drrn.upscaling.upscaler import Upscaler

ENGINE = f"{FOLDER}/engine.json"
"""File with the engine of the first machine that ran a part, and a digest of what it computes."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """How a machine runs parts. This changes the results in their last digits at most."""

    device: str = "auto"
    engine: EngineName = "auto"
    threads: int = 0
    """CPU threads of each process, 0 for all cores."""
    precision: Precision = "float32"
    compiled: bool = False
    max_memory: int = 2048
    """MB of memory for each process."""
    same_bytes: bool = False
    """Refuse to run if this machine computes other bytes than the first one did."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of running a part."""

    part: int
    """Number of the part."""
    failed: int
    """Files without a result."""


@dataclass(frozen=True)
class Session:
    """A plan that is open, with the upscaler that runs its parts."""

    recipe: Recipe
    source: Store
    target: Store
    upscaler: Upscaler

    def run(self, number: int, *, retry: bool = False) -> Outcome:
        """Run a part. See `run_part`."""
        part = find_part(self.target, number)
        rows = enlarge_part(self.recipe, part, self.source, self.target, self.upscaler, retry=retry)
        return Outcome(number, sum(bool(row.error) for row in rows))


def run_part(url: str, number: int, *, machine: Machine = Machine(), retry: bool = False) -> Outcome:
    """Run one part of a plan in this process, unless it is done. Only the first call loads the weights.

    Args:
        url: folder or bucket of the plan, as all machines know it.
        number: number of the part, counted from 0.
        machine: how this machine runs it.
        retry: if the part is done, try its failed files again.

    Raises:
        StorageError: there is no such plan or part, or a store fails, and the part stays undone.
        DRRNError: the engine can't run here.
    """
    return open_session(url, machine).run(number, retry=retry)


@lru_cache(maxsize=1)
def open_session(url: str, machine: Machine) -> Session:
    """Open a plan: read its recipe and load its weights. The last session is kept for the next call.

    Raises:
        DRRNError: the plan or its weights can't be read, or the engine can't run here.
    """
    target = open_store(url)
    recipe = load_outline(target).recipe
    return Session(recipe, open_store(recipe.source), target, make_upscaler(target, recipe, machine))


def make_upscaler(target: Store, recipe: Recipe, machine: Machine) -> Upscaler:
    """Make the upscaler of a plan on this machine, and compare what it computes with the first machine.

    The first machine stores a digest of its result for a fixed image as `ENGINE`.

    Raises:
        StorageError: the weights can't be read.
        EngineError: the engine can't run here.
        UsageError: `machine.same_bytes` is on, and this machine computes other bytes than the first one.
    """
    upscaler = Upscaler(
        load_weights(target, recipe),
        engine=machine.engine,
        device=machine.device,
        units=recipe.units,
        threads=machine.threads,
        precision=machine.precision,
        compiled=machine.compiled,
        max_memory=machine.max_memory << 20,
        ensemble=recipe.ensemble,
    )
    noise = Image(pixels=np.random.default_rng(0).random((40, 48, 3), np.float32))
    result = levels(upscaler.upscale(noise, 2).pixels, 65535).astype(np.uint16)
    here = {"engine": engine_kind(upscaler), "sha256": sha256(result.tobytes()).hexdigest()}
    first = target.read(ENGINE)
    if first is None:
        target.write(ENGINE, json.dumps(here).encode())
    elif machine.same_bytes and (known := json.loads(first))["sha256"] != here["sha256"]:
        raise UsageError(
            f"{here['engine']}, the engine here, rounds differently from {known['engine']}, that of the first machine. "
            "Use that one, or leave out --same-bytes."
        )
    return upscaler
