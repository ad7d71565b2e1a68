"""First audio against a peer that cuts text into clauses and synthesises each alone.

The peer is `stream2sentence` as RealtimeTTS calls it by default, in front of the same voice, in
this process (no network: in its favour). RealtimeTTS's sentence tokenizer `nltk+rule-based` needs a
download; the library's own `rule-based` one takes its place. It decides on ends of sentences only,
the first fragment is cut by the delimiters below.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from hibari import Hibari
from stream2sentence import generate_sentences

from bench.client import first_sound, send_paced, silence
from bench.corpus import TOKENS_PER_S, BenchText, tokens
from bench.report import Figure, Result
from bench.setup import Setup
from duplex_tts import Session

GOAL_SOONER = 3.0
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


async def measure(setup: Setup) -> Result:
    """Seconds from the first token to the first sound, for both, each text once."""
    texts = setup.speakable
    voice = Hibari(voice=setup.model.default_voice)
    voice("Ready to speak.")
    ours_s, peer_s = [], []
    async with Session.connect(setup.url) as session:
        for number, each in enumerate(texts, start=1):
            ours_s.append(await _our_first_sound_s(session, each))
            peer_s.append(await asyncio.to_thread(_peer_first_sound_s, voice, each))
            setup.progress(number / len(texts))
    return _result(texts, np.array(ours_s), np.array(peer_s))


async def _our_first_sound_s(session: Session, text: BenchText) -> float:
    context = await session.start(seed=0)
    started_s = time.perf_counter()
    sender = asyncio.create_task(send_paced(context, tokens(text.text), 1 / TOKENS_PER_S))
    try:
        await first_sound(context)
        return time.perf_counter() - started_s
    finally:
        sender.cancel()
        await silence(context)


def _peer_first_sound_s(voice: Hibari, text: BenchText) -> float:
    started_s = time.perf_counter()
    for fragment in generate_sentences(
        _arriving(tokens(text.text), started_s), **REALTIMETTS_DEFAULTS
    ):
        if len(voice(fragment.strip(), seed=0)):
            return time.perf_counter() - started_s
    return float("inf")


def _arriving(pieces: Sequence[str], started_s: float) -> Iterator[str]:
    for number, piece in enumerate(pieces):
        time.sleep(max(0.0, started_s + number / TOKENS_PER_S - time.perf_counter()))
        yield piece


def _result(texts: Sequence[BenchText], ours_s: np.ndarray, peer_s: np.ndarray) -> Result:
    sooner = peer_s / ours_s
    note = (
        f"p50 {np.median(ours_s) * 1000:.0f} ms against {np.median(peer_s) * 1000:.0f} ms from "
        f"the first token, {TOKENS_PER_S:g} tokens/s, {len(texts)} texts"
    )
    figure = Figure(
        "first audio, sooner than a clause-splitting peer, p50",
        float(np.median(sooner)),
        GOAL_SOONER,
        at_most=False,
        unit="x",
        note=note,
    )
    rows = [
        {"id": each.id, "ours_ms": round(ours * 1000, 1), "peer_ms": round(theirs * 1000, 1)}
        for each, ours, theirs in zip(texts, ours_s, peer_s, strict=True)
    ]
    return Result([figure], {"settings": REALTIMETTS_DEFAULTS, "texts": rows})
