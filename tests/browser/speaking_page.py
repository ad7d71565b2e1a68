"""The speaking page, seen by a test: what is typed, what the server sends, what is played."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Locator, Page, WebSocketRoute, expect

Samples = NDArray[Any]  # float32
_LOOK_AGAIN_MS = 20
RAMP_S = 0.005  # of the worklet: how long a start or stop is smoothed

# Wraps the page's AudioWorkletNode: keeps a copy of all that is rendered and when it starts and
# stops; notes which word is lit and what leaves the loudspeaker at that moment.
# Speech at double speed, to have it over sooner.
_TAP = """
localStorage.setItem("duplex-tts.speed", "2");
const tap = { blocks: [], states: [], lit: [], context: null };
globalThis.tap = tap;
globalThis.AudioWorkletNode = class extends AudioWorkletNode {
  constructor(context, ...rest) {
    super(context, ...rest);
    tap.context = context;
    this.port.addEventListener("message", ({ data }) => {
      if (data.type === "tap") tap.blocks.push(data);
      if (data.type === "state") tap.states.push(data);
    });
    this.port.postMessage({ type: "tap", on: true });
    const look = () => {
      const { contextTime, performanceTime } = context.getOutputTimestamp();
      const heard = contextTime + (performance.now() - performanceTime) / 1000;
      const [range] = CSS.highlights.get("now");
      const word = range?.startContainer.data.slice(range.startOffset, range.endOffset);
      if (word && tap.lit.at(-1)?.word !== word) tap.lit.push({ word, heard });
    };
    setInterval(look, 4);
  }
};
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
    size: blocks[0].samples.length,
    rate: tap.context.sampleRate,
    samples: btoa(text),
    states: tap.states,
  };
};
"""


@dataclass(frozen=True)
class Recording:
    """What left the AudioWorklet; `stretches` are (frame, sample number, length) of what played."""

    samples: Samples
    rate_hz: int
    first_frame: int
    stretches: list[tuple[int, int, int]]

    def expected(self, sent: Samples) -> Samples:
        """What should have been rendered, had starts and stops no ramp."""
        expected = np.zeros_like(self.samples)
        for frame, position, length in self.stretches:
            start = frame - self.first_frame
            expected[start : start + length] = sent[position : position + length]
        return expected

    def in_ramps(self) -> NDArray[np.bool_]:
        """Where a start or a stop is smoothed."""
        mask = np.zeros(len(self.samples), bool)
        ramp = round(RAMP_S * self.rate_hz) + 1
        for frame, _, length in self.stretches:
            for edge in (frame - self.first_frame, frame - self.first_frame + length):
                mask[edge : edge + ramp] = True
        return mask


@dataclass
class SpeakingPage:
    """The page with a tap on its worklet and on its socket."""

    page: Page
    received: list[tuple[dict[str, Any], Samples]] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    cables: list[tuple[WebSocketRoute, WebSocketRoute]] = field(default_factory=list)

    @property
    def text(self) -> Locator:
        return self.page.locator("#text")

    @property
    def notice(self) -> Locator:
        return self.page.locator("#notice")

    @property
    def said(self) -> Locator:
        return self.page.locator("#said p")

    async def open(self, url: str) -> SpeakingPage:
        await self.page.route_web_socket("**/ws/tts", self._connect)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await self.page.add_init_script(_TAP)
        await self.page.goto(url)
        await self.connected()
        return self

    async def connected(self) -> None:
        await expect(self.page.locator("#connection-text")).to_have_text("Connected")
        await expect(self.page.locator("#voices input:checked")).to_have_count(1)

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def type(self, text: str, delay_ms: float = 30) -> None:
        await self.text.press_sequentially(text, delay=delay_ms)

    async def mode(self, label: str) -> None:
        await self.page.get_by_label(label).check(force=True)

    async def loud(self) -> None:
        """Wait until something is heard."""
        await self._until("tap.loud()")

    async def heard_all(self, contexts: int = 1) -> None:
        """Wait until so many contexts are done and all of their audio was played."""
        while len(self.messages("done")) < contexts:
            self.news.clear()
            await self.news.wait()
        await self._until(f"tap.dry_at() >= {len(self.audio())}")

    async def _until(self, condition: str) -> None:
        # Playwright's own waiting evaluates strings in the page, which the page forbids.
        await self.page.evaluate(
            f"new Promise((met) => {{ const look = () => {condition} ? met() :"
            f" setTimeout(look, {_LOOK_AGAIN_MS}); look() }})"
        )

    def messages(self, type_: str) -> list[dict[str, Any]]:
        return [header for header, _ in self.received if header["type"] == type_]

    def audio(self) -> Samples:
        """All that the server sent, in the order of arrival."""
        chunks = [samples for _, samples in self.received if len(samples)]
        return np.concatenate(chunks) if chunks else np.zeros(0, np.float32)

    def contexts(self) -> dict[str, str]:
        """The texts of the server's contexts, as the messages built them up."""
        texts: dict[str, str] = {}
        for message in self.sent:
            if message["type"] == "text":
                texts[message["context"]] = texts.get(message["context"], "") + message["text"]
            elif message["type"] == "retract":  # the server may have kept more: see `retracted`
                texts[message["context"]] = texts[message["context"]][: message["to"]]
        return texts

    async def recording(self) -> Recording:
        tapped = await self.page.evaluate("globalThis.tap.recording()")
        rendered = np.frombuffer(base64.b64decode(tapped["samples"]), np.float32)
        first, size = tapped["frames"][0], tapped["size"]
        # A quantum that a busy machine did not render at all is silence: no fault between the
        # stretches of speech, and within one it differs from what was sent.
        samples = np.zeros(tapped["frames"][-1] + size - first, np.float32)
        for frame, block in zip(tapped["frames"], rendered.reshape(-1, size), strict=True):
            samples[frame - first : frame - first + size] = block
        stretches = [
            (begin["frame"], begin["position"], end["frame"] - begin["frame"])
            for begin, end in pairwise(tapped["states"])
            if begin["playing"]
        ]
        start = stretches[0][0] - first
        return Recording(samples[start:], round(tapped["rate"]), stretches[0][0], stretches)

    async def cut(self) -> None:
        """Drop the connection."""
        page, server = self.cables.pop()
        await page.close(code=1001)
        await server.close()

    def _connect(self, cable: WebSocketRoute) -> None:
        """Stand between the page and its server, and note what passes."""
        server = cable.connect_to_server()
        ends = (cable, server)
        self.cables.append(ends)

        def up(message: str | bytes) -> None:
            self.sent.append(json.loads(message))
            server.send(message)

        def down(message: str | bytes) -> None:
            if ends in self.cables:  # what comes after the cut reaches nobody
                self._receive(message)
                cable.send(message)

        cable.on_message(up)
        server.on_message(down)

    def _receive(self, message: str | bytes) -> None:
        if isinstance(message, str):
            message = struct.pack("<I", len(message.encode())) + message.encode()
        (size,) = struct.unpack_from("<I", message)
        pcm = np.frombuffer(message[4 + size :], "<i2") / np.float32(32768)
        self.received.append((json.loads(message[4 : 4 + size]), pcm))
        self.news.set()
