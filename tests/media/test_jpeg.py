"""JPEGs with violations that affect no pixel are read as intended; all others stay refused."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drrn.apps.cli import main
from drrn.errors import ImageError
from drrn.media.images.files import decode_to_disk, probe, read
from drrn.media.images.jpeg import Edit, Mended, Mends, find_mends

SEED = np.random.default_rng(3)
PIXELS = SEED.integers(0, 255, (12, 9, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)

Break = Callable[[bytes], bytes]


def encoded(**options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def stray_before(marker: bytes, extra: bytes = bytes(4)) -> Break:
    return lambda file: file.replace(marker, extra + marker, 1)


def scan_parameters(values: bytes) -> Break:
    def change(file: bytes) -> bytes:
        begin = file.index(b"\xff\xda")
        end = begin + 2 + int.from_bytes(file[begin + 2 : begin + 4])
        return file[: end - 3] + values + file[end:]

    return change


def replaced(old: bytes, new: bytes) -> Break:
    def change(file: bytes) -> bytes:
        assert old in file
        return file.replace(old, new, 1)

    return change


def with_adobe(transform: int) -> Break:
    """A JPEG with an Adobe segment instead of JFIF."""

    def change(file: bytes) -> bytes:
        length = int.from_bytes(file[4:6])
        return file[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]) + file[4 + length :]

    return change


def levels(path: Path) -> np.ndarray:
    return read(path).to_array()


TOLERATED: dict[str, tuple[Break, str]] = {
    "Samsung's scan parameters": (scan_parameters(bytes(3)), "wrong scan parameters corrected"),
    "other scan parameters": (scan_parameters(b"\0\x3e\x11"), "wrong scan parameters corrected"),
    "stray bytes before a table": (stray_before(b"\xff\xdb"), "4 stray bytes before markers left out"),
    "stray bytes before the frame": (stray_before(b"\xff\xc0"), "4 stray bytes before markers left out"),
    "a stray byte before the codes": (stray_before(b"\xff\xc4", b"x"), "1 stray byte before markers left out"),
    "stray bytes before the scan": (stray_before(b"\xff\xda", b"a\xff\0b"), "4 stray bytes before markers left out"),
    "a later JFIF": (replaced(b"JFIF\0\1", b"JFIF\0\3"), "an unknown version of JFIF read as 1"),
    "another color transform": (with_adobe(7), "the unknown color transform 7 read as YCbCr"),
}


@pytest.mark.parametrize("kind", TOLERATED)
@pytest.mark.parametrize("restarts", [0, 5])
def test_harmless_violations_of_the_format_are_read_and_reported(kind: str, restarts: int, tmp_path: Path) -> None:
    whole, broken = tmp_path / "a.jpg", tmp_path / "b.jpg"
    content = encoded(restart_marker_blocks=restarts)
    change, printed = TOLERATED[kind]
    whole.write_bytes(content)
    broken.write_bytes(change(content))
    assert probe(broken).tolerated == (printed,)
    assert np.array_equal(read(broken).pixels, read(whole).pixels)
    with decode_to_disk(broken, tmp_path / "beside") as (samples, header, _):  # the way of images enlarged in strips
        assert header.tolerated and np.array_equal(samples[:] / np.float32(255), read(whole).pixels)


def test_stray_bytes_in_a_progressive_jpeg_are_ignored(tmp_path: Path) -> None:
    content = encoded(progressive=True)
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(stray_before(b"\xff\xda")(stray_before(b"\xff\xc2")(content)))
    assert np.array_equal(read(tmp_path / "b.jpg").pixels, read(tmp_path / "a.jpg").pixels)


@pytest.mark.parametrize("extra", [2, 3, 4, 9, 200])
@pytest.mark.parametrize(
    ("marker", "options"),
    [
        (b"\xff\xd0", {"restart_marker_blocks": 4}),
        (b"\xff\xd3", {"restart_marker_blocks": 4}),
        (b"\xff\xd9", {}),
        (b"\xff\xd9", {"progressive": True}),
        (b"\xff\xc4", {"progressive": True}),
        (b"\xff\xda", {"progressive": True}),
    ],
)
def test_zeros_after_a_scan_are_ignored(marker: bytes, options: dict[str, object], extra: int, tmp_path: Path) -> None:
    content = encoded(**options)
    at = content.rindex(marker)
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(content[:at] + bytes(extra) + content[at:])
    assert np.array_equal(levels(tmp_path / "b.jpg"), levels(tmp_path / "a.jpg"))


def test_padding_after_every_interval_is_ignored_and_reported(tmp_path: Path) -> None:
    content = encoded(restart_marker_blocks=4)
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(re.sub(rb"(\xff[\xd0-\xd7])", rb"\0\0\0\0\0\1", content))
    assert np.array_equal(levels(tmp_path / "b.jpg"), levels(tmp_path / "a.jpg"))
    assert "stray bytes after scans left out" in probe(tmp_path / "b.jpg").tolerated[0]


def test_zeros_that_belong_to_a_scan_are_kept(tmp_path: Path) -> None:
    """The data of a flat image with few codes may end in zeros."""
    path = tmp_path / "a.jpg"
    for size in range(8, 400, 8):
        Image.new("L", (size, size), 128).save(path, optimize=True, progressive=size % 16 == 0)
        if find_mends(path.read_bytes()).padding:
            assert probe(path).tolerated == () and np.ptp(levels(path)) == 0
            return
    pytest.fail("no such file was found")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}])
def test_valid_files_are_not_edited(options: dict[str, object]) -> None:
    assert find_mends(encoded(**options)) == Mends([], ())


@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 4}])
def test_a_missing_end_marker_is_tolerated_where_all_pixels_are_there(
    options: dict[str, object], tmp_path: Path
) -> None:
    content = encoded(**options)
    (tmp_path / "a.jpg").write_bytes(content)
    path = tmp_path / "b.jpg"
    path.write_bytes(content[:-2])
    assert probe(path).tolerated == ("a missing end marker added",)
    assert np.array_equal(levels(path), levels(tmp_path / "a.jpg"))
    path.write_bytes(content[:-9])
    with pytest.raises(ImageError, match="is a JPEG that is damaged or cut short"):
        read(path)


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_a_jpeg_that_lacks_only_pixels_of_its_last_rows_is_refused(
    subsampling: int, end: bytes, tmp_path: Path
) -> None:
    """libvips heeds the decoder's warnings only when it reads further rows."""
    content, path = encoded(subsampling=subsampling), tmp_path / "a.jpg"
    for lost in (3, 4, 9, 40):
        path.write_bytes(content[:-lost] + end)
        with pytest.raises(ImageError, match="is a JPEG that is damaged or cut short"):
            read(path)
        with (
            pytest.raises(ImageError, match="is a JPEG that is damaged or cut short"),
            decode_to_disk(path, tmp_path / "beside"),
        ):
            pass


