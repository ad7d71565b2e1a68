"""Compares our plugins for voice agents with those of the vendors, against one server.

    .venv-clients/bin/python -m tests.interop.compare_voice_agents --url http://127.0.0.1:8000

Prints the Markdown table of docs/voice-agents.md: the first audible sound after the first of 30
tokens/s; the last sound after an interruption; how many words the chat context then has too many or
too few, by a small Whisper that hears what was played (a word cut in half counts for one); how many
words have times.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

import aiohttp
import numpy as np
from livekit.plugins import cartesia, elevenlabs
from loguru import logger
from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService

from duplex_tts.livekit import TTS
from duplex_tts.pipecat import DuplexTTSService
from tests.interop.listening import RATE_HZ, STORY, AudioClip, SpeechChecker, start_checker
from tests.interop.livekit_call import Loudspeaker, ScriptedModel, agent_call
from tests.interop.pipecat_call import pipeline_call
from tests.interop.pipecat_speakers import KATIE, RACHEL
from tests.interop.timing import find_onset_s

TOKENS_PER_S = 30.0
TOKENS = [STORY[n : n + 4] for n in range(0, len(STORY), 4)]
PAUSE_S = 2.0  # of the model, after its first sentence
STOPS_MS = (1_300.0, 2_100.0, 3_300.0, 4_100.0, 4_700.0, 5_400.0)
STOPS_AFTER_PAUSE_MS = (4_400.0, 5_000.0, 5_600.0)
"""Well within the second sentence: Whisper drops its first words if it ends there."""


@dataclass
class Turn:
    """One answer: when its first sound was audible, what was played, what the context has."""

    first_sound_ms: float
    silent_ms: float
    clip: AudioClip
    context: str
    timed_words: int


@dataclass
class Figures:
    """The turns of one plugin."""

    name: str
    whole: list[Turn] = field(default_factory=list)
    interrupted: list[Turn] = field(default_factory=list)
    after_pause: list[Turn] = field(default_factory=list)

    def row(self, checker: SpeechChecker) -> str:
        """Its row of the table."""
        whole = self.whole[-1]
        cells = [
            self.name,
            f"{median(turn.first_sound_ms for turn in self.whole + self.interrupted):.0f} ms",
            f"{max(turn.silent_ms for turn in self.interrupted):.0f} ms",
            word_differences(checker, self.interrupted),
            word_differences(checker, self.after_pause),
            f"{whole.timed_words} of {len(STORY.split())}",
        ]
        return f"| {' | '.join(cells)} |"


def word_differences(checker: SpeechChecker, turns: Sequence[Turn]) -> str:
    """How many words the context has more than were heard: each turn, and the mean distance."""
    more = [len(turn.context.split()) - count_words(checker, turn.clip) for turn in turns]
    return f"{mean(map(abs, more)):.1f} ({', '.join(f'{n:+d}' if n else '0' for n in more)})"


def count_words(checker: SpeechChecker, clip: AudioClip) -> int:
    """The number of words that Whisper hears, with silence after it or without: it sometimes drops
    a sentence that is cut.
    """
    padded = AudioClip(np.pad(clip.samples, (0, RATE_HZ // 2)))
    heard = (checker.word_error_rate(sound, "")[1] for sound in (clip, padded))
    return max(len(re.findall(r"[a-z']+", text.lower())) for text in heard)


SpeakTurn = Callable[[float | None, float], Awaitable[Turn]]
"""Speaks the story: interrupted after so many ms; the model pauses for so many seconds."""


async def measure(name: str, speak: SpeakTurn) -> Figures:
    """Speak it whole once, and interrupt it at each of `STOPS_MS`, also after a pause."""
    figures = Figures(name)
    figures.whole.append(await speak(None, 0.0))
    for stop_ms in STOPS_MS:
        figures.interrupted.append(await speak(stop_ms, 0.0))
    for stop_ms in STOPS_AFTER_PAUSE_MS:
        figures.after_pause.append(await speak(stop_ms, PAUSE_S))
    return figures


def tokens_with_pause() -> int:
    """The index of the token that begins the second sentence."""
    return STORY.index("Every") // 4


# --- LiveKit Agents -------------------------------------------------------------------------------


class PausingModel(ScriptedModel):
    """Writes the story; `pause_s`: before the second sentence."""

    def __init__(self, pause_s: float) -> None:
        super().__init__(TOKENS, 1 / TOKENS_PER_S)
        self.pauses = {tokens_with_pause(): pause_s}


def livekit_turns(create_voice: Callable[[], Any], *, follow: bool) -> SpeakTurn:
    """Each turn in an agent of its own, after a first answer that opens the connection."""

    async def speak(stop_ms: float | None, pause_s: float) -> Turn:
        voice, model = create_voice(), PausingModel(pause_s)
        async with agent_call(voice, model, speaker=Loudspeaker(voice.sample_rate)) as call:
            if follow:
                voice.follow(call.session)
            story, model.tokens = model.tokens, ["Hello."]
            await call.ask()
            model.tokens = story
            silent_s = await call.interrupt_after(stop_ms) if stop_ms else 0.0
            if not stop_ms:
                await call.ask()
            assert call.speaker.first_audio_s is not None
            first_s = call.speaker.first_audio_s + find_onset_s(call.speaker.clip)
            return Turn(
                (first_s - model.first_token_s) * 1000,
                silent_s * 1000,
                call.speaker.clip,
                str(call.answers[-1].text_content),
                len(call.speaker.words),
            )

    return speak


# --- Pipecat --------------------------------------------------------------------------------------


def pipecat_turns(create_service: Callable[[], Any]) -> SpeakTurn:
    """Each turn in a pipeline of its own."""

    async def speak(stop_ms: float | None, pause_s: float) -> Turn:
        async with pipeline_call(create_service()) as call:
            pauses = {tokens_with_pause(): pause_s}
            writing = asyncio.create_task(call.write(TOKENS, 1 / TOKENS_PER_S, pauses))
            await call.wait_played(stop_ms or 9_000)
            silent_s = await call.interrupt() if stop_ms else 0.0
            await writing
        assert call.speaker.first_audio_s is not None
        first_s = call.speaker.first_audio_s + find_onset_s(call.speaker.clip)
        clip = call.clip_at_interruption if stop_ms else call.speaker.clip
        words = len(call.words.words)
        return Turn(
            (first_s - call.first_token_s) * 1000, silent_s * 1000, clip, call.answers[0], words
        )

    return speak


async def compare(url: str, only: str, checker: SpeechChecker) -> AsyncIterator[str]:
    """Yield the rows of the plugins whose names contain `only`."""
    ws = url.replace("http", "ws", 1)
    async with aiohttp.ClientSession() as http:
        eleven = {"base_url": f"{url}/v1", "api_key": "any", "http_session": http}
        sonic = {"base_url": url, "api_key": "any", "http_session": http}
        for name, create, follow in [
            ("LiveKit, `duplex_tts.livekit`", lambda: TTS(url), True),
            ("LiveKit, elevenlabs plugin", lambda: elevenlabs.TTS(**eleven), False),
            ("LiveKit, cartesia plugin", lambda: cartesia.TTS(**sonic), False),
        ]:
            if only in name:
                yield (await measure(name, livekit_turns(create, follow=follow))).row(checker)
    eleven_settings = ElevenLabsTTSService.Settings(voice=RACHEL)
    sonic_settings = CartesiaTTSService.Settings(voice=KATIE)
    for name, service in [
        ("Pipecat, `duplex_tts.pipecat`", lambda: DuplexTTSService(url)),
        (
            "Pipecat, ElevenLabs service",
            lambda: ElevenLabsTTSService(url=ws, api_key="any", settings=eleven_settings),
        ),
        (
            "Pipecat, Cartesia service",
            lambda: CartesiaTTSService(
                url=f"{ws}/tts/websocket", api_key="any", settings=sonic_settings
            ),
        ),
    ]:
        if only in name:
            yield (await measure(name, pipecat_turns(service))).row(checker)


async def print_table(url: str, only: str, checker: SpeechChecker) -> None:
    """Print the table as it grows."""
    print(
        "| | first sound | silent after | context, words off | after a pause | timed words |\n"
        "|---|---|---|---|---|---|"
    )
    async for row in compare(url, only, checker):
        print(row, flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="default: %(default)s")
    parser.add_argument("--only", default="", help="plugins whose names contain this")
    options = parser.parse_args()
    logger.remove()
    with start_checker(lambda text: 0.0) as checker:
        asyncio.run(print_table(options.url, options.only, checker))


if __name__ == "__main__":
    main()
