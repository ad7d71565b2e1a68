"""First sound against a peer that splits text into clauses and synthesises each separately.

The peer is `stream2sentence` with RealtimeTTS's defaults in front of the same voice, in this
process (without network, in its favour). RealtimeTTS's tokenizer `nltk+rule-based` needs a
download; the library's `rule-based` replaces it. It affects only sentence ends; the first fragment
is cut at the delimiters below. The peer's speech is raised to our loudness, which makes it audible
slightly sooner.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hibari import Hibari
from stream2sentence import generate_sentences

from backend.audio.loudness import gain_to_target, measure_lufs
from bench.harness.corpus import TOKENS_PER_S, BenchText, split_tokens
from bench.harness.recording_client import cancel_and_wait, send_paced, wait_for_first_sound
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
from bench.harness.simulated_listener import Pcm, SimulatedListener
from duplex_tts import Session

GOAL_SOONER = 5.0
GOAL_MS = 110.0
_PASSAGE = "The library opens at nine and closes at six, but on Saturdays an hour earlier."
REALTIMETTS_DEFAULTS: dict[str, Any] = {
    "context_size": 12,
    "context_size_look_overhead": 12,
    "minimum_sentence_length": 10,
    "minimum_first_fragment_length": 10,
    "quick_yield_single_sentence_fragment": True,
    "quick_yield_for_all_sentences": False,
    "quick_yield_every_fragment": False,
    "cleanup_text_links": True,
    "cleanup_text_emojis": True,
    "language": "en",
    "sentence_fragment_delimiters": ".?!;:,\n…。",
    "force_first_fragment_after_words": 30,
    "tokenizer": "rule-based",
}


@dataclass(frozen=True, slots=True)
class FirstSoundTimes:
    """Seconds from the first token to the first audio, and to the first audible sample."""

    message_s: float
    sound_s: float


async def measure(setup: Setup) -> Result:
    """Time the first sound of both, once per text."""
    texts = setup.speakable
    peer = _ClausePeer(setup.model.default_voice, setup.model.info.sample_rate_hz)
    ours: list[FirstSoundTimes] = []
    peer_times: list[FirstSoundTimes] = []
    async with Session.connect(setup.url) as session:
        for number, each in enumerate(texts, start=1):
            ours.append(await _time_first_sound(session, each))
            peer_times.append(await asyncio.to_thread(peer.time_first_sound, each))
            setup.progress(number / len(texts))
    return build_result(texts, ours, peer_times)


async def _time_first_sound(session: Session, text: BenchText) -> FirstSoundTimes:
    context = await session.start(seed=0)
    started_s = time.perf_counter()
    sender = asyncio.create_task(send_paced(context, split_tokens(text.text), 1 / TOKENS_PER_S))
    try:
        found = await wait_for_first_sound(context, session.ready.sample_rate)
        return FirstSoundTimes(found.message_s - started_s, found.sound_s - started_s)
    finally:
        sender.cancel()
        await cancel_and_wait(context)


class _ClausePeer:
    """Speaks clause by clause; blocking."""

    def __init__(self, voice: str, rate_hz: int) -> None:
        self._voice = Hibari(voice=voice)
        self._rate_hz = rate_hz
        self._gain = 1.0
        self._gain = gain_to_target(measure_lufs(self._speak(_PASSAGE), rate_hz))

    def time_first_sound(self, text: BenchText) -> FirstSoundTimes:
        """Speak a token stream until its first audible sample."""
        started_s = time.perf_counter()
        arriving = _paced_tokens(split_tokens(text.text), started_s)
        hearing = SimulatedListener(self._rate_hz)
        for fragment in generate_sentences(arriving, **REALTIMETTS_DEFAULTS):
            pcm = self._speak(fragment.strip())
            hearing.play_audio(pcm, time.perf_counter() - started_s)
            if hearing.first_message_s is not None and hearing.first_sound_s is not None:
                return FirstSoundTimes(hearing.first_message_s, hearing.first_sound_s)
        return FirstSoundTimes(math.inf, math.inf)

    def _speak(self, text: str) -> Pcm:
        return np.asarray(self._voice(text, seed=0), dtype=np.float32) * np.float32(self._gain)


def _paced_tokens(pieces: Sequence[str], started_s: float) -> Iterator[str]:
    for number, piece in enumerate(pieces):
        time.sleep(max(0.0, started_s + number / TOKENS_PER_S - time.perf_counter()))
        yield piece


def build_result(
    texts: Sequence[BenchText],
    ours: Sequence[FirstSoundTimes],
    peer_times: Sequence[FirstSoundTimes],
) -> Result:
    """The figures, with times to first message and first sound."""
    ours_ms, peer_ms = _milliseconds(ours), _milliseconds(peer_times)
    (our_message, our_sound), (peer_message, peer_sound) = (
        np.median(both, axis=0) for both in (ours_ms, peer_ms)
    )
    conditions = f"{TOKENS_PER_S:g} tokens/s, {len(texts)} texts"
    begins = Figure(
        f"first audible sound after the first of {TOKENS_PER_S:g} tokens/s, p50",
        float(our_sound),
        GOAL_MS,
        at_most=True,
        unit=" ms",
        note=f"first message p50 {our_message:.0f} ms; sound p95 "
        f"{np.percentile(ours_ms[:, 1], 95):.0f} ms; {conditions}",
    )
    sooner = Figure(
        "first audible sound, sooner than a clause-splitting peer, p50",
        float(np.median(peer_ms[:, 1] / ours_ms[:, 1])),
        GOAL_SOONER,
        at_most=False,
        unit="x",
        note=f"first message p50 {our_message:.0f} ms, first audible sound p50 {our_sound:.0f} ms; "
        f"peer: {peer_message:.0f} ms, {peer_sound:.0f} ms; {conditions}",
    )
    rows = [
        {"id": each.id}
        | {
            f"{speaker}_{kind}": round(float(value), 1)
            for speaker, both in (("ours", our), ("peer", peer_row))
            for kind, value in zip(("message_ms", "ms"), both, strict=True)
        }
        for each, our, peer_row in zip(texts, ours_ms, peer_ms, strict=True)
    ]
    return Result([begins, sooner], {"settings": REALTIMETTS_DEFAULTS, "texts": rows})


def _milliseconds(times: Sequence[FirstSoundTimes]) -> np.ndarray:
    """Milliseconds to message and sound, shape (texts, 2)."""
    return np.array([(each.message_s, each.sound_s) for each in times]) * 1000
