"""Makes the animation in docs/img/: a text is typed on the real page, and the sound of each word
appears under it when it is heard.

    python -m tests.browser.typing_animation

The page's own pictures, the samples that it plays and their times are recorded; only the waveforms
are drawn here. On a quiet machine: gaps would be shown as they were. Look at it afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, CDPSession

from duplex_tts.local_server import local_server
from tests.browser.chromium import launched
from tests.browser.speaking_page import Recording, SpeakingPage
from tests.browser.typing_frames import (
    LENGTH_S,
    HeardWord,
    Performance,
    Shot,
    write_animation,
)
from tests.support.repository import ROOT

TEXT = (
    "Every word is heard while the rest of the sentence is still being written. "
    "No cloud, no waiting. Just type!"
)
CHARACTERS_PER_S = 7.0  # a practised typist
SEED = 5
LEAD_S = 0.8  # before the first key
WIDTH, HEIGHT = 1200, 900
MARGIN = 20  # below the buttons
# Large, for sharp pictures; with room for the waveforms between the lines.
_STYLE = """
:root { font-size: 150% !important; }
main { display: block !important; }
.paper { max-height: none; overflow: hidden; padding-bottom: 2rem; }
.ink { line-height: 2.9 !important; font-size: 1.9rem !important; padding-block: 0 !important; }
#notice, #hint, footer, .tools, .log, .board { display: none !important; }
"""
_RECTANGLES = """(spans) => {
  const node = document.getElementById("mirror").firstChild;
  return spans.map(([from, to]) => {
    const range = document.createRange();
    range.setStart(node, from);
    range.setEnd(node, to);
    const { left, right, bottom } = range.getBoundingClientRect();
    return [left, right, bottom];
  });
}"""
_CONTEXT_BEGAN_S = """() => {
  const { contextTime, performanceTime } = tap.context.getOutputTimestamp();
  return (performance.timeOrigin + performanceTime) / 1000 - contextTime;
}"""
_BOTTOM = """() => document.querySelector(".actions").getBoundingClientRect().bottom"""


@dataclass
class Screencast:
    """The pictures of the page, when they changed."""

    session: CDPSession
    shots: list[Shot]

    async def start(self) -> None:
        self.session.on("Page.screencastFrame", self._receive)
        await self.session.send("Page.startScreencast", {"format": "png", "everyNthFrame": 1})

    async def stop(self) -> None:
        await self.session.send("Page.stopScreencast")

    def _receive(self, frame: dict[str, Any]) -> None:
        self.shots.append(Shot(frame["metadata"]["timestamp"], base64.b64decode(frame["data"])))
        acknowledge = self.session.send(
            "Page.screencastFrameAck", {"sessionId": frame["sessionId"]}
        )
        self.acknowledging = asyncio.ensure_future(acknowledge)


async def type_text(speaking: SpeakingPage) -> None:
    """Type at a human's speed: longer at the ends of words."""
    loop, chance = asyncio.get_running_loop(), random.Random(SEED)
    due_s = loop.time() + LEAD_S
    for character in TEXT:
        await asyncio.sleep(due_s - loop.time())
        await speaking.page.keyboard.type(character)
        due_s += chance.uniform(0.6, 1.2) * (1.6 if character in " ,." else 1) / CHARACTERS_PER_S


async def perform(browser: Browser, url: str) -> Performance:
    """Type on the page."""
    async with await browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT},
        color_scheme="light",
        bypass_csp=True,  # of the style
    ) as profile:
        page = await profile.new_page()
        speaking = await SpeakingPage(page).open(url, speed=1)
        await page.add_style_tag(content=_STYLE)
        screencast = Screencast(await profile.new_cdp_session(page), [])
        await screencast.start()
        begun_s = time.time()
        await type_text(speaking)
        await asyncio.sleep(begun_s + LENGTH_S - time.time())
        await screencast.stop()
        bottom = round(await page.evaluate(_BOTTOM))
        words = await heard_words(speaking)
    return Performance(screencast.shots, words, begun_s, (WIDTH, bottom + MARGIN))


async def heard_words(speaking: SpeakingPage) -> list[HeardWord]:
    """The words with their samples, places on the page and times of hearing."""
    (context,) = {header["context"] for header in speaking.messages("audio")}
    sent, recording = speaking.audio([context]), await speaking.recording()
    assert len(sent) <= recording.stretches[-1].position + recording.stretches[-1].length
    spans = [word for header in speaking.messages("audio") for word in header["words"]]
    places = await speaking.page.evaluate(_RECTANGLES, [[span[0], span[1]] for span in spans])
    began_s = await speaking.page.evaluate(_CONTEXT_BEGAN_S)
    words = []
    for (_, _, start_ms, end_ms), (left, right, bottom) in zip(spans, places, strict=True):
        start, end = (round(ms * recording.rate_hz / 1000) for ms in (start_ms, end_ms))
        at_s = began_s + clock_s(recording, start)
        words.append(HeardWord(sent[start:end], recording.rate_hz, at_s, (left, right, bottom)))
    return words


def clock_s(recording: Recording, position: int) -> float:
    """The audio clock's time when a sent sample was heard."""
    stretch = next(each for each in reversed(recording.stretches) if each.position <= position)
    block_size = len(recording.samples) // len(recording.frames)
    block, rest = divmod(stretch.at + position - stretch.position, block_size)
    return (recording.frames[block] + rest) / recording.rate_hz


async def make(url: str, target: Path) -> None:
    """Record and write. Needs Chromium."""
    async with launched() as browser:
        performance = await perform(browser, url)
    write_animation(performance, target)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = ROOT / "docs" / "img" / "typing.webp"
    parser.add_argument("--out", type=Path, default=target, help="the file to write")
    options = parser.parse_args()
    with local_server() as url:
        asyncio.run(make(url, options.out))


if __name__ == "__main__":
    main()
