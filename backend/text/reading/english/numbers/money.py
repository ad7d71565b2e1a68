"""Reads amounts of money, with the sign or the code before or behind. Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.currencies import (
    CODES_NOT_BEFORE,
    Currency,
    find_currency,
)
from backend.text.reading.english.numbers.figure import (
    CURRENCY,
    Amount,
    Figure,
    find_figure,
    normalise_dashes,
    parse_amount,
    replace_currency,
)
from backend.text.reading.english.numbers.nouns import is_attribute
from backend.text.reading.english.numbers.number_forms import say_number, split_decimal
from backend.text.reading.english.numbers.number_words import cardinal
from backend.text.reading.english.numbers.units import find_unit
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import NO_WORD, WordCursor

_GLUED = {
    "k": "thousand",
    "m": "million",
    "mn": "million",
    "mm": "million",
    "mln": "million",
    "mio": "million",
    "mil": "million",
    "b": "billion",
    "bn": "billion",
    "bln": "billion",
    "t": "trillion",
    "tn": "trillion",
    "trn": "trillion",
    "cr": "crore",
}
_SPACED = ("bn", "mn", "mln", "mil", "m")  # those of them that may be words of their own
MAGNITUDES = word_set(
    """
    hundred thousand million billion trillion quadrillion lakh lakhs crore crores
    """
)
_SUFFIX = re.compile(r"([A-Za-z]{0,3})(\+?)(?:(['’]s)|(/)([^\W\d]+\.?[²³]?)|-([a-z-]+))?(\+?)")
_DOTTED = ("Fr", "kr")
_SIGN_ALONE = re.compile(CURRENCY)
_PER = {"mo": "month", "yr": "year", "wk": "week", "hr": "hour", "pp": "person"}


def read_leading_code(cursor: WordCursor) -> Reading | None:
    """A code or a sign that is a word of its own before the figure: "EUR 29,99", "Rs. 500"."""
    word = cursor.word
    name = word.core
    if (
        len(name) > 4
        or word.trail not in ("", ".")
        or (word.trail and name not in ("Rs", *_DOTTED))
    ):
        return None
    if (
        not (len(name) == 3 and name.isupper())
        and name not in _DOTTED
        and not _SIGN_ALONE.fullmatch(name)
    ):
        return None
    currency = None if name in CODES_NOT_BEFORE else find_currency(name)
    following = cursor.peek() if currency else NO_WORD
    if not currency or following.lead or following.core[:1] not in tuple("0123456789.-−–"):
        return None
    figure = find_figure(cursor, 1)
    if figure is None or figure.amount.currency:
        return None
    return _say_money(replace_currency(figure, name), currency)


def read_money(figure: Figure) -> Reading | None:
    """A figure with a currency at it or in the next word."""
    amount = figure.amount
    if amount.currency:
        currency = find_currency(amount.currency)
        return _say_money(figure, currency) if currency else None
    if amount.suffix:
        return _read_glued_behind(figure)
    following = figure.next()
    magnitude = ""
    ahead = figure.count
    if following.core in MAGNITUDES and not following.lead and not following.trail:
        magnitude, ahead = following.core, ahead + 1
        following = figure.cursor.peek(ahead)
    name, slash, unit = following.core.partition("/")
    currency = None if following.lead else _find_behind(name)
    if currency is None or (slash and not unit.rstrip("²³").isalpha()):
        return None
    said = amount.say_leads() + _say_amount(amount, currency, magnitude)
    return Reading(said + (_say_per(unit) if slash else ""), ahead + 1)


def _find_behind(core: str) -> Currency | None:
    if core in ("Rs", "Ft", "Fr") or not core:
        return None
    return find_currency(core) if len(core) <= 3 else None


def _read_glued_behind(figure: Figure) -> Reading | None:
    """Reads "5€", "29,99€", "100USD", "5k€", "10€/kg"."""
    match = re.fullmatch(
        r"(k|m|bn|mn)?([$£€¥₹₽₿¢₩₺₴₦₫₪₱฿]|[A-Z]{3}|zł|Kč|kr)(/[a-z]+)?", figure.amount.suffix
    )
    currency = find_currency(match[2]) if match else None
    if not match or not currency:
        return None
    said = figure.amount.say_leads() + _say_amount(
        figure.amount, currency, _GLUED.get(match[1] or "", "")
    )
    return Reading(said + _say_per(match[3]), figure.count)


def _say_money(figure: Figure, currency: Currency) -> Reading | None:
    amount = figure.amount
    match = _SUFFIX.fullmatch(amount.suffix)
    if match and (behind := _find_behind(match[1])) and match[1].isupper():
        return Reading(amount.say_leads() + _say_amount(amount, behind, ""), figure.count)
    magnitude = _GLUED.get(match[1].lower(), "") if match else ""
    if not match or (match[1] and not magnitude):
        return None
    if match[6] in MAGNITUDES:
        magnitude = match[6]
    count, following = figure.count, figure.next()
    if not amount.suffix and (reading := _read_long_range(figure, currency)):
        return reading
    if not amount.suffix and not following.lead:
        name = following.core.removesuffix("'s")
        if name in MAGNITUDES or name in _SPACED:
            magnitude, count = _GLUED.get(name, name), count + 1
        elif following.core.isupper() and (behind := _find_behind(following.core)):
            currency, count = behind, count + 1
    said = _say_amount(amount, currency, magnitude, is_one=_is_attribute(figure, count))
    if match[2] or match[7]:
        said += " plus"
    if match[6] and match[6] not in MAGNITUDES:
        said += " " + match[6].replace("-", " ")
    return Reading(amount.say_leads() + said + _say_per(match[5]), count)


def _read_long_range(figure: Figure, currency: Currency) -> Reading | None:
    """Reads "$3 billion-$4 billion"."""
    low, dash, rest = normalise_dashes(figure.next().core).partition("-")
    second = parse_amount(rest) if dash and low in MAGNITUDES else None
    if second is None or second.suffix or second.high:
        return None
    magnitude = figure.cursor.peek(figure.count + 1).core
    count = figure.count + (2 if magnitude in MAGNITUDES else 1)
    magnitude = magnitude if magnitude in MAGNITUDES else ""
    first = figure.amount.say_leads() + figure.amount.say_numbers()
    return Reading(f"{first} {low} to {_say_amount(second, currency, magnitude)}", count)


def _is_attribute(figure: Figure, count: int) -> bool:
    return is_attribute(figure.cursor, count)


def _say_per(unit: str | None) -> str:
    if not unit:
        return ""
    symbol = unit.strip("/.")
    if symbol == "ea":
        return " each"
    known = find_unit(symbol)
    return f" per {_PER.get(symbol) or (known.one if known else symbol)}"


def _say_amount(amount: Amount, currency: Currency, magnitude: str, *, is_one: bool = False) -> str:
    """The numbers and the name of the currency; `is_one`: in the singular whatever the number."""
    if amount.high:
        low_magnitude = _GLUED.get(amount.low_suffix.lower(), "")
        low = say_number(amount.low) or ""
        high = say_number(amount.high.lstrip("-")) or ""
        low = f"{low} {low_magnitude}" if low_magnitude else low
        return f"{low} to {high} {magnitude} {currency.many}"
    is_continental = currency.one == "euro" and amount.currency not in ("€",)
    parts = split_decimal(amount.low, is_grouped=is_continental)
    if parts and parts[1] and not magnitude and currency.minor and len(parts[1]) <= 2:
        return _say_minor(int(parts[0] or 0), int(parts[1].ljust(2, "0")), currency)
    if parts and not parts[1]:
        number = cardinal(int(parts[0])) if len(parts[0]) < 300 else say_number(parts[0]) or ""
    else:
        number = say_number(amount.low) or ""
    is_single = is_one or (parts is not None and parts[0] == "1" and not parts[1] and not magnitude)
    return f"{number} {magnitude} {currency.one if is_single else currency.many}"


def _say_minor(whole: int, hundredths: int, currency: Currency) -> str:
    one, many = currency.minor or ("", "")
    cents = f"{cardinal(hundredths)} {one if hundredths == 1 else many}"
    if not whole and hundredths:
        return cents
    units = f"{cardinal(whole)} {currency.one if whole == 1 else currency.many}"
    return f"{units} and {cents}" if hundredths else units
