"""Names of units by their symbols; those with SI prefixes are built, not listed. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from backend.text.reading.english.numbers.unit_symbols import OTHERS, PREFIXED, PREFIXES
from backend.text.reading.english.word_sets import word_set

_NOT_UNITS = word_set(
    """
    am pm as das has at dad Ms Es PB. fs hs ms. Em cat pas ad PF MA MH mad
    """
)
_SMALL = word_set("A T F K N V t l L")
_LARGE = word_set("B b bit byte bits Hz J W Wh g eV Pa bps Bps")
_UNCHANGED = word_set(
    """
    hertz lux kelvin percent horsepower mille thousand mercury dozen siemens old
    """
)
_IRREGULAR = {"foot": "feet", "inch": "inches", "henry": "henries"}
_POWERS = {"²": "square", "^2": "square", "2": "square", "³": "cubic", "^3": "cubic", "3": "cubic"}
_POWER = re.compile(r"(.+?)(\^[23]|[²³23])")
_UNIT = re.compile(r"[^\W\d_]|[°º%‰‱℃℉]")


@dataclass(frozen=True, slots=True)
class Unit:
    """Its names in the singular and the plural."""

    one: str
    many: str


@lru_cache(2048)
def find_unit(symbol: str) -> Unit | None:
    """The unit of a symbol such as "km", "m/s²", "kWh", "l/100km"; None if it is not known."""
    if not symbol or len(symbol) > 16 or not _UNIT.match(symbol):
        return None
    one = _name_ratio(symbol)
    if symbol == "bit":
        return Unit("bit", "bit")  # "64bit"
    return Unit(one, _pluralise(one)) if one else None


def _name_ratio(symbol: str) -> str | None:
    if name := OTHERS.get(symbol):
        return name
    above, slash, below = symbol.partition("/")
    top = _name_product(above)
    if not slash or not top:
        return top
    if match := re.fullmatch(r"(100)(\D+)", below):
        bottom = _name_product(match[2])
        return f"{top} per one hundred {_pluralise(bottom)}" if bottom else None
    bottom = _name_product(below)
    if not bottom:
        bottom = below if below.isalpha() and len(below) > 2 else None
    return f"{top} per {bottom}" if bottom else None


def _name_product(symbol: str) -> str | None:
    parts = re.split(r"[·⋅*]", symbol)
    names = [_name_power(part) for part in parts if part]
    return " ".join(name for name in names if name) if all(names) and names else None


def _name_power(symbol: str) -> str | None:
    if name := _name_plain(symbol):
        return name
    if match := _POWER.fullmatch(symbol):
        base = _name_plain(match[1])
        if base == "second":
            return f"second {'squared' if '2' in match[2] or '²' in match[2] else 'cubed'}"
        return f"{_POWERS[match[2]]} {base}" if base else None
    return None


def _name_plain(symbol: str) -> str | None:
    if symbol in _NOT_UNITS:
        return None
    if name := OTHERS.get(symbol) or PREFIXED.get(symbol):
        return name
    for size in (1, 2):
        prefix, base = PREFIXES.get(symbol[:size]), PREFIXED.get(symbol[size:])
        if prefix and base and _fits(symbol[:size], symbol[size:]):
            return f"{prefix} ohm" if base == "ohm" else prefix + base
    return None


def _fits(prefix: str, base: str) -> bool:
    """Whether they make a unit that is in use: "TV", "GT" and "Elm" are words."""
    if base in _SMALL:
        return prefix.islower()
    return prefix not in "QRYZE" or base in _LARGE


def _pluralise(name: str) -> str:
    head, per, rest = name.partition(" per ")
    words = head.split()
    if words[0] == "degree":
        words[0] = "degrees"
    elif "of" in words or (words[-1] not in _UNCHANGED and not words[-1].isupper()):
        at = words.index("of") - 1 if "of" in words else -1
        words[at] = _IRREGULAR.get(words[at]) or (
            words[at] if words[at].endswith("hertz") else words[at] + "s"
        )
    return " ".join(words) + per + rest
