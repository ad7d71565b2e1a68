"""Between a context and its pacer: the parameters, and the release for a choice."""

from __future__ import annotations

import math

from backend.config import Settings
from backend.engines.base import Model, Release
from backend.events import Start
from backend.text.pacer import Pacing, Speak
from backend.text.reading.spoken_text import SpokenText


def create_release(spoken: SpokenText, choice: Speak) -> Release:
    """Build the engine's release from the pacer's choice: `spoken` as far as it allows."""
    return Release(
        spoken.text,
        spoken.to_spoken(choice.to),
        final=choice.final,
        must_reach=choice.must_reach,
        pause=choice.pause,
        pronunciations=spoken.pronunciations,
    )


def create_pacing(settings: Settings, start: Start, model: Model) -> Pacing:
    """Combine the settings, the client's request and the engine into pacer parameters.

    Mode `stream` starts as early as `live`, but finished sentences do not wait for playback: its
    client stores the audio, or cannot otherwise tell that everything was spoken.
    """
    latency = settings.latency_optimization
    return Pacing(
        min_text_length=latency.min_text_length,
        lookahead_start=latency.lookahead_start,
        lookahead=latency.lookahead,
        idle_s=latency.streaming_threshold,
        phrase_pause_s=latency.phrase_pause,
        word_timeout_s=latency.word_timeout,
        low_water_s=latency.low_water,
        high_water_s=math.inf if start.mode == "stream" else latency.high_water,
        ttfa_goal_s=latency.ttfa_goal,
        typing=start.typing or latency.typing,
        live=start.mode != "batch",
        duplex=settings.bidirectional_streaming.enabled,
        preemptive=latency.preemptive_generation,
        incremental=model.info.incremental,
        min_clause_length=model.info.min_clause_length,
        is_whole_word=model.is_whole_word,
    )
