"""The pages in a real browser behind a real proxy with TLS and a path."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.test_deploy import SETUPS, create_certificate, run_proxy

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.parametrize("way", ["nginx, stripped", "nginx, passed on", "caddy, stripped"])
async def test_both_pages_work_below_a_path(
    browser: Browser, url: str, tmp_path: Path, way: str
) -> None:
    address = url.removeprefix("http://")
    async with (
        run_proxy(SETUPS[way], tmp_path, create_certificate(tmp_path), address) as site,
        await browser.new_context(ignore_https_errors=True) as profile,
    ):
        page = await profile.new_page()
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url.replace("wss", "https")))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(site.url)
        await expect(page.locator("#connection-text")).to_have_text("Connected")
        await page.click("text=Dashboard")
        await expect(page.locator("#link")).to_have_text("Live")
        await page.click("text=Speak")
        await expect(page.locator("#connection-text")).to_have_text("Connected")
        assert page.url == site.url
        assert any("/ws/tts" in each for each in asked)
        assert [each for each in asked if not each.startswith(site.url)] == []
        assert complaints == []
