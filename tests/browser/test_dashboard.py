"""The dashboard in a real browser with a real server."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, Route, expect
from websockets.asyncio.client import connect

from duplex_tts import Refused, Session

SECRET = "Xylophone"  # a word that occurs on no page
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
# The page polls ten times a second, to shorten the tests.
HURRY = "const wait = setTimeout; window.setTimeout = (then, ms) => wait(then, ms / 10)"
START = datetime(2030, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(loop_scope="package")
async def dashboard(page: Page, url: str) -> AsyncIterator[Page]:
    """The live dashboard; fails on browser errors and on requests to other hosts."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    asked: set[str] = set()
    await page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    await page.add_init_script(HURRY)
    await page.goto(f"{url}/dashboard")
    await expect(page.locator("#link")).to_have_text("Live")
    yield page
    unexpected = [each for each in complaints if "ERR_" not in each]  # caused by the tests
    assert not unexpected
    assert asked == {urlsplit(url).netloc}


def row(page: Page, session: Session) -> Locator:
    """The table row of a session."""
    return page.locator(f'#sessions tr[data-key="{session.ready.session}"]')


async def test_session_row_shows_figures_until_it_closes(dashboard: Page, url: str) -> None:
    async with Session.connect(url) as session:
        context = await session.start()
        await context.push(f"{SECRET} music is heard here. And")
        cells = row(dashboard, session).locator("td")
        await expect(cells.nth(2)).to_have_text("1")
        await expect(cells.nth(3)).to_have_text(str(len(SECRET) + 25))
        await expect(cells.nth(5)).not_to_have_text("0.0 s")
        await expect(dashboard.locator("#first-sound-figure")).to_contain_text("p95")
        assert SECRET not in await dashboard.content()
    await expect(row(dashboard, session)).to_have_count(0)


async def test_gap_is_shown_with_its_cause(dashboard: Page, url: str) -> None:
    async with Session.connect(url) as session:
        context = await session.start()
        await context.push("Hello. ")
        await context.flush()
        await expect(row(dashboard, session).locator("td").nth(5)).not_to_have_text("0.0 s")
        await expect(row(dashboard, session).locator("td").nth(5)).to_have_text("0.0 s")
        await context.push("And more. ")
        await context.flush()
        await expect(row(dashboard, session).locator("td").nth(6)).to_have_text("1 text_late")
        cells = dashboard.locator('#gap-causes tr[data-key="text_late"] td')
        await expect(cells.nth(1)).not_to_have_text("0")


MANY_GAPS = {"rendered_late": 120, "text_late": 45, "disconnected": 6}


async def busy(route: Route) -> None:
    """Answer with sessions that fill their rows: typing modes, gaps, large figures."""
    status = await (await route.fetch()).json()
    for each in status["sessions"]:
        figures = {"characters": 12_345_678, "characters_waiting": 123_456, "buffered_s": 123.4}
        each |= {**figures, "typing": ["auto", "sentence"], "gaps": MANY_GAPS, "detached_s": 4e4}
    await route.fulfill(json=status)


@pytest.mark.parametrize("width", [390, 700, 1023, 1024, 1216, 1217, 1280, 1440, 1920])
async def test_nothing_is_clipped_at_any_width(dashboard: Page, url: str, width: int) -> None:
    clipped = """() => [...document.querySelectorAll(
      "dd, th, td, button, figcaption *, h2, #server")]
      .filter((each) => getComputedStyle(each).display !== "inline")
      .filter((each) => !each.closest(".unseen") && each.closest("thead")?.clientWidth !== 1)
      .filter((each) => each.scrollWidth > each.clientWidth + 1
        || each.getBoundingClientRect().right > innerWidth)
      .map((each) => each.textContent)"""
    wide = """lists => lists.filter((each) => each.scrollWidth > each.clientWidth)
      .map((each) => [each.textContent, each.scrollWidth, each.clientWidth])"""
    await dashboard.set_viewport_size({"width": width, "height": 800})
    await dashboard.route("**/v1/status", busy)
    async with Session.connect(url) as session:
        context = await session.start()
        await context.push("A sentence that is long enough to be heard for a while. ")
        await expect(row(dashboard, session)).to_contain_text("auto, sentence")
        await expect(row(dashboard, session)).to_contain_text("120 rendered_late, 45 text_late")
        assert await dashboard.evaluate(clipped) == []
        assert await dashboard.locator(".scroll").evaluate_all(wide) == []
        assert await dashboard.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("width", "cards"), [(1023, True), (1024, False)])
