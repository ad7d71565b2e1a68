"""A text that grows while it is spoken (`chatterbox.text_extension`)."""

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
from backend.engines.chatterbox.flow import LOOKAHEAD_TOKENS
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.passage import FIRST_TOKENS, Passage
from backend.engines.chatterbox.recording import conditioning_of
from backend.engines.chatterbox.text import MAX_CHARACTERS, fewest_tokens
from backend.text.words import word_ends
from tests.backend.engines.chatterbox.test_engine import model, pcm, run
from tests.backend.engines.chatterbox.test_speaking import assert_told, audio_of, said_to_the_end
from tests.support.chatterbox.tiny import tiny, voice
from tests.support.live_server import Client, Message, eventually, live_server

WORDS = "Well then my dear old friend we shall see what comes of it"
both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


def growing(*, turbo: bool, **settings: Any) -> ChatterboxEngine:
    return model(turbo=turbo, text_extension=True, **settings).create_engine()


def releases(text: str, lookahead: int = 1) -> Iterator[Release]:
    """What the pacer makes of words that are typed one by one."""
    ends = word_ends(text)
    for n in range(1, len(ends) - lookahead):
        yield Release(text[: ends[n - 1 + lookahead]], ends[n - 1])
    yield Release(text, len(text), final=True)


def spoken(engine: ChatterboxEngine, id_: str, steps: Iterator[Release]) -> list[list[Chunk]]:
    """The chunks of each release; the contract is kept in every one."""
    answers, reached = [], engine._speeches[id_]._spoken_to
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
    passage = engine._speeches[id_].passage
    assert passage is not None
    return passage


def ending(decoder: Any, after: int) -> Any:
    """The decoder's own `_take`, to whom every token is the stop after so many."""
    take = decoder._take

    def taken(sessions: Any, tokens: Any) -> None:
        stops = [
            decoder.stop if len(session.tokens) >= after else token
            for session, token in zip(sessions, tokens, strict=True)
        ]
        take(sessions, stops)

    return taken


def test_it_is_off_unless_it_is_wished_for() -> None:
    assert not model(turbo=True).info.incremental
    assert model(turbo=True, text_extension=True).info.incremental


@both
def test_words_are_heard_before_their_clause_ends_and_are_one_generation(turbo: bool) -> None:
    engine = growing(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    *before, last = releases(WORDS)
    early = spoken(engine, "a", iter(before))
    assert passage_of(engine, "a").start == 0, "one passage since the first word"
    assert sum(len(pcm(chunks)) for chunks in early) > 24000 / 2
    assert early[-1][-1].end >= len("Well ")
    engine.extend("a", last)
    rest = run(engine, "a")["a"]
    assert (rest[0].start, rest[-1].end) == (early[-1][-1].end, len(WORDS))
    assert engine._parts.decoder.free == 4


def test_who_pauses_is_not_done_before_his_turn_to_be_rendered() -> None:
    """Two who pause at once, with prompts of other lengths: one render cannot serve both."""
    made = model(turbo=True, text_extension=True)
    made._learned["long"] = conditioning_of(voice(9, turbo=True, prompt_tokens=120))
    engine = made.create_engine()
    text, to = "Well my old dear friend ", len("Well my old ")
    assert fewest_tokens(text[:to]) == FIRST_TOKENS + LOOKAHEAD_TOKENS, "both wait for all of it"
    for id_, name in (("first", "default"), ("second", "long")):
        engine.begin(Utterance(id_, name))
        engine.extend(id_, Release(text, to))
    heard: dict[str, int] = {"first": 0, "second": 0}
    waiting = ["first", "second"]
    for _ in range(50):
        for chunk in engine.step(waiting):
            assert isinstance(chunk, Chunk)
            heard[chunk.utterance_id] += len(chunk.pcm)
            if chunk.caught_up:
                waiting.remove(chunk.utterance_id)
    assert not waiting
    assert heard["first"] == heard["second"] > 0


@both
def test_it_pauses_before_what_may_be_spoken_runs_out(turbo: bool) -> None:
    engine = growing(turbo=turbo)
    engine._parts.decoder.stop = -1  # it would never end by itself
    engine.begin(Utterance("a", "default"))
    for release in list(releases(WORDS))[:-1]:
        spoken(engine, "a", iter([release]))
        passage = passage_of(engine, "a")
        drawn = len(passage.session.tokens)
        assert drawn == max(1, fewest_tokens(release.text[: release.speak_to]))
        assert drawn - LOOKAHEAD_TOKENS - passage._taken < FIRST_TOKENS, "the rest is in the sound"


@both
def test_what_is_drawn_does_not_depend_on_the_pauses(turbo: bool) -> None:
    """Where the text behind was known all along, and so nothing is read again."""
    drawn = []
    pauses: tuple[int, ...]
    for pauses in ((), (10, 18, 29)):
        engine = growing(turbo=turbo)
        engine.begin(Utterance("a", "default", seed=3))
        for end in pauses:
            spoken(engine, "a", iter([Release(WORDS, end)]))
            assert passage_of(engine, "a").paused
        engine.extend("a", Release(WORDS, len(WORDS), final=True))
        passage = passage_of(engine, "a")
        run(engine, "a")
        drawn.append(passage.session.tokens)
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) > 20


