"""A training uses the faster arithmetic of a machine, and patches that grow during training."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest
import torch

from drrn.data.patches import Pool, Sampler
from drrn.errors import TrainingError
from drrn.training.fit import sampler_of_epoch
from drrn.training.machine import fastest_precision, keep_memory
from tests.training.small_training import QUICK, SMALL, make_images, read_outputs, train


def clock(*durations: float) -> Callable[[], float]:
    """A fake clock on which a step takes these seconds in turn."""

    def ticks() -> Iterator[float]:
        now = 0.0
        for seconds in chain.from_iterable(repeat(durations)):
            yield now
            now += seconds
            yield now

    following = ticks()
    return lambda: next(following)


@pytest.mark.parametrize(("bfloat16", "taken"), [(0.6, "bf16-mixed"), (10.0, "32-true")])
def test_auto_precision_chooses_the_faster_and_says_why(
    monkeypatch: pytest.MonkeyPatch, bfloat16: float, taken: str
) -> None:
    monkeypatch.setattr(time, "perf_counter", clock(1.0, bfloat16))
    assert fastest_precision(SMALL, QUICK, "cpu") == (
        taken,
        f"a step takes {bfloat16:g} in bf16-mixed of the time in 32-true",
    )


@pytest.mark.parametrize(
    ("bfloat16", "native", "taken"), [(0.6, 0.5, "32-native"), (0.5, 0.6, "bf16-mixed"), (10.0, 1.5, "32-true")]
)
def test_auto_precision_chooses_among_three_where_the_native_engine_runs_the_network(
    monkeypatch: pytest.MonkeyPatch, bfloat16: float, native: float, taken: str
) -> None:
    pytest.importorskip("drrn.engines._native")
    monkeypatch.setattr(time, "perf_counter", clock(1.0, bfloat16, native))
    assert fastest_precision(replace(SMALL, width=16), QUICK, "cpu") == (
        taken,
        f"a step takes {bfloat16:g} in bf16-mixed and {native:g} in 32-native of the time in 32-true",
    )


def test_a_run_may_resume_in_another_precision_on_another_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, how = make_images(tmp_path / "pictures"), replace(QUICK, precision="auto", epochs=2)
    for stop_after, bfloat16 in ((12, 0.5), (float("inf"), 2.0)):
        monkeypatch.setattr("drrn.training.machine.cpu", lambda which=bfloat16: f"cpu {which}")
        monkeypatch.setattr(
            "drrn.training.machine.fastest_precision",
            lambda *_, bf16=bfloat16: ("bf16-mixed" if bf16 < 1 else "32-true", f"bfloat16 takes {bf16}"),
        )
        history, log = train(tmp_path / "run", data, how, stop_after=stop_after)
        taken = "bf16-mixed" if bfloat16 < 1 else "32-true"
        assert f"bfloat16 takes {bfloat16}: using {taken}" in log.notes
    assert len(history) == 2


def test_a_run_keeps_its_precision_on_the_same_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, how = make_images(tmp_path / "pictures"), replace(QUICK, precision="auto", epochs=2)
    train(tmp_path / "whole", data, how)
    taken = (tmp_path / "whole/precision.json").read_text()
    monkeypatch.setattr("drrn.training.machine.fastest_precision", lambda *_: pytest.fail("measured again"))
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/precision.json").write_text(taken)
    for stop_after in (7, float("inf")):
        train(tmp_path / "parts", data, how, stop_after=stop_after)
    assert read_outputs(tmp_path / "whole") == read_outputs(tmp_path / "parts")


@pytest.mark.slow
def test_growing_patches_keep_the_pixels_per_step(tmp_path: Path) -> None:
    how = replace(QUICK, patch=8, stride=0, epoch_steps=2, batch_size=16, epochs=6, later_patches=(16, 32))
    sampler = Sampler(
        pool=Pool(*(np.zeros((1, 1)),) * 2, *(np.ones(1, int),) * 4),  # type: ignore[arg-type]
        size=8, stride=0, batch_size=16, epoch_steps=2, augment=True, seed=0,
    )  # fmt: skip
    now = [sampler_of_epoch(sampler, how, epoch, world=1) for epoch in range(7)]
    assert [(each.size, each.batch_size) for each in now] == [(8, 16)] * 2 + [(16, 4)] * 2 + [(32, 1)] * 3
    assert [sampler_of_epoch(sampler, how, epoch, world=2).batch_size for epoch in (0, 2, 4)] == [16, 4, 2]
    data = make_images(tmp_path / "pictures")
    train(tmp_path / "whole", data, how)
    for stop_after in (5, 4, float("inf")):
        train(tmp_path / "parts", data, how, stop_after=stop_after)
    assert read_outputs(tmp_path / "whole") == read_outputs(tmp_path / "parts")


@pytest.mark.slow
def test_photo_degradations_resume_to_the_same_bytes_and_validate_on_fixed_lr(tmp_path: Path) -> None:
    data, how = make_images(tmp_path / "pictures"), replace(QUICK, degrade="photo", epochs=2)
    history, _ = train(tmp_path / "whole", data, how)
    for stop_after in (5, 9, float("inf")):
        train(tmp_path / "parts", data, how, stop_after=stop_after)
    assert read_outputs(tmp_path / "whole") == read_outputs(tmp_path / "parts")
    clean, _ = train(tmp_path / "clean", data, replace(how, degrade="clean"))
    assert history[0].val_loss > clean[0].val_loss, "what is spoilt is further from the original"
    never, _ = train(tmp_path / "never", data, replace(how, odds=(0, 0, 0), other_kernels=0.0))
    assert never[0].val_loss == pytest.approx(clean[0].val_loss, rel=0.01), "but for lr of 8 bits it is clean"
    with pytest.raises(TrainingError, match=r"^--degrade photo makes the lr itself\. Leave out --lr-data\.$"):
        train(tmp_path / "other", data, how, lr_data=data)


def test_keep_memory_does_not_break_the_process() -> None:
    keep_memory()
    assert torch.ones(1 << 22).sum() == 1 << 22
