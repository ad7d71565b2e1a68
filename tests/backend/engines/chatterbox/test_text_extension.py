"""Text that is extended while it is spoken (`chatterbox.text_extension`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from backend.config import ChatterboxSettings
from backend.engines.base import Chunk, Failure, Release, Utterance
from backend.engines.chatterbox.engine import ChatterboxEngine
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.passage import FIRST_TOKENS, Passage
from backend.engines.chatterbox.sound.flow import LOOKAHEAD_TOKENS
from backend.engines.chatterbox.text.speech_length import longest_end, min_tokens
from backend.engines.chatterbox.voices.recording import conditioning_of
from backend.text.words import word_ends
from tests.backend.engines.chatterbox.test_engine import create_model, pcm, run
from tests.backend.engines.chatterbox.test_speaking import assert_spoken, audio_of, speak_text
from tests.support.chatterbox.tiny import tiny, voice
from tests.support.live_server import Message, NativeClient, live_server, wait_until

WORDS = "Well then my dear old friend we shall see what comes of it"
both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


def create_engine(*, turbo: bool, **settings: Any) -> ChatterboxEngine:
    return create_model(turbo=turbo, text_extension=True, **settings).create_engine()


def releases(text: str, lookahead: int = 1) -> Iterator[Release]:
    """The pacer's releases of words typed one by one."""
    ends = word_ends(text)
    for n in range(1, len(ends) - lookahead):
        yield Release(text[: ends[n - 1 + lookahead]], ends[n - 1])
    yield Release(text, len(text), final=True)


def speak_releases(
    engine: ChatterboxEngine, id_: str, steps: Iterator[Release]
) -> list[list[Chunk]]:
    """The chunks of each release; checks the engine contract for every one."""
    answers, reached = [], engine._utterances[id_]._spoken_to
    for release in steps:
        engine.extend(id_, release)
        answers.append(run(engine, id_)[id_])
        for chunk in answers[-1]:
            assert chunk.start == reached <= chunk.end <= release.speak_to
            reached = chunk.end
        assert [chunk.caught_up for chunk in answers[-1]].index(True) == len(answers[-1]) - 1
        assert reached in (0, *word_ends(release.text))
        assert reached == release.speak_to or not (release.final or release.must_reach)
    words = [word for chunks in answers for chunk in chunks for word in chunk.words]
    assert all(one.end == other.start for one, other in pairwise(words))
    assert all(one.end_ms <= other.start_ms + 1e-6 for one, other in pairwise(words))
    return answers


def passage_of(engine: ChatterboxEngine, id_: str) -> Passage:
    passage = engine._utterances[id_].passage
    assert passage is not None
    return passage


def stop_after(decoder: Any, after: int) -> Any:
    """The decoder's `_append_tokens`, with every token replaced by the stop after `after`."""
    take = decoder._append_tokens

    def taken(session: Any, tokens: Any) -> None:
        for token in tokens:
            take(session, [decoder.stop_token if len(session.tokens) >= after else token])
            if session.ended:
                return

    return taken


def test_text_extension_is_off_by_default() -> None:
    assert not create_model(turbo=True).info.incremental
    assert create_model(turbo=True, text_extension=True).info.incremental