@both
def test_an_early_end_is_not_the_end_of_a_sentence_that_grows(turbo: bool) -> None:
    engine = growing(turbo=turbo)
    decoder = engine._parts.decoder
    engine.begin(Utterance("a", "default"))
    end, decoder.stop = decoder.stop, 0
    decoder._take = ending(decoder, after=4)  # type: ignore[method-assign]
    engine.extend("a", Release("Well then my ", len("Well then ")))
    (chunk,) = run(engine, "a")["a"]
    assert (chunk.caught_up, passage_of(engine, "a").session.ended) == (True, True)
    del decoder._take
    decoder.stop = end
    steps = list(releases(WORDS))[2:]
    assert sum(len(pcm(chunks)) for chunks in spoken(engine, "a", iter(steps[:-1]))) > 24000 / 2
    spoken(engine, "a", iter(steps[-1:]))


@both
def test_a_release_that_must_be_reached_closes_the_passage(turbo: bool) -> None:
    engine = growing(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    spoken(engine, "a", iter([Release("Well then my ", 10)]))
    spoken(engine, "a", iter([Release("Well then my ", 13, must_reach=True)]))
    assert (engine._speeches["a"].passage, engine._parts.decoder.free) == (None, 4)
    engine.extend("a", Release("Well then my old friend", 17))
    run(engine, "a")
    assert passage_of(engine, "a").start == 13
    engine.extend("a", Release("Well then my old friend", 23, final=True))
    assert run(engine, "a")["a"][-1].end == 23


@both
def test_the_words_behind_may_become_others(turbo: bool) -> None:
    engine = growing(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    steps = [
        Release("Well then my dear ", 10),
        Release("Well then what do ", 10),
        Release("Well then what do we ", 15),
        Release("Well then what.", 15, final=True),
    ]
    answers = spoken(engine, "a", iter(steps))
    assert sum(len(pcm(chunks)) for chunks in answers) > 24000 / 4


@both
@pytest.mark.parametrize("mark", [",", ""])
def test_a_text_that_grows_long_goes_on_in_another_passage(turbo: bool, mark: str) -> None:
    engine = growing(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    text, starts = f"We went and it was late{mark} nobody spoke at all " * 12, set()
    for release in releases(text):
        spoken(engine, "a", iter([release]))
        if (passage := engine._speeches["a"].passage) is not None:
            assert len(passage.text) <= MAX_CHARACTERS
            starts.add(passage.start)
    assert len(starts) >= (3 if mark else 2)
    cuts = [text[:cut] for cut in sorted(starts)[1:]]
    assert all(cut.endswith(f"{mark} ") for cut in cuts), [cut[-9:] for cut in cuts]
    assert engine._parts.decoder.free == 4


@both
def test_who_grow_together_draw_what_each_does_alone(
    turbo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody speaks on before his longer text is read, though few are read in a step."""
    monkeypatch.setattr("backend.engines.chatterbox.engine._JOINS", 1)
    drawn = []
    for together in (("a", "b", "c"), ("a",), ("b",), ("c",)):
        engine = growing(turbo=turbo)
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
def test_what_may_have_been_spoken_stays_in_its_passage(turbo: bool) -> None:
    engine = growing(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    text = "We went, and it was late; nobody spoke, " * 5 + "and we went on and on " * 9
    first, second = (word_ends(text[:end])[-2] for end in (292, 330))
    spoken(engine, "a", iter([Release(text[:300], first)]))
    passage = passage_of(engine, "a")
    assert (passage.start, passage.end, passage.open) == (0, first, True)
    spoken(engine, "a", iter([Release(text[:340], second)]))
    assert first <= passage.end <= MAX_CHARACTERS
    assert passage_of(engine, "a").start == passage.end


@both
def test_who_waits_for_text_makes_room_and_goes_on_where_it_was(turbo: bool) -> None:
    drawn = []
    for slots in (1, 4):
        engine = growing(turbo=turbo, slots=slots)
        passages: dict[str, Passage] = {}
        for id_ in ("a", "b"):
            engine.begin(Utterance(id_, "default", seed=len(passages)))
            spoken(engine, id_, iter([Release(WORDS[:30], 18)]))
            passages[id_] = passage_of(engine, id_)
        assert engine._parts.decoder.free == slots - min(slots, 2)
        for release in list(releases(WORDS))[6:]:
            for id_ in passages:
                engine.extend(id_, release)
            run(engine, *passages)
        drawn.append([passage.session.tokens for passage in passages.values()])
        assert engine._parts.decoder.free == slots
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[0][1]


@both
def test_who_makes_room_comes_back_though_nothing_new_was_written(turbo: bool) -> None:
    engine = growing(turbo=turbo, slots=1)
    for id_ in ("a", "b"):
        engine.begin(Utterance(id_, "default"))
        spoken(engine, id_, iter([Release(WORDS[:13], 10)]))
    spoken(engine, "a", iter([Release(WORDS[:13], 13, must_reach=True)]))
    assert engine._parts.decoder.free == 1, "b has made room in its turn"
    spoken(engine, "b", iter([Release(WORDS[:13], 13, final=True)]))


@both
def test_who_made_room_is_not_over_before_the_rest_was_read(turbo: bool) -> None:
    """It had drawn an end on what was written then."""
    engine = growing(turbo=turbo, slots=1)
    decoder = engine._parts.decoder
    decoder._take = ending(decoder, 4)  # type: ignore[method-assign]
    engine.begin(Utterance("a", "default"))
    spoken(engine, "a", iter([Release(WORDS[:13], 10)]))
    passage = passage_of(engine, "a")
    assert passage.session.ended
    del decoder._take
    for id_ in ("b", "c"):  # they take the slot, and are more urgent
        engine.begin(Utterance(id_, "default"))
        engine.extend(id_, Release(WORDS, len(WORDS), final=True))
    engine.step(["b", "c"])
    assert passage.session.slot == -1
    engine.extend("a", Release(WORDS, len(WORDS), final=True))
    assert [chunk.end for chunk in run(engine, "b", "c", "a")["a"]][-1] == len(WORDS)
    assert len(passage.session.tokens) > 20


@both
def test_who_speaks_does_not_make_room(turbo: bool) -> None:
    engine = growing(turbo=turbo, slots=1)
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
def test_the_end_that_was_drawn_stands_when_the_text_was_complete(turbo: bool) -> None:
    engine = growing(turbo=turbo)
    engine._parts.decoder._take = ending(engine._parts.decoder, 4)  # type: ignore[method-assign]
    engine.begin(Utterance("a", "default"))
    spoken(engine, "a", iter([Release("Well then, my", 11)]))
    passage = passage_of(engine, "a")
    assert passage.paused
    del engine._parts.decoder._take
    spoken(engine, "a", iter([Release("Well then, my", 13, final=True)]))
    assert len(passage.session.tokens) == 4


@both
def test_a_model_that_is_stuck_is_stopped_and_later_text_is_spoken(
    turbo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = growing(turbo=turbo)
    decoder, take = engine._parts.decoder, engine._parts.decoder._take
    monkeypatch.setattr(decoder, "_take", lambda sessions, _: take(sessions, [77] * len(sessions)))
    engine.begin(Utterance("a", "default"))
    known = WORDS + " and so on and on "
    (chunks,) = spoken(engine, "a", iter([Release(known, len(WORDS) + 1)]))
    assert (chunks[-1].end, engine._speeches["a"].passage) == (len(WORDS) + 1, None)
    assert decoder.free == 4
    monkeypatch.undo()
    spoken(engine, "a", iter([Release(known, len(known), final=True)]))


@both
def test_a_pause_before_anything_can_be_said_is_no_end(turbo: bool) -> None:
    engine = growing(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    (chunks,) = spoken(engine, "a", iter([Release("\u2014 I am ", 2)]))
    assert (chunks[-1].end, engine._parts.decoder.free) == (2, 4), "a dash is silent"
    for chunks in spoken(engine, "a", iter([Release("\u2014 I am ", 4)] * 2)):
        assert [len(chunk.pcm) for chunk in chunks] == [0]
    (*_, last) = spoken(engine, "a", iter([Release("\u2014 I am he", 9, final=True)]))
    assert len(pcm(last)) > 0


@both
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no memory"), ValueError("no room")])
def test_a_text_that_cannot_be_read_costs_one_utterance(turbo: bool, error: Exception) -> None:
    engine = growing(turbo=turbo)
    for id_ in ("a", "b"):
        engine.begin(Utterance(id_, "default"))
        spoken(engine, id_, iter([Release(WORDS[:13], 10)]))

    def short(*_: Any) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine._parts.decoder, "join", short)
        engine.extend("a", Release(WORDS, 22))
        (failure,) = engine.step(["a"])
    assert isinstance(failure, Failure)
    assert engine._parts.decoder.free == 3
    spoken(engine, "b", iter([Release(WORDS, len(WORDS), final=True)]))


@both
def test_an_abort_in_a_pause_frees_the_slot(turbo: bool) -> None:
    engine = growing(turbo=turbo)
    engine.begin(Utterance("a", "default"))
    spoken(engine, "a", iter([Release(WORDS, 22)]))
    assert engine._parts.decoder.free == 3
    engine.abort("a")
    assert engine._parts.decoder.free == 4


# --- over the WebSocket ---------------------------------------------------------------------------

PATIENT = {"streaming_threshold": 30.0, "word_timeout": 30.0}  # only words bring words


def served(voices: Path, *, turbo: bool) -> tuple[ChatterboxModel, list[ChatterboxEngine]]:
    """A model, and the engines that a server makes of it."""
    settings = ChatterboxSettings(slots=1, watermark=False, text_extension=True)
    made, engines = ChatterboxModel(tiny(turbo=turbo), settings, voices), []
    create = made.create_engine
    made.create_engine = lambda: engines.append(create()) or engines[-1]  # type: ignore[method-assign, func-returns-value]
    return made, engines


async def typed(client: Client, context: str, words: list[str]) -> None:
    for word in words:
        await client.say("text", context=context, text=f"{word} ")


@both
async def test_words_typed_one_by_one_are_heard_before_their_clause_ends(
    turbo: bool, tmp_path: Path
) -> None:
    made, engines = served(tmp_path, turbo=turbo)
    words = WORDS.split()
    async with (
        live_server(made, latency_optimization=PATIENT) as live,
        live.client() as client,
    ):
        await client.say("start", context="c", format="pcm_f32le", seed=1)
        await typed(client, "c", words[:5])
        messages = await client.read_to("audio", "c")
        assert messages[-1]["duration_ms"] > 0, "no clause has ended"
        await typed(client, "c", words[5:7])
        await client.say("retract", context="c", to=len("Well then my dear old friend "))
        messages += await client.read_to("retracted", "c")
        assert messages[-1]["to"] == len("Well then my dear old friend ")
        await typed(client, "c", ["they", "saw", "what", "came."])
        await client.say("end", context="c")
        messages += await client.read_to("done", "c")
        assert_told(messages, "c", "Well then my dear old friend they saw what came. ")
        assert len(audio_of(messages, "c")) >= 3
        assert engines[0]._parts.decoder.free == 1
        assert await said_to_the_end(client, "d", "Good day.")


@both
async def test_a_pause_in_the_typing_brings_all_that_was_typed(turbo: bool, tmp_path: Path) -> None:
    made, _ = served(tmp_path, turbo=turbo)
    async with live_server(made) as live, live.client() as client:
        heard: list[Message] = []
        await typed(client, "c", ["Well", "then", "my", "friend"])
        while not heard or heard[-1]["text"][1] < len("Well then my friend "):
            heard += await client.read_to("audio", "c")
        await client.say("text", context="c", text="we shall see.")
        await client.say("end", context="c")
        heard += await client.read_to("done", "c")
        assert_told(heard, "c", "Well then my friend we shall see.")


async def test_a_cancel_in_mid_word_frees_the_slot(tmp_path: Path) -> None:
    made, engines = served(tmp_path, turbo=True)
    async with (
        live_server(made, latency_optimization=PATIENT) as live,
        live.client() as client,
    ):
        await typed(client, "a", WORDS.split()[:6])
        await client.read_to("audio", "a")
        await client.say("text", context="a", text="wha")
        await client.say("cancel", context="a")
        await client.read_to("cancelled", "a")
        await eventually(lambda: engines[0]._parts.decoder.free == 1, 5)
        assert await said_to_the_end(client, "b", "Good day.")


async def test_who_pauses_does_not_keep_others_waiting(tmp_path: Path) -> None:
    """One slot, and somebody who types and thinks in it."""
    made, _ = served(tmp_path, turbo=True)
    async with (
        live_server(made, latency_optimization=PATIENT) as live,
        live.client() as slow,
        live.client() as other,
    ):
        await typed(slow, "a", WORDS.split()[:6])
        messages = await slow.read_to("audio", "a")
        assert await said_to_the_end(other, "b", "Good day.")
        await typed(slow, "a", ["goes", "on."])
        await slow.say("end", context="a")
        messages += await slow.read_to("done", "a")
        assert_told(messages, "a", " ".join([*WORDS.split()[:6], "goes", "on. "]))
