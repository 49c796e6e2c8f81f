"""The torch engine computes the same network with every setting."""

import re
from functools import partial

import numpy as np
import pytest

from drrn.core.metrics import psnr
from drrn.engines import Precision
from drrn.engines.pytorch import TorchEngine, build
from drrn.errors import EngineError
from drrn.weights.store import Weights
from tests.small_weights import small_weights

COMPILING = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
"""Warnings that torch's compiler raises when it is imported."""

ILR = np.random.default_rng(0).random((1, 24, 30), np.float32)


@pytest.fixture
def weights() -> Weights:
    return small_weights(unshuffle=2, batch_norm=True)


def test_the_memory_layout_does_not_change_the_result(weights: Weights) -> None:
    last, first = (TorchEngine(weights, device="cpu", channels_last=on).run(ILR) for on in (True, False))
    assert np.abs(last - first).max() <= 1e-5
    assert np.abs(last - ILR).max() > 1e-2  # the network does something


@pytest.mark.parametrize("global_residual", [True, False])
def test_the_torch_engine_matches_the_network(global_residual: bool) -> None:
    import torch

    weights = small_weights(global_residual=global_residual)
    with torch.inference_mode():
        expected = build(weights)(torch.from_numpy(ILR)[None])[0].numpy()
    assert np.abs(TorchEngine(weights, device="cpu").run(ILR) - expected).max() <= 1e-6


@pytest.mark.parametrize(("precision", "least"), [("bfloat16", 40), ("float16", 58)])
def test_16_bit_arithmetic_is_close_and_returns_float32(weights: Weights, precision: Precision, least: float) -> None:
    exact = TorchEngine(weights, device="cpu").run(ILR)
    rounded = TorchEngine(weights, device="cpu", precision=precision).run(ILR)
    assert rounded.dtype == np.float32 and rounded.shape == ILR.shape
    assert least < psnr(rounded, exact, peak=1) < 100


def test_16_bit_arithmetic_does_not_round_ilr() -> None:
    """A network that adds nothing returns ilr exactly; bfloat16 would leave only 256 levels below 1."""
    nothing = small_weights(gain=0.0, bias=False)
    assert (TorchEngine(nothing, device="cpu", precision="bfloat16").run(ILR) == ILR).all()


@pytest.mark.slow
@COMPILING
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.full)])
def test_a_compiled_network_computes_the_same_at_every_size(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's compiler, and with tracing alone, which needs no C++ compiler and less time."""
    import torch

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    weights = small_weights(units=1, width=4)
    plain, compiled = (TorchEngine(weights, device="cpu", compiled=on) for on in (False, True))
    for ilr in (ILR, ILR[:, :17, :9]):
        assert np.abs(compiled.run(ilr) - plain.run(ilr)).max() <= 1e-5


@pytest.mark.slow
@COMPILING
def test_a_failed_compilation_is_reported_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from torch._inductor.exc import InvalidCxxCompiler

    def fail(*_: object) -> None:
        raise InvalidCxxCompiler

    engine = TorchEngine(small_weights(), device="cpu")
    monkeypatch.setattr(engine, "detail", torch.compile(engine.detail, backend=fail))
    with pytest.raises(EngineError, match=r"^torch can't compile the network here \(.*\)\. Leave out --compile\.$"):
        engine.run(ILR)


@pytest.mark.slow
@COMPILING
@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "torch (cpu)"),
        ({"precision": "bfloat16", "compiled": True}, "torch (cpu, bfloat16, compiled)"),
        ({"channels_last": False}, "torch (cpu)"),
    ],
)
def test_the_engine_name_describes_its_settings(options: dict[str, object], name: str) -> None:
    assert TorchEngine(small_weights(), device="cpu", **options).name == name  # type: ignore[arg-type]


def test_fewer_units_match_the_network_with_fewer_units(weights: Weights) -> None:
    few, all_of_them = (TorchEngine(weights, device="cpu", units=units).run(ILR) for units in (1, None))
    assert np.abs(few - all_of_them).max() > 1e-4


def test_progress_reports_the_end(weights: Weights) -> None:
    reported: list[int] = []
    TorchEngine(weights, device="cpu").run(ILR, reported.append)
    assert reported == [24]


def test_estimated_memory_grows_with_the_pixels(weights: Weights) -> None:
    engine = TorchEngine(weights, device="cpu")
    assert not engine.streams
    assert engine.memory(200, 300) == 2 * engine.memory(100, 300) > 4 * 200 * 300 * weights.config.width // 4


def test_an_unknown_device_is_reported_in_one_sentence() -> None:
    with pytest.raises(EngineError, match=re.escape("There is no device 'warp' here. Give auto or cpu.")):
        TorchEngine(small_weights(), device="warp")
