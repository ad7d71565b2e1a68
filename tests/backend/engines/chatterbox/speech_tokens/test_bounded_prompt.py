"""A bounded prompt: each render costs the same, and continues the speech so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from backend.engines.chatterbox.sound.flow import (
    BOUNDED_TOKENS,
    SPOKEN_TOKENS,
    Flow,
    Noise,
    RenderJob,
    SoundPrompt,
)
from backend.engines.chatterbox.voices.recording import conditioning_of
from tests.backend.engines.chatterbox.test_engine import assert_tiles, begin, create_model, pcm, run
from tests.support.chatterbox.tiny import voice

both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])
TEXT = "Hello there, my dear friend, and how are you on this fine day in May?"


def speak(turbo: bool, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[Any, list[Any]]:
    """The chunks of a text, and the jobs that were rendered."""
    model = create_model(turbo=turbo, **settings)
    jobs: list[RenderJob] = []
    long_voice = voice(9, turbo=turbo, prompt_tokens=BOUNDED_TOKENS + 60)
    model._learned["long"] = conditioning_of(long_voice)
    engine, render = model.create_engine(), Flow.render

    def record(flow: Flow, each: Any) -> Any:
        jobs.extend(each)
        return render(flow, each)

    monkeypatch.setattr(Flow, "render", record)
    begin(engine, "a", TEXT, voice="long", seed=3)
    chunks = run(engine, "a")["a"]
    monkeypatch.undo()
    assert_tiles(chunks, TEXT)
    return chunks, jobs


@both
def test_renders_begin_where_speech_has_got_to(
    turbo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, exact = speak(turbo, monkeypatch)
    _, jobs = speak(turbo, monkeypatch, bounded_prompt=True)
    assert len(jobs) > 2
    assert jobs[-1].skipped + len(jobs[-1].tokens) == len(exact[-1].tokens)
    for job in jobs:
        assert len(job.prompt.tokens) == BOUNDED_TOKENS + min(SPOKEN_TOKENS, job.skipped)
        assert len(job.prompt.mel) == 2 * len(job.prompt.tokens)
    assert [job.skipped for job in jobs] == sorted(job.skipped for job in jobs)
    assert jobs[-1].skipped > 10


@both
def test_seams_are_no_jumps(turbo: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With random weights: that the voice goes on as a listener expects is not measured."""
    chunks, _ = speak(turbo, monkeypatch, bounded_prompt=True)
    sound = pcm(chunks)
    steps = np.abs(np.diff(sound))
    seams = np.cumsum([len(chunk.pcm) for chunk in chunks])[:-1] - 1
    assert max(steps[seams]) < 3 * np.quantile(steps, 0.99)


def test_noise_belongs_to_its_frame() -> None:
    noise = Noise(torch.Generator().manual_seed(1))
    prompt = SoundPrompt(torch.zeros(20, dtype=torch.long), torch.zeros(40, 80), torch.zeros(1, 80))
    tokens, mel = torch.zeros(90, dtype=torch.long), torch.zeros(180, 80)
    whole = RenderJob(prompt, tokens, noise, final=True).noise_frames()
    for skipped in (12, SPOKEN_TOKENS, 70):
        longer = prompt.continued(tokens[:skipped], mel[: 2 * skipped])
        job = RenderJob(longer, tokens[skipped:], noise, final=True, skipped=skipped)
        given, rest = job.noise_frames()[:40], job.noise_frames()[40:]
        assert torch.equal(given, whole[:40]), "of the voice"
        assert torch.equal(rest, whole[len(whole) - len(rest) :]), "of the speech, to the end"


def test_prompt_is_the_end_of_the_voice_and_of_the_speech() -> None:
    tokens = torch.arange(200)
    mel = torch.arange(400.0)[:, None].expand(-1, 80)
    prompt = SoundPrompt(tokens, mel, torch.zeros(1, 80))
    spoken = prompt.continued(
        1000 + torch.arange(60), 5000 + torch.arange(120.0)[:, None].expand(-1, 80)
    )
    assert spoken.tokens.tolist() == [*range(75, 200), *range(1010, 1060)]
    assert spoken.mel[:, 0].tolist() == [*range(150, 400), *range(5020, 5120)]
    fresh = prompt.continued(tokens[:0], mel[:0])
    assert fresh.tokens.tolist() == [*range(75, 200)]
