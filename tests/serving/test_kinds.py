"""Videos, rasters and DICOM: refused unless the service accepts them, and then enlarged as by the command line."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from drrn.apps import cli
from tests import dicom_files
from tests.serving.browser import CHROMIUM, opened
from tests.serving.conftest import PATIENCE, Running, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("av")
pytest.importorskip("rasterio")


class Sample(NamedTuple):
    """A file of one kind."""

    kind: str
    article: str
    source: str
    result: str
    mime: str
    frames: int
    warning: str


SAMPLES = [
    Sample("video", "a video", "clip.mp4", "clip_x2.mp4", "video/mp4", 5, ""),
    Sample("video", "a video", "clip.mkv", "clip_x2.mkv", "video/x-matroska", 5, ""),
    Sample(
        "raster",
        "a GeoTIFF",
        "tile.tif",
        "tile_x2.tif",
        "image/tiff",
        1,
        "Finer detail in enlarged rasters is an estimate, and not for survey.",
    ),
    Sample(
        "dicom",
        "a DICOM file",
        "slice.dcm",
        "slice_x2.dcm",
        "application/dicom",
        1,
        "Enlarged DICOM files are not for diagnosis.",
    ),
]
each_kind = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.source)


def make(sample: Sample, folder: Path, *, width: int = 48, height: int = 32, frames: int = 5) -> Path:
    from tests.film_files import film
    from tests.scene_files import put as raster

    path = folder / sample.source
    values = np.random.default_rng(1).integers(100, 3000, (height, width)).astype(np.uint16)
    match sample.kind:
        case "video":
            return film(path, size=(width, height), times=[number * 512 for number in range(frames)])
        case "raster":
            return raster(path, values)
        case _:
            return dicom_files.put(path, values)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that accepts all kinds of files."""
    kinds = ("image", "animation", "video", "raster", "dicom")
    with serving(tmp_path_factory.mktemp("kinds"), kinds=kinds) as service:
        yield service


@pytest.mark.slow
@each_kind
def test_other_kinds_are_off_by_default(running: Running, tmp_path: Path, sample: Sample) -> None:
    answer = running.send(make(sample, tmp_path).read_bytes(), "/api/jobs", sample.source)
    assert answer.status_code == 415
    assert sample.article in answer.json()["detail"] and "drrn serve --kinds" in answer.json()["detail"]


@pytest.mark.slow
@each_kind
def test_a_result_of_each_kind_has_the_same_bytes_and_name_as_from_the_command_line(
    service: Running, tmp_path: Path, sample: Sample
) -> None:
    source = make(sample, tmp_path)
    plan = service.send(source.read_bytes(), "/api/plan", sample.source, model="tiny").json()
    assert (plan["kind"], plan["name"], plan["frames"]) == (sample.kind, sample.result, sample.frames)
    assert (plan["width"], plan["height"], plan["warning"]) == (96, 64, sample.warning)
    assert plan["can_preview"] is False and plan["seconds"] > 0
    job = service.wait(service.send(source.read_bytes(), "/api/jobs", sample.source, model="tiny").json()["id"])
    assert job["state"] == "done", job
    result = service.client.get(f"/api/jobs/{job['id']}/result")
    assert result.headers["content-type"] == sample.mime
    assert sample.result in result.headers["content-disposition"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["upscale", str(source), "--model", "tiny", "--scale", "2", "--threads", "1"])
    assert ended.value.code == 0
    assert result.content == (tmp_path / sample.result).read_bytes()
    assert [path.name for path in (service.config.folder / "jobs" / str(job["id"])).iterdir() if path.is_dir()] == []


@pytest.mark.slow
@each_kind
def test_options_for_single_pictures_are_refused_for_other_kinds(
    service: Running, tmp_path: Path, sample: Sample
) -> None:
    content = make(sample, tmp_path).read_bytes()
    crop = service.send(content, "/api/preview", sample.source, crop="4x4+0+0")
    assert crop.status_code == 422 and "single pictures" in crop.json()["detail"]
    bare = service.send(content, "/api/jobs", sample.source, metadata="drop")
    assert bare.status_code == 422 and "metadata=drop only works for single pictures" in bare.json()["detail"]
    other = service.send(content, "/api/jobs", sample.source, format="webp")
    assert other.status_code == 422 and "can't be written" in other.json()["detail"]
    cut = service.send(content[: len(content) // 2], "/api/upscale", sample.source)
    assert cut.status_code == 422 and str(service.config.folder) not in cut.json()["detail"]


def test_a_client_name_is_never_opened_as_a_file(service: Running, tmp_path: Path) -> None:
    """A file with the same name, in the current folder of the service, has no influence."""
    video = make(SAMPLES[1], tmp_path)
    other = Path.cwd() / "drrn-test-clip.mkv"
    shutil.move(make(SAMPLES[0], tmp_path), other)
    try:
        plan = service.send(video.read_bytes(), "/api/plan", other.name).json()
    finally:
        other.unlink()
    assert plan["name"] == "drrn-test-clip_x2.mkv"


@pytest.mark.slow
def test_a_canceled_video_leaves_no_files(service: Running, tmp_path: Path) -> None:
    before = service.stored_files()
    source = make(SAMPLES[0], tmp_path, width=320, height=240, frames=200)
    job = service.send(source.read_bytes(), "/api/jobs", "clip.mp4", scale=4).json()
    address = f"/api/jobs/{job['id']}"
    end = time.monotonic() + PATIENCE
    while service.client.get(address).json().get("share", 0) == 0:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert service.client.delete(address).status_code == 204
    assert service.wait(job["id"])["state"] == "canceled"
    assert [each for each in service.stored_files() if each not in before and not each.startswith("sources/")] == []


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
@each_kind
def test_the_page_enlarges_each_kind_and_shows_its_warning(
    browser: "Browser", service: Running, tmp_path: Path, sample: Sample
) -> None:
    for job in service.client.get("/api/jobs").json():
        service.client.delete(f"/api/jobs/{job['id']}")
    with opened(browser, f"{service.address}/") as page:
        missing: list[str] = []
        page.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
        page.set_input_files("#files", make(sample, tmp_path))
        page.locator("#list li.ready").wait_for()
        for state in ("ready", "done"):
            page.locator(f"#list li.{state}").wait_for()
            if sample.warning:
                page.locator("#warning", has_text=sample.warning).wait_for()
            else:
                assert page.locator("#warning").is_hidden()
            page.locator("#plain").wait_for()  # instead of a preview
            assert page.locator("drrn-compare").is_hidden()
            if state == "ready":
                page.click("#go")
        with page.expect_download() as download:
            page.locator("#list li a").click()
        assert download.value.suggested_filename == sample.result
        assert missing == []
