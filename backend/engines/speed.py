"""Measures whether a model speaks faster than it is heard."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from backend.engines.base import Chunk, Engine, Model, Release, Utterance

_TEXT = "The library opens at nine o'clock."
_WARM_UP = "Hello."  # the first calls allocate and compile
_PATIENCE_S = 15.0  # per text: what takes longer than this does not keep up


def measure_rtf(model: Model, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of computing per second of audio, for a short sentence on an engine of its own;
    infinite if nothing is heard in time. Blocks (seconds). Raises what the engine raises.
    """
    engine = model.create_engine()
    _time_text(engine, model, _WARM_UP, clock)
    return _time_text(engine, model, _TEXT, clock)


def _time_text(engine: Engine, model: Model, text: str, clock: Callable[[], float]) -> float:
    samples, start_s, took_s, ended = 0, clock(), 0.0, False
    utterance = Utterance("speed", model.default_voice)
    engine.begin(utterance)
    engine.extend(utterance.id, Release(text, len(text), final=True))
    while not ended and took_s < _PATIENCE_S:
        for result in engine.step([utterance.id]):
            if not isinstance(result, Chunk):
                raise result.error
            samples += len(result.pcm)
            ended = result.caught_up
        took_s = clock() - start_s
    engine.abort(utterance.id)
    return took_s * engine.info.sample_rate_hz / samples if samples else math.inf