def test_a_progressive_jpeg_without_end_is_refused(tmp_path: Path) -> None:
    """Its last scans may be missing, and no decoder would notice."""
    (tmp_path / "a.jpg").write_bytes(encoded(progressive=True)[:-2])
    with pytest.raises(ImageError, match="is a JPEG that is damaged or cut short"):
        read(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (replaced(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"), "a JPEG of 12 bit"),
        (replaced(b"\xff\xc0", b"\xff\xc5"), "a hierarchical JPEG"),
        (replaced(b"\xff\xc0", b"\xff\xf7"), "a JPEG-LS image"),
        (replaced(b"\xff\xc0\0\x11\x08\0\x60", b"\xff\xc0\0\x11\x08\0\0"), "a JPEG that states its height only after"),
    ],
)
def test_kinds_that_no_decoder_reads_are_refused_by_name(change: Break, kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(change(encoded()))
    with pytest.raises(ImageError, match=f"is {kind}.* which drrn can't read. Convert it to PNG or TIFF first"):
        probe(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["cut", "cut, with an end", "a hole", "a wrong restart"])
@pytest.mark.parametrize("tolerated", [False, True])
def test_a_jpeg_with_missing_pixels_stays_refused(kind: str, tolerated: bool, tmp_path: Path) -> None:
    """A tolerated violation does not hide other damage."""
    content = encoded(restart_marker_blocks=8)
    if tolerated:
        content = scan_parameters(bytes(3))(stray_before(b"\xff\xdb")(content))
    half, restart = content.index(b"\xff\xda") + len(content) // 3, content.index(b"\xff\xd2")
    broken = {
        "cut": content[:half],
        "cut, with an end": content[:half] + b"\xff\xd9",
        "a hole": content[:half] + content[half + 99 :],
        "a wrong restart": content[:restart] + b"\xff\xd7" + content[restart + 2 :],
    }
    path = tmp_path / "a.jpg"
    path.write_bytes(broken[kind])
    with pytest.raises(ImageError, match="is a JPEG that is damaged or cut short"):
        read(path)


def test_strict_refuses_tolerated_violations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(scan_parameters(bytes(3))(encoded()))
    with pytest.raises(SystemExit, match="2"):
        main(["upscale", str(path), "-m", "tiny", "--strict"])
    assert "breaks the rules of JPEG" in capsys.readouterr().err
    assert not (tmp_path / "a_x2.jpg").exists()
    with pytest.raises(SystemExit, match="0"):
        main(["upscale", str(path), "-m", "tiny"])
    assert "wrong scan parameters corrected" in capsys.readouterr().err


@given(st.binary(max_size=200), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.binary(max_size=5))))
def test_an_edited_file_is_read_like_a_rewritten_one(content: bytes, steps: list[tuple[int, int, bytes]]) -> None:
    edits, right, at = [], b"", 0
    for skip, length, replacement in steps:
        begin, end = min(at + skip, len(content)), min(at + skip + length, len(content))
        edits.append(Edit(begin, end, replacement))
        right, at = right + content[at:begin] + replacement, end
    right += content[at:]
    with TemporaryFile() as written:
        written.write(content)
        written.flush()
        file = Mended(written.fileno(), len(content), edits)
        assert b"".join(iter(lambda: file.read(3), b"")) == right
        assert file.seek(-2, 2) == max(len(right) - 2, 0) and file.read(1) == right[-2:][:1]


def test_zeros_after_ff_are_not_padding() -> None:
    """A zero after FF marks FF as data."""
    scan = b"\xff\xd8\xff\xda\0\2ab\xff\0\0\0\xff\xd0\xff\0\0\xff\xd1\0\0a\xff\0\xff\xd9"
    assert find_mends(scan).padding == (Edit(10, 12, b""),)


@given(st.binary(max_size=400))
def test_repairs_of_any_bytes_are_inside_them_and_do_not_overlap(content: bytes) -> None:
    edits = find_mends(b"\xff\xd8" + content).edits
    places = [2, *(place for edit in edits for place in (edit.begin, edit.end)), 2 + len(content)]
    assert places == sorted(places)
