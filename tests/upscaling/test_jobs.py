"""Jobs: their progress, which can end them, and the names of their results."""

from pathlib import Path

import numpy as np
import pytest

from drrn.engines import EngineName
from drrn.media.image import Image
from drrn.upscaling.upscaler import Upscaler
from tests.small_weights import small_weights


class EnoughError(Exception):
    """An exception that drrn does not know."""


@pytest.mark.parametrize("engine", ["native", "reference", "torch", "onnx"])
def test_an_exception_from_progress_ends_an_engine_within_a_band_or_tile(
    engine: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drrn.upscaling.cost.MAX_TILE", 64)
    picture = Image(pixels=np.random.default_rng(0).random((128, 96, 3), np.float32))
    upscaler = Upscaler(small_weights(), engine=engine, threads=1)
    shares: list[float] = []

    def enough(share: float) -> None:
        shares.append(share)
        raise EnoughError

    with pytest.raises(EnoughError):
        upscaler.upscale(picture, 2, progress=enough)
    assert len(shares) == 1 and shares[0] <= 0.25
    whole: list[float] = []
    again = upscaler.upscale(picture, 2, progress=whole.append)  # the next call must not be affected
    assert len(whole) >= 4 and whole[-1] == 1
    assert (again.pixels == Upscaler(small_weights(), engine=engine, threads=1).upscale(picture, 2).pixels).all()


def test_a_name_that_would_be_too_long_loses_the_end_of_its_stem(tmp_path: Path) -> None:
    from drrn.media.images.files import write
    from drrn.upscaling.batch.planning import Request, plan

    source = tmp_path / f"{'a' * 251}.png"
    write(Image(pixels=np.zeros((2, 2, 1), np.float32)), tmp_path / "x.png")
    (tmp_path / "x.png").rename(source)
    job = plan(source, None, Request(2))
    assert job.target.name == f"{'a' * 248}_x2.png"


def test_the_text_of_recipes_matches_existing_manifests_and_dicom_files(tmp_path: Path) -> None:
    from drrn.media.images.files import write
    from drrn.upscaling.batch.planning import Request, plan

    write(Image(pixels=np.zeros((2, 3, 1), np.float32)), tmp_path / "a.png")
    job = plan(tmp_path / "a.png", None, Request(2))
    upscaler = Upscaler(small_weights(), engine="reference")
    assert job.recipe(upscaler) == (
        f'{{"model": "{upscaler.weights.digest()}", "units": 2, "engine": "reference", "precision": "float32", '
        '"ensemble": false, "size": [6, 4], "options": {"asked": {"disagreement": false, "check": false, '
        '"check_map": false}, "budget": null, "quality": null, "lossless": false, "codec": null, "crf": null, '
        '"drop_track": [], "block": null, "overviews": "keep"}}'
    )


def test_progress_of_a_part_is_scaled_to_the_whole_and_never_above_1() -> None:
    from drrn.upscaling.formats.job import Hooks

    shares: list[float] = []
    hooks = Hooks(progress=shares.append)
    for part in range(3):  # one more than was announced
        hooks.progress_of(part, 2)(0.5)
    assert shares == [0.25, 0.75, 1.0]
