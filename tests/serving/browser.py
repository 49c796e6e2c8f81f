"""Debian's Chromium, driven by Playwright, for tests of the page and for its screenshots."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = os.environ.get("DRRN_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""
"""The executable; empty if it is not installed."""
PATIENCE = 300_000
"""Default timeout in milliseconds: the machine may be busy with something else."""


@contextmanager
def chromium() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-gpu"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: "Browser", address: str, *, before: "Callable[[Page], None]" = lambda page: None, **context: Any
) -> Iterator["Page"]:
    """Open the page at an address, and wait until it is ready. An error in its scripts fails the test.

    Args:
        before: called with the page before it is loaded.
    """
    within = browser.new_context(**context)
    within.set_default_timeout(PATIENCE)
    page = within.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        before(page)
        page.goto(address)
        page.locator("body[data-ready]").wait_for()
        yield page
        assert errors == []
    finally:
        within.close()
