"""`python -m tests.serving.screenshots`: pictures of the page for the documents, taken in Chromium."""

from pathlib import Path
from tempfile import TemporaryDirectory

from drrn.weights import store
from tests.conftest import ROOT
from tests.serving.browser import chromium, opened
from tests.serving.conftest import serving

SAMPLES = [ROOT / "samples" / f"{name}.png" for name in ("chelsea", "coffee")]


def main() -> None:
    """Write docs/serve.jpg, docs/serve_dark.jpg and docs/serve_phone.jpg."""
    with (
        TemporaryDirectory() as folder,
        serving(Path(folder), models=tuple(store.names()), threads=0) as service,
        chromium() as browser,
        opened(browser, f"{service.address}/", viewport={"width": 1280, "height": 800}) as page,
    ):
        page.set_input_files("#files", SAMPLES)
        page.locator("#list li.ready").nth(1).wait_for()
        page.check("#check")
        page.locator("#view[data-previewed][aria-busy=false]").wait_for()
        page.click("#go")
        page.locator("#list li.done").nth(1).wait_for()
        page.locator("#caption", has_text="Result").wait_for()
        page.locator(".before img").last.wait_for()
        page.wait_for_timeout(1000)
        page.screenshot(path=ROOT / "docs/serve.jpg", quality=85)
        page.emulate_media(color_scheme="dark")
        page.locator("#list .select").nth(1).click()
        page.locator("#caption", has_text="1200").wait_for()
        page.wait_for_timeout(2000)
        page.screenshot(path=ROOT / "docs/serve_dark.jpg", quality=85)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 360, "height": 780})
        page.wait_for_timeout(2000)
        page.screenshot(path=ROOT / "docs/serve_phone.jpg", quality=85)


if __name__ == "__main__":
    main()
