"""A real browser: Chromium where it is installed; elsewhere these tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# No sandbox, for containers run as root; sound as soon as a key is pressed; nobody is called home.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Where Chromium is; skips the test when it is nowhere."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("needs Chromium: `make chromium` installs it, or says what to do")
    return Path(found)


@asynccontextmanager
async def launched(chromium: Path) -> AsyncIterator[Browser]:
    """A browser that runs as long as the block lasts."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    """A browser of the test's own: what one leaves behind cannot help another."""
    async with launched(chromium) as browser:
        yield browser


@pytest.fixture
async def page(browser: Browser) -> Page:
    """An empty page in a fresh profile."""
    return await browser.new_page()
