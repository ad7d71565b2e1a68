"""The browser of the tests."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

MISSING = "needs Chromium: `make chromium` installs it, or says what to do"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# No sandbox, for containers run as root; sound from the first key press; no background requests.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP *.lan 127.0.0.1",  # a name that browsers treat as insecure
    "--use-fake-device-for-media-stream",  # a microphone that beeps
)


def installed() -> str | None:
    """The path of Chromium, or None if it is not installed."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A browser for the duration of the block. Raises `RuntimeError` if none is installed."""
    path = installed()
    if path is None:
        raise RuntimeError(MISSING)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        await browser.close()
