"""The API: what good requests get, and how bad ones are refused."""

import hashlib
import io
import json
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from drrn.apps import cli
from drrn.core.color import levels
from drrn.core.resize import imresize
from drrn.media.image import Image
from drrn.serving.archive import unique_names
from tests.serving.conftest import PATIENCE, Running, picture, png, serving


def opened(content: bytes, folder: Path, suffix: str = ".png") -> Any:
    path = folder / f"answer{suffix}"
    path.write_bytes(content)
    return Image.open(path).to_array()


def test_a_result_has_the_same_bytes_and_name_as_from_the_command_line(running: Running, tmp_path: Path) -> None:
    source = tmp_path / "holiday 1.jpeg"
    picture(90, 60).save(source, quality=90)
    with pytest.raises(SystemExit):
        cli.main(["upscale", str(source), "--model", "tiny", "--scale", "2.5"])
    answer = running.send(source.read_bytes(), "/api/upscale", "holiday%201.jpeg", scale=2.5, model="tiny")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''holiday%201_x2.5.jpeg"
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content == (tmp_path / "holiday 1_x2.5.jpeg").read_bytes()


def test_a_plan_describes_a_picture_and_its_result(running: Running, photo: bytes) -> None:
    plan = running.send(photo, "/api/plan", "a.png", size="200x").json()
    assert plan["source"] == hashlib.sha256(photo).hexdigest()
    assert (plan["source_width"], plan["source_height"], plan["width"], plan["height"]) == (40, 30, 200, 150)
    assert (plan["name"], plan["model"], plan["format"], plan["kind"]) == ("a_200x150.png", "tiny", "PNG", "image")
    assert "at most 30 seconds" in plan["why"] and plan["seconds"] > 0 and plan["memory"] > 0
    named = running.client.post(
        "/api/plan", params={"source": plan["source"], "model": "tiny", "format": "webp"}
    ).json()
    assert (named["why"], named["name"]) == ("", "picture_x2.webp")


