"""A real Chromium; the tests are skipped where it is not installed.

All tests share one browser, which is ten times faster; each test has a fresh profile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.chromium import MISSING, installed, launched
from tests.browser.speaking_page import SpeakingPage

expect.set_options(timeout=30_000)  # milliseconds, generous for busy machines


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    """The browser shared by the tests of this package."""
    if installed() is None:
        pytest.skip(MISSING)
    async with launched() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="package")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page in a fresh profile."""
    async with await browser.new_context(service_workers="block") as profile:
        page = await profile.new_page()
        yield page
        # A request that the test answers may still be pending when the test ends.
        await page.unroute_all(behavior="ignoreErrors")


@pytest_asyncio.fixture(loop_scope="package")
async def speaking(page: Page, url: str) -> AsyncIterator[SpeakingPage]:
    """The speaking page with a real server; fails if the browser logs an error."""
    speaking = await SpeakingPage(page).open(url)
    yield speaking
    assert not speaking.complaints
