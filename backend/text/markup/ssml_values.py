"""The values of SSML's attributes. Pure.

Durations and percentages are as in SSML 1.1; the lengths of pauses of a strength, and the rates and
volumes that have names, are those of Azure's SSML reference.
"""

from __future__ import annotations

import re

from backend.text.markup.marks import LONGEST_PAUSE_MS

_STRENGTHS_MS = {"none": 0, "x-weak": 250, "weak": 500, "medium": 750, "strong": 1000}
_STRENGTHS_MS |= {"x-strong": 1250}
_RATES = {"x-slow": 0.5, "slow": 0.64, "medium": 1.0, "default": 1.0, "fast": 1.55, "x-fast": 2.0}
_VOLUMES = {"silent": 0.0, "x-soft": 0.35, "soft": 0.65, "medium": 1.0, "default": 1.0}
_VOLUMES |= {"loud": 1.35, "x-loud": 1.7}
_SLOWEST, _FASTEST, _LOUDEST = 0.5, 2.0, 2.0
_MOST_DB = 40.0  # either way

_DURATION = re.compile(r"\+?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s?(ms|s)", re.IGNORECASE)
_NUMBER = re.compile(r"([+-]?)(\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})\s?(%|dB)?", re.IGNORECASE)


def parse_break_ms(time: str, strength: str) -> int:
    """The length of a pause, at most `LONGEST_PAUSE_MS`; what cannot be read is "medium"."""
    if duration := _DURATION.fullmatch(time):
        ms = float(duration[1]) * (1 if duration[2].lower() == "ms" else 1000)
        return round(min(ms, LONGEST_PAUSE_MS))
    return _STRENGTHS_MS.get(strength.lower(), _STRENGTHS_MS["medium"])


def parse_rate(value: str, current: float) -> float:
    """The rate of a `prosody`: a name, a factor ("0.8", "80%") or change ("+20%") of `current`."""
    if value.lower() in _RATES:
        return _RATES[value.lower()]
    if (number := _NUMBER.fullmatch(value)) is None or (number[3] or "%") != "%":
        return current
    return clamp_rate(current * _as_factor(number, scale=100 if number[3] else 1))


def parse_volume(value: str, current: float) -> float:
    """The volume: a name, a level ("50" of 100), a change in per cent or in decibels."""
    if value.lower() in _VOLUMES:
        return _VOLUMES[value.lower()]
    if (number := _NUMBER.fullmatch(value)) is None:
        return current
    if number[3] and number[3] != "%":
        decibels = float(number[1] + number[2])
        return clamp_volume(current * 10 ** (max(-_MOST_DB, min(decibels, _MOST_DB)) / 20))
    return clamp_volume(current * _as_factor(number, scale=100))


def parse_ratio(value: str) -> float | None:
    """Cartesia's `ratio`; None if it is not a number."""
    number = _NUMBER.fullmatch(value)
    return float(number[2]) if number and number[1] != "-" and not number[3] else None


def clamp_rate(rate: float) -> float:
    """The nearest rate that is allowed."""
    return round(max(_SLOWEST, min(rate, _FASTEST)), 4)


def clamp_volume(volume: float) -> float:
    """The nearest volume that is allowed."""
    return round(max(0.0, min(volume, _LOUDEST)), 4)


def _as_factor(number: re.Match[str], scale: int) -> float:
    amount = float(number[2]) / scale
    return {"+": 1 + amount, "-": 1 - amount, "": amount}[number[1]]