def test_repeating_a_request_gives_the_same_job(running: Running, photo: bytes) -> None:
    first, again, other = (running.send(photo, scale=scale) for scale in (3, 3, 4))
    assert (first.status_code, again.status_code, other.status_code) == (202, 200, 202)
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]
    assert first.headers["location"] == f"jobs/{first.json()['id']}"
    done = running.wait(first.json()["id"])
    content = running.client.get(f"/api/jobs/{done['id']}/result")
    assert done["state"] == "done" and done["sha256"] == hashlib.sha256(content.content).hexdigest()
    assert content.headers["etag"] == f'"{done["sha256"]}"'
    known = running.client.get(f"/api/jobs/{done['id']}/result", headers={"If-None-Match": content.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_a_plus_in_a_parameter_need_not_be_escaped(running: Running, photo: bytes) -> None:
    """A + in a query stands for a space, and hand-written clients do not escape it."""
    plan = running.client.post("/api/plan?size=100x100+", content=photo).json()
    assert (plan["width"], plan["height"]) == (133, 100)
    for crop in ("30x20+40+10", "30x20%2B40%2B10"):
        assert running.client.post(f"/api/preview?scale=2&crop={crop}", content=photo).status_code == 200
    refused = running.client.post("/api/preview?crop=30x20", content=photo)
    assert refused.status_code == 400 and "got '30x20'" in refused.json()["detail"]


@pytest.mark.parametrize("options", [{"scale": 2}, {"scale": 3.7}, {"size": "150x111"}, {"scale": 2, "model": "tiny"}])
def test_a_preview_has_the_same_pixels_as_the_whole_result(
    running: Running, tmp_path: Path, options: dict[str, Any]
) -> None:
    photo = png(tmp_path, 83, 61)
    whole = opened(running.send(photo, "/api/upscale", **options).content, tmp_path)
    for left, top, width, height in [(0, 0, 40, 30), (37, 29, 50, 41), (whole.shape[1] - 9, whole.shape[0] - 5, 9, 5)]:
        crop = f"{width}x{height}+{left}+{top}"
        part = opened(running.send(photo, "/api/preview", crop=crop, **options).content, tmp_path)
        np.testing.assert_array_equal(part, whole[top : top + height, left : left + width])


def test_the_before_side_of_a_preview_is_bicubic(running: Running, tmp_path: Path) -> None:
    photo = picture(50, 40, 3)
    photo.save(tmp_path / "photo.png")
    content = (tmp_path / "photo.png").read_bytes()
    whole = levels(imresize(photo.pixels.transpose(2, 0, 1), 80, 100)).transpose(1, 2, 0)
    part = opened(running.send(content, "/api/preview", crop="31x22+40+7", side="before").content, tmp_path)
    np.testing.assert_array_equal(part, whole[7:29, 40:71])
    job = running.wait(running.send(content).json()["id"])
    view = running.client.get(f"/api/jobs/{job['id']}/view", params={"side": "before", "region": "40,7,31,22"})
    np.testing.assert_array_equal(opened(view.content, tmp_path), whole[7:29, 40:71])


def test_a_view_shows_a_region_of_a_result_at_the_requested_width(running: Running, tmp_path: Path) -> None:
    content = png(tmp_path, 64, 48, 5)
    job = running.wait(running.send(content, scale=4).json()["id"])
    whole = opened(running.client.get(f"/api/jobs/{job['id']}/result").content, tmp_path)
    view = running.client.get(f"/api/jobs/{job['id']}/view", params={"region": "100,50,60,40"})
    np.testing.assert_array_equal(opened(view.content, tmp_path), whole[50:90, 100:160])
    small = opened(running.client.get(f"/api/jobs/{job['id']}/view", params={"width": "64"}).content, tmp_path)
    expected = levels(imresize(whole.transpose(2, 0, 1).astype(np.float32) / 255, 48, 64)).transpose(1, 2, 0)
    np.testing.assert_array_equal(small, expected)


def test_a_result_is_checked_on_request(running: Running, photo: bytes) -> None:
    job = running.wait(running.send(photo, check=True).json()["id"])
    check: Any = job["check"]
    assert check["psnr"] > check["bicubic"]["psnr"] > 20
    assert running.wait(running.send(photo).json()["id"])["check"] is None


def test_metadata_can_be_dropped_but_colors_are_always_kept(running: Running, tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x10E] = "a secret place"
    path = tmp_path / "photo.jpg"
    profile = (b"\0\0\2\x0c" + b"lcms\x02\x10\0\0mntrRGB XYZ ").ljust(128, b"\0")
    Pillow.fromarray(picture().to_array()).save(path, exif=exif, comment=b"hush", icc_profile=profile)
    complete = running.send(path.read_bytes(), "/api/upscale", "photo.jpg").content
    bare = running.send(path.read_bytes(), "/api/upscale", "photo.jpg", metadata="drop").content
    assert b"a secret place" in complete and b"hush" in complete
    assert b"secret" not in bare and b"hush" not in bare
    assert Pillow.open(io.BytesIO(bare)).info["icc_profile"] == Pillow.open(io.BytesIO(complete)).info["icc_profile"]
    np.testing.assert_array_equal(opened(bare, tmp_path, ".jpg"), opened(complete, tmp_path, ".jpg"))


def test_a_result_can_have_another_format_and_quality(running: Running, photo: bytes) -> None:
    low = running.send(photo, "/api/upscale", format="jpg", quality=40)
    high = running.send(photo, "/api/upscale", format="jpg", quality=95)
    assert low.content[:2] == b"\xff\xd8" and len(low.content) < len(high.content)
    assert "photo_x2.jpg" in low.headers["content-disposition"]


def test_an_archive_contains_results_under_unique_names(running: Running, tmp_path: Path) -> None:
    jobs = [
        running.wait(running.send(png(tmp_path, 20, 15, seed), name=name, scale=2).json()["id"])
        for seed, name in [(11, "a.png"), (12, "b.png"), (13, "a.png")]
    ]
    answer = running.client.get("/api/results.zip", params={"id": [str(job["id"]) for job in jobs]})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a_x2.png", "b_x2.png", "a_x2 (2).png"]
        assert [each.compress_type for each in archive.infolist()] == [zipfile.ZIP_STORED] * 3
        sums = [hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()]
    assert sums == [job["sha256"] for job in jobs]
    assert running.client.get("/api/results.zip", params={"id": "0" * 64}).status_code == 404


def test_names_in_an_archive_are_unique_ignoring_case() -> None:
    found = unique_names(["a.png", "A.png", "a (2).png", "a.png"])
    assert found == ["a.png", "A (2).png", "a (2) (2).png", "a (3).png"]


def test_events_follow_a_job_until_it_is_deleted(running: Running, tmp_path: Path) -> None:
    content = png(tmp_path, 30, 30, 21)
    events: list[tuple[str, dict[str, Any]]] = []
    ready = threading.Event()

    def listen() -> None:
        with running.client.stream("GET", "/api/events") as stream:
            kind = ""
            for line in stream.iter_lines():
                ready.set()
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: "):
                    events.append((kind, json.loads(line[6:])))
                    if kind == "gone":
                        return

    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(PATIENCE)
    identity = running.send(content, scale=2).json()["id"]
    running.wait(identity)
    assert running.client.delete(f"/api/jobs/{identity}").status_code == 204
    thread.join(PATIENCE)
    mine = [(kind, data) for kind, data in events if data["id"] == identity]
    assert [kind for kind, _ in mine if kind != "progress"] == ["queued", "done", "gone"]
    assert mine[0][1]["place"] == 1 and mine[1][0] == "progress"
    assert running.client.get(f"/api/jobs/{identity}").status_code == 404
    assert running.client.get(f"/api/jobs/{identity}/result").status_code == 404
    last = running.service.jobs.events.last
    with running.client.stream("GET", "/api/events", headers={"Last-Event-ID": str(last - 1)}) as stream:
        assert next(line for line in stream.iter_lines() if line.startswith("event: ")) == "event: gone"


def test_an_animation_stays_an_animation(running: Running, tmp_path: Path) -> None:
    path = tmp_path / "moving.gif"
    frames = [Pillow.fromarray(picture(24, 18, seed).to_array()) for seed in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    plan = running.send(path.read_bytes(), "/api/plan", "moving.gif").json()
    assert (plan["kind"], plan["frames"], plan["name"], plan["can_preview"]) == ("animation", 3, "moving_x2.gif", False)
    answer = running.send(path.read_bytes(), "/api/upscale", "moving.gif")
    moving = Pillow.open(io.BytesIO(answer.content))
    assert (moving.n_frames, moving.size) == (3, (48, 36))  # type: ignore[attr-defined]
    refused = running.send(path.read_bytes(), "/api/preview", crop="4x4+0+0")
    assert refused.status_code == 422 and "single pictures" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        ({"scale": "9"}, 400, "`scale` must be a number above 1 and at most 8, got '9'."),
        ({"scale": "nan"}, 400, "`scale` must be a number"),
        ({"scale": "2", "size": "100x"}, 400, "Give `scale` or `size`, not both."),
        ({"size": "large"}, 400, "A size is written 4000"),
        ({"model": "../../etc/passwd"}, 400, "`model` must be one of auto, tiny, got '../../etc/passwd'."),
        ({"units": "1"}, 400, "add model=tiny."),
        ({"model": "tiny", "units": "9"}, 422, "tiny can't run 9 units: trained for"),
        ({"quality": "0"}, 400, "from 1 to 100"),
        ({"quality": "50"}, 422, "--quality is for JPEG and WebP"),
        ({"url": "http://localhost/"}, 400, "There is no parameter `url`. There are scale, size,"),
        ({"size": "10x"}, 422, "10x8"),
        ({"format": "mp4"}, 422, "can't be written"),
    ],
)
def test_an_impossible_request_is_refused_in_one_sentence(
    running: Running, photo: bytes, options: dict[str, Any], status: int, sentence: str
) -> None:
    answer = running.send(photo, **options)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert sentence in answer.json()["detail"] and "\n" not in answer.json()["detail"]


def test_a_file_that_is_not_a_picture_is_reported_by_its_client_name(running: Running, photo: bytes) -> None:
    name = "M%C3%A4rz%0A..%2F..%2Fm%07.png"
    for content in (b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0" * 300, photo[:60]):
        for way in ("/api/jobs", "/api/upscale", "/api/plan"):
            answer = running.send(content, way, name)
            if answer.status_code == 202:  # its header is valid
                sentence = str(running.wait(answer.json()["id"])["error"])
            elif answer.status_code == 200:
                continue
            else:
                assert answer.status_code == 422
                sentence = answer.json()["detail"]
            assert sentence.startswith("m.png"), sentence
            assert str(running.config.folder) not in sentence


def test_unknown_paths_and_methods_are_problems_too(running: Running) -> None:
    for method, path, status in [
        ("GET", "/nothing", 404),
        ("GET", "/api/jobs/" + "0" * 64, 404),
        ("DELETE", "/api/jobs/" + "0" * 64, 404),
        ("PUT", "/api/jobs", 405),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/..%5c..%5cetc", 404),
        ("GET", "/page/index.html", 404),
    ]:
        answer = running.client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), path


def test_a_deleted_source_must_be_sent_again(running: Running) -> None:
    answer = running.client.post("/api/jobs", params={"source": "0" * 64})
    assert answer.status_code == 404 and "Send it again" in answer.json()["detail"]
    assert running.client.post("/api/jobs").json()["detail"] == "The body is empty; a picture was expected."


def test_metrics_count_jobs_and_reveal_no_names(running: Running, photo: bytes) -> None:
    running.send(photo, "/api/upscale", "my-secret-name.png")
    text = running.client.get("/metrics").text
    assert 'drrn_jobs_total{state="done"}' in text and 'drrn_http_responses_total{status="200"}' in text
    assert "secret" not in text


@pytest.mark.slow
def test_results_are_deleted_after_the_retention_time(
    tmp_path: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drrn.serving.jobs.SWEEP_SECONDS", 0.1)
    with serving(tmp_path, keep=3600) as service:
        answer = service.send(photo, "/api/upscale")
        assert answer.status_code == 200
        assert service.send(photo, "/api/upscale").headers["x-job"] == answer.headers["x-job"]
        assert len(service.stored_files()) == 3  # picture, result, job.json
        now = time.monotonic()
        monkeypatch.setattr("drrn.serving.jobs.time", SimpleNamespace(monotonic=lambda: now + 3700))
        end = now + PATIENCE
        while service.stored_files() and time.monotonic() < end:
            time.sleep(0.1)
        assert service.stored_files() == []
        assert service.client.get(f"/api/jobs/{answer.headers['x-job']}").status_code == 404


@pytest.mark.slow
def test_a_full_queue_says_when_to_retry(tmp_path: Path) -> None:
    with serving(tmp_path, queue_jobs=2) as service, service.frozen():
        first = service.send(png(tmp_path), scale=4)
        service.wait_until(first.json()["id"], "running")
        answers = [service.send(png(tmp_path, 20, 20, seed)) for seed in range(4)]
        assert [first.status_code, *(each.status_code for each in answers)] == [202, 202, 202, 429, 429]
        refused = answers[-1]
        assert int(refused.headers["retry-after"]) >= 1 and "2 pictures are waiting" in refused.json()["detail"]
        for answer in [first, *answers[:2]]:
            service.client.delete(f"/api/jobs/{answer.json()['id']}")
        states = {service.wait(answer.json()["id"])["state"] for answer in [first, *answers[:2]]}
        assert states == {"canceled"}
        assert service.send(png(tmp_path, 20, 20, 9), "/api/upscale").status_code == 200


@pytest.mark.slow
def test_a_job_that_would_take_too_long_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, max_seconds=1e-6) as service:
        answer = service.send(png(tmp_path, 300, 300))
        assert answer.status_code == 422 and "expected to take" in answer.json()["detail"]


@pytest.mark.slow
def test_the_queue_is_limited_in_bytes_and_seconds(tmp_path: Path) -> None:
    with serving(tmp_path, queue_bytes=20_000) as service:
        full = service.send(png(tmp_path, 300, 300))
        assert full.status_code == 429 and "space for pictures is used up" in full.json()["detail"]
        assert int(full.headers["retry-after"]) >= 1 and service.stored_files() == []
        assert service.send(png(tmp_path, 10, 10), "/api/upscale").status_code == 200
    with serving(tmp_path, queue_seconds=1e-6) as service, service.frozen():
        answers = [service.send(png(tmp_path), scale=4)]
        service.wait_until(answers[0].json()["id"], "running")
        answers += [service.send(png(tmp_path), scale=scale) for scale in (3, 2.5)]
        assert [each.status_code for each in answers] == [202, 202, 429]  # one runs, one waits
        assert "pictures will take" in answers[-1].json()["detail"]
        assert int(answers[-1].headers["retry-after"]) >= 1
        for each in answers[:2]:
            service.client.delete(f"/api/jobs/{each.json()['id']}")


def test_a_failed_job_can_be_sent_again(running: Running, photo: bytes) -> None:
    cut = photo[: len(photo) * 2 // 3]
    first = running.send(cut)
    assert first.status_code == 202 and running.wait(first.json()["id"])["state"] == "failed"
    again = running.client.post("/api/jobs", params={"source": hashlib.sha256(cut).hexdigest(), "scale": 2})
    assert again.status_code == 202
    assert running.client.delete(f"/api/jobs/{first.json()['id']}").status_code == 204
