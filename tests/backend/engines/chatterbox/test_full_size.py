"""The full-size architecture with random weights: upstream's tokens and sound, and a voice from a
recording. Takes minutes and 5 GB on two cores: runs only with SLOW_TESTS=1.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.config import ChatterboxSettings
from backend.engines.base import Chunk, Release, Utterance
from backend.engines.chatterbox import passage
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.sound import silence
from backend.engines.chatterbox.speech_tokens import speech_limits
from backend.engines.chatterbox.variants import VARIANTS
from bench.chatterbox.engine_bench import generate_upstream
from bench.chatterbox.random_weights import ENGINES, quiet, random_upstream
from tests.support.chatterbox.drawn import NoWatermark, RecordedNoise
from tests.support.chatterbox.recordings import recording

slow = pytest.mark.skipif(not os.environ.get("SLOW_TESTS"), reason="slow: SLOW_TESTS=1 runs it")
TOKENS = 16  # of speech
TEXT = "Good day to you."


def limit_speech(upstream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit upstream and engine to `TOKENS`: random weights never draw the stop token."""
    turbo = upstream.t3.is_gpt
    name, option = ("inference_turbo", "max_gen_len") if turbo else ("inference", "max_new_tokens")
    generate = getattr(upstream.t3, name)
    count = TOKENS - 1 if turbo else TOKENS  # upstream's Turbo counts from the second

    def limited(**options: Any) -> Any:
        return generate(**{**options, option: count})

    monkeypatch.setattr(upstream.t3, name, limited, raising=True)
    upstream.t3.speech_head.weight[upstream.t3.hp.stop_speech_token] = 0
    if upstream.t3.speech_head.bias is not None:
        upstream.t3.speech_head.bias[upstream.t3.hp.stop_speech_token] = -1e4
    monkeypatch.setattr(speech_limits, "max_tokens", lambda *_: TOKENS)
    monkeypatch.setattr(passage, "_NOISY_TOKENS", 0)
    monkeypatch.setattr(silence, "AUDIBLE_DBFS", -math.inf)
    monkeypatch.setattr(passage, "FIRST_TOKENS", 1000)


@slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", ENGINES)
def test_full_size_single_chunk_equals_upstream_generate(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = random_upstream(engine, "cpu")
    turbo = VARIANTS[engine].turbo
    upstream.watermarker = NoWatermark()
    limit_speech(upstream, monkeypatch)
    with quiet(), monkeypatch.context() as patched:
        drawn = RecordedNoise(patched)
        torch.manual_seed(4)
        expected = generate_upstream(upstream, TEXT)[0].numpy()
    settings = ChatterboxSettings(slots=1, watermark=False)
    model = ChatterboxModel(upstream, settings, tmp_path / "voices")
    spoken = speak(model, drawn, turbo=turbo)
    assert len(spoken) > 0.5 * 24_000
    np.testing.assert_allclose(spoken, expected, atol=5e-3)
    with quiet():
        model.learn("anna", recording(tmp_path / "anna.wav", 8.0))
    assert model.conditioning("anna").sound["prompt_token"].shape == (1, 200)


def speak(model: ChatterboxModel, drawn: RecordedNoise, *, turbo: bool) -> Any:
    engine = model.create_engine()
    engine.begin(Utterance("a", "default", seed=4))
    engine.extend("a", Release(TEXT, len(TEXT), final=True))
    engine.step(["a"])
    speech = engine._utterances["a"].passage
    assert speech is not None
    drawn.apply_to(speech, turbo=turbo)
    while not (results := engine.step(["a"])):
        pass
    (chunk,) = results
    assert isinstance(chunk, Chunk)
    assert chunk.caught_up
    return chunk.pcm
