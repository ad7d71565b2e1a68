"""Results with graphs equal those without, for any number and order of replays."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.config import ChatterboxSettings
from backend.engines.base import Chunk, Release, Utterance
from backend.engines.chatterbox.device import graphs as graphs_module
from backend.engines.chatterbox.device.graphs import GraphCache
from backend.engines.chatterbox.engine import ChatterboxEngine
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.sound.flow import Flow, Noise, RenderJob
from backend.engines.chatterbox.sound.vocoder import HiftVocoder, VocoderInput, VocoderStream
from backend.engines.chatterbox.speech_tokens.decoder import SpeechTokenDecoder, TokenSession
from backend.engines.chatterbox.speech_tokens.sampling import Sampling
from tests.support.chatterbox.tiny import (
    SAME_MEL,
    SIZE,
    TinyS3Gen,
    on_cuda,
    tiny,
    tiny_t3,
    voice,
)
from tests.support.same_sound import assert_same_sound

both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


@both
def test_graphs_change_no_audio_and_none_is_captured_after_warm_up(
    turbo: bool, captures: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.engines.chatterbox.model._POSITIONS", 512)
    # Warm up only the lengths that occur here.
    monkeypatch.setattr("backend.engines.chatterbox.sound.flow._WARM_TOKENS", 64)
    monkeypatch.setattr("backend.engines.chatterbox.sound.vocoder._LONGEST_WARM", 112)
    monkeypatch.setattr(graphs_module, "_UNCAPTURED_RUNS", 0)  # capture at the first run
    chosen = ChatterboxSettings(slots=2, watermark=False)
    model = ChatterboxModel(tiny(turbo=turbo), chosen, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(GraphCache, "run", lambda _, shape, step, *inputs: step(*inputs))
        patched.setattr(GraphCache, "pad_rows", lambda _, rows: [*rows])
        patched.setattr(GraphCache, "warm_ups", 0)
        expected = speak_all(model.create_engine())
    assert not captures
    engine = model.create_engine()
    before = len(captures)
    assert before > 0
    for id_, pcm in speak_all(engine).items():
        assert_same_sound(pcm, expected[id_])
    assert len(captures) == before


def speak_all(engine: ChatterboxEngine) -> dict[str, Any]:
    """The audio of more utterances than there are slots."""
    texts = {f"u{n}": "Hello there, my dear friend. It goes on."[: 12 + 7 * n] for n in range(3)}
    audio: dict[str, list[Any]] = {id_: [] for id_ in texts}
    for n, (id_, text) in enumerate(texts.items()):
        engine.begin(Utterance(id_, "default", seed=n))
        engine.extend(id_, Release(text, len(text), final=True))
    waiting = list(texts)
    for _ in range(300):
        for chunk in engine.step(waiting):
            assert isinstance(chunk, Chunk)
            audio[chunk.utterance_id].append(chunk.pcm)
            if chunk.caught_up:
                waiting.remove(chunk.utterance_id)
                engine.abort(chunk.utterance_id)
        if not waiting:
            return {id_: np.concatenate(pcm) for id_, pcm in audio.items()}
    raise AssertionError("they never caught up")


def without_graphs(part: Any) -> Any:
    for name in ("graphs", "_graphs"):
        if hasattr(part, name):
            getattr(part, name)._device = torch.device("cpu")
    return part


@both
def test_repeated_flow_replays_give_the_same_mel(
    turbo: bool, captures: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several shapes in turn: their graphs are replayed alternately."""
    s3gen = TinyS3Gen(meanflow=turbo).eval().requires_grad_(requires_grad=False)
    flow = Flow(s3gen)
    batches = mel_jobs(flow)
    expected = [without_graphs(Flow(s3gen)).render(batch) for batch in batches]
    assert not captures
    monkeypatch.setattr(graphs_module, "_UNCAPTURED_RUNS", 0)  # capture at the first run
    for _ in range(3):
        rendered = [flow.render(batch) for batch in batches]
        for actual, reference in zip(rendered, expected, strict=True):
            torch.testing.assert_close(actual, reference, atol=SAME_MEL, rtol=0)
    assert len(captures) == len(batches)


