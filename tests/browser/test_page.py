"""The page: accessibility, layout, keyboard, privacy and idle behaviour."""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from axe_playwright_python.async_playwright import Axe
from PIL import Image
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.browser.speaking_page import SpeakingPage

DESKTOP: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}


pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_axe_finds_no_violations(
    browser: Browser, url: str, size: ViewportSize, scheme: Any
) -> None:
    async with await browser.new_context(viewport=size, color_scheme=scheme) as profile:
        page = await profile.new_page()
        speaking = await SpeakingPage(page).open(url)
        await speaking.press("Alt+1")
        await speaking.type("Words that are lit ")
        await speaking.wait_heard()
        found = (await Axe().run(page)).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("large", [False, True], ids=["plain", "200 %"])
async def test_axe_finds_no_violations_with_forced_colours_and_large_text(
    browser: Browser, url: str, large: bool
) -> None:
    async with await browser.new_context(viewport=PHONE, forced_colors="active") as profile:
        page = await profile.new_page()
        speaking = await SpeakingPage(page).open(url)
        if large:
            await page.evaluate("document.documentElement.style.fontSize = '200%'")
        await speaking.press("Alt+1")
        await page.get_by_role("button", name="Settings").click()
        await page.wait_for_timeout(200)
        for _ in range(2):  # with settings open and closed
            found = (await Axe().run(page)).response["violations"]
            assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
            await speaking.press("Escape")


async def test_layout_is_stable_while_words_are_highlighted(speaking: SpeakingPage) -> None:
    await speaking.page.evaluate(
        "() => { tap.shifts = []; new PerformanceObserver((list) => tap.shifts.push("
        "  ...list.getEntries().map((entry) => entry.value))"
        ").observe({ type: 'layout-shift', buffered: false }); }"
    )
    await speaking.text.fill("Many words of this sentence light up, and all of them stay in place.")
    await speaking.wait_heard()
    await speaking.page.wait_for_timeout(2500)
    assert len(await speaking.page.evaluate("tap.lit")) > 5
    assert await speaking.page.evaluate("tap.shifts") == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_nothing_overflows_at_double_text_size(
    speaking: SpeakingPage, size: ViewportSize
) -> None:
    await speaking.page.set_viewport_size(size)
    await speaking.page.evaluate("document.documentElement.style.fontSize = '200%'")
    await speaking.press("Alt+1")
    await expect(speaking.said).to_have_count(1)
    cut_off = await speaking.page.evaluate(
        "[...document.querySelectorAll('button, p, span, input, textarea, summary, dd, h1, h2')]"
        ".filter((each) => each.checkVisibility() && !each.closest('.tiles, .tabs'))"
        ".filter((each) => each.getBoundingClientRect().right > innerWidth)"
        ".map((each) => each.outerHTML)"
    )
    assert cut_off == []
    assert await speaking.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_forced_colours_show_the_highlight_and_the_text_once(speaking: SpeakingPage) -> None:
    await speaking.page.emulate_media(forced_colors="active")
    await speaking.choose_mode("On Enter")
    await speaking.text.fill("Words that nobody speaks")
    area = "getComputedStyle(document.getElementById('text')).webkitTextFillColor"
    assert await speaking.page.evaluate(area) == "rgba(0, 0, 0, 0)"
    inked = {name: await ink(speaking, name) for name in ("heard", "coming", "now")}
    assert inked["now"] > 2 * max(inked["heard"], inked["coming"]) > 0


async def ink(speaking: SpeakingPage, highlight: str) -> int:
    """Count the non-background pixels of the text with all of it in this highlight."""
    await speaking.page.evaluate(
        """(name) => {
          const container = document.getElementById("mirror").firstChild;
          const ends = { startContainer: container, endContainer: container };
          for (const each of CSS.highlights.values()) each.clear();
          const all = new StaticRange({ ...ends, startOffset: 0, endOffset: container.length });
          CSS.highlights.get(name).add(all);
        }""",
        highlight,
    )
    picture = Image.open(io.BytesIO(await speaking.page.locator("#mirror").screenshot()))
    pixels = np.asarray(picture.convert("RGB"))
    return int((pixels != pixels[0, 0]).any(axis=2).sum())


TEXTS = (
    "word " * 300,
    "lines\n\n\nof their own\n",
    "مرحبا بكم في هذه الصفحة " * 20 + "\nand English",
    "x" * 500,
    "trailing spaces" + " " * 200,
    "漢字かな交じり文。" * 60,
)


