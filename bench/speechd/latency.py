"""A screen reader's words and letters, by the output module of Speech Dispatcher.

Measured where the daemon would read the module's audio, from the end of the message to the first
audible sample, and, if the programs are installed, once more through a real daemon and PulseAudio,
where the sound server's own latency is part of the figures; espeak-ng is measured beside.
"""

from __future__ import annotations

import asyncio
import math
import re
import string
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from bench.speechd.daemon import (
    REMEDY,
    SpeechdDaemon,
    SsipClient,
    missing_programs,
    speechd_daemon,
)
from bench.speechd.module import SpeechdModule, speechd_module
from duplex_tts.speechd.speech_parts import find_onset

SOUND_GOAL_MS, CANCEL_GOAL_MS = 25.0, 15.0
CANCELS_PER_S = 20
LONG_TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps for quite a while."
_AHEAD_S = 3.0  # after the start and a change of settings letters are rendered ahead
_SETTLED_S = 0.4  # until the sink has played what came before


async def measure(setup: Setup) -> Result:
    """Measure words, letters and cancels; then the same through the daemon."""
    words = _new_words(setup)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "module.conf")
        await asyncio.to_thread(
            config.write_text, f'Server "{setup.url}"\nStartServer "no"\nFallback ""\n'
        )
        async with speechd_module(config) as module:
            await asyncio.sleep(_AHEAD_S)
            word_ms = [await _first_sound_ms(module, word, "SPEAK") for word in words]
            setup.progress(0.3)
            letter_ms = [await _first_sound_ms(module, letter, "CHAR") for letter in _LETTERS]
            cancel_ms = [await _cancel_ms(module) for _ in range(min(100, setup.effort.cancels))]
            setup.progress(0.5)
            wrong = await _arrow_through_menu(module, words)
    samples = {"word_ms": word_ms, "letter_ms": letter_ms, "cancel_ms": cancel_ms}
    missing = ", ".join(missing_programs())
    note = f"of {len(words)}" + (f"; no daemon: {missing} missing, {REMEDY}" if missing else "")
    figures = [
        _sound_figure("a new word", word_ms),
        _sound_figure("a letter", letter_ms),
        _cancel_figure("stop to the last audio, p95", cancel_ms),
        Figure(f"{CANCELS_PER_S} cancels a second: wrong", wrong, 0, True, "", note),
    ]
    if not missing:
        figures += await _measure_daemon(setup, words, samples)
    return Result(figures, {name: np.round(each, 2).tolist() for name, each in samples.items()})


_LETTERS = string.ascii_lowercase


def _new_words(setup: Setup) -> list[str]:
    """Words of the corpus, each once: none of them has been rendered for the module before."""
    found = dict.fromkeys(
        word for text in setup.speakable for word in re.findall(r"\b[A-Za-z]{4,12}\b", text.text)
    )
    return list(found)[:60]


async def _first_sound_ms(module: SpeechdModule, text: str, command: str) -> float:
    await module.set_values({"rate": 0, "pitch": 0, "volume": 100})
    sent_s = await module.start_message(text, command)
    for event in await module.read_events():
        if event.code == 705 and (onset := find_onset(event.data, event.rate_hz)) is not None:
            return 1000 * (event.arrived_s - sent_s + onset / event.rate_hz)
    return math.nan


async def _cancel_ms(module: SpeechdModule) -> float:
    """Until the module says that it has stopped: no audio may follow, a reader would see it."""
    await module.start_message(LONG_TEXT)
    while (await module.read_event()).code != 705:
        pass
    stopped_s = time.perf_counter()
    module.send("STOP")
    return 1000 * ((await module.read_events())[-1].arrived_s - stopped_s)


