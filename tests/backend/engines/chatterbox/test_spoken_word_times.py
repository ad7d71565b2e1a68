"""Word times of chunks, and text extension, with planted attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from backend.engines.base import Chunk, Release, Utterance
from backend.engines.chatterbox.engine import ChatterboxEngine
from backend.engines.chatterbox.passage import Passage
from backend.engines.chatterbox.speech_tokens import speech_limits
from backend.text.words import word_ends
from tests.backend.engines.chatterbox.test_engine import assert_tiles, begin, create_model, pcm, run
from tests.backend.engines.chatterbox.test_text_extension import WORDS, passage_of, speak_releases
from tests.support.chatterbox.planted_attention import token_ends

TEXT = "Well then my friend, we shall see."
both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])

Attend = Callable[[int], int]  # a speech token's number to the text token that it attends to


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[ChatterboxEngine, Attend], None]:
    """Give an engine's speech this attention, to tokens of a word each."""
    prepare = Passage.prepare

    def prepare_with_ends(passage: Passage, renderer: Any, _: Any = ()) -> None:
        prepare(passage, renderer, token_ends(passage.text, "words"))

    def plant(engine: ChatterboxEngine, attend: Attend) -> None:
        decoder, append = engine._parts.decoder, engine._parts.decoder._append_tokens

        def append_with_attention(session: Any, tokens: Any) -> None:
            append(session, tokens)
            known = range(len(session.attended), len(session.tokens))
            session.attended += map(attend, known)

        monkeypatch.setattr(decoder, "_append_tokens", append_with_attention)
        monkeypatch.setattr(Passage, "prepare", prepare_with_ends)

    return plant


def words_of(chunks: list[Chunk]) -> list[Any]:
    return [word for chunk in chunks for word in chunk.words]


@both
@pytest.mark.parametrize("block_causal", [False, True])
def test_words_have_the_times_of_their_attention(
    turbo: bool, block_causal: bool, plant: Any
) -> None:
    engine = create_model(turbo=turbo, block_causal=block_causal).create_engine()
    plant(engine, lambda n: n // 4)
    begin(engine, "a", TEXT)
    chunks = run(engine, "a")["a"]
    assert_tiles(chunks, TEXT)
    words = words_of(chunks)
    assert [word.end for word in words] == word_ends(TEXT)
    # The comma is a text token too: the word before it takes two.
    # The first half token is silence, which is not heard.
    expected = [each - 0.5 for each in (4, 8, 12, 20, 24, 28)]
    assert [word.end_ms / 40 for word in words[:-1]] == pytest.approx(expected)
    assert words[-1].end_ms == pytest.approx(len(pcm(chunks)) / 24, abs=30)
    assert all(one.end_ms == other.start_ms for one, other in pairwise(words))


@both
def test_chunk_speaks_the_words_that_ended_in_it(turbo: bool, plant: Any) -> None:
    engine = create_model(turbo=turbo).create_engine()
    plant(engine, lambda n: n // 4)
    begin(engine, "a", TEXT)
    chunks, now_ms = run(engine, "a")["a"], 0.0
    assert len(chunks) > 2
    for chunk in chunks:
        now_ms += len(chunk.pcm) / 24
        assert all(word.end_ms <= now_ms + 1e-6 for word in chunk.words)
        assert chunk.end == max([chunk.start, *(word.end for word in chunk.words)])


@both
def test_later_passages_have_times_after_those_before(turbo: bool, plant: Any) -> None:
    engine = create_model(turbo=turbo).create_engine()
    plant(engine, lambda n: n // 4)
    text = (TEXT + " ") * 12
    begin(engine, "a", text)
    chunks = run(engine, "a", steps=2000)["a"]
    assert_tiles(chunks, text)
    assert [word.end for word in words_of(chunks)] == word_ends(text)


@both
@pytest.mark.parametrize("kind", ["anything", "backwards", "none"])
def test_without_attention_in_order_words_share_by_length(
    turbo: bool, kind: str, plant: Any
) -> None:
    noise = np.random.default_rng(1).integers(0, 13, 900).tolist()
    engine = create_model(turbo=turbo).create_engine()
    begin(engine, "a", WORDS)
    by_length = run(engine, "a")["a"]
    engine = create_model(turbo=turbo).create_engine()
    attend = {"anything": noise.__getitem__, "backwards": lambda n: 12 - n // 3 % 13, "none": None}
    if attend[kind] is not None:
        plant(engine, attend[kind])
    begin(engine, "a", WORDS)
    chunks = run(engine, "a")["a"]
    assert [(c.start, c.end, c.words) for c in chunks] == [
        (c.start, c.end, c.words) for c in by_length
    ]


@both
def test_speech_that_starts_again_is_ended(
    turbo: bool, plant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def speak_twice(n: int) -> int:
        return n // 3 if n < 15 else n // 3 - 5

    for name, tokens in (("min_tokens", 60), ("max_tokens", 90)):  # its own end comes later
        monkeypatch.setattr(speech_limits, name, lambda *_, tokens=tokens: tokens)
    text = "Well then my friend."  # 5 text tokens
    counts = []
    for attend in (lambda n: n // 3, speak_twice):
        engine = create_model(turbo=turbo).create_engine()
        plant(engine, attend)
        begin(engine, "a", text)
        chunks = run(engine, "a")["a"]
        assert_tiles(chunks, text)
        counts.append(len(pcm(chunks)) // 960)
    assert counts[1] <= 31
    assert counts[0] > counts[1]


# --- text extension -------------------------------------------------------------------------------


def releases(text: str, *, words: int) -> Iterator[Release]:
    """Of one word after another, with one more known."""
    ends = word_ends(text)
    for n in range(words):
        yield Release(text[: ends[n + 1]], ends[n])


@both
@pytest.mark.parametrize("pace", [3, 9], ids=["fast", "slow"])
def test_open_passage_pauses_when_speech_has_reached_its_words(
    turbo: bool, pace: int, plant: Any
) -> None:
    engine = create_model(turbo=turbo, text_extension=True).create_engine()
    plant(engine, lambda n: n // pace)
    engine.begin(Utterance("a", "default"))
    for words, release in enumerate(releases(WORDS, words=3), 1):
        speak_releases(engine, "a", iter([release]))
        count = len(passage_of(engine, "a").session.tokens)
        assert count <= words * pace + 1, "no word is begun before it is released"
        assert count > (words - 1) * pace, "all words before are spoken"
    speak_releases(engine, "a", iter([Release(WORDS, len(WORDS), final=True)]))


@both
def test_extended_text_has_the_times_of_its_attention(turbo: bool, plant: Any) -> None:
    engine = create_model(turbo=turbo, text_extension=True).create_engine()
    plant(engine, partial(_divide, by=3))
    engine.begin(Utterance("a", "default"))
    steps = [*releases(WORDS, words=6), Release(WORDS, len(WORDS), final=True)]
    chunks = [chunk for some in speak_releases(engine, "a", iter(steps)) for chunk in some]
    words = words_of(chunks)
    assert [word.end for word in words] == word_ends(WORDS)
    count = len(pcm(chunks)) / 960
    ended = [word.end_ms / 40 for word in words if word.end_ms / 40 < count - 7]
    assert len(ended) > 4
    assert ended == pytest.approx([3.0 * n - 0.5 for n in range(1, len(ended) + 1)])


def _divide(n: int, by: int) -> int:
    return n // by
