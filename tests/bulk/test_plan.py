"""A plan lists its source once, in parts of similar cost, and continues after any interruption."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drrn.bulk import recipe as recipes
from drrn.bulk.plan import RECIPE, Plan, load_plan, make_plan, read_files
from drrn.bulk.recipe import Recipe
from drrn.bulk.storage import ExistsError, Folder, open_store
from drrn.errors import ImageError, StorageError, UsageError
from drrn.media.image import Image
from drrn.media.images.files import write
from tests.small_weights import small_weights

WEIGHTS = small_weights(width=4)


def put(folder: Path, *names: str, side: int = 8) -> Folder:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(Image(pixels=np.zeros((side, side, 1), np.float32)), folder / name)
    return Folder(folder)


def recipe(source: Folder, **fields: object) -> Recipe:
    defaults = Recipe(source=source.url, weights_sha256=WEIGHTS.digest(), model="tiny")
    return replace(defaults, **fields)  # type: ignore[arg-type]


def names(plan: Plan, target: Folder) -> list[list[str]]:
    return [[file.name for file in read_files(target, part)] for part in plan.parts]


def test_a_folder_is_listed_in_the_byte_order_of_names(tmp_path: Path) -> None:
    source = put(tmp_path, "b.png", "a/z.png", "a.png", "a/b/c.png", "ä.png", ".git/x.png", "a-b.png")
    listing = [entry.name for entry in source.list()]
    assert listing == sorted(listing, key=str.encode)
    assert listing == ["a-b.png", "a.png", "a/b/c.png", "a/z.png", "b.png", "ä.png"]
    for after in listing:
        assert [entry.name for entry in source.list(after=after)] == listing[listing.index(after) + 1 :]
    assert [entry.name for entry in source.list("a/")] == ["a/b/c.png", "a/z.png"]
    assert [entry.name for entry in source.list(".git/")] == [".git/x.png"]
    assert list(source.list("absent/")) == []
    (tmp_path / ".drrn-0123456789ab.png").write_bytes(b"being written")
    assert [entry.name for entry in source.list()] == listing


def test_a_file_removed_during_a_listing_is_omitted(tmp_path: Path) -> None:
    source = put(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "d.png").symlink_to("absent")
    listing = source.list()
    assert next(listing).name == "a.png"
    (tmp_path / "b.png").unlink()
    assert [entry.name for entry in listing] == ["c.png"]


def test_a_file_is_stored_whole_and_replaced_only_on_request(tmp_path: Path) -> None:
    store = Folder(tmp_path / "store")
    (tmp_path / "one").write_bytes(b"one")
    store.put(tmp_path / "one", "deep/in/a", overwrite=False)
    with pytest.raises(ExistsError, match="exists"):
        store.put(tmp_path / "one", "deep/in/a", overwrite=False)
    (tmp_path / "one").write_bytes(b"two")
    store.put(tmp_path / "one", "deep/in/a", overwrite=True)
    assert store.read("deep/in/a") == b"two" and store.read("absent") is None
    assert [entry.name for entry in store.list()] == ["deep/in/a"], "no temporary file is left"
    store.remove("deep/in/a")
    store.remove("deep/in/a")
    assert list(store.list()) == []


def test_names_outside_a_folder_are_refused(tmp_path: Path) -> None:
    store = Folder(tmp_path / "store")
    for name in ("../a", "/etc/passwd", "a/../../b"):
        with pytest.raises(StorageError, match="is outside the folder"):
            store.write(name, b"")
        with pytest.raises(StorageError, match="is outside the folder"):
            store.read(name)


def test_missing_files_and_folders_are_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"^a\.png can't be read: No such file or directory\.$"):
        Folder(tmp_path).get("a.png", tmp_path / "copy")
    with pytest.raises(StorageError, match=r"There is no folder .*absent"):
        list(Folder(tmp_path / "absent").list())
    with pytest.raises(UsageError, match=r"^ftp://photos is neither a folder nor a bucket\. Buckets begin with s3://"):
        open_store("ftp://photos")


def test_a_part_is_full_at_a_number_of_files_or_pixels(tmp_path: Path) -> None:
    source = put(tmp_path / "source", "a.png", "b.png", "c.png")
    put(tmp_path / "source", "d.png", side=40)
    put(tmp_path / "source", "e.png")
    (tmp_path / "source/notes.txt").write_text("not an image")
    (tmp_path / "source/._a.png").write_text("a system file")
    target = Folder(tmp_path / "target")
    plan = make_plan(source, target, recipe(source), WEIGHTS, part_files=2, part_pixels=1000)
    assert names(plan, target) == [["a.png", "b.png"], ["c.png", "d.png"], ["e.png"]]
    assert (plan.files, plan.skipped) == (5, 2)
    assert load_plan(target) == plan
    assert make_plan(source, target, recipe(source), WEIGHTS) == plan, "a finished plan is left as it is"


@pytest.mark.parametrize("killed_at", range(6))
def test_an_interrupted_plan_continues_to_the_same_parts(
    tmp_path: Path, killed_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = put(tmp_path / "source", *(f"{folder}/{number}.png" for folder in "abc" for number in range(3)))
    (tmp_path / "source/a/notes.txt").write_text("not an image")
    whole, target = Folder(tmp_path / "whole"), Folder(tmp_path / "target")
    expected = make_plan(source, whole, recipe(source), WEIGHTS, part_files=2)
    writes, write = [0], Folder.write

    def dying(self: Folder, name: str, content: bytes) -> None:
        if writes[0] == killed_at:
            raise KeyboardInterrupt
        writes[0] += 1
        write(self, name, content)

    monkeypatch.setattr(Folder, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        make_plan(source, target, recipe(source), WEIGHTS, part_files=2)
    monkeypatch.undo()
    with pytest.raises(StorageError, match="has no finished plan"):
        load_plan(target)
    assert make_plan(source, target, recipe(source), WEIGHTS, part_files=2) == expected
    assert names(expected, whole) == names(expected, target)


def test_a_different_plan_in_the_same_target_is_refused(tmp_path: Path) -> None:
    source, target = put(tmp_path / "source", "a.png"), Folder(tmp_path / "target")
    make_plan(source, target, recipe(source), WEIGHTS)
    with pytest.raises(UsageError, match=r"already has a different plan\. Give the same options, or another target\."):
        make_plan(source, target, recipe(source, scale=3.0), WEIGHTS)


def test_a_plan_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = put(tmp_path / "source", "a.png"), Folder(tmp_path / "target")
    make_plan(source, target, recipe(source), WEIGHTS)
    monkeypatch.setattr(recipes, "__version__", "9.9")
    with pytest.raises(StorageError, match=r"The plan was made by drrn .*, and this is 9\.9\."):
        load_plan(target)


def test_overlapping_source_and_target_are_refused(tmp_path: Path) -> None:
    source = put(tmp_path / "source", "a.png")
    for target in (Folder(tmp_path / "source/larger"), Folder(tmp_path)):
        with pytest.raises(UsageError, match="overlap"):
            make_plan(source, target, recipe(source), WEIGHTS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": 9.0}, "A scale must be above 1 and at most 8, got 9"),
        ({"scale": 2.0, "size": "4000"}, "Give --scale or --size, not both"),
        ({"size": "huge"}, "A size is written"),
        ({"name": "{what}"}, "A --name is text with"),
    ],
)
def test_options_are_checked_before_anything_is_listed(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    source = Folder(tmp_path / "absent")
    with pytest.raises(UsageError, match=message):
        make_plan(source, Folder(tmp_path / "target"), recipe(source, **fields), WEIGHTS)


def test_a_source_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/notes.txt").write_text("")
    source = Folder(tmp_path / "source")
    with pytest.raises(StorageError, match="has no images; 1 other files were skipped"):
        make_plan(source, Folder(tmp_path / "target"), recipe(source), WEIGHTS)


def test_a_damaged_plan_is_reported(tmp_path: Path) -> None:
    source, target = put(tmp_path / "source", "a.png"), Folder(tmp_path / "target")
    plan = make_plan(source, target, recipe(source), WEIGHTS)
    target.write(plan.parts[0].path, json.dumps({"files": [["a.png"]]}).encode())
    with pytest.raises(StorageError, match="is damaged"):
        read_files(target, plan.parts[0])
    target.write(RECIPE, b"{}")
    with pytest.raises(StorageError, match="has no finished plan"):
        load_plan(target)
