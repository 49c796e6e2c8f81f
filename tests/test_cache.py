"""The cache between runs: it holds the speed of an engine, and nothing harmful."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

import drrn
from drrn import cache
from drrn.cache import cache_folder, recall, remember
from drrn.upscaling import cost
from drrn.upscaling.upscaler import Upscaler
from tests.small_weights import small_weights

MEASURE = Upscaler.measure_speed
"""The real method, which conftest.py replaces for other tests."""
KEY = {"cpu": "x", "cores": 2}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "drrn"


def small_upscaler(**options: Any) -> Upscaler:
    return Upscaler(small_weights(), engine="reference", **options)


def count_samples(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    measured: list[float] = []

    def count(upscaler: Upscaler) -> float:
        measured.append(MEASURE(upscaler))
        return measured[-1]

    monkeypatch.setattr(Upscaler, "measure_speed", count)
    monkeypatch.setattr(cost, "SAMPLE_MACS", 1e5)
    return measured


def test_a_cached_number_is_found_only_with_its_key(folder: Path) -> None:
    assert recall("speed", KEY) is None
    remember("speed", KEY, 1.5)
    assert recall("speed", KEY) == 1.5
    assert recall("speed", {**KEY, "cores": 3}) is None and recall("other", KEY) is None
    assert [path.parent for path in folder.rglob("*.*")] == [folder / "speed"]


@pytest.mark.parametrize("age", [cache.MAX_AGE + 60, -3600])
def test_numbers_that_are_old_or_from_the_future_are_ignored(folder: Path, age: float) -> None:
    remember("speed", KEY, 1.5)
    (path,) = folder.rglob("*.json")
    changed = time.time() - age
    os.utime(path, (changed, changed))
    assert recall("speed", KEY) is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'"fast"', b"true", b"[1.5]", b"null"])
def test_a_damaged_entry_is_ignored_and_replaced(folder: Path, content: bytes) -> None:
    remember("speed", KEY, 1.5)
    (path,) = folder.rglob("*.json")
    path.write_bytes(content)
    assert recall("speed", KEY) is None
    remember("speed", KEY, 2.5)
    assert recall("speed", KEY) == 2.5


def test_a_cache_that_cannot_be_written_is_ignored(folder: Path) -> None:
    folder.write_text("no folder")
    remember("speed", KEY, 1.5)
    assert recall("speed", KEY) is None and folder.read_text() == "no folder"


def test_the_cache_is_in_the_cache_folder_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "drrn"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    for platform, place in [("linux", ".cache"), ("darwin", "Library/Caches")]:
        monkeypatch.setattr("sys.platform", platform)
        assert cache_folder() == tmp_path / "me" / place / "drrn"
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local/drrn"


def test_a_speed_is_sampled_once_for_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = count_samples(monkeypatch)
    assert small_upscaler().speed() == small_upscaler().speed() == measured[0]
    assert len(measured) == 1


@pytest.mark.parametrize("value", ["-1.0", "0.0", "Infinity", "NaN"])
def test_an_impossible_speed_is_sampled_again(folder: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    measured = count_samples(monkeypatch)
    small_upscaler().speed()
    (path,) = folder.rglob("*.json")
    path.write_text(value)
    assert small_upscaler().speed() == measured[1] == json.loads(path.read_text())


def test_another_network_machine_version_or_engine_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = count_samples(monkeypatch)
    small_upscaler().speed()
    for name, value in [("__version__", "9"), ("cpu", lambda: "another"), ("cores", lambda: 99)]:
        with monkeypatch.context() as patch:
            patch.setattr(drrn if name == "__version__" else cost, name, value)
            small_upscaler().speed()
    for other in [
        Upscaler(small_weights(width=5), engine="reference"),
        Upscaler(small_weights(units=3), engine="reference"),
        Upscaler(small_weights(), engine="torch", device="cpu"),
        small_upscaler(threads=7),
    ]:
        other.speed()
    assert len(measured) == 8