async def test_highlight_aligns_with_the_words(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    for text in TEXTS:
        await speaking.text.fill(text)
        area, mirror = await speaking.page.evaluate(
            "['text', 'mirror'].map((id) => {"
            "  const { x, y, width } = document.getElementById(id).getBoundingClientRect();"
            "  return [x, y, width, document.getElementById(id).scrollHeight] })"
        )
        assert area == mirror, text


async def test_right_to_left_text_starts_at_the_right(speaking: SpeakingPage) -> None:
    await speaking.choose_mode("On Enter")
    await speaking.text.fill("مرحبا")
    left, right = await speaking.page.evaluate(
        "() => { const range = new Range(); const mirror = document.getElementById('mirror');"
        "  range.selectNodeContents(mirror); const text = [...range.getClientRects()].at(-1);"
        "  const box = mirror.getBoundingClientRect();"
        "  return [text.left - box.left, box.right - text.right] }"
    )
    assert right < 40 < left


async def test_all_controls_work_by_keyboard(speaking: SpeakingPage) -> None:
    await expect(speaking.text).to_be_focused()
    reached: list[str] = []
    for _ in range(30):
        await speaking.press("Tab")
        reached.append(
            await speaking.page.evaluate(
                "(document.activeElement.innerText || document.activeElement.value || '')"
                ".split('\\n')[0]"
            )
        )
    for name in ("Settings", "Speak", "Stop", "Clear", "Quick", "Yes, please.", "Dashboard"):
        assert any(each.startswith(name) for each in reached), (name, reached)
    await speaking.press("Alt+2")
    await speaking.wait_all_heard()
    await speaking.press("Alt+r")
    await speaking.wait_all_heard(2)
    assert list(speaking.contexts().values()) == ["No, thank you."] * 2


async def test_markup_is_plain_text_and_nothing_is_sent_elsewhere(
    speaking: SpeakingPage, url: str
) -> None:
    asked: list[str] = []
    speaking.page.on("request", lambda request: asked.append(request.url))
    await speaking.page.goto(url)
    await speaking.connected()
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    await speaking.text.fill(evil)
    await speaking.press("Enter")
    await expect(speaking.said).to_have_text([evil])
    assert await speaking.page.locator("main img, main script").count() == 0
    assert {urlsplit(each).netloc for each in asked} == {urlsplit(url).netloc}
    assert evil not in "".join(asked)


async def test_demo_is_spoken_once_and_not_stored(speaking: SpeakingPage) -> None:
    demo = speaking.page.get_by_role("button", name="Hear a demo")
    await demo.click()
    await speaking.wait_heard()
    await expect(speaking.page.locator("#demo-text")).to_contain_text("This text is still")
    await expect(demo).to_be_hidden()
    await speaking.press("Escape")
    await expect(speaking.page.locator("#demo-text")).to_be_empty()
    await expect(speaking.said).to_have_count(0)
    await expect(speaking.text).to_have_value("")
    await speaking.page.reload()
    await speaking.connected()
    await expect(demo).to_be_hidden()


async def test_idle_page_does_nothing(speaking: SpeakingPage) -> None:
    await speaking.press("Alt+1")
    await speaking.wait_all_heard()
    await speaking.page.wait_for_timeout(1500)  # for the last acknowledgement
    frames, sent = await speaking.page.evaluate("tap.frames.length"), len(speaking.sent)
    await speaking.page.wait_for_timeout(1000)
    assert await speaking.page.evaluate("tap.frames.length") == frames > 0
    assert not {message["type"] for message in speaking.sent[sent:]} - {"ping"}


EDITS = """
async () => {
  const { change, protect } = await import("/text/edits.js");
  const { toPoints, toUnits, wordStart } = await import("/client/offsets.js");
  return {
    appended: change("one", "one two"),
    changed: change("a cat sat", "a dog sat"),
    halved: change("x😀", "x😁").at,
    free: protect("spoken free", "spoken fre", 6),
    locked: protect("spoken free", "spo free", 6),
    typed: protect("spoken free", "spoXken free", 6),
    across: protect("spoken free", "spXe", 6),
    replaced: protect("I saw the cat", "I saw THE cat", 9),
    points: toPoints("a😀b", 3),
    units: [0, 1, 2, 3, 9].map((points) => toUnits("a😀b", points)),
    words: [wordStart("one two", 7), wordStart("one ", 4), wordStart("", 0)],
  };
}
"""


async def test_edits_and_offsets_are_correct(speaking: SpeakingPage) -> None:
    assert await speaking.page.evaluate(EDITS) == {
        "appended": {"at": 3, "removed": 0, "inserted": " two"},
        "changed": {"at": 2, "removed": 3, "inserted": "dog"},
        "halved": 1,
        "free": None,
        "locked": {"text": "spoken free", "caret": 6, "correction": ""},
        "typed": {"text": "spoken X free", "caret": 8, "correction": ""},
        "across": {"text": "spoken X e", "caret": 8, "correction": ""},
        "replaced": {"text": "I saw the cat", "caret": 9, "correction": "THE"},
        "points": 2,
        "units": [0, 1, 3, 4, 4],
        "words": [4, 4, 0],
    }


async def test_unreachable_server_is_reported(page: Page, url: str) -> None:
    await page.route_web_socket("**/ws/tts?*", lambda cable: cable.close(code=1006))
    await page.goto(url)
    await expect(page.locator("#connection-text")).to_have_text("The server cannot be reached")
    await expect(page.locator("#notice")).to_contain_text("Trying again")
    await page.locator("#text").fill("This waits for better times. ")
    await page.unroute_all()
    assert (
        json.dumps(await page.locator("#text").input_value()) == '"This waits for better times. "'
    )


async def test_missing_voice_learning_is_reported(speaking: SpeakingPage) -> None:
    await expect(speaking.page.locator("#voices-note")).to_contain_text("these voices only")
    await expect(speaking.page.locator("#new-voice")).to_be_hidden()
