"""Reading a growing sentence: what is certain, and what stays."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text.reading.english import ENGLISH
from backend.text.reading.language import Language, Reading
from backend.text.reading.sentence_reader import SentenceReader, read_plainly
from backend.text.reading.spoken_word import SpokenWord
from backend.text.reading.written_words import WordCursor


def join_pairs(cursor: WordCursor) -> Reading | None:
    """Reads "one two" as one word, "both"."""
    if cursor.word.core == "one" and cursor.peek().core == "two":
        return Reading("both", 2)
    return None


PAIRS = Language("xx", (join_pairs,))


def said(reader: SentenceReader) -> list[str]:
    return [word.spoken for word in reader.words]


def test_a_word_is_read_once_a_space_follows() -> None:
    reader = SentenceReader(PAIRS)
    reader.push_text("hello wor")
    assert said(reader) == ["hello"]
    reader.push_text("ld ")
    assert said(reader) == ["hello", "world"]


def test_a_word_that_the_next_may_change_waits_for_all_of_it() -> None:
    reader = SentenceReader(PAIRS)
    reader.push_text("one tw")
    assert said(reader) == []
    reader.push_text("o ")
    assert said(reader) == ["both"]
    assert (reader.words[0].start, reader.words[0].end) == (0, 8)


def test_the_end_makes_all_certain() -> None:
    reader = SentenceReader(PAIRS)
    reader.push_text("one tw")
    reader.end_text()
    assert said(reader) == ["one", "tw"]
    reader.push_text("o one two ")  # read by itself, though it continues a word
    assert said(reader) == ["one", "tw", "o", "both"]


def test_the_rest_is_a_guess_that_changes_nothing() -> None:
    reader = SentenceReader(PAIRS)
    reader.push_text("hello one")
    assert [word.spoken for word in reader.read_rest()] == ["one"]
    reader.push_text(" two ")
    assert said(reader) == ["hello", "both"]


def test_a_retraction_forgets_what_was_read_for_text_that_is_gone() -> None:
    reader = SentenceReader(PAIRS)
    reader.push_text("one two three ")
    reader.retract_to(5, fixed=0)
    assert said(reader) == []
    reader.push_text("wo ")
    assert said(reader) == ["both"]


def test_a_retraction_keeps_what_is_released() -> None:
    reader = SentenceReader(PAIRS)
    reader.push_text("one two three ")
    reader.retract_to(9, fixed=8)
    assert said(reader) == ["both"]
    reader.push_text("en ")
    assert said(reader) == ["both", "ten"]


def test_an_end_that_a_word_was_read_by_is_forgotten_with_the_retraction() -> None:
    reader = SentenceReader(PAIRS)
    reader.push_text("one")
    reader.end_text()
    assert said(reader) == ["one"]
    reader.retract_to(3, fixed=0)
    reader.push_text(" two ")
    assert said(reader) == ["both"]


def test_a_mark_is_read_as_it_says_and_parts_the_text() -> None:
    reader = SentenceReader(PAIRS)
    reader.push_text("one [x] two ", [SpokenWord(4, 7, "mark", pause_ms=500)])
    assert said(reader) == ["one", "mark", "two"]


def test_a_long_reading_becomes_several_words_that_tile_it() -> None:
    reader = SentenceReader(ENGLISH)
    reader.push_text("9" * 60 + " ")
    reader.end_text()
    assert len(reader.words) == 3
    assert all(len(word.spoken.split()) <= 24 for word in reader.words)
    assert [word.start for word in reader.words] == [0, *(w.end for w in reader.words[:-1])]
    assert reader.words[-1].end == 61


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u2060", " \u2060 "])
def test_text_without_words_is_silent(text: str) -> None:
    assert read_plainly(text, ENGLISH) == ""


PIECES = ["5 ", "kg", "$3.2", " billion", " one", " two", ". ", "Dr.", " July", "4,", " "]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join), st.data())
def test_the_reading_does_not_depend_on_the_pieces(text: str, data: st.DataObject) -> None:
    whole, cut = SentenceReader(ENGLISH), SentenceReader(ENGLISH)
    whole.push_text(text)
    whole.end_text()
    at = 0
    while at < len(text):
        size = data.draw(st.integers(1, 9))
        cut.push_text(text[at : at + size])
        at += size
        if data.draw(st.integers(0, 9)) == 0:  # written again
            to = data.draw(st.integers(0, min(at, len(text))))
            cut.retract_to(to, fixed=0)
            at = to
    cut.end_text()
    assert cut.words == whole.words
    ends = [word.end for word in whole.words]
    assert [word.start for word in whole.words] == [0, *ends][: len(ends)]
