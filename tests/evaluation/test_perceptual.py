"""FLIP matches the authors' program."""

import sys
from typing import Any

import numpy as np
import pytest

from drrn.errors import UsageError
from drrn.evaluation.perceptual import flip

CHANCE = np.random.default_rng(0)
HR = CHANCE.random((40, 50, 3))


def test_flip_is_zero_for_equal_and_large_for_black_and_white() -> None:
    pytest.importorskip("flip_evaluator")
    assert flip(HR, HR) == 0
    # golden: flip-evaluator 1.7's for white against black; FLIP's largest is 1
    assert flip(np.ones_like(HR), np.zeros_like(HR)) == pytest.approx(0.9674, abs=1e-4)


def test_flip_grows_with_the_difference_in_any_precision() -> None:
    pytest.importorskip("flip_evaluator")
    noise = CHANCE.normal(0, 1, HR.shape)
    found = [flip((HR + sigma * noise).clip(0, 1), HR) for sigma in (0.02, 0.05, 0.2)]
    assert 0 < found[0] < found[1] < found[2] < 1
    assert flip((HR + 0.2 * noise).astype(np.float32), HR.astype(np.float32)) == pytest.approx(found[2], abs=1e-5)


def test_the_original_is_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("flip_evaluator")
    given: list[Any] = []

    def evaluate(*args: Any, **_: Any) -> tuple[None, float, dict[str, Any]]:
        given.extend(args)
        return None, 0.5, {}

    monkeypatch.setattr(package, "evaluate", evaluate)
    assert flip(HR * 2, HR) == 0.5
    np.testing.assert_allclose(given[0], HR, atol=1e-7)
    np.testing.assert_allclose(given[1], (HR * 2).clip(0, 1), atol=1e-7)


@pytest.mark.parametrize("shape", [(40, 51, 3), (40, 50), (40, 50, 1)])
def test_mismatched_or_gray_images_are_refused(shape: tuple[int, ...]) -> None:
    pytest.importorskip("flip_evaluator")
    with pytest.raises(ValueError, match=r"must be \(H, W, 3\) of one size"):
        flip(np.zeros(shape), HR)
    with pytest.raises(ValueError, match=r"must be \(H, W, 3\) of one size"):
        flip(HR[..., :1], HR[..., :1])


def test_a_missing_flip_evaluator_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    with pytest.raises(UsageError, match=r"FLIP needs flip-evaluator\. Install it: pip install 'drrn\[study\]'\."):
        flip(HR, HR)
