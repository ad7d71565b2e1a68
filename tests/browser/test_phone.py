"""The page on a phone with its keyboard open; the focus stays in the text."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.speaking_page import SpeakingPage

pytestmark = pytest.mark.asyncio(loop_scope="package")

DIALOGS = (("Settings", "Close"), ("Add a phrase", "Cancel"), ("Show large", "Close"))
KEYBOARD_OPEN = {"width": 390, "height": 500}
LONG = "The quick brown fox jumps over the lazy dog, and the dog sleeps on. " * 30


@pytest.fixture
def phone() -> dict[str, Any]:
    return {"viewport": KEYBOARD_OPEN, "has_touch": True, "is_mobile": True}


async def test_main_controls_are_visible_with_the_keyboard_open(
    browser: Browser, url: str, phone: dict[str, Any]
) -> None:
    async with await browser.new_context(**phone) as profile:
        speaking = await SpeakingPage(await profile.new_page()).open(url)
        rows: dict[str, float] = {}
        for name in ("Speak", "Stop", "Repeat", "Clear", "Yes, please.", "Attention"):
            button = speaking.page.get_by_role("button", name=name, exact=True)
            await expect(button).to_be_in_viewport(ratio=1)
            box = await button.bounding_box()
            assert box
            rows[name] = box["y"]
        assert len({rows[name] for name in ("Speak", "Stop", "Repeat", "Clear")}) == 1
        paper = await speaking.page.locator("#paper").bounding_box()
        assert paper
        assert paper["height"] >= 3 * 1.45 * 1.35 * 16
        await expect(speaking.page.get_by_text("Shift")).to_be_hidden()
        await expect(speaking.page.get_by_role("heading", name="History")).to_be_in_viewport()
        tools = await speaking.page.locator(".tools").bounding_box()
        assert tools
        assert tools["height"] < 60  # a single row
        assert await speaking.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


def smaller(than: float) -> str:
    """An expression that lists the controls smaller than this."""
    return (
        "[...document.querySelectorAll('button, summary, a, input, textarea')]"
        ".filter((each) => each.checkVisibility({ visibilityProperty: true }))"
        ".map((each) => each.closest('label') ?? each)"
        ".filter((each) => { const { width, height } = each.getBoundingClientRect();"
        f"  return Math.min(width, height) < {than - 0.5} }}).map((each) => each.outerHTML)"
    )


@pytest.mark.parametrize(("large", "least"), [(False, 44), (True, 60)], ids=["plain", "large"])
async def test_phone_controls_are_large_enough(
    browser: Browser, url: str, phone: dict[str, Any], large: bool, least: int
) -> None:
    phone["viewport"] = {"width": 390, "height": 844}
    async with await browser.new_context(**phone) as profile:
        page = await profile.new_page()
        kept = str(large).lower()
        await page.add_init_script(f"localStorage.setItem('duplex-tts.large', '{kept}')")
        speaking = await SpeakingPage(page).open(url)
        await speaking.press("Alt+1")
        await page.locator("#history summary").click()
        await speaking.text.fill("Some words")
        await press(page, "Clear")
        await expect(speaking.notice.get_by_role("button", name="Undo")).to_be_visible()
        assert await page.evaluate(smaller(least)) == []
        for opens, closes in (
            ("Settings", "Close"),
            ("Add a phrase", "Cancel"),
            ("Show large", "Close"),
        ):
            await press(page, opens)
            assert await page.evaluate(smaller(least)) == []
            await press(page, closes)
        dashboard = await profile.new_page()
        await dashboard.goto(f"{url}/dashboard")
        await expect(dashboard.locator("#sessions tr")).not_to_have_count(0)
        assert large or await dashboard.evaluate(smaller(least)) == []


async def test_focus_never_leaves_the_text(speaking: SpeakingPage) -> None:
    page = speaking.page
    await speaking.type("One two three. ", delay_ms=5)
    for name in ("Speak", "Stop", "Repeat", "Stop", "Yes, please.", "Say again", "Clear"):
        await page.get_by_role("button", name=name).first.click()
        await expect(speaking.text).to_be_focused()
    await page.get_by_role("button", name="Speak").focus()
    await speaking.type("by keys too", delay_ms=5)
    await page.get_by_role("button", name="Speak").focus()
    await speaking.press("Enter")
    await expect(speaking.text).to_be_focused()
    await speaking.press("Escape")
    await speaking.text.blur()
    await speaking.press("g", "o")  # keys typed without a focused field go into the text
    await expect(speaking.text).to_have_value("go")


async def test_typing_continues_after_closing_the_settings(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.page.keyboard.type("at once")
    await expect(speaking.text).to_have_value("at once")


async def test_view_follows_the_voice_except_after_scrolling(speaking: SpeakingPage) -> None:
    paper = "document.getElementById('paper')"
    await speaking.text.fill(LONG)
    await speaking.press("Control+Home")
    await speaking.page.evaluate(f"{paper}.scrollTop = 0")
    await speaking.wait_until(f"{paper}.scrollTop > 30")
    now = "[...CSS.highlights.get('now')][0]"
    inside = (
        f"(() => {{ const lit = {now}; if (!lit) return true; const range = new Range();"
        "  range.setStart(lit.startContainer, lit.startOffset);"
        "  range.setEnd(lit.endContainer, lit.endOffset);"
        f"  const word = range.getBoundingClientRect(), box = {paper}.getBoundingClientRect();"
        "  return word.top >= box.top - 1 && word.bottom <= box.bottom + 1 })()"
    )
    assert await speaking.page.evaluate(inside)
    stands = await speaking.page.evaluate(f"{paper}.scrollTop = 1e6, {paper}.scrollTop")
    await speaking.page.wait_for_timeout(1500)
    assert await speaking.page.evaluate(f"{paper}.scrollTop") == stands
