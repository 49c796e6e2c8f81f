"""The web page, used as people use it: with a mouse, a keyboard, a phone, a screen reader."""

import hashlib
import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from drrn.media.image import Image
from drrn.serving.static import PAGE
from tests.conftest import ROOT
from tests.serving.browser import CHROMIUM, opened
from tests.serving.conftest import Running, png, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = ROOT / "src/drrn/serving/page"
pytestmark = pytest.mark.slow
AXE = ROOT / "build/node_modules/axe-core/axe.min.js"
"""Installed by .ci/run: npm install --prefix build axe-core."""
BUDGET = 60_000
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
DATA = """async ([files]) => {
    const data = new DataTransfer();
    for (const [name, text] of files) {
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        data.items.add(new File([bytes], name, { type: "image/png" }));
    }
    return data;
}"""


def test_the_page_is_small_and_complete() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGE)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= BUDGET


def test_all_text_of_the_page_is_in_one_file_without_unused_entries() -> None:
    texts = json.loads((FOLDER / "en.json").read_text())
    html = (FOLDER / "index.html").read_text()
    script = "".join(path.read_text() for path in FOLDER.glob("*.js"))
    used = {*re.findall(r'data-(?:text|label)="(\w+)"', html), *re.findall(r'\b(?:t|act)\(\s*"(\w+)"', script)}
    used |= {"cancel", "remove"}  # chosen at run time
    assert used == set(texts)
    assert not re.search(r">\s*[A-Za-z]{2}", re.sub(r"<title>.*?</title>|</svg>drrn", "", html))


def test_the_page_refers_to_no_other_address() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "//" not in re.sub(r"^\s*//.*|/\*\*.*?\*/|; //.*", "", text, flags=re.MULTILINE), path.name
        assert not re.search(r"""(?:href|src)=["']/|fetch\(["'`]/""", text), f"{path.name} has an absolute link"


def forget_all(running: Running) -> None:
    for job in running.client.get("/api/jobs").json():
        for _ in range(2):  # the first cancels, the second deletes
            running.client.delete(f"/api/jobs/{job['id']}")


@pytest.fixture
def page(browser: "Browser", running: Running) -> "Iterator[Page]":
    forget_all(running)
    with opened(browser, f"{running.address}/") as page:
        yield page


def files(*contents: tuple[str, bytes]) -> list[Any]:
    import base64

    return [[[name, base64.b64encode(content).decode()] for name, content in contents]]


def drop(page: "Page", *contents: tuple[str, bytes]) -> None:
    data = page.evaluate_handle(DATA, files(*contents))
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})


def settle(page: "Page") -> None:
    """Wait until a preview is shown."""
    page.locator("#view[data-previewed][aria-busy=false]").wait_for()


@needs_chromium
def test_two_dropped_pictures_are_planned_and_enlarged(page: "Page", running: Running, tmp_path: Path) -> None:
    drop(page, ("one.png", png(tmp_path, 60, 40, 1)), ("two.png", png(tmp_path, 50, 45, 2)))
    rows = page.locator("#list li")
    page.locator("#list li.ready").nth(1).wait_for()
    assert rows.count() == 2
    assert "one.png" in rows.nth(0).inner_text() and "60 \u00d7 40 \u2192 120 \u00d7 80" in rows.nth(0).inner_text()
    for row in rows.all():
        assert re.search(r"tiny, about [\d.]+ (s|min)", row.inner_text())
        why = row.locator(".why").inner_text()
        assert re.fullmatch(r"the (best that|fastest, as none) takes at most 30 seconds", why)
    assert page.locator("#go").inner_text() == "Enlarge 2 pictures"
    page.locator("#go:enabled").press("Enter")
    page.locator("#list li.done").nth(1).wait_for()
    assert re.search(r"tiny, \d+ kB, took [\d.]+ (s|min)", rows.nth(1).inner_text())
    with page.expect_download() as download:
        page.locator("#list li").nth(1).locator("a").click()
    assert download.value.suggested_filename == "two_x2.png"
    with page.expect_download() as archive:
        page.click("#zip")
    with zipfile.ZipFile(archive.value.path()) as content:
        assert content.namelist() == ["one_x2.png", "two_x2.png"] and content.testzip() is None
    assert rows.count() == 2 and len(running.client.get("/api/jobs").json()) == 2


