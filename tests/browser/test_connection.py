"""The page with a broken connection, and with a server that requires a key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.cable import Cable, cable_to
from tests.browser.speaking_page import SpeakingPage
from tests.support.live_server import live_server, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="package")

TEXT = "The quick brown fox jumps over the lazy dog, and the dog sleeps on. Then it wakes up."
KEY = "a-key-of-a-test-which-nobody-else-has"
ADMIN_KEY = "another-key-of-a-test-for-who-runs-it"


@pytest_asyncio.fixture(loop_scope="package")
async def cable(url: str) -> AsyncIterator[Cable]:
    async with cable_to(url) as cable:
        yield cable


@pytest_asyncio.fixture(loop_scope="package")
async def speaking(page: Page, cable: Cable) -> SpeakingPage:
    """The page behind a `Cable`; failed connections may log errors, scripts may not throw."""
    return await SpeakingPage(page).open(cable.url)


@pytest_asyncio.fixture(loop_scope="package", autouse=True)
async def _assert_no_page_errors(page: Page) -> AsyncIterator[None]:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"{error} {error.stack}"))
    yield
    assert not faults


def assert_whole(speaking: SpeakingPage, context: str, text: str) -> None:
    """Assert that every chunk, character and millisecond of the text arrived exactly once."""
    audio = [each for each in speaking.messages("audio") if each["context"] == context]
    assert [each["seq"] for each in audio] == list(range(len(audio)))
    assert all(one["text"][1] == two["text"][0] for one, two in pairwise(audio))
    (done,) = [each for each in speaking.messages("done") if each["context"] == context]
    assert (done["characters"], done["chunks"]) == (len(text), len(audio))
    assert done["audio_ms"] == pytest.approx(sum(each["duration_ms"] for each in audio))


async def lost(speaking: SpeakingPage) -> None:
    await expect(speaking.page.locator("#connection-text")).to_have_text(
        "The server cannot be reached"
    )


async def test_connection_break_in_mid_word_is_inaudible(
    speaking: SpeakingPage, cable: Cable
) -> None:
    cable.cut_after(40_000)  # bytes: about 450 ms of sound
    await speaking.text.fill(TEXT)
    await speaking.press("Enter")
    await cable.broken.wait()
    await lost(speaking)
    cable.mend()
    await speaking.connected()
    await expect(speaking.notice).to_have_text("Connected again. Nothing was lost.")
    await speaking.wait_all_heard()
    assert len(speaking.messages("ready")) == 3  # first connection, fresh session, resumed session
    assert_whole(speaking, "page-1", TEXT)
    await speaking.assert_played_is_sent()
    await expect(speaking.said).to_have_text([TEXT])


async def test_failed_worklet_loads_are_retried(speaking: SpeakingPage) -> None:
    await speaking.page.evaluate(
        "(() => { const load = AudioWorklet.prototype.addModule; tap.failures = 2;"
        "  AudioWorklet.prototype.addModule = function (url) {"
        "    const failed = new DOMException('Unable to load a worklet', 'AbortError');"
        "    return tap.failures-- > 0 ? Promise.reject(failed) : load.call(this, url) } })()"
    )
    await speaking.text.fill(TEXT)
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    assert await speaking.page.evaluate("tap.failures") == -1
    await speaking.assert_played_is_sent()


async def test_repeated_breaks_lose_nothing(speaking: SpeakingPage, cable: Cable) -> None:
    cable.cut_after(30_000)
    await speaking.text.fill(TEXT)
    await speaking.press("Enter")
    for size_bytes in (50_000, 70_000, 40_000):
        await cable.broken.wait()
        cable.mend()
        cable.cut_after(size_bytes)
    await cable.broken.wait()
    cable.mend()
    await speaking.wait_all_heard()
    assert_whole(speaking, "page-1", TEXT)
    await speaking.assert_played_is_sent()


async def test_text_typed_offline_is_spoken_after_reconnect(
    speaking: SpeakingPage, cable: Cable
) -> None:
    await speaking.type("Spoken before the line broke, ")
    await speaking.wait_heard()
    cable.cut()
    await speaking.type("typed while it was brokn")
    await speaking.press("Backspace")
    await speaking.type("en, ")
    cable.mend()
    await speaking.connected()
    await speaking.type("and after.")
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    text = "Spoken before the line broke, typed while it was broken, and after."
    assert_whole(speaking, "page-1", text)
    await speaking.assert_played_is_sent()


async def test_escape_while_offline_stays_silent_after_reconnect(
    speaking: SpeakingPage, cable: Cable
) -> None:
    await speaking.text.fill(TEXT)
    await speaking.wait_heard()
    cable.cut()
    await speaking.press("Escape")
    cable.mend()
    await speaking.connected()
    await speaking.type(" Yes")
    await speaking.press("Enter")
    await speaking.wait_done()
    # Not all that was received: the server may repeat some before it knows of the Escape.
    await speaking.wait_until("tap.dry_at() > 0")
    assert [each["context"] for each in speaking.messages("cancelled")] == ["page-1"]
    (after,) = [each for each in speaking.messages("done") if each["context"] != "page-1"]
    assert after["characters"] == len("up. Yes")


async def test_lost_session_resends_the_remaining_text(
    speaking: SpeakingPage, cable: Cable, url: str
) -> None:
    text = f"{TEXT} {TEXT}"
    await speaking.text.fill(text)
    await speaking.wait_heard()
    cable.cut()
    session = speaking.messages("ready")[0]["session"]
    async with httpx.AsyncClient(base_url=url) as http:
        assert (await http.delete(f"/v1/sessions/{session}")).status_code == 204
    cable.mend()
    await speaking.connected()
    await expect(speaking.notice).to_contain_text("words were sent again")
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    spoken: dict[str, int] = {}
    for header in speaking.messages("audio"):
        begin, end = header["text"]
        assert begin == spoken.get(header["context"], 0)
        spoken[header["context"]] = end
    assert 0 < spoken["page-1"] < sum(spoken.values()) == len(text)
    await speaking.assert_played_is_sent()


async def test_session_ended_by_the_operator_is_reported(
    speaking: SpeakingPage, cable: Cable, url: str
) -> None:
    await speaking.page.evaluate(
        "(() => { const shown = document.getElementById('connection-text'); tap.shown = [];"
        "  new MutationObserver(() => tap.shown.push(shown.textContent))"
        "  .observe(shown, { childList: true }) })()"
    )
    session = speaking.messages("ready")[0]["session"]
    async with httpx.AsyncClient(base_url=url) as http:
        await http.delete(f"/v1/sessions/{session}")
    await speaking.wait_until("tap.shown.at(-1) === 'Connected'")
    assert await speaking.page.evaluate("tap.shown") == [
        "Whoever runs the server has ended this connection",
        "Connected",
    ]


async def test_received_messages_are_acknowledged_and_idle_page_sends_nothing(
    speaking: SpeakingPage,
) -> None:
    await speaking.text.fill(TEXT)
    await speaking.press("Enter")
    await speaking.wait_all_heard()

    def last_ping() -> dict[str, Any]:
        return [message for message in speaking.sent if message["type"] == "ping"][-1]

    await wait_until(lambda: last_ping()["after"] == {}, within_s=10)
    answers = {"done", "retracted", "error", "cancelled"}
    assert last_ping()["answers"] == sum(h["type"] in answers for h, _ in speaking.received)
    sent = len(speaking.sent)
    await asyncio.sleep(1.5)
    assert len(speaking.sent) == sent


# --- keys -----------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="package")
async def locked_url() -> AsyncIterator[str]:
    """A server that requires a key."""
    async with live_server(access={"api_keys": KEY, "admin_key": ADMIN_KEY}) as live:
        yield live.http


async def test_key_is_asked_for_once(page: Page, locked_url: str) -> None:
    await page.goto(locked_url)
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    await expect(dialog).to_contain_text("Whoever runs the server can give you one.")
    await page.keyboard.type("a wrong one")
    await page.keyboard.press("Enter")
    await expect(dialog).to_contain_text("The key is not one of this server's.")
    await page.keyboard.type(KEY)
    await page.keyboard.press("Enter")
    await expect(page.locator("#connection-text")).to_have_text("Connected")
    await expect(dialog).to_be_hidden()
    await page.reload()
    await expect(page.locator("#connection-text")).to_have_text("Connected")
    assert KEY not in await page.content()


async def test_key_in_link_is_removed_from_the_address(page: Page, locked_url: str) -> None:
    await page.goto(f"{locked_url}/#key={KEY}")
    await expect(page.locator("#connection-text")).to_have_text("Connected")
    assert KEY not in page.url
    await page.reload()
    await expect(page.locator("#connection-text")).to_have_text("Connected")


async def test_key_request_is_not_shown_as_server_away(
    page: Page, locked_url: str, cable: Cable
) -> None:
    del cable
    async with cable_to(locked_url) as line:
        await page.goto(f"{line.url}/#key={KEY}")
        await expect(page.locator("#connection-text")).to_have_text("Connected")
        await page.evaluate("localStorage.setItem('duplex-tts.key', '\"wrong\"')")
        line.cut()
        await expect(page.locator("#notice")).to_contain_text("Trying again")
        line.mend()
        await page.reload()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await expect(page.locator("#notice")).to_be_empty()


async def test_page_opens_without_its_server(browser: Browser, cable: Cable) -> None:
    async with await browser.new_context() as profile:
        page = await profile.new_page()
        await page.goto(cable.url)
        await expect(page.locator("#connection-text")).to_have_text("Connected")
        await page.evaluate(
            "new Promise((met) => { const look = async () =>"
            "  (await (await caches.open('shell')).keys()).length > 25 ? met() :"
            "  setTimeout(look, 50); look() })"
        )
        cable.cut()
        await page.reload()
        await expect(page.locator("#connection-text")).to_have_text("The server cannot be reached")
        await page.locator("#text").fill("Still here")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("region", name="Waiting")).to_be_visible()


async def test_dismissed_key_request_can_be_answered_later_and_key_forgotten(
    page: Page, locked_url: str
) -> None:
    await page.goto(locked_url)
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#connection-text")).to_have_text("A key is needed")
    await page.get_by_role("button", name="Enter the key").click()
    await page.keyboard.type(KEY)
    await page.keyboard.press("Enter")
    await expect(page.locator("#connection-text")).to_have_text("Connected")
    await page.get_by_role("button", name="Forget the server's key").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("dialog")).to_be_visible()


async def test_dashboard_sessions_need_an_admin_key(page: Page, locked_url: str) -> None:
    await page.goto(f"{locked_url}/dashboard")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.type(KEY)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("This key shows no sessions; an admin's does.")).to_be_visible()
    await page.get_by_role("button", name="Enter a key").click()
    await page.keyboard.type(ADMIN_KEY)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Nobody is connected.")).to_be_visible()
    speaker = await page.context.new_page()
    await speaker.goto(locked_url)  # has stored the key
    await expect(speaker.locator("#connection-text")).to_have_text("Connected")
    await page.locator("#sessions").get_by_role("button").click()
    await page.get_by_role("button", name="End it").click()
    await expect(page.locator("#news")).to_contain_text("was ended.")
