"""Reads numbers without units: lists, years, decades, ordinals, ranges. Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.dates import say_years
from backend.text.reading.english.numbers.digit_strings import is_model
from backend.text.reading.english.numbers.figure import HOURS_CUES, Figure, normalise_dashes
from backend.text.reading.english.numbers.nouns import is_counted
from backend.text.reading.english.numbers.number_forms import say_number, split_decimal
from backend.text.reading.english.numbers.number_words import (
    cardinal,
    digit_pairs,
    whole_number,
    year,
)
from backend.text.reading.english.numbers.quantities import SINCE
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor

_MAGNITUDES = {"k": "thousand", "K": "thousand", "M": "million", "B": "billion"}
_IDIOMS = {
    "24/7": "twenty four seven",
    "9/11": "nine eleven",
    "50/50": "fifty fifty",
    "20/20": "twenty twenty",
    "24-7": "twenty four seven",
    "24/7/365": "twenty four seven, three sixty five",
    "7/24": "seven twenty four",
    "401k": "four oh one K",
}
_YEAR_CUES = word_set(
    """
    in since of until till by before after from during year early late mid circa about around ca
    spring summer autumn fall winter between to and january february march april may june july
    august september october november december
    """
)
_LISTED = word_set(
    """
    pages chapters options rooms steps items lines questions figures numbers sections parts days
    weeks levels episodes seasons tables verses rows columns exercises units grades rules versions
    sizes ages channels gates articles tasks paragraphs
    """
)
_CLAUSE = re.compile(r"(\d{3})\(([a-z])(?:\)\((\d))?")  # "401(k)", "501(c)(3)"
_WIFI = re.compile(r"802\.11([a-z]{0,2})")
_VERSIONED = _LISTED | word_set(
    "windows iphone ios ipad android macos python java playstation galaxy pixel type year"
)
_FOLLOWING = re.compile(r"(\d{1,2})/(\d{1,2})")
_SHARES = re.compile(r"(\d0)[/-](\d0)")
_RATING = re.compile(r"([2-9]|[1-9]\d+)/(\d+)")


def read_idiom(cursor: WordCursor) -> Reading | None:
    """Numbers that are said in their own way: "24/7", "the 7-11 store"."""
    core = normalise_dashes(cursor.word.core)
    if said := _IDIOMS.get(core) or _say_shares(core):
        return Reading(said)
    if match := _WIFI.fullmatch(core):
        return Reading(f"eight oh two point eleven {' '.join(match[1].upper())}".strip())
    if reading := _read_versions(cursor, core):
        return reading
    if match := _CLAUSE.fullmatch(core):
        letters = " ".join(filter(None, (match[2].upper(), match[3] and whole_number(match[3]))))
        return Reading(f"{digit_pairs(match[1])} {letters}", trail=cursor.word.trail[1:])
    if core == "7-11":
        is_shop = cursor.previous().core.lower() in ("the", "a", "at", "to")
        if is_shop or cursor.peek().core.lower().startswith("store"):
            return Reading("seven eleven")
    return None


def _read_versions(cursor: WordCursor, core: str) -> Reading | None:
    """Reads "ten, eleven" in "Windows 10/11"."""
    match = _FOLLOWING.fullmatch(core)
    if not match or int(match[2]) != int(match[1]) + 1:
        return None
    if cursor.previous().core.lower() not in _VERSIONED:
        return None
    return Reading(f"{cardinal(int(match[1]))}, {cardinal(int(match[2]))}")


def _say_shares(core: str) -> str | None:
    """Says "sixty forty" for two shares of a hundred."""
    match = _SHARES.fullmatch(core)
    if not match or int(match[1]) + int(match[2]) != 100:
        return None
    return f"{cardinal(int(match[1]))} {cardinal(int(match[2]))}"


def read_plain(figure: Figure) -> Reading | None:
    """A number, a list or a range without anything else than marks before it."""
    amount = figure.amount
    if amount.suffix in ("+", "x", "X"):
        name = "plus" if amount.suffix == "+" else "x"
        return Reading(f"{amount.say_leads()}{amount.say_numbers()} {name}", figure.count)
    if amount.suffix:
        return _read_suffix(figure)
    leads = amount.say_leads()
    if amount.high:
        said = _say_range(figure)
        return Reading(leads + said, figure.count) if said else None
    if "," in amount.low and _is_list(figure):
        return Reading(_say_list(amount.low), figure.count)
    if re.fullmatch(r"[12]\d{3}", amount.low) and not leads:
        return Reading(_say_four_digits(figure), figure.count)
    if (rating := _RATING.fullmatch(amount.low)) and (rating[1] == rating[2] or rating[2] == "10"):
        return Reading(
            leads + f"{say_number(rating[1])} out of {say_number(rating[2])}", figure.count
        )
    if figure.cursor.word.lead[-1:] in ("'", "’", "‘") and _is_short_year(figure):
        return Reading(("oh " if amount.low[0] == "0" else "") + cardinal(int(amount.low)))
    return Reading(leads + (say_number(amount.low) or ""), figure.count)


def _is_short_year(figure: Figure) -> bool:
    """Whether it is "'69", and no quotation."""
    return (
        figure.amount.low.isdigit() and len(figure.amount.low) == 2 and figure.last.trail[:1] != "'"
    )


def _read_suffix(figure: Figure) -> Reading | None:
    """Reads "1984's", "5/day", "1990-present", "1.5M views"."""
    amount, suffix = figure.amount, figure.amount.suffix
    if amount.high:
        return _read_large_range(figure)
    is_year = re.fullmatch(r"[12]\d{3}", amount.low)
    said = year(int(amount.low)) if is_year else amount.say_leads() + amount.say_numbers()
    if suffix in ("'s", "’s"):
        return Reading(said + "'s", figure.count)
    if suffix[0] == "-" and suffix[1:] in SINCE:
        return Reading(f"{said} to {suffix[1:]}", figure.count)
    if match := re.fullmatch(r"/([A-Za-z]{2,})", suffix):
        return Reading(f"{said} per {match[1]}", figure.count)
    if match := re.fullmatch(r"/(\d{1,3})", suffix):
        return Reading(f"{said} out of {whole_number(match[1])}", figure.count)
    name, plus = suffix.rstrip("+"), " plus" if suffix[-1] == "+" else ""
    is_large = name in ("M", "B") and (plus or "." in amount.low)
    if name in _MAGNITUDES and (is_large or is_counted(figure.next().core)):
        return Reading(f"{said} {_MAGNITUDES[name]}{plus}", figure.count)
    return None


def _read_large_range(figure: Figure) -> Reading | None:
    """Reads "10k-20k", "10-20k"."""
    amount = figure.amount
    if amount.suffix not in ("k", "K", "M", "B") or amount.low_suffix not in ("", amount.suffix):
        return None
    is_name = not is_counted(figure.next().core)
    name = amount.suffix.upper() if is_name else _MAGNITUDES[amount.suffix]
    return Reading(f"{amount.say_leads()}{amount.say_numbers()} {name}", figure.count)


def _is_list(figure: Figure) -> bool:
    low = figure.amount.low
    if not re.fullmatch(r"\d+(?:,\d+)+", low):
        return False
    if figure.cursor.previous().core.lower() in _LISTED:
        return len(low.partition(",")[2]) != 3 or low.count(",") > 1
    parts = split_decimal(low)
    if parts and not parts[1]:
        return False  # grouped
    if figure.last.trail not in ("", ","):
        return False
    return figure.cursor.peek(figure.count).core.lower() in ("or", "and", "&")


def _say_list(text: str) -> str:
    return ", ".join(whole_number(part) for part in text.split(","))


def _say_four_digits(figure: Figure) -> str:
    """A year, unless the number counts something."""
    number = int(figure.amount.low)
    before = figure.cursor.previous().core.lower()
    is_asked = before in _YEAR_CUES
    if number < 1100 and not is_asked:
        return cardinal(number)
    if figure.next().core in ("hours", "hrs"):
        return year(number)
    if number % 100 and not is_asked and is_counted(figure.next().core):
        return cardinal(number)
    return year(number)


def _say_range(figure: Figure) -> str | None:
    amount = figure.amount
    text = f"{amount.low}-{amount.high}"
    if amount.low_suffix:
        return None
    if amount.low == amount.high and figure.cursor.previous().core.lower() in HOURS_CUES:
        return f"{say_number(amount.low)} to {say_number(amount.high)}"
    if re.fullmatch(r"[12]\d{3}-(?:\d\d|[12]\d{3})", text):
        return say_years(text)
    if "," in text and figure.cursor.previous().core.lower() in _LISTED:
        return ", ".join(
            " to ".join(whole_number(n) for n in part.split("-")) for part in text.split(",")
        )
    is_named = amount.is_descending and len(amount.low) > 2 and text.replace("-", "").isdigit()
    if is_named or (re.fullmatch(r"\d{3}-\d{3}", text) and is_model(figure.cursor)):
        return f"{digit_pairs(amount.low)} {digit_pairs(amount.high)}"
    return amount.say_numbers()