@needs_chromium
def test_a_picture_can_be_pasted(page: "Page", tmp_path: Path) -> None:
    data = page.evaluate_handle(DATA, files(("", png(tmp_path, 30, 20, 3))))
    page.evaluate(
        "(data) => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}))", data
    )
    page.locator("#list li.ready").wait_for()
    assert "pasted.png" in page.locator("#list").inner_text()


@needs_chromium
def test_the_preview_on_the_page_has_the_same_pixels_as_the_result(page: "Page", tmp_path: Path) -> None:
    drop(page, ("photo.png", png(tmp_path, 200, 160, 4)))
    settle(page)
    place = page.locator("#view").get_attribute("data-previewed")
    found = re.fullmatch(r"(\d+)x(\d+)\+(\d+)\+(\d+)", place or "")
    assert found
    width, height, left, top = map(int, found.groups())
    levels = page.evaluate(
        """() => {
            const image = document.querySelector(".after img.exact");
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
        }"""
    )
    backs = (
        "[...document.querySelectorAll('drrn-compare .layer img:first-child.back')].map((each) => each.naturalWidth)"
    )
    assert page.evaluate(backs) == [200, 200]  # the source below the preview, on both sides
    preview = np.array(levels, np.uint8).reshape(height, width, 4)[..., :3]
    page.locator("#go:enabled").press("Enter")
    page.locator("#list li.done").wait_for()
    with page.expect_download() as download:
        page.locator("#list li a").click()
    whole = Image.open(download.value.path()).to_array()
    assert whole.shape[:2] == (320, 400) and width * height > 10_000
    np.testing.assert_array_equal(preview, whole[top : top + height, left : left + width])


@needs_chromium
def test_the_keyboard_moves_the_slider_and_zooms(page: "Page", tmp_path: Path) -> None:
    drop(page, ("photo.png", png(tmp_path, 300, 300, 5)))
    settle(page)
    slider = page.locator("drrn-compare .divide")
    assert slider.get_attribute("aria-label") == "Divider between bicubic and drrn"
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert slider.input_value() == "45"
    page.keyboard.press("Home")
    assert page.evaluate("document.querySelector('drrn-compare').style.getPropertyValue('--at')") == "0%"
    page.locator("drrn-compare .area").focus()
    for key, zoom in (("2", 2), ("3", 3), ("1", 1)):
        page.keyboard.press(key)
        assert page.evaluate("document.querySelector('drrn-compare').zoom") == zoom
    page.keyboard.press("3")
    left = page.evaluate("document.querySelector('drrn-compare').left")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.querySelector('drrn-compare').left") > left
    page.keyboard.press("0")
    assert page.evaluate("(() => { const c = document.querySelector('drrn-compare'); return c.zoom === c.fit })()")


@needs_chromium
def test_a_picture_can_be_enlarged_by_keyboard_alone(page: "Page", tmp_path: Path) -> None:
    page.set_input_files("#files", {"name": "photo.png", "mimeType": "image/png", "buffer": png(tmp_path, 40, 30, 6)})
    page.locator("#list li.ready").wait_for()
    page.locator("#files").focus()
    names = []
    for _ in range(40):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        if names[-1] == "go":
            break
    assert {"select", "area", "divide", "scale", "exact", "model", "format", "metadata", "check", "go"} <= set(names)
    page.keyboard.press("Enter")
    page.locator("#list li.done").wait_for()
    page.locator("#say", has_text="photo.png: ").wait_for(state="attached")


@needs_chromium
def test_wheel_and_drag_zoom_and_pan(page: "Page", tmp_path: Path) -> None:
    drop(page, ("photo.png", png(tmp_path, 600, 500, 7)))
    settle(page)
    box = page.locator("drrn-compare .area").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 3, box["y"] + box["height"] / 3
    under = "([x, y]) => { const c = document.querySelector('drrn-compare'); const b = c.area.getBoundingClientRect();\
        const u = c.zoom / devicePixelRatio; return [c.left + (x - b.left) / u, c.top + (y - b.top) / u, c.zoom] }"
    before = page.evaluate(under, [x, y])
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    page.locator("[data-zoom='1'][aria-pressed=false]").wait_for()
    after = page.evaluate(under, [x, y])
    assert after[2] > before[2] and abs(after[0] - before[0]) < 1 and abs(after[1] - before[1]) < 1
    page.mouse.down()
    page.mouse.move(x + 50, y + 30)
    page.mouse.up()
    moved = page.evaluate(under, [x + 50, y + 30])
    assert abs(moved[0] - after[0]) < 1 and abs(moved[1] - after[1]) < 1


