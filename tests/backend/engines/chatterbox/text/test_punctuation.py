"""Punctuation: upstream's for English, and no harm to other languages."""

from __future__ import annotations

from typing import Any

import chatterbox.tts
import chatterbox.tts_turbo
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.chatterbox.text.punctuation import normalize_punctuation
from backend.engines.chatterbox.text.traced_text import TracedText

UPSTREAM: dict[bool, Any] = {
    False: chatterbox.tts.punc_norm,
    True: chatterbox.tts_turbo.punc_norm,
}
both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


def said(text: str, *, turbo: bool = False, **options: Any) -> str:
    return normalize_punctuation(TracedText.of(text), turbo=turbo, **options).text


english = st.text("abC ...,;:!?-\u2026\u2014\u2013\u201c\u201d\u2018\u2019\"'", max_size=20)


@both
@given(text=english, last=st.sampled_from("a.!?,-"))
def test_english_is_read_as_upstream_reads_it(turbo: bool, text: str, last: str) -> None:
    assert said(text + last, turbo=turbo) == UPSTREAM[turbo](text + last)


@both
@pytest.mark.parametrize(
    "text",
    [
        "\u4f60\u597d\u3002",
        "\u4f60\u597d\uff01",
        "\u4f60\u597d\uff1f",
        "\u660e\u5929\uff0c",
        "\u660e\u5929\u3001",
        "\u0643\u064a\u0641 \u062d\u0627\u0644\u0643\u061f",
        "\u0646\u0639\u0645\u060c",
        "\u0646\u0639\u0645\u061b",
        "\u0928\u092e\u0938\u094d\u0924\u0947\u0964",
        'He said "Go!"',
        "Er sagte: \u201eGeh.\u201c",
        "\u300c\u884c\u3051\u3002\u300d",
        "Il dit \u00ab Va. \u00bb",
        "(Stop.)",
    ],
)
def test_no_full_stop_is_added_behind_a_mark_of_any_script(text: str, turbo: bool) -> None:
    assert said(text, turbo=turbo)[-2:].strip('"') == text[-2:].translate(
        {0x201C: None, 0x201D: None}
    ).strip('"')


@both
@pytest.mark.parametrize(
    "text", ["Well", 'the "end"', "a (short) one (here)", "\u4f60\u597d", "na\u00ef"]
)
def test_a_text_without_a_mark_gets_a_full_stop(text: str, turbo: bool) -> None:
    assert said(text, turbo=turbo)[1:] == f"{text}."[1:]


@both
def test_an_ellipsis_at_the_end_is_a_pause_not_an_end(turbo: bool) -> None:
    assert said("Well\u2026", turbo=turbo) == "Well,"


@both
def test_times_and_ratios_keep_their_colon(turbo: bool) -> None:
    assert said("Um 3:45 Uhr: los", turbo=turbo) == "Um 3:45 Uhr, los."


def test_a_greek_question_stays_one() -> None:
    assert said("\u03a4\u03b9 \u03ba\u03ac\u03bd\u03b5\u03b9\u03c2;", language="el").endswith(
        "\u03c2?"
    )
    assert said("\u03a4\u03b9;", language="en").endswith(",")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\u300c \u306f\u3044\u300d \u3068\u3002", "\u300c\u306f\u3044\u300d\u3068\u3002"),
        ("3 \u67084 \u65e5\u3001 5 \u6642\u3002", "3\u67084\u65e5\u30015\u6642\u3002"),
        ("\u4eca\u5929 \u5f88\u597d, \u597d\u3002", "\u4eca\u5929 \u5f88\u597d,\u597d\u3002"),
        ("good day, 5 times\u3002", "good day, 5 times\u3002"),
    ],
)
def test_chinese_and_japanese_get_no_spaces_beside_marks_and_numbers(
    text: str, expected: str
) -> None:
    assert said(text, language="ja", capitalize=False) == expected
    assert said(text, language="ko", capitalize=False) == text


def test_only_the_models_that_know_capitals_get_one() -> None:
    assert said("\u00fcber", capitalize=True) == "\u00dcber."
    assert said("\u0131\u015f\u0131k", capitalize=False) == "\u0131\u015f\u0131k."


@given(st.text(max_size=40))
def test_ends_stay_within_the_text_for_anything(text: str) -> None:
    traced = normalize_punctuation(TracedText.of(text), turbo=False)
    assert len(traced.ends) == len(traced.text) > 0
    assert sorted(traced.ends) == list(traced.ends)
    assert traced.ends[-1] <= len(text)
