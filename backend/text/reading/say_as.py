"""Reads a text as SSML's `say-as` asks for, in English. Pure.

The kinds and formats are those of the W3C's note "SSML 1.0 say-as attribute values" and of the
dialects that vendors share (`spell-out`, `digits`, `fraction`, `unit`, `verbatim`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from unicodedata import normalize

from backend.text.reading.english import ENGLISH
from backend.text.reading.english.numbers.number_words import (
    LARGEST,
    cardinal,
    decimal,
    ordinal,
    spell_digits,
    whole_number,
    year,
)
from backend.text.reading.sentence_reader import SentenceReader

_SIGNS = {
    "-": "dash",
    "–": "dash",
    "_": "underscore",
    ".": "dot",
    "/": "slash",
    "\\": "backslash",
    "@": "at",
    "#": "hash",
    "&": "and",
    "+": "plus",
    "=": "equals",
    "*": "star",
    "~": "tilde",
    "%": "percent",
    "$": "dollar",
    "€": "euro",
    "£": "pound",
    ":": "colon",
    ";": "semicolon",
    "!": "exclamation mark",
    "?": "question mark",
    "'": "apostrophe",
    '"': "quote",
    "^": "caret",
    "|": "bar",
    "<": "less than",
    ">": "greater than",
}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_NUMBER = re.compile(r"([+-]?)(\d{1,60}|\d{1,3}(?:[,_ ]\d{3}){1,20})?(?:\.(\d{1,60}))?", re.ASCII)
_ORDINAL = re.compile(r"(\d{1,15})(?:st|nd|rd|th)?", re.ASCII | re.IGNORECASE)
_FRACTION = re.compile(r"(?:(\d{1,9})[+ ])?(\d{1,9})/(\d{1,9})", re.ASCII)
_DURATION = re.compile(r"(?:(\d{1,4})')?(?:(\d{1,4})(?:\"|''))?", re.ASCII)
_FIELDS = re.compile(r"\d+", re.ASCII)
_EXTENSION = re.compile(r"\s*(?:ext|x)\.?\s*(?=\d)", re.IGNORECASE)

Reader = Callable[[str, str], str | None]


def read_as(text: str, interpret_as: str, form: str = "") -> str:
    """What is said for `text`, a masked text without fillers. Of an unknown kind, or a text that
    is not of the kind, what would be said without it.
    """
    text = " ".join(text.split())
    read = _READERS.get(interpret_as)
    said = read(text, form) if read else None
    return _read_plain(text) if said is None else said


def _read_plain(text: str) -> str:
    reader = SentenceReader(ENGLISH)
    reader.push_text(text)
    reader.end_text()
    return " ".join(word.spoken for word in reader.words if word.spoken)


def _read_characters(text: str, form: str) -> str:
    """Letters, digits and signs by name; a pause where a space is."""
    groups = []
    for word in text.split():
        names = [_name_character(c) for c in normalize("NFKD", word)]
        groups.append(" ".join(name for name in names if name))
    return ", ".join(group for group in groups if group)


def _name_character(character: str) -> str:
    if character in "0123456789":
        return spell_digits(character)
    return character.upper() if character.isalpha() else _SIGNS.get(character, "")


def _read_digits(text: str, form: str) -> str | None:
    """Each digit; a pause between groups."""
    groups = _FIELDS.findall(text)
    return ", ".join(map(spell_digits, groups)) if groups else None


def _read_telephone(text: str, form: str) -> str | None:
    number, *extension = _EXTENSION.split(text, maxsplit=1)
    digits = _read_digits(number, form)
    if digits is None:
        return None
    plus = "plus " if number.lstrip(" (").startswith("+") else ""
    rest = f", extension {_read_digits(extension[0], form)}" if extension else ""
    return plus + digits + rest


def _read_number(text: str, form: str) -> str | None:
    if form and form != "cardinal" and form in _READERS:
        return _READERS[form](text, "")
    match = _NUMBER.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return None
    whole = re.sub(r"\D", "", match[2] or "")
    said = decimal(whole, match[3]) if match[3] else whole_number(whole)
    return f"minus {said}" if match[1] == "-" else said


def _read_ordinal(text: str, form: str) -> str | None:
    match = _ORDINAL.fullmatch(text.replace(",", ""))
    return ordinal(int(match[1])) if match and int(match[1]) <= LARGEST else None


def _read_fraction(text: str, form: str) -> str | None:
    match = _FRACTION.fullmatch(text)
    if match is None or int(match[3]) == 0:
        return None
    above, below = int(match[2]), int(match[3])
    name = {1: "over one", 2: "half", 4: "quarter"}.get(below) or ordinal(below)
    if above != 1 and below > 1:
        name = "halves" if below == 2 else f"{name}s"
    whole = f"{cardinal(int(match[1]))} and " if match[1] else ""
    return f"{whole}{cardinal(above)} {name}"


def _read_time(text: str, form: str) -> str | None:
    """`1'21"` is a duration; others are read as they are written."""
    match = _DURATION.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        return None
    parts = [(match[1], "minute"), (match[2], "second")]
    return " ".join(_count(int(number), unit) for number, unit in parts if number)


def _count(number: int, unit: str) -> str:
    return f"{cardinal(number)} {unit}{'' if number == 1 else 's'}"


def _read_date(text: str, form: str) -> str | None:
    """By its format, such as "dmy" or "yyyymmdd"; None without one."""
    order = re.sub(r"(.)\1+", r"\1", form)
    fields = _FIELDS.findall(text)
    if len(fields) == 1 and len(order) > 1:
        fields = _split_fields(fields[0], order)
    if not order or len(fields) != len(order) or not set(order) <= set("dmy"):
        return None
    values = dict(zip(order, map(int, fields), strict=True))
    if not 1 <= values.get("m", 1) <= 12 or not 1 <= values.get("d", 1) <= 31:
        return None
    return _say_date(values)


def _split_fields(digits: str, order: str) -> list[str]:
    fields, at = [], 0
    for field in order:
        size = 4 if field == "y" and len(digits) != 2 * len(order) else 2
        fields.append(digits[at : at + size])
        at += size
    return fields if all(fields) and at == len(digits) else []


def _say_date(values: Mapping[str, int]) -> str:
    month = _MONTHS[values["m"] - 1] if "m" in values else ""
    day = ordinal(values["d"]) if "d" in values else ""
    said = " ".join(part for part in (month, day) if part)
    if "y" not in values:
        return said
    number = values["y"] + (2000 if values["y"] < 70 else 1900 if values["y"] < 100 else 0)
    return f"{said}, {year(number)}" if day else f"{said} {year(number)}".strip()


def _read_currency(text: str, form: str) -> str | None:
    """A bare number is of the currency `form` ("usd")."""
    is_code = len(form) == 3 and form.isalpha()
    return _read_plain(f"{form.upper()} {text}") if is_code and text[:1].isdigit() else None


def _read_bleep(text: str, form: str) -> str:
    return "bleep"


_READERS: Mapping[str, Reader] = {
    **dict.fromkeys(("characters", "spell-out", "verbatim", "letters"), _read_characters),
    **dict.fromkeys(("digits", "number_digit"), _read_digits),
    **dict.fromkeys(("cardinal", "number"), _read_number),
    **dict.fromkeys(("expletive", "bleep"), _read_bleep),
    "ordinal": _read_ordinal,
    "telephone": _read_telephone,
    "fraction": _read_fraction,
    "time": _read_time,
    "date": _read_date,
    "currency": _read_currency,
}