@needs_chromium
def test_two_fingers_zoom_around_the_point_between_them(page: "Page", tmp_path: Path) -> None:
    drop(page, ("photo.png", png(tmp_path, 600, 500, 23)))
    settle(page)
    page.locator("[data-zoom='1']").click()
    before, after = page.evaluate(
        """() => {
            const compare = document.querySelector("drrn-compare"), { area } = compare;
            area.setPointerCapture = () => {};
            const box = area.getBoundingClientRect();
            const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
            const finger = (kind, pointerId, by) => area.dispatchEvent(
                new PointerEvent(kind, { pointerId, pointerType: "touch", clientX: x + by, clientY: y, button: 0 }));
            const seen = () => {
                const unit = compare.zoom / devicePixelRatio;
                return [compare.left + (x - box.left) / unit, compare.top + (y - box.top) / unit, compare.zoom];
            };
            finger("pointerdown", 1, -40);
            finger("pointerdown", 2, 40);
            const before = seen();
            finger("pointermove", 1, -80);
            finger("pointermove", 2, 80);
            const after = seen();
            for (const id of [1, 2]) finger("pointerup", id, 0);
            return [before, after];
        }"""
    )
    assert after[2] == pytest.approx(2 * before[2])
    assert abs(after[0] - before[0]) < 1 and abs(after[1] - before[1]) < 1


@needs_chromium
def test_a_running_job_shows_its_progress_and_can_be_canceled_and_retried(
    page: "Page", running: Running, tmp_path: Path
) -> None:
    jobs = running.service.jobs
    drop(page, ("photo.png", png(tmp_path, 50, 30, 8)))
    page.locator("#list li.ready").wait_for()
    with running.frozen():
        page.locator("#go:enabled").press("Enter")
        page.locator("#list li.running").wait_for()
        job = next(each for each in jobs.all.values() if each.state == "running")
        job.share, job.began = 0.25, time.monotonic() - 30
        jobs._tasks[0].get_loop().call_soon_threadsafe(jobs.publish, job, "progress")
        row = page.locator("#list li.running", has_text=re.compile(r"25 %, \d+ (s|min) left"))
        row.wait_for()
        assert row.locator("progress").evaluate("(bar) => bar.value") == 0.25
        page.get_by_role("button", name="Cancel photo.png").click()
        page.locator("#list li.canceled").wait_for()
    page.get_by_role("button", name="Try photo.png again").click()
    page.locator("#list li.done").wait_for()
    page.get_by_role("button", name="Remove photo.png").click()
    page.locator("#list li").wait_for(state="detached")


@needs_chromium
def test_a_response_older_than_the_events_is_ignored(page: "Page", running: Running, tmp_path: Path) -> None:
    held: list[tuple[Any, dict[str, Any]]] = []
    page.route("**/api/jobs?*", lambda route: held.append((route, route.fetch().json())))
    drop(page, ("photo.png", png(tmp_path, 50, 30, 10)))
    page.locator("#list li.ready").wait_for()
    with running.frozen():
        page.locator("#go:enabled").press("Enter")
        page.locator("#list li.running").wait_for()
        while not held:  # the event arrived before the response
            page.wait_for_timeout(20)
        ((route, job),) = held
        with page.expect_response("**/api/jobs?*"):
            route.fulfill(json=job | {"state": "queued", "place": 1})
        page.wait_for_timeout(200)
        assert page.locator("#list li").get_attribute("class") == "running"
    page.locator("#list li.done").wait_for()


