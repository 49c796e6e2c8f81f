"""The streaming engines, native and NumPy, match the network for every config, size, thread count and band."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import drrn.engines
from drrn.core.config import DRRNConfig
from drrn.engines import EngineName
from drrn.engines import engine as room
from drrn.engines.engine import Engine, Planes, StreamingEngine
from drrn.engines.layers import layers
from drrn.engines.native import NativeEngine, kernels_here
from drrn.engines.pytorch import build
from drrn.engines.reference import ReferenceEngine, transform
from drrn.engines.selection import choose
from drrn.errors import EngineError
from drrn.network.importing import import_pth
from drrn.weights.store import Weights, load
from tests.small_weights import small_weights

ENGINES = ["reference", *kernels_here()]

CONFIGS: list[dict[str, Any]] = [
    {"units": 0},
    {"units": 3},
    {"units": 2, "blocks": 3},
    {"units": 3, "blocks": 2, "skip": "chain"},
    {"units": 2, "blocks": 2, "skip": "rectified", "bias": False},
    {"units": 2, "skip": "none"},
    {"units": 2, "batch_norm": True, "blocks": 2},
    {"units": 3, "share": False},
    {"units": 1, "global_residual": False},
    {"units": 1, "channels": 3, "unshuffle": 2},
    {"units": 1, "channels": 3, "unshuffle": 4, "width": 16},
    {"units": 1, "width": 20},
    {"units": 1, "width": 72},
    {"units": 2, "unshuffle": 3, "blocks": 2},
    {"units": 2, "bias": False, "flat": True},
    {"units": 1, "bias": False, "flat": True, "unshuffle": 2, "channels": 3, "blocks": 2},
    {"units": 1, "bias": False, "flat": True, "unshuffle": 4, "width": 20},
]


def engine_of(name: str, weights: Weights, threads: int = 1) -> StreamingEngine:
    if name == "reference":
        return ReferenceEngine(weights)
    return NativeEngine(weights, threads=threads, kernels=name)


def exactly(weights: Weights, ilr: Planes) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The result of torch in float64."""
    with torch.no_grad():
        sr: np.ndarray[Any, np.dtype[np.float64]] = (
            build(weights).double()(torch.from_numpy(ilr)[None].double())[0].numpy()
        )
    return sr


def assert_close(sr: Planes, expected: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """PSNR must be at least 100 dB, and every pixel within 1e-4."""
    off = sr - expected
    place = np.unravel_index(np.abs(off).argmax(), off.shape)
    assert np.abs(off).max() <= 1e-4, f"off by {off[place]:.2e} at {place} of {off.shape}"
    assert (off**2).mean() <= 1e-10


def noise(config: DRRNConfig, height: int, width: int, seed: int = 0) -> Planes:
    return np.random.default_rng(seed).random((config.channels, height, width), np.float32)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("fields", CONFIGS, ids=str)
@settings(max_examples=6)
@given(st.integers(1, 80), st.integers(1, 80), st.integers(0, 2**31))
def test_a_streamed_image_matches_the_network(
    name: str, fields: dict[str, Any], height: int, width: int, seed: int
) -> None:
    weights = small_weights(seed, **fields)
    ilr = noise(weights.config, height, width, seed)
    assert_close(engine_of(name, weights).run(ilr), exactly(weights, ilr))


@pytest.mark.parametrize("kernels", kernels_here())
@pytest.mark.parametrize(
    "fields",
    [
        {"units": 2, "blocks": 2},
        pytest.param({"units": 3, "skip": "chain"}, marks=pytest.mark.slow),
        {"units": 1, "unshuffle": 2, "flat": True, "bias": False},
    ],
    ids=str,
)
def test_wide_images_are_enlarged_in_pieces_without_seams(kernels: str, fields: dict[str, Any]) -> None:
    """With more threads, the pieces are wider."""
    weights = small_weights(width=20, gain=0.2, **fields)
    ilr = np.random.default_rng(0).random((1, 14, 3001), np.float32)
    sr = engine_of(kernels, weights).run(ilr)
    assert_close(sr, exactly(weights, ilr))
    assert np.array_equal(engine_of(kernels, weights, threads=3).run(ilr), sr)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("height", "width"), [(1, 2000), (2000, 1), (2, 1999), (997, 3), (211, 223)])
