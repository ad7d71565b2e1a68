"""The engine: concurrent utterances, their chunks, and failures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from backend.config import ChatterboxSettings
from backend.engines.base import Chunk, Failure, Release, Utterance
from backend.engines.chatterbox.device.graphs import GraphCache
from backend.engines.chatterbox.engine import ChatterboxEngine
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.sound.flow import Flow
from backend.engines.chatterbox.voices.recording import conditioning_of
from backend.errors import UnknownVoice
from tests.support.chatterbox.drawn import NoWatermark, RecordedNoise
from tests.support.chatterbox.tiny import quiet, tiny, voice
from tests.support.same_sound import assert_same_sound

TEXT = "Hello there, my dear friend. It goes on and on, and then it ends."
both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


def create_model(*, turbo: bool, **settings: Any) -> ChatterboxModel:
    chosen = ChatterboxSettings(**{"slots": 4, "watermark": False, **settings})
    model = ChatterboxModel(tiny(turbo=turbo), chosen, Path("no voices here"))
    model._learned["other"] = conditioning_of(voice(9, turbo=turbo))
    return model


def begin(engine: ChatterboxEngine, id_: str, text: str = TEXT, **fields: Any) -> None:
    engine.begin(Utterance(id_, fields.pop("voice", "default"), **fields))
    engine.extend(id_, Release(text, len(text), final=True))


def run(
    engine: ChatterboxEngine, *ids: str, steps: int = 400, before: Sequence[Any] = ()
) -> dict[str, list[Chunk]]:
    """Step until all have caught up. `before`: results that there were."""
    chunks = {id_: [each for each in before if each.utterance_id == id_] for id_ in ids}
    waiting = list(ids)
    for _ in range(steps):
        if not waiting:
            return chunks
        for result in engine.step(waiting):
            assert isinstance(result, Chunk), result
            chunks[result.utterance_id].append(result)
            if result.caught_up:
                waiting.remove(result.utterance_id)
    raise AssertionError(f"{waiting} never caught up")


def pcm(chunks: list[Chunk]) -> np.ndarray[Any, Any]:
    return np.concatenate([chunk.pcm for chunk in chunks])


def assert_tiles(chunks: list[Chunk], text: str = TEXT) -> None:
    assert chunks[0].start == 0
    assert all(one.end == other.start for one, other in pairwise(chunks))
    assert chunks[-1].end == len(text)
    assert [chunk.caught_up for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    words = [word for chunk in chunks for word in chunk.words]
    assert all(one.end == other.start for one, other in pairwise(words))
    assert all(one.end_ms <= other.start_ms + 1e-6 for one, other in pairwise(words))
    assert all(word.end_ms <= len(pcm(chunks)) / 24 + 1e-6 for word in words)


@both
def test_chunks_of_an_utterance_tile_its_text(turbo: bool) -> None:
    engine = create_model(turbo=turbo).create_engine()
    begin(engine, "a")
    chunks = run(engine, "a")["a"]
    assert len(chunks) >= 2
    assert_tiles(chunks)
    assert len(pcm(chunks)) > 24000 / 2
    assert np.isfinite(pcm(chunks)).all()


@both
def test_first_chunk_needs_13_tokens(turbo: bool) -> None:
    engine = create_model(turbo=turbo).create_engine()
    begin(engine, "a")
    steps = 0
    results: list[Any] = []
    while not results:
        results = engine.step(["a"])
        steps += 1
    assert steps == 1, "the tokens of a first chunk are drawn at once"
    assert 0 < len(results[0].pcm) <= 10 * 480


def durations_s(chunks: list[Chunk]) -> list[float]:
    return [round(len(chunk.pcm) / 24_000, 2) for chunk in chunks]


def test_chunks_double_while_client_is_ahead_and_stay_short_before_an_underrun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def first_chunks(now_s: list[float]) -> list[Chunk]:
        """Four chunks, the nth at the nth time, 4 tokens per step."""
        engine = create_model(turbo=True).create_engine()
        decoder = engine._parts.decoder
        take = decoder._append_tokens

        def endless(session: Any, tokens: Any) -> None:
            first = len(session.tokens)
            take(session, list(range(first, first + len(tokens))))

        monkeypatch.setattr(decoder, "_append_tokens", endless)
        engine._clock = lambda: now_s[min(len(chunks), len(now_s) - 1)]
        begin(engine, "a", TEXT * 3)
        chunks: list[Chunk] = []
        for _ in range(100):
            chunks += [each for each in engine.step(["a"]) if isinstance(each, Chunk)]
            if len(chunks) == 4:
                return chunks
        raise AssertionError("no fourth chunk")

    monkeypatch.setattr("backend.engines.chatterbox.utterance.HURRY_S", 0.15)
    ahead, late = first_chunks([0.0]), first_chunks([0.0, 9.0, 99.0])
    assert durations_s(ahead) == durations_s(late) == [0.18, 0.72, 1.44, 2.88]
    hurried = first_chunks([0.0, 0.1, 0.1, 0.1])  # 0.1 s of 0.2 s left when the second is due
    assert durations_s(hurried) == [0.18, 0.48, 0.72, 1.44]
    assert [chunk.start for chunk in hurried] == [0, *(chunk.end for chunk in hurried[:-1])]


@both
def test_concurrent_utterances_sound_the_same_as_alone(turbo: bool) -> None:
    """Different voices, seeds and texts; more utterances than slots."""
    model = create_model(turbo=turbo, slots=3)
    utterances: dict[str, dict[str, Any]] = {
        f"u{n}": {"text": TEXT[: 12 + 9 * n], "seed": n, "voice": ("default", "other")[n % 2]}
        for n in range(4)
    }
    together = model.create_engine()
    for id_, fields in utterances.items():
        begin(together, id_, **fields)
    chunks = run(together, *utterances)
    for id_, fields in utterances.items():
        assert_tiles(chunks[id_], fields["text"])
        alone = model.create_engine()
        begin(alone, id_, **fields)
        expected = pcm(run(alone, id_)[id_])
        assert_same_sound(pcm(chunks[id_]), expected)


@both
def test_voice_seed_and_parameters_change_the_audio(turbo: bool) -> None:
    engine = create_model(turbo=turbo).create_engine()
    variants: dict[str, dict[str, Any]] = {
        "plain": {},
        "voice": {"voice": "other"},
        "seed": {"seed": 5},
        "hot": {"parameters": {"temperature": 2.0}},
    }
    for id_, fields in variants.items():
        begin(engine, id_, **fields)
    audio = {id_: pcm(chunks).tobytes() for id_, chunks in run(engine, *variants).items()}
    assert len(set(audio.values())) == len(variants)


def test_exaggeration_changes_the_prefix_and_is_cached() -> None:
    model = create_model(turbo=False)
    parts = model.create_engine()._parts
    mild, strong = (parts.voices.prefix(model.conditioning("default"), x) for x in (0.5, 1.5))
    assert not torch.allclose(mild.cache.values, strong.cache.values, atol=1e-4)
    assert parts.voices.prefix(model.conditioning("default"), 0.5) is mild


@both
def test_second_release_continues_after_the_first(turbo: bool) -> None:
    engine = create_model(turbo=turbo).create_engine()
    engine.begin(Utterance("a", "default"))
    engine.extend("a", Release("Well then, my ", 11))
    first = run(engine, "a")["a"]
    engine.extend("a", Release("Well then, my friend.", 21, final=True))
    rest = run(engine, "a")["a"]
    assert (first[-1].end, rest[0].start, rest[-1].end) == (11, 11, 21)
    spoken_ms = len(pcm(first)) / 24
    assert rest[-1].words[0].start_ms >= spoken_ms - 1e-6
    assert len(pcm(rest)) > 0


@both
def test_silent_text_yields_an_empty_chunk_with_its_span(turbo: bool) -> None:
    engine = create_model(turbo=turbo).create_engine()
    begin(engine, "a", " \u2014 ... ")
    (chunk,) = run(engine, "a")["a"]
    assert (chunk.start, chunk.end, len(chunk.pcm)) == (0, 7, 0)
    engine.extend("a", Release(" \u2014 ... ", 7))
    (again,) = run(engine, "a")["a"]
    assert (again.start, again.end, again.caught_up) == (7, 7, True)


@both
@pytest.mark.parametrize("text", ["No.", "Oh no", "I", "7"])
def test_very_short_texts_are_spoken(turbo: bool, text: str) -> None:
    engine = create_model(turbo=turbo).create_engine()
    begin(engine, "a", text)
    chunks = run(engine, "a")["a"]
    assert_tiles(chunks, text)
    assert len(pcm(chunks)) > 0


def test_long_text_is_spoken_in_passages() -> None:
    engine = create_model(turbo=True).create_engine()
    text = "It was late, and the road went on; nobody spoke. " * 14
    begin(engine, "a", text)
    chunks = run(engine, "a")["a"]
    assert_tiles(chunks, text)
    assert len(pcm(chunks)) > 24000


@both
def test_generation_without_stop_token_is_ended_and_its_text_tiled(turbo: bool) -> None:
    model = create_model(turbo=turbo)
    engine = model.create_engine()
    decoder = engine._parts.decoder
    decoder.stop_token = -1  # never drawn
    begin(engine, "a", "No.")
    chunks = run(engine, "a")["a"]
    assert_tiles(chunks, "No.")
    assert len(pcm(chunks)) / 24000 < 5
    assert decoder.free_slots == 4


def test_generation_repeating_one_token_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_model(turbo=True).create_engine()
    decoder = engine._parts.decoder
    take = decoder._append_tokens

    def stuck(session: Any, tokens: Any) -> None:
        take(session, [77] * len(tokens))

    monkeypatch.setattr(decoder, "_append_tokens", stuck)
    begin(engine, "a", TEXT * 4)
    chunks = run(engine, "a")["a"]
    assert_tiles(chunks, TEXT * 4)
    assert len(pcm(chunks)) / 24000 < 4


@both
def test_abort_frees_the_slot_immediately(turbo: bool) -> None:
    engine = create_model(turbo=turbo, slots=1).create_engine()
    begin(engine, "a")
    engine.step(["a"])
    assert engine._parts.decoder.free_slots == 0
    engine.abort("a")
    engine.abort("a")
    engine.abort("nobody")
    assert engine._parts.decoder.free_slots == 1
    begin(engine, "b")
    assert_tiles(run(engine, "b")["b"])


def test_most_urgent_utterance_gets_the_slot() -> None:
    engine = create_model(turbo=True, slots=1).create_engine()
    begin(engine, "late")
    begin(engine, "soon")
    order = []
    waiting = ["soon", "late"]
    while waiting:
        for result in engine.step(waiting):
            order.append(result.utterance_id)
            if isinstance(result, Chunk) and result.caught_up:
                waiting.remove(result.utterance_id)
    assert order[:2] == ["soon", "soon"], "it had the slot first"


def test_first_sound_does_not_wait_for_chunks_of_those_who_have_enough() -> None:
    """They are ready when another utterance begins, and would be rendered first."""
    engine = create_model(turbo=True).create_engine()
    engine._clock = lambda: 0.0
    begin(engine, "first", TEXT * 3)
    results: list[Any] = []
    while sum(len(each.pcm) for each in results) < 24_000:
        results += engine.step(["first"])
    for _ in range(20):
        engine.step([])  # draws the tokens of its next chunk
    begin(engine, "second", TEXT)
    speakers = [result.utterance_id for result in engine.step(["first", "second"])]
    assert speakers == ["second"]
    assert_tiles(run(engine, "first", before=results)["first"], TEXT * 3)


def test_joins_per_step_are_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backend.engines.chatterbox.engine._JOINS_PER_STEP", 2)
    engine = create_model(turbo=True).create_engine()
    names = [f"u{n}" for n in range(3)]
    for id_ in names:
        begin(engine, id_)
    results = engine.step(names)
    assert engine._parts.decoder.free_slots == 2
    results += engine.step(names)
    assert engine._parts.decoder.free_slots == 1
    for chunks in run(engine, *names, before=results).values():
        assert_tiles(chunks)


def test_less_urgent_utterance_finishes_and_frees_its_slot() -> None:
    """Utterances not named in a step are decoded too: otherwise they would block each other."""
    engine = create_model(turbo=True, slots=1).create_engine()
    begin(engine, "patient")
    results = engine.step(["patient"])
    begin(engine, "urgent")
    chunks = run(engine, "urgent", steps=200)["urgent"]
    assert_tiles(chunks)
    assert_tiles(run(engine, "patient", before=results)["patient"])


def test_out_of_memory_in_watermark_fails_one_utterance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Short:
        def apply(self, sounds: list[Any]) -> list[Any]:
            return [None, *sounds[1:]]

    engine = create_model(turbo=True).create_engine()
    begin(engine, "a")
    begin(engine, "b")
    engine._parts = dataclasses.replace(engine._parts, watermark=cast(Any, Short()))
    results: list[Any] = []
    while not results:
        results = engine.step(["a", "b"])
    assert [type(each) for each in results] == [Failure, Chunk]
    assert results[0].utterance_id == "a"
    assert engine._parts.decoder.free_slots == 3


def test_engine_starts_if_only_small_render_batches_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    render = Flow.render

    def short(flow: Flow, jobs: Any) -> Any:
        if len(jobs) > 2:
            raise torch.OutOfMemoryError("no memory")
        return render(flow, jobs)

    monkeypatch.setattr(GraphCache, "warm_ups", 1)
    monkeypatch.setattr("backend.engines.chatterbox.model._POSITIONS", 512)
    monkeypatch.setattr(Flow, "render", short)
    engine = create_model(turbo=True).create_engine()
    assert engine._batch_limit == 2
    for id_ in "abcd":
        begin(engine, id_, "Good day.")
    for chunks in run(engine, *"abcd").values():
        assert_tiles(chunks, "Good day.")


def test_unknown_voice_raises() -> None:
    with pytest.raises(UnknownVoice, match="default, other"):
        create_model(turbo=True).create_engine().begin(Utterance("a", "nobody"))


def test_removed_voice_is_used_until_its_utterance_ends() -> None:
    model = create_model(turbo=True)
    engine = model.create_engine()
    begin(engine, "a", voice="other", seed=3)
    results = engine.step(["a"])
    model.forget("other")
    spoken = pcm(run(engine, "a", before=results)["a"])
    with pytest.raises(UnknownVoice):
        engine.begin(Utterance("b", "other"))
    fresh = create_model(turbo=True).create_engine()
    begin(fresh, "a", voice="other", seed=3)
    assert_same_sound(spoken, pcm(run(fresh, "a")["a"]))


def test_out_of_memory_in_render_fails_one_utterance(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_model(turbo=True).create_engine()
    flow = engine._parts.renderer.flow
    render = flow.render
    calls = []

    def short(jobs: Any) -> Any:
        calls.append(len(jobs))
        if len(jobs) > 1 or len(calls) == 2:
            raise torch.OutOfMemoryError("no memory")
        return render(jobs)

    monkeypatch.setattr(flow, "render", short)
    begin(engine, "a")
    begin(engine, "b")
    ended: dict[str, Any] = {}
    while len(ended) < 2:
        for result in engine.step([id_ for id_ in ("a", "b") if id_ not in ended]):
            if isinstance(result, Failure) or result.caught_up:
                ended[result.utterance_id] = result
    assert calls[:2] == [2, 1]
    assert isinstance(ended["a"], Failure)
    assert ended["a"].error.code == "engine_failed"
    assert "memory" in ended["a"].error.message
    assert isinstance(ended["b"], Chunk)
    assert engine._parts.decoder.free_slots == 4


def test_out_of_memory_in_decoding_fails_the_least_urgent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = create_model(turbo=True).create_engine()
    decoder = engine._parts.decoder
    advance, calls = decoder.advance, []

    def short(sessions: Any, counts: Any) -> None:
        calls.append(len(sessions))
        if len(calls) == 4:  # in the second step
            raise torch.OutOfMemoryError("no memory")
        advance(sessions, counts)

    monkeypatch.setattr(decoder, "advance", short)
    begin(engine, "soon")
    begin(engine, "late")
    results = engine.step(["soon", "late"])
    failure = engine.step(["soon", "late"])[-1]
    assert isinstance(failure, Failure)
    assert failure.utterance_id == "late"
    assert decoder.free_slots == 3
    assert_tiles(run(engine, "soon", before=results)["soon"])


def test_out_of_memory_while_joining_frees_the_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_model(turbo=True).create_engine()
    decoder = engine._parts.decoder

    def short(*_: Any) -> None:
        raise torch.OutOfMemoryError("no memory")

    with monkeypatch.context() as patched:
        patched.setattr(decoder, "_read_text", short)
        begin(engine, "a")
        (failure,) = engine.step(["a"])
        assert isinstance(failure, Failure)
    assert decoder.free_slots == 4
    begin(engine, "b")
    assert_tiles(run(engine, "b")["b"])


@both
def test_single_chunk_equals_upstream_generate(
    turbo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream, text = tiny(turbo=turbo), "Good day to you."
    upstream.watermarker = NoWatermark()
    with quiet(), monkeypatch.context() as patched:
        drawn = RecordedNoise(patched)
        torch.manual_seed(4)
        expected = upstream.generate(text)[0].numpy()
    monkeypatch.setattr("backend.engines.chatterbox.passage.FIRST_TOKENS", 1000)
    # What the engine cuts of upstream's sound: noise at the end, silences.
    monkeypatch.setattr("backend.engines.chatterbox.passage._NOISY_TOKENS", 0)
    monkeypatch.setattr("backend.engines.chatterbox.sound.silence.AUDIBLE_DBFS", -math.inf)
    engine = create_model(turbo=turbo).create_engine()
    begin(engine, "a", text, seed=4)
    engine.step(["a"])
    passage = engine._utterances["a"].passage
    assert passage is not None
    drawn.apply_to(passage, turbo=turbo)
    (chunk,) = run(engine, "a")["a"]
    assert np.abs(expected).max() > 0.01
    # Upstream accumulates the phase in single precision, the engine in double.
    np.testing.assert_allclose(chunk.pcm, expected, atol=5e-3)