@needs_chromium
def test_changed_options_change_the_plan(page: "Page", tmp_path: Path) -> None:
    drop(page, ("photo.png", png(tmp_path, 40, 30, 9)))
    page.locator("#list li.ready").wait_for()
    page.fill("#exact", "120x")
    page.get_by_text("40 \u00d7 30 \u2192 120 \u00d7 90").wait_for()
    assert page.locator("#scale").is_disabled()
    page.fill("#exact", "120q")
    assert page.locator("#exact").get_attribute("aria-invalid") == "true"
    page.fill("#exact", "20x")
    page.locator("#list li.refused", has_text="20x15").wait_for()
    page.fill("#exact", "")
    page.select_option("#format", "webp")
    page.uncheck("#metadata")
    page.check("#check")
    page.get_by_text("40 \u00d7 30 \u2192 80 \u00d7 60").wait_for()
    page.locator("#list li.ready").wait_for()
    page.wait_for_timeout(600)  # until the last change is planned
    page.locator("#list li.ready").wait_for()
    page.locator("#go:enabled").press("Enter")
    page.locator("#list li.done").wait_for()
    page.locator("#caption", has_text="Reduced again, it matches").wait_for()
    with page.expect_download() as download:
        page.locator("#list li a").click()
    assert download.value.suggested_filename == "photo_x2.webp"


@needs_chromium
def test_the_scale_goes_from_1_2_to_4_in_steps_of_a_tenth(page: "Page", tmp_path: Path) -> None:
    drop(page, ("photo.png", png(tmp_path, 50, 30, 25)))
    slider = page.locator("#scale")
    for keys, scale, size in (
        (["Home"], "1.2x", "60 \u00d7 36"),
        (["ArrowRight"], "1.3x", "65 \u00d7 39"),
        (["End"], "4.0x", "200 \u00d7 120"),
        (["ArrowRight"], "4.0x", "200 \u00d7 120"),
        (["ArrowLeft"] * 13, "2.7x", "135 \u00d7 81"),
    ):
        for key in keys:
            slider.press(key)
        assert page.locator("#times").inner_text() == scale
        page.locator("#list li.ready", has_text=f"50 \u00d7 30 \u2192 {size}").wait_for()
    page.locator("#go:enabled").press("Enter")
    page.locator("#list li.done").wait_for()
    with page.expect_download() as download:
        page.locator("#list li a").click()
    assert download.value.suggested_filename == "photo_x2.7.png"
    assert Image.open(download.value.path()).to_array().shape == (81, 135, 3)


@needs_chromium
def test_a_picture_is_enlarged_with_the_options_shown_at_its_start(page: "Page", tmp_path: Path) -> None:
    drop(page, ("photo.png", png(tmp_path, 40, 30, 24)))
    page.locator("#list li.ready").wait_for()
    page.evaluate(
        """() => {
            const exact = document.querySelector("#exact");
            exact.value = "120x";
            exact.dispatchEvent(new Event("input"));
            document.querySelector("#go").click(); // before the change was planned
        }"""
    )
    page.locator("#list li.done", has_text="40 \u00d7 30 \u2192 120 \u00d7 90").wait_for()
    page.wait_for_timeout(1000)  # a late plan must not undo it
    assert page.locator("#list li.done").count() == 1


@needs_chromium
def test_a_finished_picture_can_be_enlarged_with_other_options(page: "Page", tmp_path: Path) -> None:
    drop(page, ("photo.png", png(tmp_path, 40, 30, 17)))
    page.locator("#list li.ready").wait_for()
    page.locator("#go:enabled").press("Enter")
    page.locator("#list li.done").wait_for()
    page.get_by_role("button", name="Enlarge photo.png with other options").click()
    page.locator("#list li.ready").wait_for()
    page.fill("#exact", "120x")
    page.get_by_text("40 \u00d7 30 \u2192 120 \u00d7 90").wait_for()
    page.locator("#go:enabled").press("Enter")
    page.locator("#list li.done").wait_for()
    with page.expect_download() as download:
        page.locator("#list li a").click()
    assert download.value.suggested_filename == "photo_120x90.png"


@needs_chromium
def test_a_response_slower_than_the_job_is_ignored(page: "Page", running: Running, tmp_path: Path) -> None:
    """The event that the job is done arrives before the response that it is queued."""

    def hold(route: Any) -> None:
        held.append((route, route.fetch()))

    held: list[tuple[Any, Any]] = []
    drop(page, ("photo.png", png(tmp_path, 40, 30, 21)))
    page.locator("#list li.ready").wait_for()
    page.route(re.compile(r"/api/jobs\?"), hold)
    page.locator("#go:enabled").press("Enter")
    page.locator("#list li.done").wait_for()
    ((route, answer),) = held
    route.fulfill(response=answer)
    page.wait_for_timeout(500)
    assert page.locator("#list li.done").count() == 1


