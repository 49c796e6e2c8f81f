"""Training by the native engine: its convolutions and gradients are those of PyTorch."""

import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drrn.core.config import DRRNConfig
from drrn.errors import TrainingError
from drrn.network.model import DRRN
from drrn.training import convolutions
from drrn.training.config import Source
from drrn.training.convolutions import use_native
from drrn.training.machine import choose_precision, fastest_precision, remember_precision
from drrn.training.session import Training
from tests.conftest import KERNELS
from tests.training.small_training import QUICK, SMALL, make_images, read_outputs, train

if not KERNELS:
    pytest.skip("drrn was installed without its native engine", allow_module_level=True)

WIDE = replace(SMALL, width=16, unshuffle=2)

# images, height, width, channels in and out: one tile; sides that are not whole tiles; narrower than a tile; several
# bands an image; more than a panel of output channels
SHAPES = [(1, 6, 6, 16, 16), (2, 13, 17, 32, 48), (3, 1, 5, 16, 32), (2, 50, 70, 16, 16), (1, 7, 230, 16, 16),
          (1, 12, 12, 32, 96)]  # fmt: skip


def convolve(shape: tuple[int, ...]) -> tuple[nn.Conv2d, Tensor, Tensor]:
    """A random convolution, an input for it and a gradient for its output."""
    images, height, width, channels_in, channels_out = shape
    torch.manual_seed(sum(shape))
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    x = torch.randn(images, channels_in, height, width, requires_grad=True)
    return conv, x, torch.randn(images, channels_out, height, width)


def gradients(conv: nn.Conv2d, x: Tensor, dy: Tensor) -> list[Tensor]:
    """The output, and the gradients for input, kernel and bias."""
    y = conv(x)
    return [y, *torch.autograd.grad(y, [x, conv.weight, conv.bias] if conv.bias is not None else [x, conv.weight], dy)]


def native(conv: nn.Conv2d) -> nn.Conv2d:
    copied = deepcopy(conv)
    assert use_native(copied) == 1
    return copied


def error(values: Tensor, right: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float(((values - right).abs().max() / right.abs().max()).detach())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format], ids=str)
def test_outputs_and_gradients_match_float64(
    kernels: str, shape: tuple[int, ...], memory_format: torch.memory_format
) -> None:
    conv, x, dy = convolve(shape)
    right = gradients(deepcopy(conv).double(), x.double(), dy.double())
    got = gradients(native(conv), x.to(memory_format=memory_format), dy.to(memory_format=memory_format))
    names = ("output", "input", "kernel", "bias")
    assert {name: error(*pair) < 1e-4 for name, *pair in zip(names, got, right, strict=True)} == dict.fromkeys(
        names, True
    )
    assert [values.shape for values in got] == [values.shape for values in right]


def test_the_number_of_threads_changes_at_most_last_digits_of_the_kernels_gradient(kernels: str) -> None:
    conv, x, dy = convolve((5, 13, 17, 32, 48))
    results = []
    try:
        for threads in (1, 3, 3):
            torch.set_num_threads(threads)
            results.append(gradients(native(conv), x, dy))
    finally:
        torch.set_num_threads(1)
    one, three, again = results
    assert all(torch.equal(a, b) for a, b in zip(three, again, strict=True))
    assert torch.equal(one[0], three[0]) and torch.equal(one[1], three[1])
    assert error(one[2], three[2]) < 1e-5


def test_without_bias_and_where_nothing_is_learned() -> None:
    conv, x, dy = convolve((2, 13, 17, 16, 16))
    conv.bias = None
    for got, right in zip(gradients(native(conv), x, dy), gradients(conv, x, dy), strict=True):
        assert error(got, right) < 1e-4
    frozen = native(conv).requires_grad_(False)
    y = frozen(x)
    (dx,) = torch.autograd.grad(y, [x], dy)
    assert error(dx, F.conv_transpose2d(dy, conv.weight, padding=1)) < 1e-4
    with torch.no_grad():
        assert torch.equal(frozen(x), y)


