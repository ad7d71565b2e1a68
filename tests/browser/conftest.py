"""A real browser: Chromium where it is installed; elsewhere these tests are skipped.

One for all tests, which is ten times quicker; each test has a fresh profile.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.speaking_page import SpeakingPage

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


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    """Runs as long as the tests of this package do."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="package")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page in a fresh profile."""
    async with await browser.new_context() as profile:
        yield await profile.new_page()


@pytest_asyncio.fixture(loop_scope="package")
async def speaking(page: Page, url: str) -> AsyncIterator[SpeakingPage]:
    """The speaking page before a real server; nothing it does may make the browser complain."""
    speaking = await SpeakingPage(page).open(url)
    yield speaking
    assert not speaking.complaints
