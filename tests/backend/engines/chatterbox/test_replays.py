"""With graphs all is as without, however often and in whatever order they are replayed."""

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
from backend.engines.chatterbox import graphs as graphs_module
from backend.engines.chatterbox.decoder import SpeechTokenDecoder, TokenSession
from backend.engines.chatterbox.engine import ChatterboxEngine
from backend.engines.chatterbox.flow import Flow, Job, Noise
from backend.engines.chatterbox.graphs import Graphs
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.sampling import Sampling
from backend.engines.chatterbox.vocoder import Frames, Vocoder, VocoderStream
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
def test_with_graphs_all_sounds_the_same_and_none_is_captured_while_somebody_listens(
    turbo: bool, captures: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.engines.chatterbox.model._POSITIONS", 512)
    monkeypatch.setattr("backend.engines.chatterbox.flow._WARM_TOKENS", 64)  # that is all they say
    monkeypatch.setattr("backend.engines.chatterbox.vocoder._LONGEST_WARM", 112)
    monkeypatch.setattr(graphs_module, "_BEFORE", 0)  # at the first time
    chosen = ChatterboxSettings(slots=2, watermark=False)
    model = ChatterboxModel(tiny(turbo=turbo), chosen, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Graphs, "run", lambda _, shape, step, *inputs: step(*inputs))
        patched.setattr(Graphs, "padded", lambda _, rows: [*rows])
        patched.setattr(Graphs, "warm_ups", 0)
        expected = spoken(model.create_engine())
    assert not captures
    engine = model.create_engine()
    before = len(captures)
    assert before > 0
    for _ in range(2):
        for id_, pcm in spoken(engine).items():
            assert_same_sound(pcm, expected[id_])
    assert len(captures) == before


def spoken(engine: ChatterboxEngine) -> dict[str, Any]:
    """What some utterances sound like, more than there is room for."""
    texts = {f"u{n}": "Hello there, my dear friend. It goes on."[: 12 + 7 * n] for n in range(3)}
    heard: dict[str, list[Any]] = {id_: [] for id_ in texts}
    for n, (id_, text) in enumerate(texts.items()):
        engine.begin(Utterance(id_, "default", seed=n))
        engine.extend(id_, Release(text, len(text), final=True))
    waiting = list(texts)
    for _ in range(300):
        for chunk in engine.step(waiting):
            assert isinstance(chunk, Chunk)
            heard[chunk.utterance_id].append(chunk.pcm)
            if chunk.caught_up:
                waiting.remove(chunk.utterance_id)
                engine.abort(chunk.utterance_id)
        if not waiting:
            return {id_: np.concatenate(pcm) for id_, pcm in heard.items()}
    raise AssertionError("they never caught up")


def without_graphs(part: Any) -> Any:
    for name in ("graphs", "_graphs"):
        if hasattr(part, name):
            getattr(part, name)._device = torch.device("cpu")
    return part


@both
def test_with_graphs_a_mel_is_the_same_however_often_it_is_rendered(
    turbo: bool, captures: list[int]
) -> None:
    """Of several shapes in turn: the graphs of each are replayed between those of the others."""
    s3gen = TinyS3Gen(meanflow=turbo).eval().requires_grad_(requires_grad=False)
    flow = Flow(s3gen)
    batches = mel_jobs(flow)
    expected = [without_graphs(Flow(s3gen)).render(batch) for batch in batches]
    assert not captures
    for _ in range(5):
        rendered = [flow.render(batch) for batch in batches]
        for mine, theirs in zip(rendered, expected, strict=True):
            torch.testing.assert_close(mine, theirs, atol=SAME_MEL, rtol=0)
    assert len(captures) == len(batches)


def mel_jobs(flow: Flow) -> list[list[Job]]:
    """Batches of three shapes."""
    device = flow.device
    prompt = flow.prompt(voice(3, turbo=False).gen)
    jobs = []
    for seed, (length, rows) in enumerate([(12, 1), (12, 2), (40, 1)]):
        noise = Noise(torch.Generator(device).manual_seed(seed))
        ids = torch.arange(length, device=device)
        jobs.append([Job(prompt, ids, noise, final=True)] * rows)
    return jobs


def test_with_graphs_streams_sound_the_same_however_often_they_are_spoken(
    captures: list[int],
) -> None:
    hift = TinyS3Gen(meanflow=True).eval().requires_grad_(requires_grad=False).mel2wav
    vocoder, plain = Vocoder(hift), without_graphs(Vocoder(hift))
    expected = spoken_in_turn(plain)
    assert not captures
    for _ in range(5):
        for mine, theirs in zip(spoken_in_turn(vocoder), expected, strict=True):
            assert_same_sound(mine, theirs)
    assert captures


def spoken_in_turn(vocoder: Vocoder) -> list[Tensor]:
    """Two streams in chunks of several lengths, kept to the end."""
    device = vocoder.hift.stft_window.device
    mel = torch.randn(80, 120, generator=torch.Generator().manual_seed(1)).to(device)
    streams = [VocoderStream(vocoder, torch.Generator(device).manual_seed(n)) for n in (1, 2)]
    sounds, start = [], 0
    for end in (12, 44, 76, 108):
        for stream in streams:
            frames = Frames(stream, mel[:, start:end], mel[:, end : end + 12])
            sounds += vocoder.speak([frames])
        start = end
    return sounds


@both
def test_with_graphs_tokens_are_the_same_however_often_they_are_drawn(
    turbo: bool, captures: list[int]
) -> None:
    t3 = tiny_t3(turbo=turbo)
    expected = drawn_in_turn(without_graphs(SpeechTokenDecoder(t3, 2, 512)))
    assert not captures
    decoder = SpeechTokenDecoder(t3, 2, 512)
    for _ in range(5):
        assert drawn_in_turn(decoder) == expected
    assert captures


def drawn_in_turn(decoder: SpeechTokenDecoder) -> list[list[int]]:
    """Two sessions, together and each alone."""
    device = decoder._backbone.reference.device
    conditioning = torch.zeros(1, 5, SIZE, device=device)
    prefix, text = decoder.prefix(conditioning), torch.arange(6)
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
def test_on_a_card_every_render_is_the_first(turbo: bool) -> None:
    """Of several shapes in turn, with graphs from the third time on."""
    s3gen = TinyS3Gen(meanflow=turbo).eval().requires_grad_(requires_grad=False).to("cuda")
    flow, vocoder = Flow(s3gen), Vocoder(s3gen.mel2wav)
    decoder = SpeechTokenDecoder(copy.deepcopy(tiny_t3(turbo=turbo)).to("cuda"), 2, 512)
    batches = mel_jobs(flow)

    def all_of_them() -> tuple[list[list[Tensor]], list[Tensor], list[list[int]]]:
        mels = [flow.render(batch) for batch in batches]
        return mels, spoken_in_turn(vocoder), drawn_in_turn(decoder)

    mels, sounds, tokens = all_of_them()
    for _ in range(5):
        again = all_of_them()
        torch.testing.assert_close(again[0], mels, atol=SAME_MEL, rtol=0)
        for mine, theirs in zip(again[1], sounds, strict=True):
            assert_same_sound(mine.cpu(), theirs.cpu())
        assert again[2] == tokens
    for graphs in (flow.graphs, vocoder._graphs, decoder._graphs):
        assert any(graphs._captured.values())
