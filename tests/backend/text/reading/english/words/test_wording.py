"""Any text is read; plain words at once; the reading never depends on the typing."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text.reading.english.words.wording import CODE_RULES, WORD_RULES
from backend.text.reading.language import Language
from backend.text.reading.sentence_reader import SentenceReader
from tests.support.rule_reading import read_text, read_words

FRAGMENTS = (
    *"aAIXVi 5²½éαя你`'’\"“”.,;:!?…-–—_/\\@#$%^&*=+|~<>()[]{}\u2060\u0301\u200d",
    *("IT ", "US ", "WHO ", "Dr. ", "St. ", "No. ", "Lee ", "the ", "e.g. ", "U.S. ", "Jan. "),
    *(
        "Chapter ",
        "IV ",
        "XIV's ",
        "www.",
        "https://",
        "x.org",
        "main.py ",
        "foo(",
        "C++ ",
        "GPT-4",
    ),
    *("CEOs ", "ChatGPT ", ":) ", "->", " → ", "sooo ", "lead pipe ", "A ", "a ", "--", "\n", "ﬁ"),
)
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=40).map("".join)
RULES = (*CODE_RULES, *WORD_RULES)
exactly = settings(derandomize=True, deadline=None, max_examples=300)


@exactly
@given(texts, st.integers(1, 7))
def test_any_text_is_read_alike_however_it_is_typed(text: str, pieces: int) -> None:
    words = read_words(text, RULES)
    assert read_words(text, RULES, 1) == words
    assert read_words(text, RULES, pieces) == words
    assert all(before.end == after.start for before, after in pairwise(words))
    assert [words[0].start, words[-1].end] == [0, len(text)] if text else not words


@pytest.mark.parametrize(
    "word", ["hello", "Hello", "doesn't", "well-known", "FBI", "NASA", "MP3", "foo()", "a", "I"]
)
def test_a_word_that_needs_no_neighbour_is_read_at_once(word: str) -> None:
    reader = SentenceReader(Language("en", RULES))
    reader.push_text(f"so {word} ")
    assert reader.read_to == len(f"so {word} ")


@pytest.mark.parametrize("word", ["No.", "Dr.", "U.S.", "A", "max."])
def test_a_word_whose_neighbour_counts_waits_for_it(word: str) -> None:
    reader = SentenceReader(Language("en", RULES))
    reader.push_text(f"{word} ")
    assert reader.read_to == 0
    reader.push_text("way ")
    assert reader.read_to == len(f"{word} way ")


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a-",
        "a.",
        "a/",
        "(",
        "A",
        "1a",
        ":",
        "@a.",
        "x=(",
        "…",
        "0f",
        "é",
        "_a",
        "a'",
        "<",
        "https://a/",
        "A B ",
        "IT ",
        "St. ",
        "I. ",
        "WHO A ",
        "a:b,",
    ],
)
def test_reading_takes_little_time_for_any_text(piece: str) -> None:
    text = piece * (4000 // len(piece))
    began = time.perf_counter()
    read_words(text, RULES)
    assert time.perf_counter() - began < 1


def test_the_rest_of_a_long_address_is_silent() -> None:
    said = read_text("See https://example.com/docs/" + "abcd/ef-" * 40 + " now.", RULES)
    assert said.startswith("See example dot com slash docs slash abcd ")
    assert said.endswith(" now.")
    assert len(said) < 200


def test_a_long_identifier_is_spelled() -> None:
    said = read_text("550e8400-e29b-41d4-a716-446655440000", RULES)
    assert said.startswith("five five zero E eight four zero zero E two nine B")
    assert len(said.split()) == 32


def test_long_runs_of_letters_are_not_lost() -> None:
    assert read_text("a" * 250, RULES).replace(" ", "") == "a" * 250
