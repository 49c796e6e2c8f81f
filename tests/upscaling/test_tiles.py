"""Tiles match the whole image, or there is no image."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drrn.core.config import DRRNConfig
from drrn.engines import EngineName
from drrn.engines.engine import OutOfMemoryError, Planes
from drrn.engines.pytorch import TorchEngine
from drrn.engines.selection import choose
from drrn.errors import EngineError
from drrn.upscaling.tiles import largest_tile, pieces, run_tiled
from tests.small_weights import small_weights


class Stub:
    """An engine with a given behavior."""

    name = "stub"

    def __init__(self, run: Callable[[Planes], Planes], *, streams: bool = False, bytes_per_pixel: int = 100):
        self.do, self.streams, self.bytes_per_pixel = run, streams, bytes_per_pixel

    def memory(self, height: int, width: int) -> int:
        return self.bytes_per_pixel * width * (1 if self.streams else height)

    def run(self, ilr: Planes, done: Callable[[int], None] = lambda rows: None) -> Planes:
        sr = self.do(ilr)
        for _ in range(ilr.shape[1]):
            done(1)
        return sr


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 70), st.integers(1, 70))
def test_pieces_cover_each_pixel_once(height: int, width: int, down: int, across: int) -> None:
    visits = np.zeros((height, width), int)
    for place in pieces(slice(0, height), slice(0, width), (down, across)):
        assert visits[place].shape[0] <= down and visits[place].shape[1] <= across
        visits[place] += 1
    assert (visits == 1).all()


CONFIGS = [
    {"units": 2},
    {"units": 1, "blocks": 2, "skip": "chain"},
    {"units": 3, "unshuffle": 2},
    {"units": 1, "unshuffle": 4, "batch_norm": True},
    {"units": 1, "unshuffle": 3, "bias": False, "flat": True},
    {"units": 2, "channels": 3, "unshuffle": 2, "global_residual": False},
]


@pytest.mark.parametrize("fields", CONFIGS, ids=str)
@settings(max_examples=10)
@given(st.integers(1, 97), st.integers(1, 97), st.integers(1, 5), st.integers(0, 2**31))
def test_tiled_equals_whole(
    engine: EngineName, fields: dict[str, Any], height: int, width: int, parts: int, seed: int
) -> None:
    weights = small_weights(**fields)
    runner = choose(weights, engine=engine, threads=1)
    config = weights.config
    ilr = np.random.default_rng(seed).random((config.channels, height, width), np.float32)
    whole = runner.run(ilr)
    side = -(-max(height, width) // (parts * config.unshuffle)) * config.unshuffle
    done: list[int] = []
    sides = (height if runner.streams else side, side)
    tiled = run_tiled(runner, ilr, config=config, sides=sides, done=done.append)
    assert sum(done) == height * width
    assert np.abs(tiled - whole).max() <= 1e-5
    assert height * width == 1 or np.abs(whole - ilr).max() > 1e-3  # the network does something


def test_a_halo_one_cell_short_shows_seams() -> None:
    """The property above would also hold if the network did not use its whole halo."""
    weights = small_weights(gain=1.0)
    engine = TorchEngine(weights, device="cpu")
    ilr = np.random.default_rng(0).random((1, 64, 64), np.float32)
    shorter = DRRNConfig(units=weights.config.units, width=8, skip="none")
    object.__setattr__(shorter, "units", 1)  # one unit less: its halo lacks two pixels
    seams = run_tiled(engine, ilr, config=shorter, sides=(16, 16))
    assert np.abs(seams - engine.run(ilr)).max() > 1e-5


def test_a_tile_that_runs_out_of_memory_is_halved_with_the_same_result() -> None:
    weights = small_weights(unshuffle=2)
    engine = TorchEngine(weights, device="cpu")
    ilr = np.random.default_rng(1).random((1, 90, 70), np.float32)
    for fails_at in range(6):
        calls = 0

        def run(piece: Planes, fails_at: int = fails_at) -> Planes:
            nonlocal calls
            calls += 1
            if calls == fails_at + 1 or piece.shape[1] * piece.shape[2] > 80 * 80:
                raise OutOfMemoryError("no memory")
            return engine.run(piece)

        done: list[int] = []
        tiled = run_tiled(Stub(run), ilr, config=weights.config, sides=(64, 64), done=done.append)
        assert np.abs(tiled - engine.run(ilr)).max() <= 1e-5
        assert sum(done) == 90 * 70


def test_no_memory_for_the_smallest_tile_is_an_error() -> None:
    def run(piece: Planes) -> Planes:
        raise OutOfMemoryError("no memory")

    with pytest.raises(EngineError, match="Not enough memory even for a tile of 2 pixels"):
        run_tiled(Stub(run), np.zeros((1, 40, 40), np.float32), config=DRRNConfig(unshuffle=2), sides=(16, 16))


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_non_finite_value_is_an_error_and_gives_no_image(poison: float) -> None:
    calls = 0

    def run(piece: Planes) -> Planes:
        nonlocal calls
        calls += 1
        sr = piece.copy()
        if calls == 3:
            sr[0, sr.shape[1] // 2, sr.shape[2] // 2] = poison
        return sr

    with pytest.raises(EngineError, match="not finite"):
        run_tiled(Stub(run), np.zeros((1, 60, 60), np.float32), config=DRRNConfig(units=0), sides=(20, 20))


def test_a_strip_that_runs_out_of_memory_is_halved_with_the_same_result() -> None:
    weights = small_weights(unshuffle=2)
    engine = TorchEngine(weights, device="cpu")
    ilr = np.random.default_rng(1).random((1, 90, 70), np.float32)
    shapes: list[tuple[int, ...]] = []

    def run(piece: Planes) -> Planes:
        shapes.append(piece.shape)
        if piece.shape[2] > 40 + 2 * weights.config.halo:
            raise OutOfMemoryError("no memory")
        return engine.run(piece)

    tiled = run_tiled(Stub(run, streams=True), ilr, config=weights.config, sides=(90, 70))
    assert np.abs(tiled - engine.run(ilr)).max() <= 1e-5
    assert len(shapes) > 2 and {shape[1] for shape in shapes} == {90}  # strips, of full height


@given(st.integers(10**6, 10**10), st.sampled_from([1, 2, 4]), st.integers(1, 25), st.booleans(), st.integers(1, 20000))
def test_the_largest_tile_fits_and_the_next_does_not(
    memory: int, unshuffle: int, units: int, streams: bool, side: int
) -> None:
    config = DRRNConfig.from_dict({**DRRNConfig().to_dict(), "unshuffle": unshuffle, "units": units})
    engine = Stub(lambda x: x, streams=streams, bytes_per_pixel=600)
    halo = 2 * config.halo
    if engine.memory(side, side) <= memory:
        assert largest_tile(engine, config, memory, side, side) == (side, side)
        return
    if engine.memory(unshuffle + halo, unshuffle + halo) > memory:
        with pytest.raises(EngineError, match="too little for a tile"):
            largest_tile(engine, config, memory, side, side)
        return
    down, across = largest_tile(engine, config, memory, side, side)
    assert down == (side if streams else across) and across % unshuffle == 0
    assert engine.memory(across + halo, across + halo) <= memory
    larger = across + unshuffle
    assert engine.memory(larger + halo, larger + halo) > memory or larger >= side


def test_a_tile_that_splits_a_cell_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`sides` must be multiples of 4, got \(4, 6\)"):
        run_tiled(Stub(lambda x: x), np.zeros((1, 8, 8), np.float32), config=DRRNConfig(unshuffle=4), sides=(4, 6))
