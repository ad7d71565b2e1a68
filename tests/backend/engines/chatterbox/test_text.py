"""Splitting text into passages, and estimating their length."""

from __future__ import annotations

import pytest

from backend.engines.chatterbox.text import (
    MAX_CHARACTERS,
    ends_long_clause,
    expected_tokens,
    has_words,
    max_tokens,
    min_tokens,
    split_passages,
)

LONG = "It was late, and the road went on; nobody spoke. " * 20


def test_short_text_is_one_passage() -> None:
    assert list(split_passages("Well then, good day.", 0, 20)) == [(0, 20)]
    assert list(split_passages("Well then, good day.", 11, 11)) == []


@pytest.mark.parametrize("text", [LONG, "word " * 500, "x" * 1000, LONG.replace(".", ",")])
def test_long_text_is_cut_into_passages_that_tile_it(text: str) -> None:
    spans = list(split_passages(text, 3, len(text)))
    assert [start for start, _ in spans] == [3, *(end for _, end in spans[:-1])]
    assert spans[-1][1] == len(text)
    assert all(0 < end - start <= MAX_CHARACTERS for start, end in spans)


def test_passages_are_cut_at_sentence_or_clause_ends() -> None:
    for start, end in list(split_passages(LONG, 0, len(LONG)))[:-1]:
        assert LONG[:end].rstrip()[-1] in ".;", LONG[start:end]


@pytest.mark.parametrize("taken", [160, 271, 296, 300])
def test_passage_is_not_cut_before_queued_text(taken: int) -> None:
    (start, end), *others = split_passages(LONG, 0, 400, taken)
    assert (start, taken <= end <= MAX_CHARACTERS) == (0, True)
    assert LONG[end - 1] == " " or end == taken == MAX_CHARACTERS
    assert others == list(split_passages(LONG, end, 400))


def test_long_open_passage_may_close_only_at_a_clause_end() -> None:
    ends = [end for end in range(1, MAX_CHARACTERS) if ends_long_clause(LONG[:end])]
    assert ends[0] > MAX_CHARACTERS // 2
    assert all(LONG[:end].endswith((", ", "; ", ". ")) for end in ends)
    assert len(ends) >= 6


def test_only_letters_and_digits_are_speakable() -> None:
    assert has_words("a")
    assert has_words("7")
    assert not has_words(" \u2014 ... !")


def test_token_bounds_allow_slow_and_fast_speech() -> None:
    for text in ("No.", "Hello there.", LONG[:300]):
        assert max_tokens(text) >= 2 * expected_tokens(text) + 25
        assert min_tokens(text) < 0.75 * expected_tokens(text)
    assert max_tokens("Hi.") <= 4 * 25