async def test_session_is_a_card_with_row_role_below_1024_pixels(
    dashboard: Page, url: str, width: int, cards: bool
) -> None:
    await dashboard.set_viewport_size({"width": width, "height": 800})
    async with Session.connect(url) as session:
        name = session.ready.session
        line = dashboard.get_by_role("table").first.get_by_role("row", name=name)
        await expect(line.get_by_role("rowheader")).to_have_text(name)
        await expect(line.get_by_role("cell")).to_have_count(8)
        tops = await line.get_by_role("cell").evaluate_all(
            "cells => new Set(cells.map((each) => each.getBoundingClientRect().top)).size"
        )
        assert (tops == 8) == cards
        named = "each => getComputedStyle(each, '::before').content"
        first = await line.get_by_role("cell").first.evaluate(named)
        assert ("Open for" in first) == cards


async def test_session_is_ended_by_keyboard(dashboard: Page, url: str) -> None:
    async with Session.connect(url) as session:
        context = await session.start()
        await row(dashboard, session).get_by_role("button").focus()
        await dashboard.keyboard.press("Enter")
        await expect(dashboard.get_by_role("button", name="Keep it")).to_be_focused()
        await dashboard.keyboard.press("Tab")
        await dashboard.keyboard.press("Enter")
        await expect(row(dashboard, session)).to_have_count(0)
        with pytest.raises(Refused, match="session_ended"):
            async for _ in context:
                pass
    news = f"Session {session.ready.session} was ended."
    await expect(dashboard.get_by_role("status").filter(has_text=news)).to_be_visible()
    await expect(dashboard.locator("#sessions-title")).to_be_focused()


@pytest.mark.parametrize("key", ["Enter", "Escape"])
async def test_session_continues_when_ending_is_not_confirmed(
    dashboard: Page, url: str, key: str
) -> None:
    async with Session.connect(url) as session:
        button = row(dashboard, session).get_by_role("button")
        await button.click()
        await dashboard.keyboard.press(key)
        await expect(button).to_be_focused()
        await ask_again(dashboard)
        await session.ping()
        await expect(button).to_be_focused()


async def test_focus_stays_while_rows_change(dashboard: Page, url: str) -> None:
    async with Session.connect(url) as first, Session.connect(url) as second:
        await row(dashboard, second).get_by_role("button").focus()
        await first.close()
        await expect(row(dashboard, first)).to_have_count(0)
        await expect(row(dashboard, second).get_by_role("button")).to_be_focused()


async def test_gpu_memory_is_shown_where_there_is_a_gpu(dashboard: Page) -> None:
    card = {"name": "A card", "memory_used_bytes": 12_345_678_901, "memory_total_bytes": 85e9}

    async def with_a_card(route: Route) -> None:
        status = await (await route.fetch()).json()
        assert status["engine"]["device"] is None
        await route.fulfill(json={**status, "engine": {**status["engine"], "device": card}})

    await expect(dashboard.locator("#server")).to_contain_text(re.compile(r"MB$"))
    await dashboard.route("**/v1/status", with_a_card)
    await expect(dashboard.locator("#server")).to_contain_text(" · A card: 12.3 of 85.0 GB")


async def test_hidden_sessions_are_explained_to_non_operators(dashboard: Page) -> None:
    async def without_sessions(route: Route) -> None:
        status = await (await route.fetch()).json()
        await route.fulfill(json={**status, "sessions": None})

    await dashboard.route("**/v1/status", without_sessions)
    note = dashboard.get_by_text("Sessions are shown on the server's own machine only.")
    await expect(note).to_be_visible()