def test_long_and_prime_sides_match_the_network(name: str, height: int, width: int) -> None:
    weights = small_weights(units=3, unshuffle=2)
    ilr = noise(weights.config, height, width)
    assert_close(engine_of(name, weights).run(ilr), exactly(weights, ilr))


@pytest.mark.full
@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=150)
@given(st.data())
def test_many_random_configs_and_sizes_match_the_network(name: str, data: st.DataObject) -> None:
    pick = data.draw
    fields: dict[str, Any] = {
        "blocks": pick(st.integers(1, 4)),
        "units": pick(st.integers(0, 12)),
        "width": pick(st.sampled_from([8, 16, 24, 32, 40, 64])),
        "skip": pick(st.sampled_from(["source", "chain", "none", "rectified"])),
        "global_residual": pick(st.booleans()),
        "batch_norm": pick(st.booleans()),
        "bias": pick(st.booleans()),
        "share": pick(st.booleans()),
        "channels": pick(st.sampled_from([1, 3])),
        "unshuffle": pick(st.sampled_from([1, 2, 3, 4])),
    }
    if pick(st.booleans()):
        fields |= {"flat": True, "bias": False, "batch_norm": False, "global_residual": True}
    weights = small_weights(pick(st.integers(0, 2**31)), **fields)
    ilr = noise(weights.config, pick(st.integers(1, 400)), pick(st.integers(1, 400)))
    assert_close(engine_of(name, weights, pick(st.integers(1, 4))).run(ilr), exactly(weights, ilr))


@pytest.mark.parametrize("name", ENGINES)
def test_the_packaged_weights_match_the_network(name: str) -> None:
    weights = load("small")
    ilr = np.kron(noise(weights.config, 12, 15), np.ones((1, 8, 8), np.float32))  # edges ring most
    assert_close(engine_of(name, weights).run(ilr), exactly(weights, ilr))


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_fifty_two_layers_match_the_network(name: str) -> None:
    weights = small_weights(units=25, width=32, skip="rectified", gain=0.7)
    ilr = np.kron(noise(weights.config, 5, 6), np.ones((1, 8, 8), np.float32))
    assert_close(engine_of(name, weights).run(ilr), exactly(weights, ilr))


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_fifty_two_trained_layers_match_the_network(name: str, data: Path) -> None:
    """The deepest network, in which rounding errors grow most: another project's B1U25 of width 128."""
    weights = import_pth(data.parent / "weights/drrn_B1U25_noBN_muneebaadil.pt", units=25, skip="rectified")
    ilr = np.kron(noise(weights.config, 3, 3), np.ones((1, 8, 8), np.float32))
    assert_close(engine_of(name, weights).run(ilr), exactly(weights, ilr))


@pytest.mark.parametrize("kernels", kernels_here())
@pytest.mark.parametrize("fields", [{}, {"width": 72, "units": 1}, {"unshuffle": 2, "channels": 3}], ids=str)
def test_any_number_of_threads_gives_the_same_bytes(kernels: str, fields: dict[str, Any]) -> None:
    weights = small_weights(**fields)
    ilr = noise(weights.config, 121, 143)
    alone = NativeEngine(weights, threads=1, kernels=kernels).run(ilr)
    for threads in (2, 3, 7):
        assert (NativeEngine(weights, threads=threads, kernels=kernels).run(ilr) == alone).all()


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=12)
@given(st.lists(st.integers(0, 70), max_size=5), st.integers(1, 4), st.booleans())
def test_bands_of_any_height_give_the_same_image(name: str, heights: list[int], unshuffle: int, flat: bool) -> None:
    weights = small_weights(unshuffle=unshuffle, flat=flat, bias=not flat)
    ilr = noise(weights.config, sum(heights), 37)
    engine = engine_of(name, weights)

    def bands() -> Iterator[Planes]:
        top = 0
        for height in heights:
            yield ilr[:, top : top + height]
            top += height

    streamed = np.concatenate([ilr[:, :0], *engine.stream(bands())], axis=1)
    assert streamed.shape == ilr.shape
    assert (streamed == engine.run(ilr)).all()


