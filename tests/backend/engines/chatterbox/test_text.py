"""Passages and their tokens."""

from __future__ import annotations

from typing import Any

import pytest

from backend.engines.chatterbox.text import (
    MAX_CHARACTERS,
    TextTokens,
    expected_tokens,
    fewest_tokens,
    most_tokens,
    passages,
    rounded,
    spoken,
)
from tests.support.chatterbox.tiny import CharacterTokenizer, tiny_t3

LONG = "It was late, and the road went on; nobody spoke. " * 20


def test_a_short_text_is_one_passage() -> None:
    assert list(passages("Well then, good day.", 0, 20)) == [(0, 20)]
    assert list(passages("Well then, good day.", 11, 11)) == []


@pytest.mark.parametrize("text", [LONG, "word " * 500, "x" * 1000, LONG.replace(".", ",")])
def test_a_long_text_is_cut_into_passages_that_tile_it(text: str) -> None:
    spans = list(passages(text, 3, len(text)))
    assert [start for start, _ in spans] == [3, *(end for _, end in spans[:-1])]
    assert spans[-1][1] == len(text)
    assert all(0 < end - start <= MAX_CHARACTERS for start, end in spans)


def test_the_cut_is_at_a_sentence_or_clause_where_there_is_one() -> None:
    for start, end in list(passages(LONG, 0, len(LONG)))[:-1]:
        assert LONG[:end].rstrip()[-1] in ".;", LONG[start:end]


@pytest.mark.parametrize("taken", [160, 271, 296, 300])
def test_what_was_taken_of_a_passage_is_not_cut_off(taken: int) -> None:
    (start, end), *others = passages(LONG, 0, 400, taken)
    assert (start, taken <= end <= MAX_CHARACTERS) == (0, True)
    assert LONG[end - 1] == " " or end == taken == MAX_CHARACTERS
    assert others == list(passages(LONG, end, 400))


def test_a_passage_that_grows_is_rounded_off_at_a_clause_once_it_is_long() -> None:
    ends = [end for end in range(1, MAX_CHARACTERS) if rounded(LONG[:end])]
    assert ends[0] > MAX_CHARACTERS // 2
    assert all(LONG[:end].endswith((", ", "; ", ". ")) for end in ends)
    assert len(ends) >= 6


def test_only_letters_and_digits_are_spoken() -> None:
    assert spoken("a")
    assert spoken("7")
    assert not spoken(" \u2014 ... !")


def test_the_limit_leaves_room_for_slow_speech() -> None:
    for text in ("No.", "Hello there.", LONG[:300]):
        assert most_tokens(text) >= 2 * expected_tokens(text) + 25
        assert fewest_tokens(text) < 0.75 * expected_tokens(text)
    assert most_tokens("Hi.") <= 4 * 25


@pytest.mark.parametrize("turbo", [False, True])
def test_tokens_are_upstreams(turbo: bool) -> None:
    t3: Any = tiny_t3(turbo=turbo)
    tokenizer = CharacterTokenizer()
    tokens = TextTokens(tokenizer, t3)("hello  there").tolist()
    if turbo:
        assert tokens == tokenizer("Hello there.").input_ids[0].tolist()
    else:
        assert tokens == [255, *tokenizer.text_to_tokens("Hello there.")[0].tolist(), 0]