@both
def test_words_are_heard_before_the_clause_ends_in_one_generation(turbo: bool) -> None:
    engine = create_engine(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    *before, last = releases(WORDS)
    early = speak_releases(engine, "a", iter(before))
    assert passage_of(engine, "a").start == 0, "still the first passage"
    assert sum(len(pcm(chunks)) for chunks in early) > 24000 / 2
    assert early[-1][-1].end >= len("Well ")
    engine.extend("a", last)
    rest = run(engine, "a")["a"]
    assert (rest[0].start, rest[-1].end) == (early[-1][-1].end, len(WORDS))
    assert engine._parts.decoder.free_slots == 4


def test_paused_utterance_is_not_caught_up_before_it_is_rendered() -> None:
    """Two utterances pause at once with prompts of different lengths: they need two renders."""
    model = create_model(turbo=True, text_extension=True)
    model._learned["long"] = conditioning_of(voice(9, turbo=True, prompt_tokens=120))
    engine = model.create_engine()
    text, to = "Well, an old dear friend ", len("Well, an ol")
    assert min_tokens(text[:to]) == FIRST_TOKENS + LOOKAHEAD_TOKENS, "both need all tokens"
    for id_, name in (("first", "default"), ("second", "long")):
        engine.begin(Utterance(id_, name))
        engine.extend(id_, Release(text, to))
    samples: dict[str, int] = {"first": 0, "second": 0}
    waiting = ["first", "second"]
    for _ in range(50):
        for chunk in engine.step(waiting):
            assert isinstance(chunk, Chunk)
            samples[chunk.utterance_id] += len(chunk.pcm)
            if chunk.caught_up:
                waiting.remove(chunk.utterance_id)
    assert not waiting
    assert samples["first"] == samples["second"] > 0


@both
def test_decoding_pauses_before_released_text_runs_out(turbo: bool) -> None:
    engine = create_engine(turbo=turbo)
    engine._parts.decoder.stop_token = -1  # never drawn
    engine.begin(Utterance("a", "default"))
    for release in list(releases(WORDS))[:-1]:
        speak_releases(engine, "a", iter([release]))
        passage = passage_of(engine, "a")
        drawn = len(passage.session.tokens)
        assert drawn == min_tokens(release.text[: release.speak_to])
        assert drawn - LOOKAHEAD_TOKENS - passage._taken < FIRST_TOKENS, (
            "all full chunks are rendered"
        )


@both
def test_tokens_do_not_depend_on_pauses(turbo: bool) -> None:
    """If the whole text is known from the start, so that nothing is prefilled again."""
    drawn = []
    pauses: tuple[int, ...]
    for pauses in ((), (10, 18, 29)):
        engine = create_engine(turbo=turbo)
        engine.begin(Utterance("a", "default", seed=3))
        for end in pauses:
            speak_releases(engine, "a", iter([Release(WORDS, end)]))
            assert passage_of(engine, "a").paused
        engine.extend("a", Release(WORDS, len(WORDS), final=True))
        passage = passage_of(engine, "a")
        run(engine, "a")
        drawn.append(passage.session.tokens)
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) > 20


@both
def test_early_stop_does_not_end_a_growing_sentence(turbo: bool) -> None:
    engine = create_engine(turbo=turbo)
    decoder = engine._parts.decoder
    engine.begin(Utterance("a", "default"))
    end, decoder.stop_token = decoder.stop_token, 0
    decoder._append_tokens = stop_after(decoder, after=4)  # type: ignore[method-assign]
    engine.extend("a", Release("Well then my ", len("Well then ")))
    (chunk,) = run(engine, "a")["a"]
    assert (chunk.caught_up, passage_of(engine, "a").session.ended) == (True, True)
    del decoder._append_tokens
    decoder.stop_token = end
    steps = list(releases(WORDS))[2:]
    assert (
        sum(len(pcm(chunks)) for chunks in speak_releases(engine, "a", iter(steps[:-1])))
        > 24000 / 2
    )
    speak_releases(engine, "a", iter(steps[-1:]))


