"""Measures the page's memory, document size and processor time during ten minutes of typing.

    python -m tests.browser.endurance                     with a server of its own
    python -m tests.browser.endurance --minutes 60 --url http://127.0.0.1:8000

The page's limits are lowered, so that the history and its stored sound are full after a minute
instead of 30 to 45 minutes. Growth after that point is a leak.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from contextlib import nullcontext

import numpy as np
from playwright.async_api import CDPSession, Page, Route
from rich.console import Console
from rich.table import Table
from scipy.stats import theilslopes

from duplex_tts.local_server import local_server
from tests.browser.chromium import launched

TEXT = (
    "I would like to say something about the weather today, because it is lovely outside. "
    "What do you think about a walk along the river? We could leave after lunch and be back by six."
)
KEY_MS = 60
MISTAKES = 0.1  # share of words that are half deleted again
LOOK_EVERY_S = 30
WARM_UP_S = 90  # until the stored sound reaches its limit
AT_REST_S = 20  # the audio hardware is released after 15
LIMITS = {"MOST_FRAMES = 30e6": "MOST_FRAMES = 3e6", "MOST_TEXTS = 1000": "MOST_TEXTS = 3"}

Figures = dict[str, float]


async def endure(url: str, minutes: float) -> tuple[list[Figures], float]:
    """Type for this many minutes. Returns the figures of each half minute, and the share of one
    core that the idle page uses afterwards.
    """
    async with launched() as browser:
        page = await browser.new_page()
        await page.route("**/page/history.js", _lower_limits)
        await page.goto(url)
        devtools = await page.context.new_cdp_session(page)
        await devtools.send("Performance.enable")
        seen = await _type(page, devtools, 60 * minutes)
        await page.keyboard.press("Escape")
        await asyncio.sleep(AT_REST_S)
        before_s = (await _measure(devtools))["busy_s"]
        await asyncio.sleep(AT_REST_S)
        return seen, ((await _measure(devtools))["busy_s"] - before_s) / AT_REST_S


async def _lower_limits(route: Route) -> None:
    answer = await route.fetch()
    script = await answer.text()
    for limit, lower in LIMITS.items():
        assert limit in script
        script = script.replace(limit, lower)
    await route.fulfill(response=answer, body=script)


async def _type(page: Page, devtools: CDPSession, duration_s: float) -> list[Figures]:
    chance, start_s = random.Random(0), time.monotonic()
    seen: list[Figures] = []
    while (now_s := time.monotonic() - start_s) < duration_s:
        for word in TEXT.split():
            await page.keyboard.type(f"{word} ", delay=KEY_MS)
            if chance.random() < MISTAKES:
                for _ in range(4):
                    await page.keyboard.press("Backspace")
        await page.keyboard.press("Enter")
        if len(seen) * LOOK_EVERY_S <= now_s:
            seen.append({"at_s": time.monotonic() - start_s, **await _measure(devtools)})
            print(" ".join(f"{name} {value:.1f}" for name, value in seen[-1].items()), flush=True)
    return seen


async def _measure(devtools: CDPSession) -> Figures:
    await devtools.send("HeapProfiler.collectGarbage")
    heap = await devtools.send("Runtime.getHeapUsage")
    document = await devtools.send("Memory.getDOMCounters")
    metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
    return {
        "heap_kb": heap["usedSize"] / 1000,
        "document_kb": heap["embedderHeapUsedSize"] / 1000,
        "sound_kb": heap["backingStorageSize"] / 1000,
        "nodes": document["nodes"],
        "listeners": document["jsEventListeners"],
        "busy_s": next(each["value"] for each in metrics if each["name"] == "TaskDuration"),
    }


def report(seen: list[Figures], at_rest: float) -> Table:
    """The final figures and their growth."""
    table = Table("figure", "at the end", "growth in an hour", box=None)
    settled = [each for each in seen if each["at_s"] >= WARM_UP_S]
    hours = np.array([each["at_s"] for each in settled]) / 3600
    for name in ("heap_kb", "document_kb", "sound_kb", "nodes", "listeners"):
        values = np.array([each[name] for each in settled])
        growth = theilslopes(values, hours)[0]  # robust to samples during garbage collection
        table.add_row(name, f"{values[-1]:.0f}", f"{growth:+.0f}")
    first, *_, last = settled
    typing = (last["busy_s"] - first["busy_s"]) / (last["at_s"] - first["at_s"])
    table.add_row("processor, typing", f"{100 * typing:.1f} %", "")
    table.add_row("processor, at rest", f"{100 * at_rest:.2f} %", "")
    return table


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to type (at least 3)")
    parser.add_argument("--url", help="the server to type at; without it, one is started")
    options = parser.parse_args()
    if options.minutes < 3:
        parser.error("--minutes: at least 3, to see a slope")
    with nullcontext(options.url) if options.url else local_server() as url:
        try:
            Console().print(report(*asyncio.run(endure(url, options.minutes))))
        except RuntimeError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
