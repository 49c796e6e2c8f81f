"""Scratch files return the rows that were written, to drrn and to libvips, and are invisible to others."""

import errno
import os
from io import FileIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drrn.errors import DRRNError, UsageError
from drrn.media.images.bitmaps import to_bmp, to_pnm
from drrn.media.images.files import decode_to_disk, read, store
from drrn.media.images.scratch import Scratch, check_room
from drrn.media.metadata.metadata import Metadata
from tests.media.test_files import photo, saved

FORMATS = ("png", "jpg", "tif", "webp", "bmp", "ppm")


def samples(height: int, width: int, bands: int, bits: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 2**bits, (height, width, bands)).astype(f"u{bits // 8}")


@settings(max_examples=60)
@given(
    st.integers(1, 70), st.integers(1, 70), st.integers(1, 4), st.sampled_from([8, 16]), st.integers(0, 80), st.data()
)
def test_rows_written_in_pieces_are_read_back_whole(
    height: int, width: int, bands: int, bits: Literal[8, 16], tile: int, data: Any
) -> None:
    array = samples(height, width, bands, bits)
    row, column = data.draw(st.integers(0, height)), data.draw(st.integers(0, width))
    with Scratch(Path("a.png"), height, width, bands, bits, tile=tile) as scratch:
        for rows in (slice(0, row), slice(row, height)):
            for columns in (slice(0, column), slice(column, width)):
                scratch.put(array[rows, columns], rows.start, columns.start)
        assert scratch[0:height].dtype == array.dtype and (scratch[0:height] == array).all()
        assert (scratch[row:height] == array[row:]).all()
        assert (scratch.image().numpy().reshape(array.shape) == array).all()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_rows_on_disk_give_the_same_file_as_rows_in_memory(suffix: str, channels: int, tmp_path: Path) -> None:
    suffix = "pgm" if (suffix, channels) == ("ppm", 1) else suffix
    array = samples(150, 90, channels, 8)
    metadata = Metadata(xmp=b"<x/>", dpi=(300.0, 200.0))
    store(array, tmp_path / f"memory.{suffix}", metadata)
    with Scratch(tmp_path / "a", 150, 90, channels, 8, tile=32) as scratch:
        scratch.put(array, 0)
        store(scratch, tmp_path / f"disk.{suffix}", metadata)
    assert (tmp_path / f"disk.{suffix}").read_bytes() == (tmp_path / f"memory.{suffix}").read_bytes()


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_bitmaps_are_written_band_by_band(bands: int, tmp_path: Path) -> None:
    array = samples(130, 7, bands, 8)
    for suffix, pieces in [("bmp", to_bmp(array, Metadata())), ("pam", to_pnm(array, pam=True))]:
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(b"".join(pieces))
        wanted = array[..., [0, 0, 0, 1]] if (bands, suffix) == (2, "bmp") else array
        assert (read(path).to_array() == wanted).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_decoded_upright_to_disk(orientation: int, tmp_path: Path) -> None:
    from PIL import Image

    tags = Image.Exif()
    tags[0x112] = orientation
    path = saved(photo(90, 150), tmp_path / "a.tif", exif=tags)
    with decode_to_disk(path, tmp_path / "b.tif") as (scratch, header, _):
        assert scratch.shape == (header.height, header.width, 3)
        assert (scratch[:] == read(path).to_array()).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp", "ppm"])
def test_damage_in_the_last_row_ends_decoding_to_disk(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    store(samples(300, 200, 3, 8), path, Metadata())
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DRRNError, match="damaged or cut short"), decode_to_disk(path, tmp_path / "b"):
        pass


def test_a_scratch_file_is_invisible_to_others(tmp_path: Path) -> None:
    with Scratch(tmp_path / "not" / "there" / "a.png", 100, 100, 3, 8) as scratch:
        scratch.put(samples(100, 100, 3, 8), 0)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_full_disk_is_reported(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(FileIO):
        def write(self, content: Any, /) -> int:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr("drrn.media.images.scratch.TemporaryFile", lambda **options: Full(tmp_path / "x", "w+"))
    with pytest.raises(DRRNError, match=rf"a.png can't be written: {os.strerror(number)}\."):
        Scratch(tmp_path / "a.png", 10, 10, 3, 8)


def test_too_little_disk_space_is_reported_before_the_work(tmp_path: Path) -> None:
    check_room(tmp_path / "a.png", 1)
    with pytest.raises(UsageError, match=r"a.png needs 1099511627776 MB .* written, and .* has only \d+\."):
        check_room(tmp_path / "a.png", 1 << 60)


class EnoughError(Exception):
    """An exception that drrn does not know."""


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_exception_from_the_check_ends_the_writing(suffix: str, tmp_path: Path) -> None:
    def enough() -> None:
        raise EnoughError

    with pytest.raises(EnoughError):
        store(samples(300, 300, 3, 8), tmp_path / f"a.{suffix}", Metadata(), check=enough)
    assert list(tmp_path.iterdir()) == []
