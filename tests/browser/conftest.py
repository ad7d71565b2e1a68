"""A real browser: Chromium where it is installed; elsewhere these tests are skipped.

One for all tests, which is ten times quicker; each test has a fresh profile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.chromium import MISSING, installed, launched
from tests.browser.speaking_page import SpeakingPage

expect.set_options(timeout=30_000)  # milliseconds: a busy machine takes its time


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    """Runs as long as the tests of this package do."""
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
        # A request that a test answers itself may be on its way when the test is over.
        await page.unroute_all(behavior="ignoreErrors")


@pytest_asyncio.fixture(loop_scope="package")
async def speaking(page: Page, url: str) -> AsyncIterator[SpeakingPage]:
    """The speaking page before a real server; nothing it does may make the browser complain."""
    speaking = await SpeakingPage(page).open(url)
    yield speaking
    assert not speaking.complaints
