"""Takes the screenshots in docs/img/: phone and desktop size, light and dark.

    python -m tests.browser.screenshots

Check them afterwards: on a busy machine they show gaps and a late first sound.
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
PHRASE_MS = 2600  # the playing time of a phrase
COLOURS = 64  # enough for this page, at a third of the file size


async def picture(browser: Browser, url: str, scheme: Literal["light", "dark"], size: Any) -> bytes:
    """A PNG of the page in mid-sentence, after two spoken phrases."""
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
    """Take all screenshots. Needs Chromium."""
    async with launched() as browser:
        for name, size in SIZES.items():
            for scheme in ("light", "dark"):
                png = await picture(browser, url, scheme, size)
                image = Image.open(io.BytesIO(png)).convert("RGB")
                image = image.quantize(COLOURS, dither=Image.Dither.NONE)
                image.save(folder / f"page-{name}-{scheme}.png", optimize=True)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = ROOT / "docs" / "img"
    parser.add_argument("--folder", type=Path, default=folder, help="where to put them")
    options = parser.parse_args()
    with local_server() as url:
        asyncio.run(take(url, options.folder))


if __name__ == "__main__":
    main()
