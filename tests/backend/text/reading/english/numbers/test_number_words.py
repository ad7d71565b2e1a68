from __future__ import annotations

import pytest

from backend.text.reading.english.numbers.number_words import (
    LARGEST,
    cardinal,
    decimal,
    digit_pairs,
    ordinal,
    spell_digits,
    whole_number,
    year,
)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "zero"),
        (21, "twenty one"),
        (101, "one hundred one"),
        (1234, "one thousand two hundred thirty four"),
        (10**6, "one million"),
        (-7, "minus seven"),
    ],
)
def test_a_cardinal_number(number: int, said: str) -> None:
    assert cardinal(number) == said


def test_numbers_beyond_the_largest_are_spelled() -> None:
    assert cardinal(LARGEST).startswith("nine hundred ninety nine trillion")
    assert cardinal(LARGEST + 1) == " ".join(["one", *["zero"] * 15])
    assert cardinal(-LARGEST - 1).startswith("minus one zero")


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "first"), (12, "twelfth"), (20, "twentieth"), (103, "one hundred third")],
)
def test_an_ordinal_number(number: int, said: str) -> None:
    assert ordinal(number) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1984, "nineteen eighty four"),
        (1900, "nineteen hundred"),
        (1905, "nineteen oh five"),
        (2000, "two thousand"),
        (2005, "two thousand five"),
        (2010, "twenty ten"),
        (1066, "ten sixty six"),
        (999, "nine hundred ninety nine"),
    ],
)
def test_a_year(number: int, said: str) -> None:
    assert year(number) == said


@pytest.mark.parametrize(
    ("digits", "said"),
    [
        ("101", "one oh one"),
        ("747", "seven forty seven"),
        ("400", "four hundred"),
        ("4090", "forty ninety"),
        ("22", "twenty two"),
        ("007", "zero zero seven"),
        ("65535", "sixty five thousand five hundred thirty five"),
    ],
)
def test_digits_in_pairs(digits: str, said: str) -> None:
    assert digit_pairs(digits) == said


def test_digits_and_decimals() -> None:
    assert spell_digits("4-20") == "four two zero"
    assert decimal("3", "14") == "three point one four"
    assert decimal("", "5") == "point five"
    assert whole_number("007") == "zero zero seven"