def test_arrays_that_do_not_fit_are_refused() -> None:
    engine = convolutions._engine()
    x, y, sums = torch.zeros(1, 6, 6, 16), torch.zeros(1, 6, 6, 16), torch.zeros(64 * 16 * 16)
    with pytest.raises(ValueError, match="batches of different shapes"):
        engine.gradients(x, torch.zeros(1, 6, 7, 16), sums)
    with pytest.raises(ValueError, match="sums of other channels"):
        engine.gradients(x, y, sums[:-1])
    with pytest.raises(ValueError, match="do not fill vectors"):
        engine.gradients(torch.zeros(1, 6, 6, 18), y, torch.zeros(64 * 18 * 16))
    with pytest.raises(ValueError, match="a kernel of other channels"):
        engine.run(x, sums, torch.zeros(15), y)
    with pytest.raises(TypeError):
        engine.gradients(x, y, sums.repeat(2)[::2])
    with pytest.raises(ValueError, match="within a cache line"):
        engine.run(x, torch.zeros(64 * 16 * 16 + 1)[1:], torch.zeros(16), y)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_computes_the_same_and_ends() -> None:
    program = """
import os, signal, sys
import torch
from drrn.engines._native import Convolutions
engine, x = Convolutions(3, "baseline"), torch.ones(2, 13, 17, 16)
kernel, bias, y = torch.rand(64 * 16 * 16), torch.zeros(16), torch.zeros(2, 2, 13, 17, 16)
engine.run(x, kernel, bias, y[0])
child = os.fork()
if not child:
    signal.alarm(30)  # instead of waiting forever
    engine.run(x, kernel, bias, y[1])
    del engine
    os._exit(not torch.equal(*y))
sys.exit(os.waitpid(child, 0)[1] != 0)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=120)
    assert not done.returncode, done.stderr


def test_only_convolutions_that_fit_are_replaced() -> None:
    assert use_native(DRRN(DRRNConfig(units=3, width=16))) == 2, "not those of the image"
    assert use_native(DRRN(DRRNConfig(units=3, blocks=2, width=32, share=False))) == 13
    assert use_native(DRRN(DRRNConfig(units=3, width=24))) == 0
    others = [
        nn.Conv2d(16, 16, 1),
        nn.Conv2d(16, 16, 3),
        nn.Conv2d(16, 16, 3, padding=1, stride=2),
        nn.Conv2d(16, 16, 3, padding=1, groups=4),
        nn.Conv2d(16, 16, 3, padding=1, dilation=2),
        nn.Conv2d(16, 16, 3, padding=1, padding_mode="replicate"),
    ]
    assert use_native(nn.Sequential(*others, nn.Conv2d(16, 16, 3, padding=1))) == 1


@pytest.mark.parametrize("skip", ["source", "chain"])
def test_a_network_and_its_copy_learn_what_they_did_before(kernels: str, skip: str) -> None:
    torch.manual_seed(0)
    net = DRRN(replace(WIDE, blocks=2, skip=skip))  # type: ignore[arg-type]
    net.init_weights()
    changed = deepcopy(net)
    assert use_native(changed) == 5
    ilr = torch.rand(2, 1, 26, 38)

    def loss_and_gradients(net: nn.Module) -> list[Tensor]:
        loss = net(ilr).square().mean()
        return [loss, *torch.autograd.grad(loss, list(net.parameters()))]

    right = loss_and_gradients(net)
    for each in (changed, deepcopy(changed)):
        assert max(error(*pair) for pair in zip(loss_and_gradients(each), right, strict=True)) < 1e-4


@pytest.mark.slow
def test_a_resumed_native_training_ends_in_the_same_bytes_and_near_that_of_torch(tmp_path: Path) -> None:
    data, how = make_images(tmp_path / "pictures"), replace(QUICK, precision="32-native", epochs=2)
    history, _ = train(tmp_path / "whole", data, how, WIDE)
    for stop_after in (7, float("inf")):
        train(tmp_path / "parts", data, how, WIDE, stop_after=stop_after)
    assert read_outputs(tmp_path / "whole") == read_outputs(tmp_path / "parts")
    expected, _ = train(tmp_path / "torch", data, replace(how, precision="32-true"), WIDE)
    assert history[0].train_loss != expected[0].train_loss, "another arithmetic has other last digits"
    for row, other in zip(history, expected, strict=True):
        assert row.val_psnr == pytest.approx(other.val_psnr, abs=0.01)


def test_a_width_that_does_not_fit_and_another_device_are_refused(tmp_path: Path) -> None:
    data, how = make_images(tmp_path / "pictures"), replace(QUICK, precision="32-native")
    with pytest.raises(TrainingError, match=r"multiple of 16\. Here the width is 4, the device cpu\. Give 32-true\.$"):
        train(tmp_path / "run", data, how)
    with pytest.raises(TrainingError, match=r"the width is 16, the device cuda\. Give 32-true\.$"):
        choose_precision(Training(WIDE, how, Source(data=(data,))), tmp_path / "run", "cuda", 1)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_remembered_choice_counts_only_where_the_native_engine_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_precision(tmp_path, "32-native")
    auto = Training(WIDE, replace(QUICK, precision="auto"), Source(data=(tmp_path,)))
    assert choose_precision(auto, tmp_path, "cpu", 1) == ("32-native", "")
    monkeypatch.setattr(convolutions, "is_compiled", lambda: False)
    precision, reason = choose_precision(auto, tmp_path, "cpu", 1)
    assert precision != "32-native" and "32-native" not in reason and reason


def test_auto_precision_measures_the_native_engine_if_the_width_fits() -> None:
    assert "32-native" in fastest_precision(WIDE, QUICK, "cpu")[1]
    assert "32-native" not in fastest_precision(SMALL, QUICK, "cpu")[1]
