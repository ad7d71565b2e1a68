"""Reads operators and expressions: "5 - 3", "10-3=7", "x²", "≥". Pure."""

from __future__ import annotations

import re
import unicodedata

from backend.text.reading.english.numbers.dashes import DASHES, RESULTS, is_numeric, read_dash
from backend.text.reading.english.numbers.number_forms import say_number
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor

OPERATORS = {
    "=": "equals",
    "==": "equals",
    "===": "equals",
    ":=": "equals",
    "≡": "is identical to",
    "!=": "is not equal to",
    "!==": "is not equal to",
    "≠": "is not equal to",
    ">=": "greater than or equal to",
    "≥": "greater than or equal to",
    "⩾": "greater than or equal to",
    "<=": "less than or equal to",
    "≤": "less than or equal to",
    "⩽": "less than or equal to",
    "<": "less than",
    ">": "greater than",
    "≪": "much less than",
    "≫": "much greater than",
    "+": "plus",
    "−": "minus",
    "⋅": "times",
    "∙": "times",
    "·": "times",
    "÷": "divided by",
    "±": "plus or minus",
    "∓": "minus or plus",
    "+/-": "plus or minus",
    "~": "about",
    "≈": "about",
    "∼": "about",
    "∝": "proportional to",
    "->": "to",
    "→": "to",
    "=>": "to",
    "⇒": "to",
    "-->": "to",
    "^": "to the power of",
    "√": "square root of",
    "∞": "infinity",
    "∑": "sum",
    "∫": "integral",
    "∂": "partial",
    "∆": "delta",
    "∈": "in",
    "∀": "for all",
    "∃": "there exists",
    "∠": "angle",
    "∪": "union",
    "∩": "intersection",
    "%": "percent",
    "°": "degrees",
    "§": "section",
    "§§": "sections",
    "¶": "paragraph",
    "&": "and",
    "@": "at",
    "№": "number",
}
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_SUBSCRIPT = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_TOKEN = re.compile(
    r"(?P<number>\d+(?:[.,]\d+)*)|(?P<letters>[A-Za-z]+)|(?P<greek>[Α-Ωα-ωϑϕ∆µ])"
    r"|\^\{?(?P<power>-?\w{1,9})\}?|(?P<superscript>[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ]+)|(?P<subscript>[₀-₉]+)"
    r"|(?P<operator>===?|!=|<=|>=|=>|->|[=<>≤≥≠≈±+×÷*/·⋅∙√∞∀∃∠∈∑−-])|(?P<bracket>[()])"
)
_HINT = re.compile(
    r"[=×÷*^√∞∀∃∠≠≤≥≈±−⁰¹²³⁴-⁹ⁿ₀-₉⋅·]|(?<=[\w)])[+<>](?=[\w(])|[Ͱ-Ͽ][A-Za-z]|[A-Za-z\d][πθφω]"
)
_STRONG = re.compile(r"[=×÷^√∞≠≤≥≈±−⁰¹²³⁴-⁹ⁿ₀-₉]|(?<![A-Za-z])[a-z]?[*+<>]|[Ͱ-Ͽ]")
_NOTE = re.compile(r"[A-Za-z]?[a-z]{3,}[⁰¹²³⁴-⁹]+")  # the mark of a footnote
_ADDRESS = re.compile(r"[?&@:\\\"#_|;{}\[\]]|//")
_SIGNED = re.compile(r"[−±≈≤≥×<>~-]*[\d.,½¼¾]+%?(?:[-–—][−-]?[\d.,]+%?)?")
_FUNCTIONS = word_set("sin cos tan log exp lim max min det mod")
_POWERS = {"2": "squared", "3": "cubed"}


def read_operator(cursor: WordCursor) -> Reading | None:
    """An operator that is a word of its own."""
    core = cursor.word.core
    if core in DASHES:
        return read_dash(cursor)
    if core in ("x", "X", "×", "*", "/", "#"):
        return _read_between(cursor, core)
    if (said := OPERATORS.get(core)) is None:
        return _read_greek(core)
    if said.startswith("is ") and cursor.previous().core.lower() in ("is", "are", "was"):
        said = said[3:]
    return Reading(said)


