"""Splitting text into passages."""

from __future__ import annotations

import pytest

from backend.engines.chatterbox.text.speech_length import LONGEST_S, expected_tokens, longest_end
from backend.engines.chatterbox.text.splitter import (
    ends_long_clause,
    has_words,
    split_passages,
)

LONG = "It was late, and the road went on; nobody spoke. " * 20
CHINESE = "\u5929\u6c14\u5f88\u597d\uff0c\u6211\u4eec\u53bb\u516c\u56ed\u3002" * 30
ARABIC = "\u0627\u0644\u062c\u0648 \u062c\u0645\u064a\u0644\u060c \u0647\u0644\u061f " * 40


def test_short_text_is_one_passage() -> None:
    assert list(split_passages("Well then, good day.", 0, 20)) == [(0, 20)]
    assert list(split_passages("Well then, good day.", 11, 11)) == []


@pytest.mark.parametrize(
    "text", [LONG, "word " * 500, "x" * 1000, LONG.replace(".", ","), CHINESE, ARABIC]
)
def test_long_text_is_cut_into_passages_that_tile_it(text: str) -> None:
    spans = list(split_passages(text, 3, len(text)))
    assert [start for start, _ in spans] == [3, *(end for _, end in spans[:-1])]
    assert spans[-1][1] == len(text)
    lengths = [expected_tokens(text[start:end]) for start, end in spans]
    assert max(lengths) <= 25 * LONGEST_S
    assert min(lengths[:-1]) >= 25 * LONGEST_S / 3


def test_passages_are_cut_at_sentence_or_clause_ends() -> None:
    for start, end in list(split_passages(LONG, 0, len(LONG)))[:-1]:
        assert LONG[:end].rstrip()[-1] in ".;", LONG[start:end]


@pytest.mark.parametrize(("text", "ends"), [(CHINESE, "\u3002"), (ARABIC, "\u061f")])
def test_passages_of_every_script_are_cut_at_its_marks(text: str, ends: str) -> None:
    for _, end in list(split_passages(text, 0, len(text)))[:-1]:
        assert text[:end].rstrip()[-1] == ends


def test_no_lone_word_is_left_behind_a_cut() -> None:
    text = "word " * 60
    for size in range(longest_end(text, 0), len(text)):
        assert all(end - start >= 25 for start, end in split_passages(text, 0, size)), size


def test_a_letter_is_not_cut_from_its_marks() -> None:
    text = "\u0915\u094d\u0937\u093f" * 300
    for start, _ in split_passages(text, 0, len(text), language="hi"):
        assert text[start] in "\u0915\u0937"


@pytest.mark.parametrize("taken", [160, 250, 271, 274])
def test_passage_is_not_cut_before_queued_text(taken: int) -> None:
    (start, end), *others = split_passages(LONG, 0, 400, taken)
    assert (start, taken <= end <= longest_end(LONG, 0)) == (0, True)
    assert LONG[end - 1] == " " or end - taken < 4
    assert others == list(split_passages(LONG, end, 400))


def test_long_open_passage_may_close_only_at_a_clause_end() -> None:
    longest = longest_end(LONG, 0)
    ends = [end for end in range(1, longest) if ends_long_clause(LONG[:end])]
    assert ends[0] > longest // 2
    assert all(LONG[:end].endswith((", ", "; ", ". ")) for end in ends)
    assert len(ends) >= 6


def test_only_letters_and_digits_are_speakable() -> None:
    assert has_words("a")
    assert has_words("7")
    assert not has_words(" \u2014 ... !")
