"""The engine: many utterances, their chunks, and what goes wrong."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from backend.config import ChatterboxSettings
from backend.engines.base import Chunk, Failure, Release, Utterance
from backend.engines.chatterbox.engine import ChatterboxEngine
from backend.engines.chatterbox.flow import Flow
from backend.engines.chatterbox.graphs import Graphs
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.recording import conditioning_of
from backend.errors import UnknownVoice
from tests.support.chatterbox.drawn import Drawn, Unmarked
from tests.support.chatterbox.tiny import quiet, tiny, voice
from tests.support.same_sound import assert_same_sound

TEXT = "Hello there, my dear friend. It goes on and on, and then it ends."
both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


def model(*, turbo: bool, **settings: Any) -> ChatterboxModel:
    chosen = ChatterboxSettings(**{"slots": 4, "watermark": False, **settings})
    made = ChatterboxModel(tiny(turbo=turbo), chosen, Path("no voices here"))
    made._learned["other"] = conditioning_of(voice(9, turbo=turbo))
    return made


def begin(engine: ChatterboxEngine, id_: str, text: str = TEXT, **fields: Any) -> None:
    engine.begin(Utterance(id_, fields.pop("voice", "default"), **fields))
    engine.extend(id_, Release(text, len(text), final=True))


def run(engine: ChatterboxEngine, *ids: str, steps: int = 400) -> dict[str, list[Chunk]]:
    """Step until all have caught up."""
    chunks: dict[str, list[Chunk]] = {id_: [] for id_ in ids}
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
def test_one_utterance_comes_in_chunks_that_tile_its_text(turbo: bool) -> None:
    engine = model(turbo=turbo).create_engine()
    begin(engine, "a")
    chunks = run(engine, "a")["a"]
    assert len(chunks) >= 2
    assert_tiles(chunks)
    assert len(pcm(chunks)) > 24000 / 2
    assert np.isfinite(pcm(chunks)).all()


@both
def test_the_first_chunk_comes_after_13_tokens(turbo: bool) -> None:
    engine = model(turbo=turbo).create_engine()
    begin(engine, "a")
    steps = 0
    results: list[Any] = []
    while not results:
        results = engine.step(["a"])
        steps += 1
    assert steps == 3  # 1 + 3 * 4 tokens
    assert 0 < len(results[0].pcm) <= 12 * 480


def durations_s(chunks: list[Chunk]) -> list[float]:
    return [round(len(chunk.pcm) / 24_000, 2) for chunk in chunks]


def test_chunks_grow_while_the_listener_is_ahead_and_come_sooner_before_he_runs_dry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spoken(now_s: list[float]) -> list[Chunk]:
        """Chunk by chunk, at these times, 4 tokens a step."""
        engine = model(turbo=True).create_engine()
        decoder = engine._parts.decoder
        take = decoder._take

        def endless(sessions: Any, tokens: Any) -> None:
            take(sessions, [len(session.tokens) for session in sessions])

        monkeypatch.setattr(decoder, "_take", endless)
        engine._clock = lambda: now_s[min(len(chunks), len(now_s) - 1)]
        begin(engine, "a", TEXT * 3)
        chunks: list[Chunk] = []
        for _ in range(100):
            chunks += [each for each in engine.step(["a"]) if isinstance(each, Chunk)]
            if len(chunks) == 4:
                return chunks
        raise AssertionError("no fourth chunk")

    monkeypatch.setattr("backend.engines.chatterbox.utterance.HURRY_S", 0.15)
    ahead, late = spoken([0.0]), spoken([0.0, 9.0, 99.0])
    assert durations_s(ahead) == durations_s(late) == [0.24, 0.8, 1.6, 3.2]
    hurried = spoken([0.0, 0.1, 0.1, 0.1])  # 0.14 s of 0.24 s are left when the second is due
    assert durations_s(hurried) == [0.24, 0.48, 0.8, 1.6]
    assert [chunk.start for chunk in hurried] == [0, *(chunk.end for chunk in hurried[:-1])]


@both
def test_many_utterances_are_each_what_they_are_alone(turbo: bool) -> None:
    """Different voices, seeds, texts; more of them than there are slots."""
    made = model(turbo=turbo, slots=3)
    utterances: dict[str, dict[str, Any]] = {
        f"u{n}": {"text": TEXT[: 12 + 9 * n], "seed": n, "voice": ("default", "other")[n % 2]}
        for n in range(4)
    }
    together = made.create_engine()
    for id_, fields in utterances.items():
        begin(together, id_, **fields)
    chunks = run(together, *utterances)
    for id_, fields in utterances.items():
        assert_tiles(chunks[id_], fields["text"])
        alone = made.create_engine()
        begin(alone, id_, **fields)
        expected = pcm(run(alone, id_)[id_])
        assert_same_sound(pcm(chunks[id_]), expected)


@both
def test_voice_seed_and_parameters_are_heard(turbo: bool) -> None:
    engine = model(turbo=turbo).create_engine()
    manners: dict[str, dict[str, Any]] = {
        "plain": {},
        "voice": {"voice": "other"},
        "seed": {"seed": 5},
        "hot": {"parameters": {"temperature": 2.0}},
    }
    for id_, fields in manners.items():
        begin(engine, id_, **fields)
    heard = {id_: pcm(chunks).tobytes() for id_, chunks in run(engine, *manners).items()}
    assert len(set(heard.values())) == len(manners)


def test_exaggeration_is_in_the_conditioning() -> None:
    made = model(turbo=False)
    parts = made.create_engine()._parts
    mild, strong = (parts.voices.prefix(made.conditioning("default"), x) for x in (0.5, 1.5))
    assert not torch.allclose(mild.cache.values, strong.cache.values, atol=1e-4)
    assert parts.voices.prefix(made.conditioning("default"), 0.5) is mild


@both
def test_clauses_follow_each_other(turbo: bool) -> None:
    engine = model(turbo=turbo).create_engine()
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
def test_text_without_sound_is_accounted_for(turbo: bool) -> None:
    engine = model(turbo=turbo).create_engine()
    begin(engine, "a", " \u2014 ... ")
    (chunk,) = run(engine, "a")["a"]
    assert (chunk.start, chunk.end, len(chunk.pcm)) == (0, 7, 0)
    engine.extend("a", Release(" \u2014 ... ", 7))
    (again,) = run(engine, "a")["a"]
    assert (again.start, again.end, again.caught_up) == (7, 7, True)


@both
@pytest.mark.parametrize("text", ["No.", "Oh no", "I", "7"])
def test_one_and_two_words_work(turbo: bool, text: str) -> None:
    engine = model(turbo=turbo).create_engine()
    begin(engine, "a", text)
    chunks = run(engine, "a")["a"]
    assert_tiles(chunks, text)
    assert len(pcm(chunks)) > 0


def test_a_text_longer_than_the_model_can_hold_is_spoken_in_passages() -> None:
    engine = model(turbo=True).create_engine()
    text = "It was late, and the road went on; nobody spoke. " * 14
    begin(engine, "a", text)
    chunks = run(engine, "a")["a"]
    assert_tiles(chunks, text)
    assert len(pcm(chunks)) > 24000


@both
def test_a_model_that_never_ends_is_stopped_and_its_text_accounted_for(turbo: bool) -> None:
    made = model(turbo=turbo)
    engine = made.create_engine()
    decoder = engine._parts.decoder
    decoder.stop = -1  # no token is the end
    begin(engine, "a", "No.")
    chunks = run(engine, "a")["a"]
    assert_tiles(chunks, "No.")
    assert len(pcm(chunks)) / 24000 < 5
    assert decoder.free == 4


def test_a_model_that_is_stuck_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = model(turbo=True).create_engine()
    decoder = engine._parts.decoder
    take = decoder._take

    def stuck(sessions: Any, tokens: Any) -> None:
        take(sessions, [77] * len(tokens))

    monkeypatch.setattr(decoder, "_take", stuck)
    begin(engine, "a", TEXT * 4)
    chunks = run(engine, "a")["a"]
    assert_tiles(chunks, TEXT * 4)
    assert len(pcm(chunks)) / 24000 < 4


@both
def test_an_abort_frees_the_slot_at_once(turbo: bool) -> None:
    engine = model(turbo=turbo, slots=1).create_engine()
    begin(engine, "a")
    engine.step(["a"])
    assert engine._parts.decoder.free == 0
    engine.abort("a")
    engine.abort("a")
    engine.abort("nobody")
    assert engine._parts.decoder.free == 1
    begin(engine, "b")
    assert_tiles(run(engine, "b")["b"])


def test_who_is_most_urgent_gets_the_slot() -> None:
    engine = model(turbo=True, slots=1).create_engine()
    begin(engine, "late")
    begin(engine, "soon")
    order = []
    waiting = ["soon", "late"]
    while waiting:
        for result in engine.step(waiting):
            order.append(result.utterance_id)
            if isinstance(result, Chunk) and result.caught_up:
                waiting.remove(result.utterance_id)
    assert order == sorted(order, reverse=True)


def test_who_comes_in_does_not_keep_those_waiting_who_speak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backend.engines.chatterbox.engine._JOINS", 2)
    engine = model(turbo=True).create_engine()
    names = [f"u{n}" for n in range(3)]
    for id_ in names:
        begin(engine, id_)
    engine.step(names)
    assert engine._parts.decoder.free == 2
    engine.step(names)
    assert engine._parts.decoder.free == 1
    for chunks in run(engine, *names).values():
        assert_tiles(chunks)


def test_who_has_a_place_leaves_it_though_others_are_more_urgent() -> None:
    """More of them than a step is told of must not keep each other waiting for good."""
    engine = model(turbo=True, slots=1).create_engine()
    begin(engine, "patient")
    engine.step(["patient"])
    begin(engine, "urgent")
    chunks = run(engine, "urgent", steps=200)["urgent"]
    assert_tiles(chunks)
    assert_tiles(run(engine, "patient")["patient"])


def test_memory_that_the_watermark_lacks_costs_one_utterance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Short:
        def apply(self, sounds: list[Any], sample_rate_hz: int) -> list[Any]:
            return [None, *sounds[1:]]

    engine = model(turbo=True).create_engine()
    begin(engine, "a")
    begin(engine, "b")
    engine._parts = dataclasses.replace(engine._parts, watermark=cast(Any, Short()))
    results: list[Any] = []
    while not results:
        results = engine.step(["a", "b"])
    assert [type(each) for each in results] == [Failure, Chunk]
    assert results[0].utterance_id == "a"
    assert engine._parts.decoder.free == 3


def test_a_card_that_holds_few_renders_still_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    render = Flow.render

    def short(flow: Flow, jobs: Any) -> Any:
        if len(jobs) > 2:
            raise torch.OutOfMemoryError("no memory")
        return render(flow, jobs)

    monkeypatch.setattr(Graphs, "warm_ups", 1)
    monkeypatch.setattr("backend.engines.chatterbox.model._POSITIONS", 512)
    monkeypatch.setattr(Flow, "render", short)
    engine = model(turbo=True).create_engine()
    assert engine._together == 2
    for id_ in "abcd":
        begin(engine, id_, "Good day.")
    for chunks in run(engine, *"abcd").values():
        assert_tiles(chunks, "Good day.")


def test_an_unknown_voice_is_refused() -> None:
    with pytest.raises(UnknownVoice, match="default, other"):
        model(turbo=True).create_engine().begin(Utterance("a", "nobody"))


def test_a_voice_that_is_removed_is_spoken_to_the_end() -> None:
    made = model(turbo=True)
    engine = made.create_engine()
    begin(engine, "a", voice="other", seed=3)
    engine.step(["a"])
    made.forget("other")
    spoken = pcm(run(engine, "a")["a"])
    with pytest.raises(UnknownVoice):
        engine.begin(Utterance("b", "other"))
    fresh = model(turbo=True).create_engine()
    begin(fresh, "a", voice="other", seed=3)
    assert_same_sound(spoken, pcm(run(fresh, "a")["a"]))


def test_memory_that_runs_out_costs_one_utterance(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = model(turbo=True).create_engine()
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
    assert engine._parts.decoder.free == 4


def test_memory_that_runs_out_between_tokens_costs_who_can_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = model(turbo=True).create_engine()
    decoder = engine._parts.decoder
    advance, calls = decoder.advance, []

    def short(sessions: Any) -> None:
        calls.append(len(sessions))
        if len(calls) == 6:
            raise torch.OutOfMemoryError("no memory")
        advance(sessions)

    monkeypatch.setattr(decoder, "advance", short)
    begin(engine, "soon")
    begin(engine, "late")
    (_, failure) = (engine.step(["soon", "late"]), engine.step(["soon", "late"])[-1])
    assert isinstance(failure, Failure)
    assert failure.utterance_id == "late"
    assert decoder.free == 3
    assert_tiles(run(engine, "soon")["soon"])


def test_memory_that_runs_out_at_the_start_frees_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = model(turbo=True).create_engine()
    decoder = engine._parts.decoder

    def short(*_: Any) -> None:
        raise torch.OutOfMemoryError("no memory")

    with monkeypatch.context() as patched:
        patched.setattr(decoder, "_choose", short)
        begin(engine, "a")
        (failure,) = engine.step(["a"])
        assert isinstance(failure, Failure)
    assert decoder.free == 4
    begin(engine, "b")
    assert_tiles(run(engine, "b")["b"])


@both
def test_one_chunk_is_what_upstream_generates(turbo: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream, text = tiny(turbo=turbo), "Good day to you."
    upstream.watermarker = Unmarked()
    with quiet(), monkeypatch.context() as patched:
        drawn = Drawn(patched)
        torch.manual_seed(4)
        expected = upstream.generate(text)[0].numpy()
    monkeypatch.setattr("backend.engines.chatterbox.passage.FIRST_TOKENS", 1000)
    engine = model(turbo=turbo).create_engine()
    begin(engine, "a", text, seed=4)
    engine.step(["a"])
    passage = engine._speeches["a"].passage
    assert passage is not None
    drawn.give(passage, turbo=turbo)
    (chunk,) = run(engine, "a")["a"]
    assert np.abs(expected).max() > 0.01
    # Upstream adds up the phase in single precision, ours in double.
    np.testing.assert_allclose(chunk.pcm, expected, atol=5e-3)
