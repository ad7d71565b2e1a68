"""The page over http from another device: no AudioWorklet and no microphone."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page, expect

from tests.browser.cable import cable_to
from tests.browser.speaking_page import RAMP_S, Samples, SpeakingPage

pytestmark = pytest.mark.asyncio(loop_scope="package")

EQUAL = 1e-6  # float start times: the browser may interpolate by 1e-12 of a sample
SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog sleeps on."

# Records every source that the page schedules, and renders the same schedule again offline.
_TAP = """
const made = [];
const create = AudioContext.prototype.createBufferSource;
AudioContext.prototype.createBufferSource = function () {
  const source = create.call(this);
  const note = { stop: Infinity, cut: false, late: false };
  const { start, stop, disconnect } = source;
  source.start = (at) => {
    Object.assign(note, { at, buffer: source.buffer, late: at < this.currentTime });
    start.call(source, at);
  };
  source.stop = (at) => { note.stop = at; stop.call(source, at); };
  source.disconnect = () => { note.cut = true; disconnect.call(source); };
  made.push(note);
  return source;
};
globalThis.scheduled = {
  loud: () => made.some(({ buffer }) => buffer.getChannelData(0).some((s) => Math.abs(s) > 0.02)),
  count: () => made.length,
  async render() {
    const rate = made[0].buffer.sampleRate;
    const heard = made.filter(({ cut }) => !cut);
    const end = Math.ceil((heard.at(-1).at + 1) * rate);
    const offline = new OfflineAudioContext(1, end, rate);
    for (const { at, stop, buffer } of heard) {
      const source = offline.createBufferSource();
      source.buffer = buffer;
      source.connect(offline.destination);
      source.start(at);
      if (stop < Infinity) source.stop(stop);
    }
    const bytes = new Uint8Array((await offline.startRendering()).getChannelData(0).buffer);
    let text = "";
    for (let at = 0; at < bytes.length; at += 32768) {
      text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    }
    return {
      samples: btoa(text),
      rate,
      late: heard.filter((one) => one.late).length,
      blocks: heard.map(({ at, buffer }) => [Math.round(at * rate), buffer.length]),
    };
  },
};
"""


@dataclass(frozen=True)
class Rendered:
    """The rendered schedule; `stretches`: [begin, end) of consecutive sources."""

    samples: Samples
    rate_hz: int
    late: int
    stretches: list[tuple[int, int]]

    @classmethod
    def of(cls, found: dict[str, Any]) -> Rendered:
        stretches: list[tuple[int, int]] = []
        for begin, length in found["blocks"]:
            if stretches and stretches[-1][1] == begin:
                stretches[-1] = (stretches[-1][0], begin + length)
            else:
                stretches.append((begin, begin + length))
        samples = np.frombuffer(base64.b64decode(found["samples"]), np.float32)
        return cls(samples, round(found["rate"]), found["late"], stretches)

    def assert_is(self, *sent: Samples) -> None:
        """Assert one stretch for each, equal except for short ramps at its ends, then silence."""
        ramp = round(RAMP_S * self.rate_hz) + 1
        for (begin, end), part in zip(self.stretches, sent, strict=True):
            heard = self.samples[begin:end]
            assert abs(heard[ramp : len(part)] - part[ramp:]).max() < EQUAL
            assert abs(heard[len(part) + ramp :]).max(initial=0) < EQUAL
        steepest = max(np.abs(np.diff(part)).max() for part in sent)
        assert np.abs(np.diff(self.samples)).max() <= steepest + 0.01


async def opened(page: Page, url: str) -> SpeakingPage:
    await page.add_init_script(_TAP)
    speaking = await SpeakingPage(page).open(url.replace("127.0.0.1", "tts.lan"))
    assert not await page.evaluate("isSecureContext")
    return speaking


async def done(speaking: SpeakingPage, contexts: int) -> None:
    async with asyncio.timeout(30):
        while len(speaking.messages("done")) < contexts:
            speaking.news.clear()
            await speaking.news.wait()
    await asyncio.sleep(len(speaking.audio()) / 24_000 + 0.5)  # until it has played


async def rendered(speaking: SpeakingPage) -> Rendered:
    return Rendered.of(await speaking.page.evaluate("scheduled.render()"))


async def test_plays_the_samples_the_server_sent(page: Page, url: str) -> None:
    async with cable_to(url) as cable:
        speaking = await opened(page, cable.url)
        cable.hold()  # rules out gaps from a busy server
        await speaking.text.fill(SENTENCE)
        await speaking.press("Enter")
        await asyncio.sleep(0.5)
        cable.let_flow()
        await done(speaking, 1)
        heard = await rendered(speaking)
        heard.assert_is(speaking.audio())
        assert heard.late == 0
        await expect(speaking.said).to_have_text([SENTENCE])


async def test_pauses_are_silent_and_later_speech_is_complete(page: Page, url: str) -> None:
    async with cable_to(url) as cable:
        speaking = await opened(page, cable.url)
        for number in (1, 2):
            cable.hold()
            await speaking.press(f"Alt+{number}")
            await asyncio.sleep(0.5)
            cable.let_flow()
            await done(speaking, number)
        rate_hz = (await rendered(speaking)).rate_hz
        first = round(speaking.messages("done")[0]["audio_ms"] * rate_hz / 1000)
        one, two = np.split(speaking.audio(), [first])
        (await rendered(speaking)).assert_is(one, two)


async def test_stop_is_immediate_and_without_a_click(page: Page, url: str) -> None:
    speaking = await opened(page, url)
    await speaking.text.fill(f"{SENTENCE} {SENTENCE}")
    await speaking.press("Enter")
    await speaking.wait_until("scheduled.loud()")
    await asyncio.sleep(0.5)
    await speaking.press("Escape")
    await asyncio.sleep(0.3)
    count = await page.evaluate("scheduled.count()")
    await asyncio.sleep(0.5)
    assert await page.evaluate("scheduled.count()") == count
    heard = await rendered(speaking)
    sent = speaking.audio()
    assert np.flatnonzero(heard.samples)[-1] - heard.stretches[0][0] < len(sent)
    assert np.abs(np.diff(heard.samples)).max() <= np.abs(np.diff(sent)).max() + 0.01
    await speaking.press("Alt+1")  # later speech continues from there
    await speaking.wait_until(f"scheduled.count() > {count} + 10")


async def test_microphone_notice_asks_for_https(page: Page, url: str) -> None:
    speaking = await opened(page, url)
    await page.evaluate("document.getElementById('new-voice').hidden = false")
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_text("Add a voice").click()
    await page.get_by_role("button", name="Record").click()
    await expect(page.locator("#new-voice-status")).to_contain_text("https")
    assert not [each for each in speaking.complaints if "Opener-Policy" not in each]


JITTER = """async ([rate, prebuffer, chunks, size]) => {
  const { JitterBuffer } = await import("/client/worklet.js");
  const states = [];
  const buffer = new JitterBuffer(rate, (state) => states.push(state));
  buffer.prebuffer = prebuffer;
  const heard = [];
  for (let frame = 0; frame < 40 * size; frame += size) {
    if (chunks.length) buffer.write(Float32Array.from(chunks.shift()));
    const block = new Float32Array(size);
    buffer.render(block, frame);
    heard.push(...block);
  }
  return { states, heard };
}"""


@pytest.mark.parametrize("size", [128, 1024])
async def test_jitter_buffer_output_is_independent_of_block_size(
    page: Page, url: str, size: int
) -> None:
    """For worklet and buffer sources: waits for the prebuffer, then plays every sample."""
    await page.goto(url)
    chunks = np.random.default_rng(1).uniform(-0.1, 0.1, (6, 2 * size)).astype(np.float32)
    found = await page.evaluate(JITTER, [8000, 3 * size, chunks.tolist(), size])
    begin, end = found["states"]
    assert (begin["playing"], begin["frame"], begin["position"]) == (True, size, 0)
    assert (end["playing"], end["frame"], end["position"]) == (False, size * 13, chunks.size)
    ramp = 41
    heard = np.array(found["heard"][size : size * 13], np.float32)
    np.testing.assert_array_equal(heard[ramp:], chunks.ravel()[ramp:])
