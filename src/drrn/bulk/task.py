"""A part by its number, in this process: what a worker of a run, or a task of any cluster, calls."""

import json
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np

from drrn.bulk.part import engine_kind, enlarge_part, load_weights
from drrn.bulk.plan import FOLDER, Recipe, find_part, load_outline
from drrn.bulk.storage import Store, open_store
from drrn.core.color import levels
from drrn.engines import EngineName, Precision
from drrn.errors import UsageError
from drrn.media.image import Image
from drrn.upscaling.upscaler import Upscaler

ENGINE = f"{FOLDER}/engine.json"
"""The engine of the machine that began, and a digest of its results."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What of a machine is used: none of it decides the results, but for the last digits."""

    device: str = "auto"
    engine: EngineName = "auto"
    threads: int = 0
    """Of each process, 0 for all cores."""
    precision: Precision = "float32"
    compiled: bool = False
    max_memory: int = 2048
    """MB for each process."""
    same_bytes: bool = False
    """Refuse to run if the results have other bytes than those of the machine that began."""


@dataclass(frozen=True)
class Outcome:
    """How a part ended."""

    part: int
    failed: int
    """Files without a result."""


@dataclass(frozen=True)
class Session:
    """A plan with the upscaler that runs its parts."""

    recipe: Recipe
    source: Store
    target: Store
    upscaler: Upscaler

    def run(self, number: int, *, retry: bool = False) -> Outcome:
        """Raises StorageError: as `run_part`."""
        part = find_part(self.target, number)
        rows = enlarge_part(self.recipe, part, self.source, self.target, self.upscaler, retry=retry)
        return Outcome(number, sum(bool(row.error) for row in rows))


def run_part(url: str, number: int, *, machine: Machine = Machine(), retry: bool = False) -> Outcome:
    """Run one part of a plan in this process, unless it is done. The weights are loaded by the first call alone.

    Args:
        url: folder or bucket of the plan, as all machines know it.
        number: of the part, from 0.
        retry: in a part that is done, try the failed files again.

    Raises:
        StorageError: there is no such plan or part, or a store fails; the part is not done then.
        DRRNError: the engine can't run here.
    """
    return open_session(url, machine).run(number, retry=retry)


@lru_cache(maxsize=1)
def open_session(url: str, machine: Machine) -> Session:
    """Read a plan, and load its weights.

    Raises:
        DRRNError: the plan or its weights can't be read, or the engine can't run here.
    """
    target = open_store(url)
    recipe = load_outline(target).recipe
    return Session(recipe, open_store(recipe.source), target, make_upscaler(target, recipe, machine))


def make_upscaler(target: Store, recipe: Recipe, machine: Machine) -> Upscaler:
    """The upscaler of the plan on this machine. The first machine leaves a digest of what it makes.

    Raises:
        StorageError: the weights can't be read.
        EngineError: the engine can't run here.
        UsageError: the same bytes are asked for, and this machine makes others.
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
            f"{here['engine']}, the engine here, rounds otherwise than {known['engine']}, which began. Use that, or "
            "leave out --same-bytes."
        )
    return upscaler