@needs_chromium
def test_events_before_the_stream_opens_are_learned_from_the_list(
    browser: "Browser", running: Running, tmp_path: Path
) -> None:
    held: list[Any] = []
    forget_all(running)

    def hold(page: "Page") -> None:
        page.route("**/api/events", lambda route: held.append(route))

    with opened(browser, f"{running.address}/", before=hold) as page:
        drop(page, ("photo.png", png(tmp_path, 40, 30, 22)))
        page.locator("#list li.ready").wait_for()
        with page.expect_response(re.compile(r"/api/jobs\?")) as answer:
            page.locator("#go:enabled").press("Enter")
        while running.client.get(f"/api/jobs/{answer.value.json()['id']}").json()["state"] != "done":
            time.sleep(0.05)
        assert page.locator("#list li.done").count() == 0
        held[0].continue_()
        page.locator("#list li.done").wait_for()


@needs_chromium
def test_a_file_that_is_not_a_picture_is_reported_and_the_others_continue(page: "Page", tmp_path: Path) -> None:
    drop(page, ("notes.txt", b"not a picture"), ("photo.png", png(tmp_path, 40, 30, 10)))
    page.locator("#list li.refused", has_text="notes.txt is not an image that drrn can read").wait_for()
    page.locator("#list li.ready", has_text="photo.png").wait_for()
    assert page.locator("#go").inner_text() == "Enlarge"


@needs_chromium
def test_a_reload_restores_the_jobs(page: "Page", tmp_path: Path) -> None:
    drop(page, ("photo.png", png(tmp_path, 40, 30, 11)))
    page.locator("#list li.ready").wait_for()
    page.locator("#go:enabled").press("Enter")
    page.locator("#list li.done").wait_for()
    page.reload()
    page.locator("#list li.done", has_text="photo_x2.png").wait_for()
    page.locator(".after img").wait_for()
    assert page.locator("#list li").count() == 1
    page.get_by_role("button", name="Remove photo_x2.png").click()
    page.locator("#list li").wait_for(state="detached")


@needs_chromium
def test_a_result_can_be_copied(browser: "Browser", running: Running, tmp_path: Path) -> None:
    content = png(tmp_path, 40, 30, 12)
    with opened(browser, f"{running.address}/", permissions=["clipboard-read", "clipboard-write"]) as page:
        drop(page, ("copied.png", content))
        page.locator("#list li.ready").wait_for()
        page.locator("#go:enabled").press("Enter")
        page.locator("#list li.done", has_text="copied.png").wait_for()
        page.locator("#list li.done .select", has_text="copied.png").click()
        page.click("#copy")
        page.locator("#copy", has_text="Copied.").wait_for()
        size = page.evaluate(
            """async () => {
                const [item] = await navigator.clipboard.read();
                const image = await createImageBitmap(await item.getType("image/png"));
                return [image.width, image.height];
            }"""
        )
    assert size == [80, 60]


@needs_chromium
def test_the_page_has_a_light_and_a_dark_scheme(browser: "Browser", running: Running) -> None:
    ground = {}
    for scheme in ("light", "dark"):
        with opened(browser, f"{running.address}/", color_scheme=scheme) as page:
            color = page.evaluate("getComputedStyle(document.body).backgroundColor")
            ground[scheme] = sum(map(int, re.findall(r"\d+", color)))
    assert ground["light"] > 700 > 150 > ground["dark"]


