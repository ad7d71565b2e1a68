from __future__ import annotations

import pytest

from backend.text.reading.english.numbers.currencies import find_currency, is_currency_code


@pytest.mark.parametrize(
    ("text", "many"),
    [
        ("$", "dollars"),
        ("US$", "U S dollars"),
        ("C$", "Canadian dollars"),
        ("AUD$", "Australian dollars"),
        ("B$", "B dollars"),
        ("EUR", "euros"),
        ("CHF", "Swiss francs"),
        ("XAF", "Central African C F A francs"),
        ("TTD", "Trinidad and Tobago dollars"),
        ("zł", "zlotys"),
        ("¢", "cents"),
    ],
)
def test_a_sign_or_a_code_has_a_name(text: str, many: str) -> None:
    currency = find_currency(text)
    assert currency is not None
    assert currency.many == many


@pytest.mark.parametrize("text", ["", "A", "$$", "$$$", "1$", "ABC", "DEM", "ALL", "TOP", "usd"])
def test_other_text_is_no_currency(text: str) -> None:
    assert find_currency(text) is None


def test_codes_out_of_use_are_none() -> None:
    assert is_currency_code("SEK")
    assert not is_currency_code("ESP")
