"""Reads words of digits and other characters that no other rule reads, token by token. Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.arithmetic import say_greek
from backend.text.reading.english.numbers.currencies import find_currency
from backend.text.reading.english.numbers.number_forms import say_number, say_small_digits
from backend.text.reading.english.numbers.number_words import (
    digit_pairs,
    spell_digits,
    whole_number,
)

_TOKEN = re.compile(r"[$€£¥₹]\d+(?:[.,]\d+)*|\d+(?:[.,]\d+)*|[^\W\d_]+|.", re.DOTALL)
_SHORT = re.compile(r"[b-df-hj-np-tv-xz]{2,4}")  # without a vowel
_ENDINGS = ("st", "nd", "rd", "th")
_MARKS = {
    "%": "percent",
    "+": "plus",
    "=": "equals",
    "/": "slash",
    "&": "and",
    "@": "at",
    "°": "degrees",
    "#": "number",
    "_": "underscore",
    "\\": "backslash",
    "$": "dollars",
    "€": "euros",
    "£": "pounds",
    "×": "times",
    "^": "to the",
    "—": ",",
}


def read_mixed(text: str) -> str:
    """What is said for a word such as "1080p" or "3-in-1"."""
    said = []
    for token in _TOKEN.findall(say_small_digits(text)):
        if len(token) > 1 and token[0] in "$€£¥₹":
            said.append(_say_money(token))
        elif token[0].isdigit():
            said.append(_say_digits(token))
        elif token.isalpha() and not say_greek(token):
            is_spelled = len(token) == 1 or (token.isupper() and len(token) <= 3)
            is_spelled = is_spelled or (token not in _ENDINGS and _SHORT.fullmatch(token))
            said.append(" ".join(token.upper()) if is_spelled else token)
        else:
            said.append(say_greek(token) or _MARKS.get(token, ""))
    return " ".join(part for part in said if part).replace(" ,", ",")


def _say_money(token: str) -> str:
    currency, number = find_currency(token[0]), token[1:]
    name = "" if currency is None else currency.one if number == "1" else currency.many
    return f"{_say_digits(number)} {name}"


def _say_digits(token: str) -> str:
    if token.isascii():
        if token.isdigit() and len(token) == 4:
            return digit_pairs(token)
        return say_number(token) or spell_digits(token)
    digits = "".join(str(int(c)) for c in token if c.isdecimal())
    return whole_number(digits) if digits else ""
