"""AVIFs that are cropped, rotated, tiled, or contain several images."""

from pathlib import Path

import numpy as np
import pytest

from drrn.apps.cli import main
from drrn.errors import ImageError
from drrn.media.images.files import decode_to_disk, probe, read
from tests.media.avif_files import Item, avif, crop, full, grid, image, mirror, size, turn

RANDOM = np.random.default_rng(0)
RGB = np.kron(RANDOM.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
TILES = [np.kron(RANDOM.integers(0, 255, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(4)]
WHOLE = np.vstack([np.hstack(TILES[:2]), np.hstack(TILES[2:])])
TONE_MAP = Item(b"tmap", bytes(60), (size(64, 48),))
GAIN_MAP = image(np.zeros((96, 128), np.uint8))


def levels(path: Path) -> np.ndarray:
    """Read a file in memory and through strips, check that both agree, and return its levels."""
    header = probe(path)
    whole = read(path, max_pixels=header.decoded).to_array()
    with decode_to_disk(path, path.with_name("beside"), max_pixels=header.decoded) as (samples, found, _):
        assert np.array_equal(samples[:], whole) and found == header
    assert whole.shape[:2] == (header.height, header.width)
    return whole


def is_shown(found: np.ndarray, right: np.ndarray) -> bool:
    return found.shape == right.shape and bool(np.abs(found.astype(int) - right).max() <= 4)


@pytest.mark.parametrize(
    ("properties", "right"),
    [
        ((crop(40, 32, 0, 0),), RGB[8:40, 12:52]),
        ((crop(40, 32, 24, 16),), RGB[16:48, 24:64]),
        ((crop(40, 32, 0, 0), turn(1)), np.rot90(RGB[8:40, 12:52])),
        ((crop(40, 32, 0, 0), turn(3), mirror(0)), np.rot90(RGB[8:40, 12:52], 3)[::-1]),
        ((crop(40, 32, 0, 0), mirror(1)), RGB[8:40, 12:52][:, ::-1]),
        ((turn(1), crop(32, 40, 0, 0)), np.rot90(RGB)[12:52, 8:40]),
    ],
)
def test_a_cropped_and_rotated_avif_is_read_as_displayed(
    properties: tuple[bytes, ...], right: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(avif([image(RGB, *properties)]))
    assert is_shown(levels(path), right)
    assert probe(path).coded == 64 * 48


def test_a_cropped_avif_is_enlarged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(avif([image(RGB, crop(40, 32, 0, 0))]))
    for more in ([], ["--check", "--overwrite"]):  # in strips, and as a whole
        with pytest.raises(SystemExit, match="0"):
            main(["upscale", str(path), "-m", "tiny", *more])
        assert read(tmp_path / "a_x2.png").pixels.shape == (64, 80, 3)


def test_the_pixel_limit_counts_pixels_before_cropping(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(avif([image(RGB, crop(8, 8, 0, 0))]))
    with pytest.raises(ImageError, match=r"is stored as 64 x 48, 3,072 pixels; the limit is 3,071 \(--max-pixels\)"):
        probe(path, max_pixels=3071)
    assert probe(path, max_pixels=3072).width == 8


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("properties", [(), (crop(100, 90, 0, 0), turn(1))])
def test_a_tiled_avif_is_read_as_one_image(hidden: bool, properties: tuple[bytes, ...], tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    tiles = [image(tile, hidden=hidden) for tile in TILES]
    path.write_bytes(avif([grid(2, 2, 128, 128, *properties), *tiles], [(b"dimg", 1, (2, 3, 4, 5))]))
    assert is_shown(levels(path), np.rot90(WHOLE[19:109, 14:114]) if properties else WHOLE)
    assert probe(path).converted == ()


def test_the_pixel_limit_counts_whole_tiles(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    tiles = [image(tile, hidden=True) for tile in TILES]
    path.write_bytes(avif([grid(2, 2, 80, 80), *tiles], [(b"dimg", 1, (2, 3, 4, 5))]))
    with pytest.raises(ImageError, match="is stored as 80 x 80, 16,384 pixels"):
        probe(path, max_pixels=10000)


@pytest.mark.parametrize("hidden", [True, False])
def test_a_dropped_gain_map_is_reported(hidden: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    items = [image(RGB), TONE_MAP, GAIN_MAP._replace(hidden=hidden)]
    path.write_bytes(avif(items, [(b"dimg", 2, (1, 3))], b"tmap"))
    assert is_shown(levels(path), RGB)
    assert probe(path).converted == ("without gain map",)


def test_colors_multiplied_by_alpha_are_divided_by_it(tmp_path: Path) -> None:
    """As avifenc --premultiply stores them; without that claim they stay as they are."""
    path, half = tmp_path / "a.avif", np.full(RGB.shape[:2], 128, np.uint8)
    kind = full(b"auxC", 0, 0, b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
    items, belongs = [image(RGB // 2), image(half, kind)], (b"auxl", 2, (1,))
    path.write_bytes(avif(items, [belongs, (b"prem", 1, (2,))]))
    found = levels(path)
    assert np.abs(found[..., :3].astype(int) - RGB).max() <= 8 and np.abs(found[..., 3].astype(int) - 128).max() <= 1
    assert "colors divided by alpha" in probe(path).converted
    path.write_bytes(avif(items, [belongs]))
    assert np.abs(levels(path)[..., :3].astype(int) - RGB // 2).max() <= 4 and probe(path).converted == ()


def test_a_thumbnail_does_not_count_as_another_image(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(avif([image(RGB), image(np.ascontiguousarray(RGB[::2, ::2]))], [(b"thmb", 2, (1,))]))
    assert is_shown(levels(path), RGB)


def test_an_avif_of_several_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(avif([image(RGB), image(np.ascontiguousarray(RGB[::-1]))]))
    with pytest.raises(ImageError, match="has 2 pages or frames"):
        probe(path)


def test_an_avif_without_meta_box_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(avif([image(RGB)]).replace(b"pitm", b"free"))
    with pytest.raises(ImageError, match="damaged or cut short"):
        probe(path)
