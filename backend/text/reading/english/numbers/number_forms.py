"""Written numbers without signs, units and marks around them. Pure.

Grouping and decimals are read in both conventions: a comma before three digits groups, before
other digits it is a decimal mark; of two marks the last is the decimal one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from backend.text.reading.english.numbers.number_words import (
    cardinal,
    decimal,
    ordinal,
    spell_digits,
    whole_number,
)

VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
NUMBER = (
    rf"(?:(?:\d{{1,9}}[ -])?\d{{1,9}}[/⁄]\d{{1,9}}(?![\d/])"
    rf"|(?:\d+(?:[.,_]\d+|['’]\d{{3}}(?!\d))*|\.\d+)(?:[eE][+-]?\d+(?![A-Za-z\d]))?[{VULGAR}]?"
    rf"|[{VULGAR}])"
)
"""A pattern of what `say_number` reads, in text whose dashes are hyphens."""

_GROUPED = re.compile(r"[1-9]\d{0,2}(?:([,_'’.])\d{3})(?:\1\d{3})*|[1-9]\d?(?:,\d\d)+,\d{3}")
_SCIENTIFIC = re.compile(r"(.+)[eE]([+-]?)(\d+)")
_SMALL = re.compile(f"[{VULGAR}]|[⁰¹²³⁴-⁹₀-₉]+")
_FRACTION = re.compile(r"(?:(\d+)[ -])?(\d+)[/⁄](\d+)")
_ORDINAL = re.compile(r"(\d[\d,]*)(?:st|nd|rd|th)", re.IGNORECASE)


@lru_cache(4096)
def say_number(text: str) -> str | None:
    """What is said for a string that `NUMBER` matches; None if it is not a number after all."""
    if text.isascii() and text.isdigit():
        return whole_number(text)
    if match := _SCIENTIFIC.fullmatch(text):
        return _say_scientific(*match.groups())
    if match := _FRACTION.fullmatch(text):
        whole, numerator, denominator = match.groups()
        return _say_mixed(whole, int(numerator), int(denominator))
    if text[-1:] and text[-1] in VULGAR:
        numerator, denominator = unicodedata.normalize("NFKC", text[-1]).split("⁄")
        return _say_mixed(text[:-1], int(numerator), int(denominator))
    if parts := split_decimal(text):
        whole, fraction = parts
        return decimal(whole, fraction) if fraction else whole_number(whole)
    return _say_series(text)


@lru_cache(1024)
def split_decimal(text: str, *, is_grouped: bool = False) -> tuple[str, str] | None:
    """The digits before and behind the decimal mark; None if `text` is no decimal number.

    `is_grouped`: a single dot before three digits groups, too (amounts of money in euros).
    """
    digits = re.sub(r"\D", "", text)
    marks = re.sub(r"\d", "", text)
    if not marks:
        return (digits, "") if digits else None
    if _GROUPED.fullmatch(text) and (marks != "." or is_grouped):
        return digits, ""
    if len(marks) == 1 and marks in ".,":
        whole, _, fraction = text.partition(marks)
        return whole, fraction
    whole, fraction = text[: text.rfind(marks[-1])], text[text.rfind(marks[-1]) + 1 :]
    if marks[-1] in ".," and marks[-1] not in marks[:-1] and _GROUPED.fullmatch(whole):
        return re.sub(r"\D", "", whole), fraction
    return None


def say_small_digits(text: str) -> str:
    """`text` with fractions of one character and raised digits in words, for want of a rule."""
    return text if text.isascii() else _SMALL.sub(_say_small, text)


def _say_small(match: re.Match[str]) -> str:
    digits = unicodedata.normalize("NFKC", match[0])
    return f" {say_number(match[0] if '⁄' in digits else digits) or ''} "


def say_ordinal(text: str) -> str | None:
    """What is said for "1st", "1,000th"; None for other strings."""
    match = _ORDINAL.fullmatch(text)
    if not match or len(match[1]) > 15:
        return None
    return ordinal(int(match[1].replace(",", "")))


def say_fraction(numerator: int, denominator: int) -> str:
    """As "three quarters"; "seventeen over twenty three" if the denominator has no fit name."""
    top = cardinal(numerator)
    if (denominator > 20 and denominator not in (32, 50, 64, 100, 1000)) or denominator < 2:
        return f"{top} over {cardinal(denominator)}"
    name = ordinal(denominator).removeprefix("one ")
    one, many = {2: ("half", "halves"), 4: ("quarter", "quarters")}.get(
        denominator, (name, name + "s")
    )
    return f"{top} {one if numerator == 1 else many}"


def is_singular(text: str) -> bool:
    """Whether what is counted by the number `text` is in the singular: "1 km", "3/4 cup"."""
    if text == "1" or text in VULGAR:
        return True
    match = _FRACTION.fullmatch(text)
    return match is not None and match[1] is None and int(match[2]) < int(match[3])


def number_value(text: str) -> float | None:
    """The value of a number, to compare it; None for fractions, lists and strings of 300 digits."""
    parts = split_decimal(text) if len(text) < 300 else None
    return float(f"{parts[0] or 0}.{parts[1] or 0}") if parts else None


def _say_mixed(whole: str | None, numerator: int, denominator: int) -> str:
    fraction = say_fraction(numerator, denominator)
    if not whole:
        return fraction
    if numerator == 1 and denominator <= 20:
        fraction = "a" + fraction.removeprefix("one")
    return f"{say_number(whole)} and {fraction}"


def _say_scientific(mantissa: str, sign: str, exponent: str) -> str | None:
    said = say_number(mantissa)
    power = ("minus " if sign == "-" else "") + whole_number(exponent)
    return said and f"{said} times ten to the {power}"


def _say_series(text: str) -> str | None:
    if re.fullmatch(r"\d+(?:,\d+)+", text):
        return ", ".join(whole_number(part) for part in text.split(","))
    if re.fullmatch(r"\d+(?:\.\d+)+", text):
        return say_dotted(text)
    return spell_digits(text) or None


def say_dotted(text: str) -> str:
    """Versions and network addresses, as "two point zero point one"."""
    parts = text.split(".")
    if len(parts) == 4 and all(len(part) <= 3 for part in parts):
        return " dot ".join(spell_digits(part) for part in parts)
    return " point ".join(whole_number(part) for part in parts)