@both
def test_must_reach_release_closes_the_passage(turbo: bool) -> None:
    engine = create_engine(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    speak_releases(engine, "a", iter([Release("Well then my ", 10)]))
    speak_releases(engine, "a", iter([Release("Well then my ", 13, must_reach=True)]))
    assert (engine._utterances["a"].passage, engine._parts.decoder.free_slots) == (None, 4)
    engine.extend("a", Release("Well then my old friend", 17))
    run(engine, "a")
    assert passage_of(engine, "a").start == 13
    engine.extend("a", Release("Well then my old friend", 23, final=True))
    assert run(engine, "a")["a"][-1].end == 23


@both
def test_unreleased_words_may_change(turbo: bool) -> None:
    engine = create_engine(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    steps = [
        Release("Well then my dear ", 10),
        Release("Well then what do ", 10),
        Release("Well then what do we ", 15),
        Release("Well then what.", 15, final=True),
    ]
    answers = speak_releases(engine, "a", iter(steps))
    assert sum(len(pcm(chunks)) for chunks in answers) > 24000 / 4


@both
@pytest.mark.parametrize("mark", [",", ""])
def test_long_growing_text_continues_in_a_new_passage(turbo: bool, mark: str) -> None:
    engine = create_engine(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    text, starts = f"We went and it was late{mark} nobody spoke at all " * 12, set()
    for release in releases(text):
        speak_releases(engine, "a", iter([release]))
        if (passage := engine._utterances["a"].passage) is not None:
            assert len(passage.text) <= longest_end(text, passage.start) - passage.start
            starts.add(passage.start)
    assert len(starts) >= (3 if mark else 2)
    cuts = [text[:cut] for cut in sorted(starts)[1:]]
    assert all(cut.endswith(f"{mark} ") for cut in cuts), [cut[-9:] for cut in cuts]
    assert engine._parts.decoder.free_slots == 4


@both
def test_utterances_growing_together_draw_the_same_tokens_as_alone(
    turbo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An utterance does not continue before its extended text is prefilled; one joins per step."""
    monkeypatch.setattr("backend.engines.chatterbox.engine._JOINS_PER_STEP", 1)
    drawn = []
    for together in (("a", "b", "c"), ("a",), ("b",), ("c",)):
        engine = create_engine(turbo=turbo)
        for id_ in together:
            engine.begin(Utterance(id_, "default", seed=ord(id_)))
        for release in list(releases(WORDS))[3:-1:2]:
            for id_ in together:
                engine.extend(id_, release)
            run(engine, *together)
        drawn.append([passage_of(engine, id_).session.tokens for id_ in together])
    crowd, *alone = drawn
    assert crowd == [tokens for (tokens,) in alone]
    assert len({tuple(tokens) for tokens in crowd}) == 3


@both
def test_released_text_stays_in_its_passage(turbo: bool) -> None:
    engine = create_engine(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    text = "We went, and it was late; nobody spoke, " * 5 + "and we went on and on " * 9
    first, second = (word_ends(text[:end])[-2] for end in (267, 330))
    speak_releases(engine, "a", iter([Release(text[:275], first)]))
    passage = passage_of(engine, "a")
    assert (passage.start, passage.end, passage.open) == (0, first, True)
    speak_releases(engine, "a", iter([Release(text[:340], second)]))
    assert first <= passage.end <= longest_end(text, 0)
    assert passage_of(engine, "a").start == passage.end


@both
def test_waiting_utterance_is_evicted_and_continues_where_it_was(turbo: bool) -> None:
    drawn = []
    for slots in (1, 4):
        engine = create_engine(turbo=turbo, slots=slots)
        passages: dict[str, Passage] = {}
        for id_ in ("a", "b"):
            engine.begin(Utterance(id_, "default", seed=len(passages)))
            speak_releases(engine, id_, iter([Release(WORDS[:30], 18)]))
            passages[id_] = passage_of(engine, id_)
        assert engine._parts.decoder.free_slots == slots - min(slots, 2)
        for release in list(releases(WORDS))[6:]:
            for id_ in passages:
                engine.extend(id_, release)
            run(engine, *passages)
        drawn.append([passage.session.tokens for passage in passages.values()])
        assert engine._parts.decoder.free_slots == slots
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[0][1]


@both
def test_evicted_utterance_resumes_without_new_text(turbo: bool) -> None:
    engine = create_engine(turbo=turbo, slots=1)
    for id_ in ("a", "b"):
        engine.begin(Utterance(id_, "default"))
        speak_releases(engine, id_, iter([Release(WORDS[:13], 10)]))
    speak_releases(engine, "a", iter([Release(WORDS[:13], 13, must_reach=True)]))
    assert engine._parts.decoder.free_slots == 1, "b was evicted"
    speak_releases(engine, "b", iter([Release(WORDS[:13], 13, final=True)]))


@both
def test_evicted_utterance_with_a_stop_resumes_with_the_rest(turbo: bool) -> None:
    """It had drawn the stop token for the shorter text."""
    engine = create_engine(turbo=turbo, slots=1)
    decoder = engine._parts.decoder
    decoder._append_tokens = stop_after(decoder, 4)  # type: ignore[method-assign]
    engine.begin(Utterance("a", "default"))
    speak_releases(engine, "a", iter([Release(WORDS[:13], 10)]))
    passage = passage_of(engine, "a")
    assert passage.session.ended
    del decoder._append_tokens
    for id_ in ("b", "c"):  # more urgent: they take the slot
        engine.begin(Utterance(id_, "default"))
        engine.extend(id_, Release(WORDS, len(WORDS), final=True))
    engine.step(["b", "c"])
    assert passage.session.slot == -1
    engine.extend("a", Release(WORDS, len(WORDS), final=True))
    assert [chunk.end for chunk in run(engine, "b", "c", "a")["a"]][-1] == len(WORDS)
    assert len(passage.session.tokens) > 20


@both
def test_speaking_utterance_is_not_evicted(turbo: bool) -> None:
    engine = create_engine(turbo=turbo, slots=1)
    for id_ in ("a", "b"):
        engine.begin(Utterance(id_, "default"))
    engine.extend("a", Release(WORDS, 29))
    engine.step(["a"])
    engine.extend("b", Release(WORDS, 29))
    engine.step(["b", "a"])
    assert passage_of(engine, "a").session.tokens
    assert not passage_of(engine, "b").session.tokens
    run(engine, "b", "a")


@both
def test_drawn_stop_is_kept_if_the_text_does_not_change(turbo: bool) -> None:
    engine = create_engine(turbo=turbo)
    engine._parts.decoder._append_tokens = stop_after(engine._parts.decoder, 4)  # type: ignore[method-assign]
    engine.begin(Utterance("a", "default"))
    speak_releases(engine, "a", iter([Release("Well then, my", 11)]))
    passage = passage_of(engine, "a")
    assert passage.paused
    del engine._parts.decoder._append_tokens
    speak_releases(engine, "a", iter([Release("Well then, my", 13, final=True)]))
    assert len(passage.session.tokens) == 4


@both
def test_stuck_generation_is_ended_and_later_text_is_spoken(
    turbo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(turbo=turbo)
    decoder, take = engine._parts.decoder, engine._parts.decoder._append_tokens
    monkeypatch.setattr(
        decoder, "_append_tokens", lambda session, tokens: take(session, [77] * len(tokens))
    )
    engine.begin(Utterance("a", "default"))
    known = WORDS + " and so on and on "
    (chunks,) = speak_releases(engine, "a", iter([Release(known, len(WORDS) + 1)]))
    assert (chunks[-1].end, engine._utterances["a"].passage) == (len(WORDS) + 1, None)
    assert decoder.free_slots == 4
    monkeypatch.undo()
    speak_releases(engine, "a", iter([Release(known, len(known), final=True)]))


@both
def test_pause_before_speakable_text_is_not_the_end(turbo: bool) -> None:
    engine = create_engine(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    (chunks,) = speak_releases(engine, "a", iter([Release("\u2014 I am ", 2)]))
    assert (chunks[-1].end, engine._parts.decoder.free_slots) == (2, 4), "a dash is silent"
    for chunks in speak_releases(engine, "a", iter([Release("\u2014 I am ", 4)] * 2)):
        assert [len(chunk.pcm) for chunk in chunks] == [0]
    (*_, last) = speak_releases(engine, "a", iter([Release("\u2014 I am he", 9, final=True)]))
    assert len(pcm(last)) > 0


@both
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no memory"), ValueError("no room")])
def test_failed_join_fails_one_utterance(turbo: bool, error: Exception) -> None:
    engine = create_engine(turbo=turbo)
    for id_ in ("a", "b"):
        engine.begin(Utterance(id_, "default"))
        speak_releases(engine, id_, iter([Release(WORDS[:13], 10)]))

    def short(*_: Any) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine._parts.decoder, "join", short)
        engine.extend("a", Release(WORDS, 22))
        (failure,) = engine.step(["a"])
    assert isinstance(failure, Failure)
    assert engine._parts.decoder.free_slots == 3
    speak_releases(engine, "b", iter([Release(WORDS, len(WORDS), final=True)]))


@both
def test_abort_during_a_pause_frees_the_slot(turbo: bool) -> None:
    engine = create_engine(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    speak_releases(engine, "a", iter([Release(WORDS, 22)]))
    assert engine._parts.decoder.free_slots == 3
    engine.abort("a")
    assert engine._parts.decoder.free_slots == 4


# --- over the WebSocket ---------------------------------------------------------------------------

PATIENT = {
    "streaming_threshold": 30.0,
    "word_timeout": 30.0,
}  # releases follow from typed words only


def create_served_model(
    voices: Path, *, turbo: bool
) -> tuple[ChatterboxModel, list[ChatterboxEngine]]:
    """A model, and the list of the engines that the server creates from it."""
    settings = ChatterboxSettings(slots=1, watermark=False, text_extension=True)
    model, engines = ChatterboxModel(tiny(turbo=turbo), settings, voices), []
    create = model.create_engine
    model.create_engine = lambda: engines.append(create()) or engines[-1]  # type: ignore[method-assign, func-returns-value]
    return model, engines


async def type_words(client: NativeClient, context: str, words: list[str]) -> None:
    for word in words:
        await client.send("text", context=context, text=f"{word} ")


@both
async def test_typed_words_are_heard_before_the_clause_ends(turbo: bool, tmp_path: Path) -> None:
    model, engines = create_served_model(tmp_path, turbo=turbo)
    words = WORDS.split()
    async with (
        live_server(model, latency_optimization=PATIENT) as live,
        live.connect() as client,
    ):
        await client.send("start", context="c", format="pcm_f32le", seed=1)
        await type_words(client, "c", words[:5])
        messages = await client.receive_until("audio", "c")
        assert messages[-1]["duration_ms"] > 0, "no clause has ended"
        await type_words(client, "c", words[5:7])
        await client.send("retract", context="c", to=len("Well then my dear old friend "))
        messages += await client.receive_until("retracted", "c")
        assert messages[-1]["to"] == len("Well then my dear old friend ")
        await type_words(client, "c", ["they", "saw", "what", "came."])
        await client.send("end", context="c")
        messages += await client.receive_until("done", "c")
        assert_spoken(messages, "c", "Well then my dear old friend they saw what came. ")
        assert len(audio_of(messages, "c")) >= 3
        assert engines[0]._parts.decoder.free_slots == 1
        assert await speak_text(client, "d", "Good day.")


@both
async def test_typing_pause_releases_all_typed_text(turbo: bool, tmp_path: Path) -> None:
    model, _ = create_served_model(tmp_path, turbo=turbo)
    async with live_server(model) as live, live.connect() as client:
        messages: list[Message] = []
        await type_words(client, "c", ["Well", "then", "my", "friend"])
        while not messages or messages[-1]["text"][1] < len("Well then my friend "):
            messages += await client.receive_until("audio", "c")
        await client.send("text", context="c", text="we shall see.")
        await client.send("end", context="c")
        messages += await client.receive_until("done", "c")
        assert_spoken(messages, "c", "Well then my friend we shall see.")


async def test_cancel_mid_word_frees_the_slot(tmp_path: Path) -> None:
    model, engines = create_served_model(tmp_path, turbo=True)
    async with (
        live_server(model, latency_optimization=PATIENT) as live,
        live.connect() as client,
    ):
        await type_words(client, "a", WORDS.split()[:6])
        await client.receive_until("audio", "a")
        await client.send("text", context="a", text="wha")
        await client.send("cancel", context="a")
        await client.receive_until("cancelled", "a")
        await wait_until(lambda: engines[0]._parts.decoder.free_slots == 1, 5)
        assert await speak_text(client, "b", "Good day.")


async def test_pausing_client_does_not_block_others(tmp_path: Path) -> None:
    """With a single slot, held by a client that pauses typing."""
    model, _ = create_served_model(tmp_path, turbo=True)
    async with (
        live_server(model, latency_optimization=PATIENT) as live,
        live.connect() as slow,
        live.connect() as other,
    ):
        await type_words(slow, "a", WORDS.split()[:6])
        messages = await slow.receive_until("audio", "a")
        assert await speak_text(other, "b", "Good day.")
        await type_words(slow, "a", ["goes", "on."])
        await slow.send("end", context="a")
        messages += await slow.receive_until("done", "a")
        assert_spoken(messages, "a", " ".join([*WORDS.split()[:6], "goes", "on. "]))
