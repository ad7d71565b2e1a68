"""The whole flow by accessibility tree and by keyboard; axe-core in all colour schemes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.cable import cable_to
from tests.browser.speaking_page import SpeakingPage

pytestmark = pytest.mark.asyncio(loop_scope="package")

PHONE = {"viewport": {"width": 390, "height": 844}}
MODES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced colours": {"forced_colors": "active"},
    "200 %": PHONE,
}


@asynccontextmanager
async def shown(browser: Browser, url: str, mode: str, path: str = "") -> AsyncIterator[Page]:
    async with await browser.new_context(**MODES[mode], service_workers="block") as profile:
        page = await profile.new_page()
        if mode == "200 %":
            await page.add_init_script(
                "addEventListener('DOMContentLoaded', () =>"
                "  document.documentElement.style.fontSize = '200%')"
            )
        await page.goto(url + path)
        yield page


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


async def assert_no_violations(page: Page) -> None:
    found = (await Axe().run(page)).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


@pytest.mark.parametrize("mode", MODES)
async def test_axe_finds_no_violations_in_any_page_state(
    browser: Browser, url: str, mode: str
) -> None:
    async with cable_to(url) as cable, shown(browser, cable.url, mode) as page:
        await expect(page.locator("#connection-text")).to_have_text("Connected")
        await page.keyboard.press("Alt+1")
        await page.locator("#text").fill("A few words of mine. ")
        await press(page, "Clear")
        await expect(page.locator("#notice")).to_contain_text("Undo")
        await page.locator("#history summary").first.click()
        await assert_no_violations(page)
        await press(page, "Change the phrases")
        await assert_no_violations(page)
        await page.locator("#phrases button").first.click()
        await assert_no_violations(page)
        await press(page, "Cancel")
        await press(page, "Show large")
        await assert_no_violations(page)
        await press(page, "Close")
        await press(page, "Settings")
        await assert_no_violations(page)
        await press(page, "Close")
        cable.cut()
        await expect(page.locator("#connection-text")).to_contain_text("cannot be reached")
        await page.wait_for_timeout(5500)  # by then the text waits
        await page.locator("#text").fill("Nobody hears this")
        await page.locator("#say").click()
        await expect(page.get_by_role("region", name="Waiting")).to_be_visible()
        await assert_no_violations(page)


@pytest.mark.parametrize("mode", MODES)
async def test_axe_finds_no_violations_on_the_dashboard(
    browser: Browser, url: str, mode: str
) -> None:
    async with shown(browser, url, mode, "/dashboard") as page:
        await expect(page.locator("#link")).to_have_text("Live")
        speaker = await page.context.new_page()
        await speaker.goto(url)
        await expect(page.locator("#sessions tr")).not_to_have_count(0)
        await assert_no_violations(page)


# --- screen reader --------------------------------------------------------------------------------


async def assert_named(scope: Locator) -> None:
    """Assert that every control has a name and that button names are unique."""
    nameless = await scope.locator("button, input, textarea, summary").evaluate_all(
        "all => all.filter((each) => each.checkVisibility()"
        " && !(each.ariaLabel || each.ariaLabelledByElements?.length || each.labels?.length"
        "      || each.textContent.trim())).map((each) => each.outerHTML)"
    )
    assert nameless == []


async def test_names_roles_and_announcements_through_the_whole_flow(speaking: SpeakingPage) -> None:
    page = speaking.page
    by = page.get_by_role
    text = by("textbox", name="Type, and be heard")
    await expect(text).to_be_focused()
    await expect(text).to_have_accessible_description(
        "What was spoken stays; what comes next you may still change."
    )
    for role, name in (
        ("region", "Speak"),
        ("region", "Phrases"),
        ("region", "Attention and reading"),
        ("region", "History"),
        ("tablist", "Categories of phrases"),
        ("tabpanel", "Quick"),
        ("group", "Suggestions"),
        ("searchbox", "Find a phrase"),
    ):
        await expect(by(role, name=name, exact=True)).to_have_count(1)  # type: ignore[arg-type]
    await expect(by("main")).to_have_count(1)
    await expect(by("status").filter(has_text="Connected")).to_have_count(1)
    await assert_named(page.locator("body"))

    await speaking.type("Hello there, my friend. ")  # type and hear
    await speaking.wait_heard()
    await by("button", name="Speak", exact=False).first.click()
    await by("button", name="Stop").click()
    await by("tab", name="People").click()
    await expect(by("tab", selected=True)).to_have_accessible_name("People")
    await by("tabpanel", name="People").get_by_role("button", name="How are you?").click()

    history = by("region", name="History")  # control names include the entry's text
    await expect(history.get_by_role("listitem")).to_have_count(2)
    entry = history.get_by_role("listitem").first
    for name in ("Say again How are you?", "Edit How are you?"):
        await expect(entry.get_by_role("button", name=name, exact=True)).to_have_count(1)
    await entry.get_by_role("button", name="Edit").click()
    await expect(text).to_have_value("How are you?")
    await expect(text).to_be_focused()
    await by("button", name="Clear", exact=True).click()
    news = by("status").filter(has_text="Cleared.")
    await expect(news.get_by_role("button", name="Undo")).to_have_count(1)

    await by("button", name="Settings").click()
    dialog = by("dialog", name="Settings")
    await expect(dialog.get_by_role("group", name="When words are spoken")).to_have_count(1)
    for name in ("Speed", "Volume", "Text size", "Hold to say", "Scan with", "Next after"):
        await expect(dialog.get_by_role("slider", name=name, exact=True)).to_have_count(1)
    await assert_named(dialog)
    await dialog.get_by_role("button", name="Close").click()
    await by("button", name="Add a phrase").click()
    dialog = by("dialog", name="New phrase")
    for name in ("Its words", "Category", "Abbreviation"):
        await expect(dialog.get_by_label(name).first).to_be_visible()
    await assert_named(dialog)


async def test_slider_announces_its_visible_value(speaking: SpeakingPage) -> None:
    await speaking.page.get_by_role("button", name="Settings").click()
    volume = speaking.page.get_by_role("slider", name="Volume")
    await expect(volume).to_have_attribute("aria-valuetext", "100 %")
    await speaking.page.get_by_role("slider", name="Scan with").fill("1")
    await expect(speaking.page.get_by_role("slider", name="Scan with")).to_have_attribute(
        "aria-valuetext", "1 switch"
    )


# --- keyboard only --------------------------------------------------------------------------------


async def tab_to(speaking: SpeakingPage, target: Locator, key: str = "Tab") -> None:
    """Press the key until the target has the focus."""
    for _ in range(60):
        if await target.evaluate("each => each === document.activeElement"):
            return
        await speaking.press(key)
    raise AssertionError(f"{target} is not reached")


async def test_whole_flow_by_keyboard(speaking: SpeakingPage) -> None:
    page = speaking.page
    by = page.get_by_role
    text = speaking.text
    await speaking.page.keyboard.type("Hello there. ", delay=20)  # type, hear, stop
    await speaking.wait_heard()
    await speaking.press("Enter", "Escape")
    await tab_to(speaking, by("tab", name="Quick"))  # a phrase
    await speaking.press("ArrowRight", "Tab", "Enter")
    await expect(speaking.said.first).to_have_text("Hello, nice to see you.")
    await speaking.press("Escape")

    await tab_to(speaking, by("button", name="Edit Hello there"))  # a history entry
    await speaking.press("Enter")
    await expect(text).to_be_focused()
    await expect(text).to_have_value("Hello there. ")
    await speaking.press("Control+a", "Delete")
    await expect(text).to_have_value("")

    await tab_to(speaking, by("button", name="Settings"), "Shift+Tab")  # the settings
    await speaking.press("Enter")
    await tab_to(speaking, page.get_by_role("slider", name="Text size"))
    await speaking.press("ArrowRight", "Tab")
    await speaking.press("ArrowUp")
    await expect(page.get_by_role("radio", name="On Enter")).to_be_checked()
    await speaking.press("Escape")
    await expect(text).to_be_focused()

    await tab_to(speaking, by("button", name="Add a phrase"))  # a new phrase
    await speaking.press("Enter")
    await page.keyboard.type("Mine.")
    await speaking.press("Tab", "Tab", "Tab", "Enter")
    await expect(page.locator("#phrases")).to_contain_text("Mine.")
    await expect(text).to_be_focused()
    await tab_to(speaking, by("button", name="Change the phrases"))
    await speaking.press("Enter")
    await tab_to(speaking, by("button", name="Mine."))
    await speaking.press("Alt+ArrowUp", "Enter")
    await tab_to(speaking, by("button", name="Delete"))
    await speaking.press("Enter")
    await expect(page.locator("#phrases")).not_to_contain_text("Mine.")
    await tab_to(speaking, page.locator("#notice button"), "Shift+Tab")
    await speaking.press("Enter")
    await expect(page.locator("#phrases")).to_contain_text("Mine.")

    await text.focus()  # the large view
    await page.keyboard.type("Look")
    await speaking.press("Alt+l")
    await expect(page.locator("#large-text")).to_have_text("Look")
    await speaking.press("Escape")
    await expect(text).to_be_focused()
