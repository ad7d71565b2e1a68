"""From `serve --lan` to the first sound: a phone opens the printed link."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.test_not_secure import _TAP

pytestmark = pytest.mark.asyncio(loop_scope="package")

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
HEARD_WITHIN_S = 15  # half of the required 30


@pytest_asyncio.fixture(loop_scope="package")
async def announced(tmp_path: Path) -> AsyncIterator[str]:
    """The output of `serve --lan`, while it runs."""
    command = ["-P", "-u", "-m", "backend.main", "--port", "0", "--lan"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout
    printed = ""
    try:
        async with asyncio.timeout(60):
            while "docs/deploy.md" not in printed and "no address" not in printed:
                printed += (await process.stdout.readline()).decode()
            if "no address" in printed:
                printed += (await process.stdout.readline()).decode()
        yield printed
    finally:
        process.terminate()
        await process.wait()


async def test_phone_speaks_within_seconds_of_opening_the_link(
    browser: Browser, announced: str
) -> None:
    (link,) = re.findall(r"http://\S+/#key=\S+", announced)[:1]
    async with await browser.new_context(**PHONE) as profile:  # type: ignore[arg-type]
        page = await profile.new_page()
        await page.add_init_script(_TAP)
        begin = time.monotonic()
        await page.goto(link)
        await page.get_by_role("button", name="Yes, please.").tap()
        await expect(page.locator("#history p")).to_have_text(["Yes, please."])
        while not await page.evaluate("scheduled.count() > 0 && scheduled.loud()"):
            assert time.monotonic() - begin < HEARD_WITHIN_S
            await asyncio.sleep(0.05)
        assert "key" not in page.url
