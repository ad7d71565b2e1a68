"""The page on a thin line: sound comes as Opus, which the browser decodes."""

from __future__ import annotations

import io
import json

import av
import numpy as np
import pytest
from playwright.async_api import Page, WebSocketRoute, expect

from tests.browser.speaking_page import Samples, SpeakingPage

pytestmark = pytest.mark.asyncio(loop_scope="package")

FIRST = "The quick brown fox jumps over the lazy dog."
SECOND = "Nobody had expected the weather to turn so quickly, and yet it did."
OUT_OF_STEP_S = 0.0003
HIGHLIGHT_WITHIN_S = 0.060


class AdvisingServer:
    """Passes all messages on, and can advise as on a thin line."""

    def __init__(self) -> None:
        self._route: WebSocketRoute | None = None

    async def install(self, page: Page) -> None:
        await page.route_web_socket("**/ws/tts?*", self._connect)

    def advise(self, context: str) -> None:
        assert self._route is not None
        advice = {"type": "advice", "context": context, "code": "thin_line", "message": "thin"}
        self._route.send(json.dumps({**advice, "format": "opus", "bit_rate": "auto"}))

    def _connect(self, route: WebSocketRoute) -> None:
        self._route = route
        route.connect_to_server()


def decode(data: bytes, rate_hz: int) -> Samples:
    """Decode an Ogg stream with FFmpeg."""
    resampler = av.AudioResampler("flt", "mono", rate_hz)
    with av.open(io.BytesIO(data), "r") as reader:
        frames = [out for frame in reader.decode(audio=0) for out in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def find_shift(ours: Samples, theirs: Samples) -> int:
    """By how many samples `ours` is late."""
    size = 1 << int(np.ceil(np.log2(len(ours) + len(theirs))))
    product = np.fft.rfft(ours, size) * np.conj(np.fft.rfft(theirs, size))
    at = int(np.argmax(np.fft.irfft(product)))
    return at if at < size // 2 else at - size


async def test_after_advice_the_page_plays_opus_in_step(page: Page, url: str) -> None:
    server = AdvisingServer()
    await server.install(page)
    speaking = await SpeakingPage(page).open(url)
    await speaking.text.fill(FIRST)
    await speaking.press("Enter")
    await speaking.wait_all_heard(1)
    server.advise("page-1")
    await expect(speaking.notice).to_contain_text("sound is compressed from now on")
    await speaking.text.fill(SECOND)
    await speaking.press("Enter")
    pcm = len(speaking.audio())
    await speaking.wait_until(f"tap.dry_at() > {pcm}")
    recording = await speaking.recording()
    expected = decode(speaking.opus, recording.rate_hz)
    stretches = [one for one in recording.stretches if one.position >= pcm]
    played = np.concatenate([recording.samples[one.at : one.at + one.length] for one in stretches])
    assert len(played) == pytest.approx(len(expected), abs=2)
    assert abs(find_shift(played, expected)) <= OUT_OF_STEP_S * recording.rate_hz
    assert np.corrcoef(played[: len(expected)], expected[: len(played)])[0, 1] > 0.98
    assert not speaking.complaints


async def test_words_are_highlighted_in_step_with_opus(page: Page, url: str) -> None:
    server = AdvisingServer()
    await server.install(page)
    speaking = await SpeakingPage(page).open(url)
    server.advise("none")
    await expect(speaking.notice).to_contain_text("sound is compressed from now on")
    await speaking.text.fill(FIRST)
    await speaking.press("Enter")
    await speaking.wait_until("tap.dry_at() > 0")
    words = [word for each in speaking.messages("audio") for word in each["words"]]
    lit = await page.evaluate("tap.lit")
    assert [one["word"] for one in lit] == [FIRST[word[0] : word[1]].strip() for word in words]
    begun_s = (await speaking.recording()).stretches[0].frame / await page.evaluate(
        "tap.context.sampleRate"
    )
    late_s = [one["heard"] - begun_s - word[2] / 1000 for one, word in zip(lit, words, strict=True)]
    assert np.abs(np.median(late_s)) < HIGHLIGHT_WITHIN_S
    assert min(late_s) > -HIGHLIGHT_WITHIN_S


async def test_without_a_decoder_the_page_says_so_and_goes_on(page: Page, url: str) -> None:
    server = AdvisingServer()
    await server.install(page)
    await page.add_init_script("delete globalThis.AudioDecoder")
    speaking = await SpeakingPage(page).open(url)
    server.advise("none")
    await expect(speaking.notice).to_contain_text("there may be gaps")
    await speaking.text.fill(FIRST)
    await speaking.press("Enter")
    await speaking.wait_all_heard()
    await speaking.assert_played_is_sent()
    assert not speaking.opus