FLAT: list[dict[str, Any]] = [
    {"units": 3},
    {"units": 2, "blocks": 2, "unshuffle": 2, "skip": "chain"},
    {"units": 2, "unshuffle": 3, "channels": 3, "skip": "rectified"},
    {"units": 1, "unshuffle": 4, "skip": "none"},
]


@pytest.mark.parametrize("name", [*ENGINES, "torch", "onnx"])
@pytest.mark.parametrize("fields", FLAT, ids=str)
def test_a_constant_image_stays_exactly_constant(name: str, fields: dict[str, Any]) -> None:
    """With 16 bits, a different constant per color, sides that are not whole cells, and every number of units."""
    config = DRRNConfig(width=16, bias=False, flat=True, **fields)
    weights = small_weights(gain=1.0, trained_units=(0, config.units), **config.to_dict())
    for units in range(config.units + 1):
        engine = any_engine(name, weights, units)
        for level in (0, 1, 1000, 65534, 65535):
            levels = (level * np.arange(1, config.channels + 1) // config.channels).astype(np.float32)
            ilr = np.repeat(levels / np.float32(65535), 37 * 43).reshape(config.channels, 37, 43)
            assert (np.rint(engine.run(ilr) * 65535) == levels[:, None, None]).all()


@pytest.mark.parametrize("name", [*ENGINES, "torch", "onnx"])
def test_a_plateau_stays_flat_beyond_the_reach_of_its_surroundings(name: str) -> None:
    config = DRRNConfig(units=1, width=16, bias=False, flat=True, unshuffle=2)
    weights = small_weights(gain=1.0, **config.to_dict())
    ilr = noise(config, 60, 70)
    ilr[:, :, 20:] = 0.9
    off = np.abs(any_engine(name, weights).run(ilr) - ilr)
    assert off[:, :, 20 + config.halo :].max() < 1e-6
    assert off[:, :, :20].max() > 1e-2  # the network does something elsewhere


def any_engine(name: str, weights: Weights, units: int | None = None) -> Engine:
    if name in ("torch", "onnx"):
        return choose(weights, engine=name, device="cpu", units=units, threads=1)  # type: ignore[arg-type]
    if name == "reference":
        return ReferenceEngine(weights, units=units)
    return NativeEngine(weights, units=units, threads=1, kernels=name)


@pytest.mark.parametrize("name", ENGINES)
def test_rows_are_returned_before_all_rows_are_given(name: str) -> None:
    weights = small_weights()
    received: list[int] = []

    def bands() -> Iterator[Planes]:
        for _ in range(20):
            received.append(16)
            yield np.zeros((1, 16, 40), np.float32)

    rows = 0
    for band in engine_of(name, weights).stream(bands()):
        rows += band.shape[1]
        assert sum(received) - rows <= 16 + 32 + weights.config.halo  # a band given, one at work, and the layers' lag
    assert rows == 320


@pytest.mark.parametrize("threads", [1, 3])
def test_memory_never_falls_with_the_width(threads: int) -> None:
    """Bisection finds the largest tile that fits, and relies on this."""
    engine = NativeEngine(small_weights(width=20, unshuffle=2), threads=threads)
    needed = [engine.memory(50, width) for width in range(1, 3000)]
    assert needed == sorted(needed)


def test_memory_grows_with_the_width_and_not_with_the_height() -> None:
    for name in ENGINES:
        engine = engine_of(name, small_weights())
        assert engine.memory(10**6, 500) == engine.memory(100, 500)
        assert 1.5 < engine.memory(100, 40000) / engine.memory(100, 20000) < 2.5


@pytest.mark.parametrize("name", ["reference", "native"])
def test_progress_counts_rows(name: EngineName) -> None:
    reported: list[int] = []
    choose(small_weights(), engine=name).run(np.zeros((1, 300, 20), np.float32), reported.append)
    assert sum(reported) == 300 and len(reported) > 3


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_nan_stays_nan(name: str, poison: float) -> None:
    """A ReLU that turned NaN into 0 would hide it, and a wrong image would be written."""
    weights = small_weights()
    ilr = noise(weights.config, 40, 40)
    ilr[0, 20, 20] = poison
    assert not np.isfinite(engine_of(name, weights).run(ilr)[0, 20, 20])


class StoppedError(Exception):
    """Raised by the signal handler of the test."""


def test_a_signal_ends_a_band_at_its_next_layer() -> None:
    """Python handles signals between layers. This one arrives in the first band, which takes seconds."""
    signals, rows = 0, list[int]()

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal signals
        signals += 1
        if signals == 3:
            raise StoppedError

    weights = small_weights(units=20, width=64)
    engine = NativeEngine(weights, threads=1)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with pytest.raises(StoppedError):
            engine.run(np.zeros((1, 200, 6000), np.float32), rows.append)
        assert not rows
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    ilr = noise(weights.config, 20, 20)
    assert_close(engine.run(ilr), exactly(weights, ilr))  # and it goes on


def test_the_fastest_kernels_of_the_cpu_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRRN_KERNELS", raising=False)
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    expected = "avx512" if " avx512f" in flags else "avx2" if " avx2" in flags else kernels_here()[-1]
    assert NativeEngine(small_weights(), threads=2).name == f"native ({expected}, 2 threads)"


@pytest.mark.parametrize("name", kernels_here())
def test_a_process_can_be_limited_to_slower_kernels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    every = kernels_here()
    monkeypatch.setenv("DRRN_KERNELS", name)
    assert kernels_here() == every[every.index(name) :]
    assert choose(small_weights(), engine="native", threads=1).name == f"native ({name}, 1 thread)"


def test_kernels_that_the_cpu_lacks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRRN_KERNELS", "mmx")
    with pytest.raises(EngineError, match=r"^DRRN_KERNELS is 'mmx', but this CPU runs .*\. Set one of these\.$"):
        choose(small_weights(), engine="native")


def test_misuse_is_a_value_error() -> None:
    engine = NativeEngine(small_weights(), threads=1)
    with pytest.raises(ValueError, match="no such kernels"):
        NativeEngine(small_weights(), kernels="mmx")
    with pytest.raises(ValueError, match="rows of another picture"):
        list(engine.stream(iter([np.zeros((1, 8, 8), np.float32), np.zeros((1, 8, 9), np.float32)])))
    with pytest.raises(ValueError, match="rows of another picture"):
        engine.run(np.zeros((3, 8, 8), np.float32))


@pytest.mark.slow
def test_an_image_too_wide_for_the_memory_is_reported() -> None:
    def bands() -> Iterator[Planes]:
        yield np.broadcast_to(np.float32(0), (1, 0, 2**30))

    with pytest.raises(room.OutOfMemoryError, match="Not enough memory for an image of this width"):
        list(NativeEngine(small_weights(width=1024, units=100, share=True), threads=1).stream(bands()))


def test_units_share_their_transformed_kernel() -> None:
    shared = NativeEngine(small_weights(units=9), threads=1)
    plan = layers(small_weights(units=9))
    assert len({id(layer.kernel) for layer in plan}) == 4
    assert len({id(kernel) for kernel in ReferenceEngine(small_weights(units=9)).kernels}) == 4
    assert shared.network.memory(100) > 0


def test_the_winograd_transform_of_a_delta_is_its_matrix() -> None:
    """F(4, 3) of a kernel that copies a pixel copies it, so the constants of G and A fit together."""
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, 1, 1] = 1
    assert transform(kernel).shape == (36, 1, 1)
    weights = small_weights(units=0, width=8, bias=False)
    assert_close(
        ReferenceEngine(weights).run(noise(weights.config, 9, 9)), exactly(weights, noise(weights.config, 9, 9))
    )


def test_without_the_native_engine_the_reference_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "drrn.engines._native", None)
    monkeypatch.delattr(drrn.engines, "_native")
    monkeypatch.delitem(sys.modules, "drrn.engines.native")
    monkeypatch.setattr("drrn.engines.selection.is_compiled", lambda: False)
    assert choose(small_weights()).name == "reference (NumPy)"
    with pytest.raises(EngineError, match=r"The native engine was not compiled here\. Use --engine reference"):
        choose(small_weights(), engine="native")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "native", "device": "cuda"}, "The native engine computes in float32 on the CPU. --device needs"),
        ({"precision": "float16"}, "--precision needs --engine torch"),
        ({"engine": "reference", "compiled": True}, "--compile needs --engine torch"),
    ],
)
def test_torch_options_are_refused_by_other_engines(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        choose(small_weights(), **options)
