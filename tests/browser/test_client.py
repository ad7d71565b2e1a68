"""The JavaScript client in a page of one's own: what is played is what was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.browser.cable import Cable, cable_to
from tests.browser.speaking_page import SpeakingPage
from tests.browser.test_thin_line import AdvisingServer

pytestmark = pytest.mark.asyncio(loop_scope="package")

TEXT = "The quick brown fox jumps over the lazy dog. Then it sleeps until the evening comes."
_OPEN = """async () => {
  Object.assign(globalThis, await import("/client/index.js"));
  globalThis.session = await Session.connect(location.origin);
  globalThis.player = new Player();
}"""


@pytest_asyncio.fixture(loop_scope="package")
async def cable(url: str) -> AsyncIterator[Cable]:
    async with cable_to(url) as cable:
        yield cable


@pytest_asyncio.fixture(loop_scope="package")
async def own(page: Page, cable: Cable) -> SpeakingPage:
    """A page with nothing but a session and a player."""
    own = SpeakingPage(page)
    await own.visit(f"{cable.url}/client/index.js")  # shown as text
    await page.evaluate(_OPEN)
    return own


async def test_player_plays_what_was_sent_and_tells_each_word(own: SpeakingPage) -> None:
    told = await own.page.evaluate(
        """async (text) => {
          const words = [];
          const utterance = session.speak();
          const playback = player.play(utterance, { onWord: (word) => words.push(word.text) });
          utterance.append(text);
          await new Promise((go) => player.addEventListener("report", go, { once: true }));
          utterance.end();
          return { words, all: utterance.words, ...(await playback.done()) };
        }""",
        TEXT,
    )
    assert told["words"] == [word["text"] for word in told["all"]]
    assert told["heardText"] == TEXT.rstrip(".") or told["heardText"] == TEXT
    assert not told["cancelled"]
    await own.assert_played_is_sent()
    rate = await own.page.evaluate("player.rate")
    assert told["heardMs"] == pytest.approx(len(own.audio()) * 1000 / rate, abs=1)
    assert [message for message in own.sent if message["type"] == "played"]


async def test_what_on_word_throws_is_reported_and_stops_nothing(own: SpeakingPage) -> None:
    told = await own.page.evaluate(
        """async (text) => {
          let count = 0;
          const reported = [];
          addEventListener("error", (event) => {
            reported.push(event.error);
            event.preventDefault(); // expected
          });
          const onWord = () => { throw count++; };
          const playback = player.play(session.speak(text), { onWord });
          const { heardText } = await playback.done();
          return { count, reported, heardText, words: playback.utterance.words.length };
        }""",
        TEXT,
    )
    assert told["heardText"].rstrip(".") == TEXT.rstrip(".")
    assert told["reported"] == list(range(told["words"]))
    await own.assert_played_is_sent()


async def test_a_player_that_was_paused_before_plays_when_it_goes_on(own: SpeakingPage) -> None:
    paused_ms, heard_ms = await own.page.evaluate(
        """async (text) => {
          player.paused = true;
          const playback = player.play(session.speak(text));
          await playback.utterance.done();
          await new Promise((go) => setTimeout(go, 300)); // it would be heard by now
          const { heardMs } = playback;
          player.paused = false;
          await playback.done();
          return [heardMs, playback.heardMs];
        }""",
        TEXT,
    )
    assert paused_ms == 0
    assert heard_ms > 0
    await own.assert_played_is_sent()


@pytest.mark.parametrize("silence", ["player.stop()", "playback.utterance.cancel()"])
async def test_what_is_silenced_is_cancelled_though_all_was_received(
    own: SpeakingPage, silence: str
) -> None:
    ends = await own.page.evaluate(
        f"""async (text) => {{
          const heard = player.play(session.speak("Yes."));
          const playback = player.play(session.speak(text));
          await Promise.all([heard.done(), playback.utterance.done()]);
          {silence};
          return Promise.all([heard.done(), playback.done()]);
        }}""",
        TEXT,
    )
    assert [end["cancelled"] for end in ends] == [False, True]


async def test_a_closed_player_says_so(own: SpeakingPage) -> None:
    code = await own.page.evaluate(
        """() => {
          player.close();
          try {
            player.play(session.speak("Hello."));
          } catch ({ code }) {
            return code;
          }
        }"""
    )
    assert code == "cannot_play"


async def test_a_break_in_mid_word_is_not_heard(own: SpeakingPage, cable: Cable) -> None:
    await own.page.evaluate(
        """(text) => {
          globalThis.resumed = 0;
          session.addEventListener("resumed", () => resumed++);
          globalThis.utterance = session.speak(text);
          globalThis.playback = player.play(utterance);
        }""",
        TEXT,
    )
    await own.wait_heard()
    cable.cut()
    cable.mend()
    await own.page.evaluate("playback.done()")
    assert await own.page.evaluate("resumed") == 1
    await own.assert_played_is_sent()
    spans = [header["text"] for header in own.messages("audio")]
    assert [0, *(end for _, end in spans)] == [*(begin for begin, _ in spans), len(TEXT)]


async def test_a_lost_session_is_spoken_on_in_the_same_utterance(
    own: SpeakingPage, cable: Cable, url: str
) -> None:
    text = f"{TEXT} {TEXT}"
    await own.page.evaluate(
        """(text) => {
          globalThis.utterance = session.speak();
          utterance.append(text);
          globalThis.playback = player.play(utterance);
        }""",
        text,
    )
    await own.wait_heard()
    cable.cut()
    session = own.messages("ready")[0]["session"]
    async with httpx.AsyncClient(base_url=url) as http:
        assert (await http.delete(f"/v1/sessions/{session}")).status_code == 204
    cable.mend()
    heard = await own.page.evaluate("(utterance.end(), playback.done())")
    assert heard["heardText"].rstrip(".") == text.rstrip(".")
    assert await own.page.evaluate("utterance.restarts.length") == 1
    await own.assert_played_is_sent()


async def test_cancel_of_what_is_heard_lets_the_next_go_on(own: SpeakingPage) -> None:
    await own.page.evaluate(
        """(text) => {
          globalThis.first = player.play(session.speak(text.repeat(3)));
          globalThis.second = player.play(session.speak("This one is heard, all of it."));
        }""",
        TEXT,
    )
    await own.wait_heard()
    await own.wait_until("second.utterance.finished")
    first = await own.page.evaluate("(first.utterance.cancel(), first.done())")
    second = await own.page.evaluate("second.done()")
    assert first["cancelled"]
    assert TEXT.startswith(first["heardText"][: len(TEXT)])
    assert first["heardText"] != TEXT * 3
    assert second["heardText"].startswith("This one is heard, all of it")
    (done,) = [each for each in own.messages("done") if each["characters"] < 60]
    assert second["heardMs"] == pytest.approx(done["audio_ms"], abs=1)


async def test_stop_is_silent_and_says_what_was_heard(own: SpeakingPage) -> None:
    await own.page.evaluate(
        "(text) => { globalThis.all = [1, 2].map(() => player.play(session.speak(text))) }", TEXT
    )
    await own.wait_until("all[0].heardMs > 200")
    ends = await own.page.evaluate(
        "(player.stop(), Promise.all(all.map((one) => one.done())))",
    )
    assert [end["cancelled"] for end in ends] == [True, True]
    assert ends[0]["heardMs"] > 0 == ends[1]["heardMs"]
    assert TEXT.startswith(ends[0]["heardText"])
    await own.wait_until("!tap.states.at(-1).playing")
    blocks = await own.page.evaluate("tap.blocks.length")
    await own.wait_until(f"tap.blocks.length > {blocks} + 50")
    after = "tap.blocks.slice(Math.ceil(tap.states.at(-1).at / tap.blocks[0].samples.length) + 3)"
    assert await own.page.evaluate(
        f"{after}.every(({{ samples }}) => samples.every((one) => one === 0))"
    )


async def test_an_utterance_that_was_begun_before_is_resampled(own: SpeakingPage) -> None:
    told = await own.page.evaluate(
        """async (text) => {
          const utterance = session.speak(text, { sampleRate: 8000 });
          await utterance.done();
          const { heardMs } = await player.play(utterance).done();
          return { heardMs, audioMs: utterance.audioMs };
        }""",
        "Hello there.",
    )
    assert told["heardMs"] == pytest.approx(told["audioMs"], abs=2)
    assert await own.page.evaluate("tap.loud()")


async def test_what_cannot_be_played_says_why(own: SpeakingPage) -> None:
    codes = await own.page.evaluate(
        """() => {
          const code = (act) => { try { act() } catch (error) { return error.code } };
          const played = session.speak("Once.");
          player.play(played);
          return [
            code(() => player.play(played)),
            code(() => player.play(session.speak("Hi.", { format: "mp3" }))),
          ];
        }"""
    )
    assert codes == ["already_played", "cannot_play"]


async def test_without_its_worklet_file_the_player_plays_all_the_same(page: Page, url: str) -> None:
    """A bundler may have left the file behind."""
    own = SpeakingPage(page)
    await own.visit(f"{url}/client/index.js")
    await page.evaluate(_OPEN)
    told = await page.evaluate(
        """async () => {
          AudioWorklet.prototype.addModule = async () => { throw new Error("no module") };
          globalThis.fetch = async () => new Response("<html>", { status: 404 });
          const utterance = session.speak("Hello there.");
          const { heardMs, heardText } = await player.play(utterance).done();
          return { heardMs, heardText, audioMs: utterance.audioMs };
        }"""
    )
    assert told["heardMs"] == pytest.approx(told["audioMs"], abs=2)
    assert told["heardText"].startswith("Hello there")
    assert any("duplex-tts/worklet.js" in complaint for complaint in own.complaints)


async def test_on_a_thin_line_what_is_played_comes_compressed(page: Page, url: str) -> None:
    server = AdvisingServer()
    await server.install(page)
    own = SpeakingPage(page)
    await own.visit(f"{url}/client/index.js")
    await page.evaluate(_OPEN)
    text = f"{TEXT} {TEXT}"
    await page.evaluate(
        """(text) => {
          globalThis.words = [];
          globalThis.utterance = session.speak();
          const onWord = (word) => words.push(word.text);
          globalThis.playback = player.play(utterance, { onWord });
          utterance.append(text);
        }""",
        text,
    )
    await own.wait_heard()
    server.advise("js-1-1")
    heard = await page.evaluate("(utterance.end(), playback.done())")
    assert heard["heardText"].rstrip(".") == text.rstrip(".")
    assert await page.evaluate("words") == await page.evaluate(
        "utterance.words.map(({ text }) => text)"
    )
    assert own.opus
    assert heard["heardMs"] == pytest.approx(await page.evaluate("utterance.audioMs"), abs=1)
