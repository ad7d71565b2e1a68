from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.reading import read_aloud, read_text

_LISTED = (
    "0 1 5 12 31 007 1990 2024 000 1,2 1.5 3/4 12/25 1/2 ½ $ € ¢ US$ EUR USD Rs. £ kg m km/h °C "
    "l/100 km % ‰ am a.m. PM Nov May Jan. No. p. - – — − + * × x / = ^ √ ² ³ < > ≤ ~ ± # § ( ) "
    "\" ' ′ ″ : , . ... or and is the a call PIN in st th s '90s million bn k K M sq ft in. "
    "\\frac { } $x π α H₂O v2 1e-5 0x ٣ ５ \u2060 日 T10:30:00Z -year-old mid- to of 1st 24/7 911"
)
_PARTS = _LISTED.split()
_TEXTS = st.one_of(
    st.lists(st.sampled_from(_PARTS), max_size=14).map("".join),
    st.lists(st.sampled_from(_PARTS), max_size=14).map(" ".join),
    st.text(alphabet="0123456789.,-/:$ xe+()'\"%", max_size=60),
    st.text(max_size=60),
)


@given(_TEXTS)
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_whole_however_it_was_typed(text: str) -> None:
    words = read_text(text)
    assert words == read_text(text, 1)
    ends = [0, *(word.end for word in words)]
    assert [word.start for word in words] == ends[:-1]
    assert ends[-1] == len(text)


@given(_TEXTS)
@settings(max_examples=200, deadline=None)
def test_no_digit_is_left_without_letters(text: str) -> None:
    for word in read_text(text):
        if any(c.isdecimal() for c in word.spoken):
            assert any(c.isalpha() for c in text[word.start : word.end])
            assert not word.spoken[:1].isdecimal()


@pytest.mark.parametrize("digits", [16, 37, 40, 99, 100, 101, 250])
def test_a_long_number_is_said_digit_by_digit(digits: int) -> None:
    text = ("1234567890" * 25)[:digits]
    assert len(read_aloud(text).split()) == digits


@pytest.mark.parametrize(
    "part",
    [
        "1",
        "1-",
        "1.",
        "1,",
        "1/",
        "$1",
        "1 ",
        "1e",
        "\\frac{",
        "$x ",
        "(1) ",
        "10 000 ",
        '1" ',
        "1 -",
    ],
)
def test_reading_a_long_text_is_quick(part: str) -> None:
    text = part * (4000 // len(part))
    read_text(text)
    start = time.process_time()
    words = read_text(text)
    assert time.process_time() - start < 0.0005 * len(words) + 0.05


@pytest.mark.parametrize(
    "text",
    [
        "I may go in march.",
        "No. I will not.",
        "He said so.",
        "Jan came.",
    ],
)
def test_other_words_are_left_alone(text: str) -> None:
    assert read_aloud(text) == text
