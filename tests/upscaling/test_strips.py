"""An image enlarged in strips has the same bits as the whole; a failure leaves no file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from drrn.engines import EngineName
from drrn.errors import DRRNError, EngineError, UsageError
from drrn.media.image import Image
from drrn.media.images.files import probe, read, store, write
from drrn.media.images.scratch import Scratch
from drrn.media.metadata.metadata import Metadata
from drrn.upscaling.batch.planning import Request, plan
from drrn.upscaling.formats import strips
from drrn.upscaling.formats.job import Hooks, Job
from drrn.upscaling.upscaler import Upscaler
from tests.conftest import KERNELS
from tests.small_weights import random_weights, small_weights, stepped_weights

MODELS = [
    {"channels": 1, "unshuffle": 1},
    {"channels": 1, "unshuffle": 2},
    {"channels": 1, "unshuffle": 3},
    {"channels": 1, "unshuffle": 4},
    {"channels": 3, "unshuffle": 1},
    {"channels": 3, "unshuffle": 2},
    {"scales": (2, 3)},
    {"scales": (3, 4)},
]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of 96 columns, so that small images have several."""
    for module in ("planes", "cost", "formats.strips"):
        monkeypatch.setattr(f"drrn.upscaling.{module}.MAX_TILE", 96)


def arrays(height: int, width: int, bits: Literal[8, 16]) -> Iterator[tuple[str, Any]]:
    rng, kind = np.random.default_rng(0), np.dtype(f"u{bits // 8}")
    gray = rng.integers(0, 2**bits, (height, width, 1)).astype(kind)
    yield "RGB", rng.integers(0, 2**bits, (height, width, 3)).astype(kind)
    yield "gray", gray
    yield "gray in RGB", gray.repeat(3, axis=2)
    yield "one gray", np.full((height, width, 1), 7, kind)
    yield "one color", np.full((height, width, 3), (1, 2, 3), kind)
    nearly = np.full((height, width, 3), (1, 2, 3), kind)
    nearly[-1, -1] = 0
    yield "one color but for the last pixel", nearly
    yield (
        "areas",
        rng.integers(0, 2, (1, 2, 3)).astype(kind).repeat(height, axis=0).repeat(-(-width // 2), axis=1)[:, :width],
    )
    nearly = np.full((height, width, 3), 5, kind)
    nearly[-1, -1, 0] = 6
    yield "one gray but for the last pixel", nearly


@pytest.mark.parametrize(
    "which", ["few", pytest.param("some", marks=pytest.mark.slow), pytest.param("all", marks=pytest.mark.full)]
)
@pytest.mark.parametrize("name", [*KERNELS, "reference"])
@pytest.mark.parametrize("fields", MODELS, ids=str)
def test_strips_have_the_same_bits_as_the_whole(
    name: str, fields: dict[str, Any], which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: EngineName = "reference"
    if name != "reference":
        engine = "native"
        monkeypatch.setenv("DRRN_KERNELS", name)
    base = Upscaler(random_weights(fields), engine=engine, threads=1)
    sizes = [(1, 9), (11, 1), (37, 41)] if engine == "native" else [(7, 41)]  # NumPy is slow
    scales = (
        [(2, 2), (3.7, 1.1)] if which == "few" else [(1.3, 1.3), (2, 2), (3, 3), (4, 4), (8, 4.5), (1, 2.5), (3.7, 1.1)]
    )
    for height, width in sizes[-1:] if which == "few" else sizes:
        for larger in scales:
            size = max(int(height * larger[0]), height + 1), max(int(width * larger[1]), width)
            bits: Literal[8, 16] = 8 if larger[0] in (2, 4) else 16
            kinds = list(arrays(height, width, bits))
            for kind, array in kinds if which == "all" or (height > 1 and larger == (2, 2)) else kinds[:1]:
                whole = base.upscale(Image.from_array(array), size=size[::-1]).to_array()
                old_and_new = (width, height), size[::-1]
                upscaler, (across, down) = base.for_size(*old_and_new), base.network_size(*old_and_new)
                columns = upscaler.tile_sides(down, across, 1 << 30)[1]
                with Scratch(tmp_path / "a", *size, array.shape[2], bits, tile=columns) as result:
                    strips.enlarge(upscaler, array, result, columns, lambda share: None)
                    assert (result[:] == whole).all(), (kind, height, width, size, bits)


@pytest.mark.parametrize("stepped", [False, True])
def test_strips_narrower_than_the_reach_of_colors_are_exact_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stepped: bool
) -> None:
    for module in ("planes", "cost", "formats.strips"):
        monkeypatch.setattr(f"drrn.upscaling.{module}.MAX_TILE", 16)
    upscaler = Upscaler(stepped_weights(2, 3) if stepped else small_weights(), threads=1)
    array, size = small(9, 13), (26, 38) if stepped else (72, 104)
    upscaler = upscaler.for_size((13, 9), size[::-1])
    whole = upscaler.upscale(Image.from_array(array), size=size[::-1]).to_array()
    columns = 15 if stepped else 16  # a multiple of the cell size
    with Scratch(tmp_path / "a", *size, 3, 8, tile=16) as result:
        strips.enlarge(upscaler, array, result, columns, lambda share: None)
        assert (result[:] == whole).all()


def write_source(path: Path, array: Any, **metadata: Any) -> Path:
    store(array, path, Metadata(**metadata))
    return path


def done(job: Job, upscaler: Upscaler, progress: Any = lambda share: None) -> Path:
    job.format.enlarge(job, upscaler, Hooks(progress=progress))
    return job.target


def small(height: int = 70, width: int = 90, channels: int = 3, bits: int = 8) -> Any:
    rng = np.random.default_rng(1)
    return rng.integers(0, 2**bits, (height, width, channels)).astype(f"u{bits // 8}")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp", "ppm"])
def test_strips_give_the_same_file_as_an_image_in_memory(suffix: str, tmp_path: Path) -> None:
    source = write_source(tmp_path / f"a.{suffix}", small(), xmp=b"<x/>", dpi=(72.0, 144.0))
    upscaler = Upscaler(small_weights(unshuffle=2), threads=1)
    job = plan(source, tmp_path / f"b.{suffix}", Request(2.5))
    assert strips.can_stream(upscaler, job.header)
    write(upscaler.upscale(read(source), 2.5), tmp_path / f"whole.{suffix}")
    assert done(job, upscaler).read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()


def test_a_16_bit_image_in_strips_becomes_an_8_bit_file(tmp_path: Path) -> None:
    source = write_source(tmp_path / "a.png", small(bits=16))
    upscaler = Upscaler(small_weights(), threads=1)
    write(upscaler.upscale(read(source), 2), tmp_path / "whole.jpg")
    target = done(plan(source, tmp_path / "b.jpg", Request(2)), upscaler)
    assert target.read_bytes() == (tmp_path / "whole.jpg").read_bytes()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "ppm"])