@needs_chromium
@pytest.mark.parametrize("width", [1280, 820])
def test_a_long_list_keeps_the_picture_in_view_and_covers_no_text(
    browser: "Browser", running: Running, tmp_path: Path, width: int
) -> None:
    forget_all(running)
    with opened(browser, f"{running.address}/", viewport={"width": width, "height": 700}) as page:
        drop(page, *((f"{number}.png", png(tmp_path, 60, 40, 30 + number)) for number in range(9)))
        page.locator("#list li.ready").nth(8).wait_for()
        page.locator("#go:enabled").press("Enter")
        page.locator("#list li.done").nth(8).wait_for()
        page.locator("#list .select").nth(8).click()
        stage = page.locator("#stage").bounding_box()
        assert stage and stage["height"] <= 700
        overlaps = """() => [...document.querySelectorAll("#list li")].filter((row) => {
            const actions = row.querySelector(".actions").getBoundingClientRect();
            return [...row.querySelectorAll(".select span")].some((text) => {
                const range = document.createRange();
                range.selectNodeContents(text);
                return range.getBoundingClientRect().right > actions.left;
            });
        }).length"""
        assert page.evaluate(overlaps) == 0


@needs_chromium
def test_the_page_fits_a_phone_of_360_pixels(browser: "Browser", running: Running, tmp_path: Path) -> None:
    with opened(browser, f"{running.address}/", viewport={"width": 360, "height": 740}, has_touch=True) as page:
        drop(page, ("a name that is much longer than any phone is wide, and goes on.png", png(tmp_path, 60, 40, 13)))
        page.locator("#list li.ready").wait_for()
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for name in ("#drop", "drrn-compare", "#go", "#scale"):
            box = page.locator(name).bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= 360, name


@needs_chromium
@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: npm install --prefix build axe-core")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360)])
def test_axe_finds_no_accessibility_problem(
    browser: "Browser", running: Running, tmp_path: Path, scheme: str, width: int
) -> None:
    with opened(browser, f"{running.address}/", color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
        page.context.add_init_script(path=AXE)
        page.reload()
        page.locator("body[data-ready]").wait_for()
        found = [page.evaluate("axe.run()")]
        drop(page, (f"{scheme}{width}.png", png(tmp_path, 60, 40, 14)), ("broken.png", b"broken"))
        page.locator("#list li.refused").first.wait_for()
        page.locator("#list li.ready").wait_for()
        settle(page)
        found.append(page.evaluate("axe.run()"))
        page.locator("#go:enabled").press("Enter")
        page.locator("#list li.done", has_text=f"{scheme}{width}").wait_for()
        found.append(page.evaluate("axe.run()"))
    violations = [
        (each["id"], [node["html"][:150] for node in each["nodes"]]) for one in found for each in one["violations"]
    ]
    assert violations == [] and all(one["passes"] for one in found)


@needs_chromium
def test_the_page_requests_nothing_from_other_origins(browser: "Browser", running: Running, tmp_path: Path) -> None:
    with opened(browser, f"{running.address}/") as page:
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.reload()
        page.locator("body[data-ready]").wait_for()
        drop(page, ("photo.png", png(tmp_path, 40, 30, 15)))
        settle(page)
        page.locator("#go:enabled").press("Enter")
        page.locator("#list li.done", has_text="photo").first.wait_for()
        page.locator(".after img").first.wait_for()
    assert len(requested) > 8
    assert [url for url in requested if not url.startswith((f"{running.address}/", f"blob:{running.address}/"))] == []


@needs_chromium
def test_a_token_in_the_link_opens_the_page_and_disappears_from_the_address(browser: "Browser", tmp_path: Path) -> None:
    content = png(tmp_path, 40, 30, 16)
    with serving(tmp_path, token="correct-horse-battery", prefix="/drrn") as locked:
        plan = locked.client.post(
            "/api/plan", content=content, headers={"Authorization": "Bearer correct-horse-battery"}
        ).json()
        assert plan["source"] == hashlib.sha256(content).hexdigest()
        link = f"{locked.address}/#token=correct-horse-battery&picture={plan['source']}&name=my%20photo.png"
        with opened(browser, link) as page:
            page.locator("#list li.ready", has_text="my photo.png").wait_for()
            assert page.url == f"{locked.address}/"
            settle(page)
            page.locator("#go:enabled").press("Enter")
            page.locator("#list li.done").wait_for()
            page.locator(".before img").first.wait_for()
            with page.expect_download() as download:
                page.click("#zip")
            assert zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())).namelist() == [
                "my photo_x2.png"
            ]
        within = browser.new_page()
        within.goto(f"{locked.address}/")
        within.locator("#alarm", has_text="needs a token").wait_for()
        within.close()
