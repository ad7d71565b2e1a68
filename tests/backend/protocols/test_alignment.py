"""Character alignment: the times tile text and audio for any word times."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from backend.events import Word
from backend.protocols.alignment import Alignment, Character, TailMerger, join_words
from tests.support.vendor_dialogue import audio_event


def align_characters(
    text: str, *timed: Word, start_ms: float = 0.0, ms: float = 100.0
) -> list[Character]:
    event = audio_event("c", (0, len(text)), *timed, start_ms=start_ms, ms=ms)
    return Alignment(text).pop_spoken(event)


def test_characters_of_a_word_share_its_time_evenly() -> None:
    assert align_characters("ab", Word(0, 2, 20, 60)) == [("a", 20, 40), ("b", 40, 100)]


def test_spaces_and_silent_characters_share_the_time_between_words() -> None:
    text = "a 👋 b"
    aligned = align_characters(text, Word(0, 2, 0, 10), Word(4, 5, 40, 50))
    assert [c.start_ms for c in aligned] == [0, 10, 20, 30, 40]
    assert aligned[-1].end_ms == 100, "the last character ends with the audio"


def test_without_word_times_all_characters_share_the_duration() -> None:
    assert [c.start_ms for c in align_characters("abcd", start_ms=1000)] == [1000, 1025, 1050, 1075]


def test_text_without_audio_has_no_duration() -> None:
    assert align_characters("👋\n", start_ms=70, ms=0) == [("👋", 70, 70), ("\n", 70, 70)]


def test_word_ending_after_its_audio_is_clamped() -> None:
    aligned = align_characters("ab", Word(0, 2, 90, 180))
    assert [(c.start_ms, c.end_ms) for c in aligned] == [(90, 95), (95, 100)]


def test_spans_are_consumed_in_order() -> None:
    transcript = Alignment()
    transcript.append_text("one ")
    assert "".join(c.text for c in transcript.pop_spoken(audio_event("c", (0, 4)))) == "one "
    transcript.append_text("two")
    assert "".join(c.text for c in transcript.pop_spoken(audio_event("c", (4, 7)))) == "two"


def test_words_are_split_at_white_space() -> None:
    aligned = align_characters("Hi, 👋 you!", Word(0, 4, 0, 30), Word(6, 10, 60, 90))
    assert [w.text for w in join_words(aligned)] == ["Hi,", "👋", "you!"]
    assert (join_words(aligned)[0].start_ms, join_words(aligned)[2].end_ms) == (0, 100)


def test_final_encoder_flush_merges_into_previous_audio_within_size_limit() -> None:
    final_audio, tail = audio_event("c", (0, 2)), audio_event("c", (2, 2), start_ms=100, ms=20)
    merger = TailMerger()
    assert merger.add_audio(final_audio, last=True) == merger.add_audio(tail, last=True) == []
    (flushed,) = merger.flush()
    assert (flushed.text, flushed.duration_ms, flushed.data) == (
        (0, 2),
        120,
        final_audio.data + tail.data,
    )
    assert merger.flush() == []
    large = replace(tail, data=bytes(200_000))
    assert merger.add_audio(final_audio, last=True) == []
    assert merger.add_audio(large, last=True) == [final_audio]
    assert merger.flush() == [large]


@st.composite
def timed_utterances(draw: st.DrawFn) -> tuple[str, list[Word], float]:
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


@given(timed_utterances())
def test_times_tile_for_any_word_times(utterance: tuple[str, list[Word], float]) -> None:
    text, timed, ms = utterance
    aligned = align_characters(text, *timed, ms=ms)
    assert "".join(c.text for c in aligned) == text
    assert all(0 <= c.start_ms <= c.end_ms <= ms for c in aligned)
    assert all(a.end_ms == b.start_ms for a, b in pairwise(aligned))
    assert not aligned or aligned[-1].end_ms == ms
    assert "".join(w.text for w in join_words(aligned)) == "".join(text.split())