def test_damage_in_the_last_row_leaves_no_file(suffix: str, tmp_path: Path) -> None:
    source = write_source(tmp_path / f"a.{suffix}", small())
    job = plan(source, tmp_path / "b.png", Request(2))
    source.write_bytes(source.read_bytes()[:-20])
    with pytest.raises(DRRNError, match="damaged or cut short"):
        done(job, Upscaler(small_weights(), threads=1))
    assert list(tmp_path.iterdir()) == [source]


def test_a_source_that_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    source = write_source(tmp_path / "a.png", small())
    job = plan(source, None, Request(2))
    source.unlink()
    write_source(source, small(channels=1))
    with pytest.raises(DRRNError, match="has changed since it was opened"):
        done(job, Upscaler(small_weights(), threads=1))
    assert list(tmp_path.iterdir()) == [source]


class StopEarlyError(Exception):
    """An exception that drrn does not know."""


@pytest.mark.parametrize("at", [0.1, 0.6, 1.0])
def test_an_exception_from_progress_ends_strips_and_leaves_no_file(at: float, tmp_path: Path) -> None:
    """A signal raises such an exception anywhere in the program."""
    source = write_source(tmp_path / "a.png", small())
    shares: list[float] = []

    def progress(share: float) -> None:
        shares.append(share)
        if share >= at:
            raise StopEarlyError

    with pytest.raises(StopEarlyError):
        done(plan(source, None, Request(3)), Upscaler(small_weights(), threads=1), progress)
    assert shares == sorted(shares) and list(tmp_path.iterdir()) == [source]


