"""First sound against a peer that cuts text into clauses and synthesises each alone.

The peer is `stream2sentence` as RealtimeTTS calls it by default, in front of the same voice, in
this process (no network: in its favour). RealtimeTTS's sentence tokenizer `nltk+rule-based` needs a
download; the library's own `rule-based` one takes its place. It decides on ends of sentences only,
the first fragment is cut by the delimiters below. Its speech is brought to the loudness of ours, so
that it becomes audible a little sooner.
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
from bench.harness.corpus import TOKENS_PER_S, BenchText, tokens
from bench.harness.hearing import Hearing, Pcm
from bench.harness.recording_client import first_sound, send_paced, silence
from bench.harness.report import Figure, Result
from bench.harness.setup import Setup
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
class Beginning:
    """Seconds from the first token to the first audio, and to the first audible sample."""

    message_s: float
    sound_s: float


async def measure(setup: Setup) -> Result:
    """How both begin, each text once."""
    texts = setup.speakable
    peer = _Peer(setup.model.default_voice, setup.model.info.sample_rate_hz)
    ours: list[Beginning] = []
    theirs: list[Beginning] = []
    async with Session.connect(setup.url) as session:
        for number, each in enumerate(texts, start=1):
            ours.append(await _begin(session, each))
            theirs.append(await asyncio.to_thread(peer.begin, each))
            setup.progress(number / len(texts))
    return result(texts, ours, theirs)


async def _begin(session: Session, text: BenchText) -> Beginning:
    context = await session.start(seed=0)
    started_s = time.perf_counter()
    sender = asyncio.create_task(send_paced(context, tokens(text.text), 1 / TOKENS_PER_S))
    try:
        found = await first_sound(context, session.ready.sample_rate)
        return Beginning(found.message_s - started_s, found.sound_s - started_s)
    finally:
        sender.cancel()
        await silence(context)


class _Peer:
    """Speaks clause by clause. Blocks while it does."""

    def __init__(self, voice: str, rate_hz: int) -> None:
        self._voice = Hibari(voice=voice)
        self._rate_hz = rate_hz
        self._gain = 1.0
        self._gain = gain_to_target(measure_lufs(self._speak(_PASSAGE), rate_hz))

    def begin(self, text: BenchText) -> Beginning:
        """Speak a text that arrives in tokens as far as its first audible sample."""
        started_s = time.perf_counter()
        arriving = _arriving(tokens(text.text), started_s)
        hearing = Hearing(self._rate_hz)
        for fragment in generate_sentences(arriving, **REALTIMETTS_DEFAULTS):
            pcm = self._speak(fragment.strip())
            hearing.hear(pcm, time.perf_counter() - started_s)
            if hearing.first_message_s is not None and hearing.first_sound_s is not None:
                return Beginning(hearing.first_message_s, hearing.first_sound_s)
        return Beginning(math.inf, math.inf)

    def _speak(self, text: str) -> Pcm:
        return np.asarray(self._voice(text, seed=0), dtype=np.float32) * np.float32(self._gain)


def _arriving(pieces: Sequence[str], started_s: float) -> Iterator[str]:
    for number, piece in enumerate(pieces):
        time.sleep(max(0.0, started_s + number / TOKENS_PER_S - time.perf_counter()))
        yield piece


def result(
    texts: Sequence[BenchText], ours: Sequence[Beginning], theirs: Sequence[Beginning]
) -> Result:
    """The figures; message and sound side by side."""
    ours_ms, theirs_ms = _milliseconds(ours), _milliseconds(theirs)
    (our_message, our_sound), (their_message, their_sound) = (
        np.median(both, axis=0) for both in (ours_ms, theirs_ms)
    )
    told = f"{TOKENS_PER_S:g} tokens/s, {len(texts)} texts"
    begins = Figure(
        f"first audible sound after the first of {TOKENS_PER_S:g} tokens/s, p50",
        float(our_sound),
        GOAL_MS,
        at_most=True,
        unit=" ms",
        note=f"first message p50 {our_message:.0f} ms; sound p95 "
        f"{np.percentile(ours_ms[:, 1], 95):.0f} ms; {told}",
    )
    sooner = Figure(
        "first audible sound, sooner than a clause-splitting peer, p50",
        float(np.median(theirs_ms[:, 1] / ours_ms[:, 1])),
        GOAL_SOONER,
        at_most=False,
        unit="x",
        note=f"first message p50 {our_message:.0f} ms, first audible sound p50 {our_sound:.0f} ms; "
        f"the peer's {their_message:.0f} ms, {their_sound:.0f} ms; {told}",
    )
    rows = [
        {"id": each.id}
        | {
            f"{who}_{what}": round(float(value), 1)
            for who, both in (("ours", our), ("peer", their))
            for what, value in zip(("message_ms", "ms"), both, strict=True)
        }
        for each, our, their in zip(texts, ours_ms, theirs_ms, strict=True)
    ]
    return Result([begins, sooner], {"settings": REALTIMETTS_DEFAULTS, "texts": rows})


def _milliseconds(beginnings: Sequence[Beginning]) -> np.ndarray:
    """Of shape (texts, 2): message, sound."""
    return np.array([(each.message_s, each.sound_s) for each in beginnings]) * 1000