async def test_session_with_a_disconnected_client_is_shown_as_away(
    dashboard: Page, url: str
) -> None:
    async with connect(f"ws{url.removeprefix('http')}/ws/tts") as socket:
        session = json.loads(await socket.recv())["session"]
        cells = dashboard.locator(f'#sessions tr[data-key="{session}"] td')
        await expect(cells.first).to_contain_text("0:0")
        socket.transport.abort()
        await expect(cells.first).to_contain_text("away")


async def test_unreachable_server_is_reported_and_recovered(dashboard: Page) -> None:
    await dashboard.route("**/v1/status", lambda route: route.abort())
    await expect(dashboard.locator("#link")).to_contain_text("No answer")
    await dashboard.unroute("**/v1/status")
    await expect(dashboard.locator("#link")).to_have_text("Live")


async def test_polls_every_second_and_not_while_hidden(page: Page, url: str) -> None:
    asked = 0

    async def numbered(route: Route) -> None:
        nonlocal asked
        asked += 1
        status = await (await route.fetch()).json()
        status["figures"]["connections"] = asked
        await route.fulfill(json=status)

    async def shown(number: int) -> None:  # the answer also sets the next timer
        await expect(page.locator("#connections")).to_have_text(str(number))

    await page.clock.install(time=START)
    await page.clock.pause_at(START + timedelta(seconds=1))
    await page.route("**/v1/status", numbered)
    await page.goto(f"{url}/dashboard")
    for number in (1, 2, 3):
        await shown(number)
        await page.clock.run_for(999)
        assert asked == number
        await page.clock.run_for(1)
    await shown(4)
    await hide(page, True)
    await page.clock.run_for(60_000)
    assert asked == 4
    await hide(page, False)
    await shown(5)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_layout_is_stable_while_figures_change(
    dashboard: Page, url: str, size: dict[str, int]
) -> None:
    await dashboard.set_viewport_size(size)  # type: ignore[arg-type]
    await ask_again(dashboard)
    await dashboard.evaluate(
        """() => {
          window.moved = 0;
          new PerformanceObserver((list) => {
            for (const each of list.getEntries()) window.moved += each.value;
          }).observe({ type: "layout-shift" });
        }"""
    )
    async with Session.connect(url) as session:
        context = await session.start()
        await context.push("A sentence that is long enough to be heard for a while. ")
        await session.start("nonsense", voice="nobody")
        await expect(dashboard.locator("#error-codes")).to_contain_text("unknown_voice")
        await expect(row(dashboard, session)).to_be_visible()
    assert await dashboard.evaluate("window.moved") < 0.01


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_violations(dashboard: Page, url: str, scheme: str) -> None:
    await dashboard.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    async with Session.connect(url) as session:
        await expect(row(dashboard, session)).to_be_visible()
        for open_dialog in (False, True):
            if open_dialog:
                await row(dashboard, session).get_by_role("button").click()
            found = await Axe().run(dashboard)
            assert not found.response["violations"], json.dumps(found.response["violations"])


async def test_fits_one_desktop_screen_and_the_width_of_a_phone(dashboard: Page, url: str) -> None:
    tall = "document.documentElement.scrollHeight <= innerHeight"
    wide_list = "list => list.scrollWidth <= list.clientWidth"
    wide = "document.documentElement.scrollWidth <= innerWidth"
    async with Session.connect(url) as session:
        await expect(row(dashboard, session)).to_be_visible()
        assert await dashboard.evaluate(tall)
        await dashboard.set_viewport_size(PHONE)  # type: ignore[arg-type]
        assert await dashboard.evaluate(wide)
        assert await dashboard.locator(".scroll").first.evaluate(wide_list)


async def hide(page: Page, hidden: bool) -> None:
    """Simulate the browser hiding or showing the page's tab."""
    await page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


async def ask_again(page: Page) -> None:
    """Wait for two more answers; the second is requested after this call."""
    for _ in range(2):
        async with page.expect_response("**/v1/status"):
            pass