def mel_jobs(flow: Flow) -> list[list[RenderJob]]:
    """Batches of three shapes."""
    device = flow.device
    prompt = flow.create_prompt(voice(3, turbo=False, prompt_tokens=20).gen)
    jobs = []
    for seed, (length, rows) in enumerate([(12, 1), (12, 2), (40, 1)]):
        noise = Noise(torch.Generator(device).manual_seed(seed))
        ids = torch.arange(length)
        jobs.append([RenderJob(prompt, ids, noise, final=True)] * rows)
    return jobs


def test_repeated_vocoder_replays_give_the_same_sound(
    captures: list[int],
) -> None:
    hift = TinyS3Gen(meanflow=True).eval().requires_grad_(requires_grad=False).mel2wav
    vocoder, plain = HiftVocoder(hift), without_graphs(HiftVocoder(hift))
    expected = speak_streams(plain)
    assert not captures
    for _ in range(5):
        for actual, reference in zip(speak_streams(vocoder), expected, strict=True):
            assert_same_sound(actual, reference)
    assert captures


def speak_streams(vocoder: HiftVocoder) -> list[Tensor]:
    """Two streams in chunks of several lengths; results are kept until the end."""
    device = vocoder.hift.stft_window.device
    mel = torch.randn(80, 120, generator=torch.Generator().manual_seed(1)).to(device)
    streams = [VocoderStream(vocoder, torch.Generator(device).manual_seed(n)) for n in (1, 2)]
    sounds, start = [], 0
    for end in (12, 44, 76, 108):
        for stream in streams:
            frames = VocoderInput(stream, mel[:, start:end], mel[:, end : end + 12])
            sounds += vocoder.synthesize([frames])
        start = end
    return sounds


@both
def test_repeated_decoder_replays_draw_the_same_tokens(turbo: bool, captures: list[int]) -> None:
    t3 = tiny_t3(turbo=turbo)
    expected = draw_tokens(without_graphs(SpeechTokenDecoder(t3, 2, 512)))
    assert not captures
    decoder = SpeechTokenDecoder(t3, 2, 512)
    for _ in range(5):
        assert draw_tokens(decoder) == expected
    assert captures


def draw_tokens(decoder: SpeechTokenDecoder) -> list[list[int]]:
    """The tokens of two sessions, advanced together and singly."""
    device = decoder._backbone.reference.device
    conditioning = torch.zeros(1, 5, SIZE, device=device)
    prefix, text = decoder.compute_prefix(conditioning), torch.arange(6)
    sessions = []
    for n in range(2):
        session = TokenSession(Sampling(), torch.Generator(device).manual_seed(n))
        decoder.join(session, prefix, text)
        sessions.append(session)
    for step in range(12):
        decoder.advance(sessions if step % 3 else sessions[:1])
    for session in sessions:
        decoder.leave(session)
    return [session.tokens for session in sessions]


@on_cuda
@both
def test_every_replay_on_cuda_equals_the_first_run(turbo: bool) -> None:
    """Several shapes in turn, with graphs from the second run on."""
    s3gen = TinyS3Gen(meanflow=turbo).eval().requires_grad_(requires_grad=False).to("cuda")
    flow, vocoder = Flow(s3gen), HiftVocoder(s3gen.mel2wav)
    decoder = SpeechTokenDecoder(copy.deepcopy(tiny_t3(turbo=turbo)).to("cuda"), 2, 512)
    batches = mel_jobs(flow)

    def run_all() -> tuple[list[list[Tensor]], list[Tensor], list[list[int]]]:
        mels = [flow.render(batch) for batch in batches]
        return mels, speak_streams(vocoder), draw_tokens(decoder)

    mels, sounds, tokens = run_all()
    for _ in range(5):
        again = run_all()
        torch.testing.assert_close(again[0], mels, atol=SAME_MEL, rtol=0)
        for actual, reference in zip(again[1], sounds, strict=True):
            assert_same_sound(actual.cpu(), reference.cpu())
        assert again[2] == tokens
    for graphs in (flow.graphs, vocoder._graphs, decoder._graphs):
        assert any(graphs._captured.values())
