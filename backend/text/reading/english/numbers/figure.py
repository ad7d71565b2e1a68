"""Written words with digits, taken apart: marks, currency, numbers, what is glued. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from backend.text.reading.english.numbers.number_forms import (
    NUMBER,
    VULGAR,
    number_value,
    say_number,
)
from backend.text.reading.written_words import NO_WORD, WordCursor, WrittenWord

CURRENCY = r"(?:[A-Z]{0,3}[$£€¥₹₽₿¢₩₺₴₦₫₪₱฿₡₲₵₸₮₭৳₾]|Rs\.?|[A-Z]{3}(?=\d))"
HOURS_CUES = frozenset(["open", "opens", "from", "hours", "daily", "weekdays", "weekends"])
"""Words before a range of hours, whatever its numbers: "Open 7-7"."""
RELATIONS = {
    "<": "less than",
    ">": "greater than",
    "≤": "less than or equal to",
    "≥": "greater than or equal to",
    "<=": "less than or equal to",
    ">=": "greater than or equal to",
    "~": "about",
    "≈": "about",
    "±": "plus or minus",
    "+/-": "plus or minus",
    "+-": "plus or minus",
    "=": "equals",
    "@": "at",
    "#": "number",
    "№": "number",
    "§": "section",
    "§§": "sections",
    "×": "times",
    "+": "plus",
    "-": "minus",
}
"""What is said for a mark before a number."""

_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−﹣－", "-"))
_LEAD = re.compile(r"\+/-|\+-|<=|>=|§§|[<>≤≥~≈±=@#№§×+-]")
_CURRENCY = re.compile(CURRENCY)
_NUMBER = re.compile(NUMBER)
_RANGE = re.compile(rf"([^\d-]{{0,12}}[²³]?)-({CURRENCY})?(-?{NUMBER})(.*)", re.DOTALL)
_NO_CENTS = re.compile(r"[.,]-+|/-")
_GROUP_HEAD = re.compile(r"[^\w\s]*[1-9]\d{0,2}")
_GROUP = re.compile(r"\d{3}(?!\d)")
_MOST_GROUPS = 7
_MIXED = re.compile(r"[1-9]/\d{1,2}(?!\d)")


@dataclass(frozen=True, slots=True)
class Amount:
    """A word with one number or a range.

    "≤-$10k-$15k" is (("≤", "-"), "$", "10", "k", "15", "k"). `high` is empty without a range.
    """

    leads: tuple[str, ...]
    currency: str
    low: str
    low_suffix: str
    high: str
    suffix: str

    def say_leads(self) -> str:
        """The marks before the number in words, with a space behind."""
        return "".join(f"{RELATIONS[lead]} " for lead in self.leads)

    def say_numbers(self) -> str:
        """The number or the range in words, without leads, currency and suffixes."""
        low = say_number(self.low) or ""
        if not self.high:
            return low
        sign = "minus " if self.high.startswith("-") else ""
        high = say_number(self.high.lstrip("-")) or ""
        return f"{low} {'' if self.low == self.high else 'to '}{sign}{high}"

    @property
    def is_descending(self) -> bool:
        """Whether the second number is smaller, so that this is hardly a range."""
        low, high = number_value(self.low), number_value(self.high.lstrip("-"))
        return bool(self.high) and low is not None and high is not None and high < low


@dataclass(frozen=True, slots=True)
class Figure:
    """An amount and the `count` written words that it takes, from the cursor's word on."""

    amount: Amount
    count: int
    cursor: WordCursor

    @property
    def last(self) -> WrittenWord:
        """Its last word."""
        return self.cursor.peek(self.count - 1)

    def next(self) -> WrittenWord:
        """The word behind; `NO_WORD` if a mark is between."""
        return NO_WORD if self.last.trail else self.cursor.peek(self.count)


def normalise_dashes(text: str) -> str:
    """`text` with every dash and minus sign as a hyphen."""
    return text if text.isascii() else text.translate(_DASHES)


@lru_cache(2048)
def parse_amount(text: str) -> Amount | None:
    """Take a word apart; None if no number is at its beginning, behind leads and a currency."""
    text = normalise_dashes(text)
    leads: list[str] = []
    at, currency = 0, ""
    while len(leads) < 3 and (match := _LEAD.match(text, at)):
        leads.append(match[0])
        at = match.end()
    if match := _CURRENCY.match(text, at):
        currency = match[0]
        at = match.end()
        if text[at : at + 1] == "-" and "-" not in leads:
            leads.append("-")
            at += 1
    number = _NUMBER.match(text, at)
    if not number or say_number(number[0]) is None:
        return None
    behind = _RANGE.fullmatch(text, number.end())
    if _NO_CENTS.fullmatch(text, number.end()):
        return Amount(tuple(leads), currency, number[0], "", "", "")
    if behind and say_number(behind[3].lstrip("-")) is not None:
        low_suffix, second, high, suffix = behind.groups()
        currency = currency or second or ""
        return Amount(tuple(leads), currency, number[0], low_suffix, high, suffix)
    return Amount(tuple(leads), currency, number[0], "", "", text[number.end() :])


def find_figure(cursor: WordCursor, at: int = 0) -> Figure | None:
    """The figure that begins `at` words ahead, over the words of "10 000" and "1 1/2"."""
    word = cursor.peek(at)
    text, count = word.core, at + 1
    if not text or (text[0].isalpha() and not _CURRENCY.match(text)):
        return None
    if not word.trail and _GROUP_HEAD.fullmatch(text):
        text, count = _join_words(cursor, text, count)
    amount = parse_amount(text)
    return Figure(amount, count, cursor) if amount else None


def _join_words(cursor: WordCursor, text: str, count: int) -> tuple[str, int]:
    following = cursor.peek(count)
    if not following.lead and _MIXED.match(following.core):
        return f"{text} {following.core}", count + 1
    if not following.lead and following.core in tuple(VULGAR):
        return text + following.core, count + 1
    while not following.lead and _GROUP.match(following.core) and count < _MOST_GROUPS:
        text, count = text + following.core, count + 1
        if following.trail or not following.core.isdigit():
            break
        following = cursor.peek(count)
    return text, count


def replace_currency(figure: Figure, currency: str) -> Figure:
    """The same figure with this currency."""
    return replace(figure, amount=replace(figure.amount, currency=currency))
