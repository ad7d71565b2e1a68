"""The speaking page under test: typed text, messages of the server, and played samples."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import ConsoleMessage, Locator, Page, WebSocket, expect

Samples = NDArray[Any]  # float32
_LOOK_AGAIN_MS = 20
_PATIENCE_S = 30
RAMP_S = 0.005  # duration of the worklet's ramp at a start or stop

# Wraps the page's AudioWorkletNode: copies every rendered block and records each start and stop as
# a rendered sample number. A busy machine skips or renumbers blocks, so the clock's frames are used
# for timing only. Records the playback position at each word highlight and each painted frame.
_TAP = """
const tap = { blocks: [], states: [], lit: [], frames: [], painting_ms: [], context: null };
globalThis.tap = tap;
let unplaced = [];
function received({ data }) {
  if (data.type === "state") unplaced.push(data);
  if (data.type !== "tap") return;
  const rendered = tap.blocks.length * data.samples.length;
  for (const state of unplaced) {
    tap.states.push({ ...state, at: rendered + Math.max(0, state.frame - data.frame) });
  }
  unplaced = [];
  tap.blocks.push(data);
}
function heard() {
  if (!tap.context) return 0; // none is loaded yet, or anew
  const { contextTime, performanceTime } = tap.context.getOutputTimestamp();
  const now = contextTime + (performance.now() - performanceTime) / 1000;
  return Math.min(now, tap.context.currentTime);
}
if (globalThis.AudioWorkletNode) globalThis.AudioWorkletNode = class extends AudioWorkletNode {
  constructor(context, ...rest) {
    super(context, ...rest);
    tap.context = context;
    this.port.addEventListener("message", received);
    this.port.postMessage({ type: "tap", on: true });
  }
};
const add = Highlight.prototype.add;
Highlight.prototype.add = function (range) {
  if (this === CSS.highlights.get("now")) {
    const word = range.startContainer.data.slice(range.startOffset, range.endOffset);
    if (tap.lit.at(-1)?.word !== word) tap.lit.push({ word, heard: heard() });
  }
  return add.call(this, range);
};
const ask = globalThis.requestAnimationFrame;
globalThis.requestAnimationFrame = (paint) => ask((time) => {
  const begin = performance.now();
  paint(time);
  tap.painting_ms.push(performance.now() - begin);
  tap.frames.push(heard());
});
tap.loud = () => tap.blocks.some(({ samples }) => samples.some((one) => Math.abs(one) > 0.02));
tap.dry_at = () => tap.states.at(-1)?.playing ? 0 : tap.states.at(-1)?.position ?? 0;
tap.recording = () => {
  const blocks = tap.blocks;
  const all = new Uint8Array(blocks.length * blocks[0].samples.byteLength);
  blocks.forEach(({ samples }, at) =>
    all.set(new Uint8Array(samples.buffer), at * samples.byteLength));
  let text = "";
  for (let at = 0; at < all.length; at += 32768) {
    text += String.fromCharCode(...all.subarray(at, at + 32768));
  }
  return {
    frames: blocks.map(({ frame }) => frame),
    rate: tap.context.sampleRate,
    samples: btoa(text),
    states: tap.states,
  };
};
"""


@dataclass(frozen=True)
class Stretch:
    """A span of speech without a pause, in samples.

    `at`: in the rendered samples; `position`: in the sent samples; `frame`: of the audio clock.
    """

    at: int
    position: int
    length: int
    frame: int


@dataclass(frozen=True)
class Recording:
    """All blocks rendered by the AudioWorklet; `frames`: clock frame of each block."""

    samples: Samples
    rate_hz: int
    stretches: list[Stretch]
    frames: list[int]

    def expected(self, sent: Samples) -> Samples:
        """The expected rendered samples, without ramps at starts and stops."""
        expected = np.zeros_like(self.samples)
        for one in self.stretches:
            played = sent[one.position : one.position + one.length]
            expected[one.at : one.at + one.length] = played
        return expected

    def in_ramps(self) -> NDArray[np.bool_]:
        """Mask of the samples within a start or stop ramp."""
        mask = np.zeros(len(self.samples), bool)
        ramp = round(RAMP_S * self.rate_hz) + 1
        for one in self.stretches:
            for edge in (one.at, one.at + one.length):
                mask[edge : edge + ramp] = True
        return mask

    def silent_from_s(self) -> float:
        """Clock time after the last audible sample."""
        block_size = len(self.samples) // len(self.frames)
        block, rest = divmod(int(np.flatnonzero(self.samples)[-1]), block_size)
        return (self.frames[block] + rest + 1) / self.rate_hz


@dataclass
class SpeakingPage:
    """The page, with its worklet and WebSocket recorded."""

    page: Page
    received: list[tuple[dict[str, Any], Samples]] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    opus: bytes = b""  # received for contexts that asked for it
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def text(self) -> Locator:
        return self.page.locator("#text")

    @property
    def notice(self) -> Locator:
        return self.page.locator("#notice")

    @property
    def said(self) -> Locator:
        return self.page.locator("#history p")

    async def open(self, url: str, speed: float = 2) -> SpeakingPage:
        """Open the page. `speed`: of the speech, double by default to shorten the tests."""
        await self.visit(url, speed)
        await self.connected()
        return self

    async def visit(self, url: str, speed: float = 2) -> None:
        """Open any page, recorded."""
        self.page.on("websocket", self._tap)
        self.page.on("console", self._complained)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        set_speed = f'localStorage.setItem("duplex-tts.speed", "{speed}");'
        await self.page.add_init_script(set_speed + _TAP)
        await self.page.goto(url)

    async def connected(self) -> None:
        await expect(self.page.locator("#connection-text")).to_have_text("Connected")
        await expect(self.page.locator("#voices input:checked")).to_have_count(1)

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def type(self, text: str, delay_ms: float = 30) -> None:
        await self.text.press_sequentially(text, delay=delay_ms)

    async def choose_mode(self, label: str) -> None:
        """Select the typing mode in the settings."""
        await self.page.get_by_role("button", name="Settings").click()
        await self.page.get_by_label(label).check()
        await self.page.get_by_role("button", name="Close").click()

    async def wait_heard(self) -> None:
        """Wait until sound is played."""
        await self.wait_until("tap.loud()")

    async def wait_all_heard(self, contexts: int = 1) -> None:
        """Wait until this many contexts are done and all their audio was played."""
        await self.wait_done(contexts)
        await self.wait_until(f"tap.dry_at() >= {len(self.audio())}")

    async def wait_done(self, contexts: int = 1) -> None:
        """Wait until this many contexts are done."""
        async with asyncio.timeout(_PATIENCE_S):
            while len(self.messages("done")) < contexts:
                self.news.clear()
                await self.news.wait()

    async def wait_until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true in the page."""
        # Playwright's wait_for_function evaluates strings, which the page's CSP forbids.
        async with asyncio.timeout(_PATIENCE_S):
            await self.page.evaluate(
                f"new Promise((met) => {{ const look = () => {condition} ? met() :"
                f" setTimeout(look, {_LOOK_AGAIN_MS}); look() }})"
            )

    def messages(self, type_: str) -> list[dict[str, Any]]:
        return [header for header, _ in self.received if header["type"] == type_]

    def audio(self, contexts: Sequence[str] = ()) -> Samples:
        """All samples from the server in order of arrival, or in the order of these contexts."""
        chunks = [(header["context"], samples) for header, samples in self.received if len(samples)]
        if contexts:  # stable sort: keeps the order within a context
            chunks.sort(key=lambda chunk: contexts.index(chunk[0]))
        return np.concatenate([samples for _, samples in chunks] or [np.zeros(0, np.float32)])

    def contexts(self) -> dict[str, str]:
        """The text of each context, reconstructed from the messages.

        Omits contexts that a busy server refused; the page retries with a new context.
        """
        busy = {e["context"] for e in self.messages("error") if e["code"] == "overloaded"}
        return {context: text for context, text in self._texts().items() if context not in busy}

    def _texts(self) -> dict[str, str]:
        texts: dict[str, str] = {}
        for message in self.sent:
            if message["type"] == "text":
                texts[message["context"]] = texts.get(message["context"], "") + message["text"]
            elif message["type"] == "retract":  # the server may keep more: see `retracted`
                texts[message["context"]] = texts[message["context"]][: message["to"]]
        return texts

    def _compressed_contexts(self) -> set[str]:
        return {message["context"] for message in self.sent if message.get("format") == "opus"}

    async def recording(self) -> Recording:
        tapped = await self.page.evaluate("globalThis.tap.recording()")
        stretches = [
            Stretch(begin["at"], begin["position"], end["at"] - begin["at"], begin["frame"])
            for begin, end in pairwise(tapped["states"])
            if begin["playing"]
        ]
        samples = np.frombuffer(base64.b64decode(tapped["samples"]), np.float32)
        return Recording(samples, round(tapped["rate"]), stretches, tapped["frames"])

    async def assert_played_is_sent(self, contexts: Sequence[str] = ()) -> None:
        """Assert that every sent sample is played once without clicks, with gaps only where the
        server had no audio; in order of arrival, or in the order of these contexts.
        """
        recording, sent = await self.recording(), self.audio(contexts)
        played = [(one.position, one.position + one.length) for one in recording.stretches]
        assert [0, *(end for _, end in played)] == [*(start for start, _ in played), len(sent)]
        expected, ramps = recording.expected(sent), recording.in_ramps()
        np.testing.assert_array_equal(recording.samples[~ramps], expected[~ramps])
        steepest = np.abs(np.diff(sent)).max()
        assert np.abs(np.diff(recording.samples)).max() <= steepest + 0.01

    def _complained(self, message: ConsoleMessage) -> None:
        if "registration blocked by Playwright" not in message.text:  # caused by the tests
            self.complaints.append(message.text)

    def _tap(self, socket: WebSocket) -> None:
        """Record the messages."""
        if urlsplit(socket.url).path not in ("/ws/tts", "/ws/resume"):
            return
        socket.on("framesent", lambda message: self.sent.append(json.loads(message)))
        socket.on("framereceived", self._receive)

    def _receive(self, message: str | bytes) -> None:
        if isinstance(message, str):
            message = struct.pack("<I", len(message.encode())) + message.encode()
        (size,) = struct.unpack_from("<I", message)
        header, data = json.loads(message[4 : 4 + size]), message[4 + size :]
        if header["type"] == "audio" and any(
            (one["context"], one["seq"]) == (header["context"], header["seq"])
            for one in self.messages("audio")
        ):
            return  # it was on its way over a socket that the page has left
        if header.get("context") in self._compressed_contexts():
            self.opus += data
            data = b""
        self.received.append((header, np.frombuffer(data, "<i2") / np.float32(32768)))
        self.news.set()