async def _arrow_through_menu(module: SpeechdModule, words: list[str]) -> int:
    """Stop each word after 50 ms; the number of words that were answered wrongly.

    Each must be stopped or spoken to its end, and the last one must sound as it did before.
    """
    wrong = 0
    for word in words:
        await module.start_message(f"{word} {word}")  # two: not in the cache
        await asyncio.sleep(1 / CANCELS_PER_S)
        module.send("STOP")
        codes = [event.code for event in await module.read_events()]
        wrong += codes.count(701) != 1 or codes[-1] not in (702, 703)
    before = await module.speak(words[0])
    after = await module.speak(words[0])
    wrong += [event.data for event in before] != [event.data for event in after]
    return wrong


async def _measure_daemon(
    setup: Setup, words: list[str], samples: dict[str, list[float]]
) -> list[Figure]:
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        settings = {"Server": setup.url, "StartServer": "no"}
        async with speechd_daemon(Path(folder), settings) as daemon, daemon.connect() as client:
            await asyncio.sleep(_AHEAD_S)
            for module in ("duplex-tts", "espeak-ng"):
                await client.request(f"SET SELF OUTPUT_MODULE {module}")
                heard = [await _heard_ms(daemon, client, "SPEAK", word) for word in words[:20]]
                spelt = [await _heard_ms(daemon, client, "CHAR", each) for each in _LETTERS[:20]]
                silent = [await _silent_ms(daemon, client) for _ in range(10)]
                samples |= {f"{module}_word_ms": heard, f"{module}_letter_ms": spelt}
                samples[f"{module}_cancel_ms"] = silent
                figures.append(_daemon_figure(module, heard, spelt, silent))
                setup.progress(0.75 if module == "duplex-tts" else 1.0)
    return figures


async def _heard_ms(daemon: SpeechdDaemon, client: SsipClient, command: str, text: str) -> float:
    """From the message to its sound in the recording of the sink."""
    await asyncio.sleep(_SETTLED_S)
    speaking = client.speak(text) if command == "SPEAK" else client.say(command, text)
    message, sent_s = await speaking
    await client.wait_event(message, 702, 703)
    await asyncio.sleep(_SETTLED_S)
    heard_s = daemon.recording.first_sound_s(sent_s)
    return math.nan if heard_s is None else 1000 * (heard_s - sent_s)


async def _silent_ms(daemon: SpeechdDaemon, client: SsipClient) -> float:
    """From the cancel to the last sound in the recording of the sink; NaN if nothing was heard."""
    message, sent_s = await client.speak(LONG_TEXT)
    await client.wait_event(message, 701)
    await asyncio.sleep(_SETTLED_S)
    cancelled_s = time.perf_counter()
    await client.request("CANCEL SELF")
    await client.wait_event(message, 702, 703)
    await asyncio.sleep(_SETTLED_S)
    if daemon.recording.first_sound_s(sent_s) is None:
        return math.nan
    return 1000 * (daemon.recording.last_sound_s(cancelled_s) - cancelled_s)


def _sound_figure(what: str, sound_ms: list[float]) -> Figure:
    note = f"p95 {np.percentile(sound_ms, 95):.1f}, worst {max(sound_ms):.1f}; {len(sound_ms)}"
    name = f"screen reader: audible first sound of {what}, p50"
    return Figure(name, float(np.median(sound_ms)), SOUND_GOAL_MS, True, " ms", note)


def _cancel_figure(name: str, cancel_ms: list[float]) -> Figure:
    note = f"p50 {np.median(cancel_ms):.1f}, worst {max(cancel_ms):.1f}; {len(cancel_ms)} stops"
    return Figure(name, float(np.percentile(cancel_ms, 95)), CANCEL_GOAL_MS, True, " ms", note)


def _daemon_figure(
    module: str, heard: list[float], spelt: list[float], silent: list[float]
) -> Figure:
    name = f"... through speech-dispatcher and PulseAudio, {module}: a word, p50"
    note = (
        f"a letter {np.nanmedian(spelt):.1f}, cancel to silence {np.nanmedian(silent):.1f}; "
        "with the sound server's latency"
    )
    return Figure(name, float(np.nanmedian(heard)), math.nan, True, " ms", note)