def _read_greek(core: str) -> Reading | None:
    said = say_greek(core)
    return Reading(said) if said else None


def say_greek(letter: str) -> str:
    """The name of a Greek letter; empty for other text."""
    if len(letter) != 1 or not "Ͱ" <= letter <= "Ͽ":
        return ""
    name = unicodedata.name(letter, "").replace(" WITH TONOS", "").split()
    return name[-1].lower().replace("lamda", "lambda") if name else ""


def _read_between(cursor: WordCursor, mark: str) -> Reading | None:
    """Reads "x", "*", "/" between numbers, "#" before one."""
    before = cursor.previous()
    is_left = any(c.isdigit() for c in before.core) or before.core in ("cm", "m", "mm", "in", "ft")
    is_letter = mark in "*/" and len(before.core) == 1
    if mark != "#" and (before.trail not in ("", ")", '"', "'") or not (is_left or is_letter)):
        return None
    following = cursor.peek()
    if not is_numeric(following) and not (mark in "*/" and len(following.core) == 1):
        return None
    if mark == "#":
        return Reading("number")
    is_long = len(before.core) > 2 and len(following.core) > 2
    if mark in "xX" and re.search(r"[\^⁰¹²³⁴-⁹⁻]", following.core):
        return Reading("times")
    if mark == "×":
        is_size = (is_long and before.core.isdigit()) or (before.core.isalpha() and is_left)
        return Reading("by" if is_size else "times")
    if mark == "/":
        return Reading("divided by")
    if mark == "*" or (not following.trail and cursor.peek(2).core in RESULTS):
        return Reading("times")
    return Reading("by")


def read_expression(cursor: WordCursor) -> Reading | None:
    """A word that is an expression: "10-3=7", "x²", "key=value", "H₂O"."""
    core = cursor.word.core
    if len(core) > 60 or not _HINT.search(core) or _ADDRESS.search(core):
        return None
    if core[0].isalpha() and (not _STRONG.search(core) or _NOTE.fullmatch(core)):
        return None
    if (
        _SIGNED.fullmatch(core)
        or core[-1] in "+=*"
        or (core[0].isdigit() and not _is_calculation(core))
    ):
        return None
    said = say_expression(core)
    return Reading(said) if said else None


def _is_calculation(core: str) -> bool:
    """Not a range with a real minus sign ("10−20%") nor a number with a unit ("5m²")."""
    if re.fullmatch(r"\d{3,}(?:×\d{3,})+", core):
        return False
    if re.search(r"[=×÷*^√≠≤≥≈±+⋅·⁻⁴-⁹<>πθφω]", core):
        return not re.fullmatch(r"[\d.,]+[A-Za-zµΩ/]+\^?-?\d?", core)
    return bool(re.fullmatch(r"[\d.,]+(?:−[\d.,]+)+|[\d.,]+[²³]", core))


def say_expression(text: str) -> str | None:
    """An expression in words; None if it has other marks."""
    said: list[str] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            return None
        said.append(_say_token(match))
        at = match.end()
    return " ".join(word for word in said if word)


def _say_token(match: re.Match[str]) -> str:
    token, kind = match[0], match.lastgroup
    if kind == "number":
        return say_number(token) or ""
    if kind == "letters":
        return _say_letters(token)
    if kind == "greek":
        return say_greek(token)
    if kind == "power":
        return _say_power(match["power"])
    if kind == "superscript":
        return _say_power(token.translate(_SUPERSCRIPT))
    if kind == "subscript":
        return say_number(token.translate(_SUBSCRIPT)) or ""
    if kind == "bracket":
        return ""
    return {"-": "minus", "*": "times", "/": "over"}.get(token) or OPERATORS.get(token, "times")


def _say_power(power: str) -> str:
    if power in _POWERS:
        return _POWERS[power]
    sign = "minus " if power.startswith("-") else ""
    digits = re.sub(r"\W", "", power)
    if not digits:
        return ""
    said = say_number(digits) if digits.isdigit() and digits.isascii() else _say_letters(digits)
    return f"to the power of {sign}{said}"


def _say_letters(letters: str) -> str:
    if letters in _FUNCTIONS or (len(letters) > 2 and not letters.isupper()):
        return letters
    return " ".join(letters.upper())
