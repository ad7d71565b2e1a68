"""When each character is heard: tiles text and time, whatever the words are."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from backend.events import Word
from backend.protocols.alignment import Alignment, Character, TailMerger, join_words
from tests.support.vendor_dialogue import spoken


def characters(
    text: str, *timed: Word, start_ms: float = 0.0, ms: float = 100.0
) -> list[Character]:
    event = spoken("c", (0, len(text)), *timed, start_ms=start_ms, ms=ms)
    return Alignment(text).pop_spoken(event)


def test_the_characters_of_a_word_share_its_time() -> None:
    assert characters("ab", Word(0, 2, 20, 60)) == [("a", 20, 40), ("b", 40, 100)]


def test_spaces_and_what_has_no_sound_share_the_time_between_words() -> None:
    text = "a 👋 b"
    heard = characters(text, Word(0, 2, 0, 10), Word(4, 5, 40, 50))
    assert [c.start_ms for c in heard] == [0, 10, 20, 30, 40]
    assert heard[-1].end_ms == 100, "the last character ends with the audio"


def test_without_words_all_of_the_text_shares_all_of_the_time() -> None:
    assert [c.start_ms for c in characters("abcd", start_ms=1000)] == [1000, 1025, 1050, 1075]


def test_text_without_audio_has_no_duration() -> None:
    assert characters("👋\n", start_ms=70, ms=0) == [("👋", 70, 70), ("\n", 70, 70)]


def test_a_word_that_outlasts_its_audio_ends_with_it() -> None:
    heard = characters("ab", Word(0, 2, 90, 180))
    assert [(c.start_ms, c.end_ms) for c in heard] == [(90, 95), (95, 100)]


def test_spans_follow_each_other() -> None:
    transcript = Alignment()
    transcript.append_text("one ")
    assert "".join(c.text for c in transcript.pop_spoken(spoken("c", (0, 4)))) == "one "
    transcript.append_text("two")
    assert "".join(c.text for c in transcript.pop_spoken(spoken("c", (4, 7)))) == "two"


def test_words_are_what_lies_between_white_space() -> None:
    heard = characters("Hi, 👋 you!", Word(0, 4, 0, 30), Word(6, 10, 60, 90))
    assert [w.text for w in join_words(heard)] == ["Hi,", "👋", "you!"]
    assert (join_words(heard)[0].start_ms, join_words(heard)[2].end_ms) == (0, 100)


def test_the_end_of_an_encoders_stream_joins_the_audio_before_it_up_to_a_message_s_size() -> None:
    last, tail = spoken("c", (0, 2)), spoken("c", (2, 2), start_ms=100, ms=20)
    joined = TailMerger()
    assert joined.add_audio(last, last=True) == joined.add_audio(tail, last=True) == []
    (told,) = joined.flush()
    assert (told.text, told.duration_ms, told.data) == ((0, 2), 120, last.data + tail.data)
    assert joined.flush() == []
    large = replace(tail, data=bytes(200_000))
    assert joined.add_audio(last, last=True) == []
    assert joined.add_audio(large, last=True) == [last]
    assert joined.flush() == [large]


@st.composite
def utterances(draw: st.DrawFn) -> tuple[str, list[Word], float]:
    text = draw(st.text(alphabet="ab c.👋\n", max_size=30))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6, unique=True)))
    times = sorted(
        draw(st.lists(st.floats(0, 500), min_size=2 * len(cuts), max_size=2 * len(cuts)))
    )
    timed = [
        Word(low, high, times[2 * n], times[2 * n + 1])
        for n, (low, high) in enumerate(pairwise(cuts))
    ]
    return text, timed, draw(st.floats(0, 400))


@given(utterances())
def test_times_tile_whatever_the_engine_says(utterance: tuple[str, list[Word], float]) -> None:
    text, timed, ms = utterance
    heard = characters(text, *timed, ms=ms)
    assert "".join(c.text for c in heard) == text
    assert all(0 <= c.start_ms <= c.end_ms <= ms for c in heard)
    assert all(a.end_ms == b.start_ms for a, b in pairwise(heard))
    assert not heard or heard[-1].end_ms == ms
    assert "".join(w.text for w in join_words(heard)) == "".join(text.split())
