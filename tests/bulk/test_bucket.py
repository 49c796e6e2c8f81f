"""A bucket does what a folder does, and no fault of a store loses, doubles or breaks a file."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("obstore", reason="obstore is not installed")

from obstore.exceptions import BaseError

from drrn.bulk import bucket
from drrn.bulk.bucket import Bucket
from drrn.bulk.pixels import measure
from drrn.bulk.plan import load_plan
from drrn.bulk.run import parts_left
from drrn.bulk.storage import ExistsError, open_store
from drrn.errors import ImageError, StorageError, UsageError
from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.weights import store
from tests.bulk.fake_s3 import FakeS3, fake_s3
from tests.command_line import run as drrn
from tests.small_weights import small_weights


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeS3]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bucket, "FIRST_PAUSE", 0.01)
    with fake_s3() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.mark.slow
def test_a_bucket_behaves_like_a_folder(s3: FakeS3, tmp_path: Path) -> None:
    photos = open_store("s3://bucket/photos/")
    names = ["a-b.png", "a.png", "a/b c.png", "a/é&.png", *(f"n/{number:02}.png" for number in range(20))]
    for name in names:
        photos.write(name, name.encode())
    photos.write(".git/x.png", b"")
    listing = list(photos.list())
    assert [entry.name for entry in listing] == names == sorted(names, key=str.encode)
    assert listing[0].size == len("a-b.png") and listing[0].etag and listing[0].modified > 1e9
    for after in names:
        assert [entry.name for entry in photos.list(after=after)] == names[names.index(after) + 1 :]
    assert [entry.name for entry in photos.list("a/")] == ["a/b c.png", "a/é&.png"]
    assert [entry.name for entry in photos.list(".git/")] == [".git/x.png"]
    assert photos.get("a/é&.png", tmp_path / "copy") == listing[3].etag
    assert (tmp_path / "copy").read_text() == "a/é&.png"
    with pytest.raises(ImageError, match=r"^absent\.png can't be read: there is no such file\.$"):
        photos.get("absent.png", tmp_path / "copy")
    photos.put(tmp_path / "copy", "new", overwrite=False)
    with pytest.raises(ExistsError, match=r"^new exists\. Give another name, or --overwrite\.$"):
        photos.put(tmp_path / "copy", "new", overwrite=False)
    photos.put(tmp_path / "copy", "new", overwrite=True)
    photos.remove("new")
    photos.remove("new")
    assert photos.read("new") is None and photos.read("a.png") == b"a.png"


def test_an_unreachable_store_is_reported_in_one_line(
    s3: FakeS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bucket, "ATTEMPTS", 2)

    def broken(*_: object, **__: object) -> None:
        raise BaseError("HTTP error: connection refused\n\nDebug source: ...")

    photos = Bucket("s3://bucket")
    monkeypatch.setattr("obstore.get", broken)
    with pytest.raises(StorageError, match=r"^s3://bucket/a can't be read: HTTP error: connection refused\.$"):
        photos.read("a")
    with pytest.raises(StorageError, match=r"^s3://bucket/a can't be read: HTTP error: connection refused\.$"):
        photos.get("a", tmp_path / "a")


def test_a_target_inside_the_source_bucket_is_refused(s3: FakeS3, capsys: pytest.CaptureFixture[str]) -> None:
    assert drrn("bulk", "plan", "s3://bucket/photos", "s3://bucket/photos/large") == 2
    assert "overlap" in capsys.readouterr().err
    with pytest.raises(UsageError, match="neither a folder nor a bucket"):
        open_store("https://example.org/photos")


@pytest.mark.slow
@pytest.mark.parametrize("faults", [0.0, 0.05])
def test_planning_fetches_headers_and_not_whole_pictures(s3: FakeS3, tmp_path: Path, faults: float) -> None:
    s3.faults = faults
    photos, rng = open_store("s3://bucket/photos"), np.random.default_rng(0)
    names = [f"{number}{suffix}" for number in range(4) for suffix in (".png", ".tif", ".jpg", ".ppm")]
    for name in names:
        write(Image(pixels=rng.random((250, 200, 3), np.float32)), tmp_path / name)
        photos.put(tmp_path / name, name, overwrite=True)
    photos.write("broken.png", b"no picture")
    photos.write("notes.txt", b"")
    s3.sent = 0
    entries = list(photos.list())
    sizes = {entry.name: pixels for entry, pixels in measure(photos, entries, headers=True)}
    assert list(sizes) == [entry.name for entry in entries]
    assert sizes == dict.fromkeys(sorted(names), 250 * 200) | {"broken.png": 40, "notes.txt": None}
    whole = sum(entry.size for entry in entries)
    assert s3.sent < whole * 0.8
    s3.sent = 0
    estimates = dict(measure(photos, entries, headers=False))
    assert estimates[entries[0]] == 4 * entries[0].size and s3.sent == 0


@pytest.mark.slow
@pytest.mark.parametrize("faults", [0.0, 0.05])
def test_results_in_a_bucket_equal_those_of_drrn_upscale(s3: FakeS3, tmp_path: Path, faults: float) -> None:
    """Faults are 503s, interrupted and delayed transfers, and responses lost after the request was carried out."""
    store.save(small_weights(width=4), tmp_path / "tiny.safetensors")
    model = ("-m", "tiny.safetensors", "--threads", "1")
    rng = np.random.default_rng(0)
    for number in range(20):
        path = tmp_path / f"photos/{number % 3}/{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(Image(pixels=rng.random((12, 10, 3), np.float32)), path)
    assert drrn("upscale", "photos", "-r", "-o", "expected", *model) == 0
    for path in (tmp_path / "photos").rglob("*.png"):
        open_store("s3://bucket/photos").put(path, path.relative_to(tmp_path / "photos").as_posix(), overwrite=False)
    s3.faults = faults
    assert drrn("bulk", "plan", "s3://bucket/photos", "s3://bucket/large", *model[:2], "--part-files", "4") == 0
    assert drrn("bulk", "run", "s3://bucket/large", "--threads", "1", "--jobs", "2") == 0
    assert bool(s3.met) == bool(faults)
    s3.faults = 0
    target = open_store("s3://bucket/large")
    assert parts_left(load_plan(target), target) == []
    expected = {path.relative_to(tmp_path / "expected").as_posix(): path.read_bytes()
                for path in (tmp_path / "expected").rglob("*.png")}  # fmt: skip
    objects = {
        name.removeprefix("large/"): content for name, content in s3.objects.items() if name.startswith("large/")
    }
    assert {name: content for name, content in objects.items() if not name.startswith(".drrn/")} == expected
    assert len(expected) == 20 and len({hashlib.sha256(each).digest() for each in expected.values()}) == 20
    assert not [name for name in objects if name.startswith((".drrn/begun/", ".drrn/failed/"))]