def test_a_non_finite_value_in_a_strip_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, upscaler = write_source(tmp_path / "a.png", small()), Upscaler(small_weights(), threads=1)

    def stream(bands: Any) -> Iterator[Any]:
        for band in bands:
            yield band * np.float32(np.nan)

    monkeypatch.setattr(upscaler.engine, "stream", stream)
    with pytest.raises(EngineError, match="not finite"):
        done(plan(source, None, Request(2)), upscaler)
    assert list(tmp_path.iterdir()) == [source]


def test_too_little_disk_space_for_strips_is_reported_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_source(tmp_path / "a.png", small())
    job = plan(source, None, Request(4))
    usage = type("Usage", (), {"free": 100_000})
    monkeypatch.setattr("drrn.media.images.scratch.disk_usage", lambda folder: usage)
    with pytest.raises(UsageError, match="MB of disk while it is written"):
        done(job, Upscaler(small_weights(), threads=1))
    assert list(tmp_path.iterdir()) == [source]


def test_memory_of_decoding_and_encoding_is_estimated(tmp_path: Path, kernels: str) -> None:
    """Too little memory for them is reported before anything is decoded."""
    upscaler = Upscaler(small_weights(), threads=1)
    costs = {}
    for suffix in ("png", "webp"):
        source = write_source(tmp_path / f"{suffix}.{suffix}", np.zeros((1000, 1000, 3), np.uint8))
        job = plan(source, tmp_path / "b.png", Request(2))
        costs[suffix] = job.format.estimate(job, upscaler).memory
    assert costs["webp"] > costs["png"] + 5_000_000
    limited = Upscaler(small_weights(), threads=1, max_memory=costs["png"] + 1_000_000)
    with pytest.raises(UsageError, match=r"2000x2000 pixels need more than \d+ MB, and"):
        job.format.estimate(job, limited)


def test_the_estimated_memory_does_not_grow_with_the_image(kernels: str) -> None:
    upscaler = Upscaler(small_weights(), threads=1)
    header = probe_of(1000, 1000)
    large = header._replace(width=5000, height=5000)
    costs = [strips.estimate(upscaler, each, 2 * each.width, 2 * each.height, "PNG") for each in (header, large)]
    assert costs[1].memory < 20 << 20 and costs[1].seconds > 20 * costs[0].seconds
    assert costs[0].tile == (2000, 96)


def test_little_memory_makes_narrower_strips(kernels: str) -> None:
    header, upscaler = probe_of(500, 500), Upscaler(small_weights(width=32, units=9), threads=1)
    usual = strips.estimate(upscaler, header, 1000, 1000, "PNG")
    upscaler.max_memory = usual.memory - 300_000
    reduced = strips.estimate(upscaler, header, 1000, 1000, "PNG")
    assert reduced.memory <= upscaler.max_memory and reduced.tile[1] < usual.tile[1]


def probe_of(width: int, height: int) -> Any:
    from drrn.media.header import Header

    return Header("PNG", width, height, 3, False, 8, decoding=4 << 20)


def test_alpha_orientation_and_checks_use_the_whole_image(tmp_path: Path) -> None:
    header = probe(write_source(tmp_path / "a.png", small(channels=4)))
    assert not strips.can_stream(Upscaler(small_weights(), threads=1), header)
    assert strips.can_stream(Upscaler(small_weights(), threads=1), header._replace(alpha=False))
    assert not strips.can_stream(Upscaler(small_weights(), threads=1, ensemble=True), header._replace(alpha=False))
    assert not strips.can_stream(Upscaler(small_weights(), engine="torch", device="cpu"), header._replace(alpha=False))
