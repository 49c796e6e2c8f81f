"""Checkpoints: after a fault at any point of saving one is good, and a damaged one is never used."""

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from drrn.errors import DRRNError, TrainingError
from drrn.training import checkpoint


def state(step: int) -> dict[str, Any]:
    return {"net": {"weight": torch.full((40,), float(step))}, "history": [[0, 0.5]], "step": step}


class Faults:
    """Makes the system call number `at` of a save fail with the error `number`."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int):
        self.at = self.calls = 0
        self.number = number
        for owner, name in [(os, "fsync"), (os, "open"), (Path, "replace"), (Path, "write_bytes")]:
            patch.setattr(owner, name, self.failing(getattr(owner, name)))

    def failing(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*args: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                if act is write_bytes:
                    act(args[0], args[1][:100])
                raise OSError(self.number, os.strerror(self.number))
            return act(*args)

        return acting


write_bytes = Path.write_bytes


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EACCES", "EROFS", "EIO"])
def test_a_failure_anywhere_in_save_is_reported_and_leaves_a_good_checkpoint(tmp_path: Path, name: str) -> None:
    number = getattr(errno, name)
    checkpoint.save(tmp_path, state(1))
    checkpoint.save(tmp_path, state(2))
    newest, faults_met = 2, 0
    loaded: dict[str, Any] | None = None
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, number)
        for at in range(1, 30):
            faults.at, faults.calls = at, 0
            try:
                checkpoint.save(tmp_path, state(2 + at))
                newest = 2 + at
            except DRRNError as error:
                faults_met += 1
                assert os.strerror(number) in str(error) and "last.ckpt" in str(error)
                assert "\n" not in str(error)
            faults.at = 0
            loaded, damaged = checkpoint.load(tmp_path)
            assert loaded and not damaged
            assert loaded["step"] in (newest, 2 + at), (
                "the newest that was saved, or the one whose save failed at its end"
            )
            newest = loaded["step"]
            assert not [*tmp_path.glob(".drrn-*")]
            if faults.calls < at:
                break
    assert faults_met >= 7, "write; open and fsync of file and folder; two renames"
    assert loaded and loaded["step"] == 2 + at, "once nothing fails, it is saved"


def test_every_flipped_bit_is_detected_and_the_previous_checkpoint_is_used(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1))
    checkpoint.save(tmp_path, state(2))
    last = tmp_path / "last.ckpt"
    good, rng = last.read_bytes(), random.Random(0)
    for _ in range(200):
        content = bytearray(good)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        last.write_bytes(content)
        loaded, damaged = checkpoint.load(tmp_path)
        assert loaded and loaded["step"] == 1
        assert damaged == last
    for length in (0, 1, 31, 32, 33, len(good) - 1):
        last.write_bytes(good[:length])
        loaded, damaged = checkpoint.load(tmp_path)
        assert loaded and loaded["step"] == 1 and damaged == last


def test_two_damaged_checkpoints_are_an_error_not_a_restart(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1))
    checkpoint.save(tmp_path, state(2))
    for name in ("last.ckpt", "before.ckpt"):
        (tmp_path / name).write_bytes(b"x" * 100)
    with pytest.raises(TrainingError, match=r"last\.ckpt is damaged and there is no other checkpoint"):
        checkpoint.load(tmp_path)


def test_a_damaged_checkpoint_never_replaces_a_good_one(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1))
    checkpoint.save(tmp_path, state(2))
    (tmp_path / "last.ckpt").write_bytes(b"x" * 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "write_bytes", lambda *_: None)  # killed before the new one is written
        checkpoint.save(tmp_path, state(3))
    loaded, _ = checkpoint.load(tmp_path)
    assert loaded and loaded["step"] == 1


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path) == (None, None)


def test_a_loaded_state_is_saved_with_the_same_bytes(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    adam = torch.optim.Adam([weight])
    weight.sum().backward()
    adam.step()
    checkpoint.save(tmp_path, {"optimiser": adam.state_dict(), "step": 1})
    first = (tmp_path / "last.ckpt").read_bytes()
    loaded, _ = checkpoint.load(tmp_path)
    assert loaded
    checkpoint.save(tmp_path, {"optimiser": loaded["optimiser"], "step": 1})
    assert (tmp_path / "last.ckpt").read_bytes() == first
