"""Takes the pictures of the speaking page in docs/img/, on a phone and a desk, in light and dark.

    python -m tests.browser.screenshots

Look at them afterwards. On a busy machine they show its gaps and its late first sound.
"""

from __future__ import annotations

import argparse
import asyncio
import io
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from playwright.async_api import Browser

from duplex_tts.local_server import local_server
from tests.browser.chromium import launched
from tests.support.repository import ROOT

TEXT = "Every word is heard while the rest of the sentence is still being written, and may ch"
SIZES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 860}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
KEY_MS = 42
PHRASE_MS = 2600  # as long as one takes to be heard
COLOURS = 64  # enough for a page of a few colours, and a third of the bytes


async def picture(browser: Browser, url: str, scheme: Literal["light", "dark"], size: Any) -> bytes:
    """The page in the middle of a sentence, as a PNG; two phrases were said before."""
    async with await browser.new_context(color_scheme=scheme, **size) as profile:
        page = await profile.new_page()
        await page.goto(url)
        for phrase in ("Alt+5", "Alt+3"):
            await page.keyboard.press(phrase)
            await page.wait_for_timeout(PHRASE_MS)
        await page.locator("#text").press_sequentially(TEXT, delay=KEY_MS)
        await page.evaluate("scrollTo(0, 0)")
        return await page.screenshot()


async def take(url: str, folder: Path) -> None:
    """Take all of them. Needs Chromium."""
    async with launched() as browser:
        for name, size in SIZES.items():
            for scheme in ("light", "dark"):
                png = await picture(browser, url, scheme, size)
                image = Image.open(io.BytesIO(png)).convert("RGB")
                image = image.quantize(COLOURS, dither=Image.Dither.NONE)
                image.save(folder / f"page-{name}-{scheme}.png", optimize=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = ROOT / "docs" / "img"
    parser.add_argument("--folder", type=Path, default=folder, help="where to put them")
    options = parser.parse_args()
    with local_server() as url:
        asyncio.run(take(url, options.folder))


if __name__ == "__main__":
    main()
