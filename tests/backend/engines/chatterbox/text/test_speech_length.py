"""Estimating how long a text takes to say."""

from __future__ import annotations

import time

import pytest

from backend.engines.chatterbox.text.speech_length import (
    LONGEST_S,
    Pace,
    expected_tokens,
    is_one_breath,
    longest_end,
    max_tokens,
    min_tokens,
)

ENGLISH = "It was late, and the road went on; nobody spoke. " * 6


@pytest.mark.parametrize("text", ["No.", "Hello there.", ENGLISH])
def test_bounds_allow_slow_and_fast_speech(text: str) -> None:
    assert min_tokens(text) < 0.75 * expected_tokens(text)
    assert max_tokens(expected_tokens(text)) >= 2.4 * expected_tokens(text) or len(text) > 200


def test_the_upper_bound_is_a_second_and_twice_the_expected_and_tighter_for_a_word() -> None:
    assert max_tokens(round(5.4 * 25)) == 25 + 2 * round(5.4 * 25)
    assert max_tokens(expected_tokens("Hi.")) < 1.5 * 25
    assert max_tokens(100, pace=1.5) == 25 + 300


@pytest.mark.parametrize(
    ("text", "language", "least_s", "most_s"),
    [  # as somebody reads them aloud
        ("\u4eca\u5929\u5929\u6c14\u771f\u4e0d\u9519" * 43, "zh", 60, 75),
        ("\u3053\u3093\u306b\u3061\u306f", "ja", 0.8, 1.4),
        ("\u4eca\u65e5\u306f\u3044\u3044\u5929\u6c17\u3067\u3059\u306d\u3002", "ja", 1.6, 2.6),
        ("\uc548\ub155\ud558\uc138\uc694", "ko", 0.9, 1.5),
        (
            "\u0628\u0633\u0645 \u0627\u0644\u0644\u0647 \u0627\u0644\u0631\u062d\u0645\u0646",
            "ar",
            1.4,
            2.6,
        ),
        (
            "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
            "hi",
            0.9,
            1.6,
        ),
        ("\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "he", 0.8, 1.5),
        (
            "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439\u0442\u0435",
            "ru",
            0.9,
            1.5,
        ),
        ("Guten Morgen", "de", 0.9, 1.5),
        ("2026", "de", 1.0, 2.2),
        ("[laugh]", "en", 0.8, 2.0),
    ],
)
def test_lengths_follow_the_language(
    text: str, language: str, least_s: float, most_s: float
) -> None:
    tokens = expected_tokens(text, language)
    assert least_s <= tokens / 25 <= most_s
    assert min_tokens(text, language) < 0.75 * tokens
    assert expected_tokens(text, f"{language.upper()}-XX") == tokens


def test_the_script_counts_where_no_language_is_given() -> None:
    assert expected_tokens("\u4eca\u5929\u5929\u6c14\u771f\u4e0d\u9519" * 9) > 25 * 12


def test_what_is_not_said_takes_no_time() -> None:
    pointed = "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627"  # with vowel signs
    assert expected_tokens(pointed, "ar") == expected_tokens("\u0645\u0631\u062d\u0628\u0627", "ar")
    decomposed = "\u1112\u1161\u11ab\u1100\u116e\u11a8"
    assert expected_tokens(decomposed, "ko") == expected_tokens("\ud55c\uad6d", "ko")
    assert expected_tokens("So" + "." * 200) == expected_tokens("So.")
    assert expected_tokens("So" + " " * 200 + "so") == expected_tokens("So so")


@pytest.mark.parametrize("text", ["[laugh]", "1000000", "!!!", "\u20ac 5", "\U0001f600"])
def test_end_of_speech_is_not_delayed_for_what_may_be_short(text: str) -> None:
    assert min_tokens(text) <= 9


def test_a_passage_lasts_twenty_seconds_in_every_language() -> None:
    for letter, language in (("word ", "en"), ("\u5929", "zh"), ("\u306b", "ja"), ("\u0628", "ar")):
        text = letter * 2000
        end = longest_end(text, 0, language)
        assert 25 * (LONGEST_S - 1) < expected_tokens(text[:end], language) <= 25 * LONGEST_S
        assert longest_end(text, 100, language) == pytest.approx(100 + end, abs=5)
    assert longest_end("short", 0) == 5


def test_only_a_short_phrase_without_marks_is_said_in_one_breath() -> None:
    assert all(
        is_one_breath(text) for text in ("Well,", "Hi.", "I don't know.", "\u4f60\u597d\u3002")
    )
    assert not any(is_one_breath(text) for text in ("Yes, sir.", "Oh... no", ENGLISH))


def test_pace_is_measured_within_limits() -> None:
    pace = Pace()
    assert pace.ratio == 1
    pace.count(150, 100)
    assert 1.2 < pace.ratio < 1.5
    for _ in range(50):
        pace.count(400, 100)
    assert pace.ratio == 2
    assert Pace().ratio == 1


def test_estimating_a_passage_takes_a_fraction_of_a_millisecond() -> None:
    expected_tokens(ENGLISH)
    started_s = time.thread_time()
    for _ in range(100):
        expected_tokens(ENGLISH)
    assert (time.thread_time() - started_s) / 100 < 1e-3
