"""Reads feet, inches and angles that are written with primes or quotation marks. Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.figure import normalise_dashes
from backend.text.reading.english.numbers.number_forms import VULGAR, say_number
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor

_PRIME = re.compile(r"(\d+(?:\.\d+)?)['’′](?:-?(\d{1,2}(?:\.\d+)?)(?:″|''|”)?)?")
_BEFORE_PRIME = re.compile(
    rf"\d{{1,3}}(?:\.\d+)?[{VULGAR}]?|[{VULGAR}]|\d{{1,2}}/\d{{1,2}}|\d{{1,2}}-\d{{1,2}}"
)
_SECOND_PRIME = re.compile(r"(\d+(?:\.\d+)?(?:-\d+(?:\.\d+)?)?)(?:″|'')")
_ANGLE = re.compile(r"(\d+)°(\d+)['’′](?:(\d+)[\"″”])?([NSEW]?)")
_SPEECH = word_set("he she they i we it said says asked and but")


def read_primes(cursor: WordCursor) -> Reading | None:
    """Feet, inches and angles, as in "6′2″" and "40°26′46″", with ASCII marks as well."""
    word = cursor.word
    core, mark = word.core, word.trail[:1]
    if match := _ANGLE.fullmatch(core):
        return _read_angle(match)
    if match := _PRIME.fullmatch(core):
        trail = word.trail[1:] if match[2] and mark in ('"', "”") else word.trail
        return _say_feet(cursor, match[1], match[2], trail)
    if match := _SECOND_PRIME.fullmatch(normalise_dashes(core)):
        return _say_inches(cursor, match[1], word.trail)
    if mark not in ('"', "”", "'", "’") or not _BEFORE_PRIME.fullmatch(core):
        return None
    if _is_quoted(cursor):
        return None
    if word.trail.startswith("''"):
        return _say_inches(cursor, core, word.trail[2:])
    if mark in ("'", "’"):
        return _say_feet(cursor, core, None, word.trail[1:])
    if cursor.peek().core.lower() in _SPEECH:
        return None
    return _say_inches(cursor, core, word.trail[1:])


def _is_quoted(cursor: WordCursor) -> bool:
    return bool(cursor.word.lead) or any(cursor.previous(back).lead for back in (1, 2, 3))


def _say_feet(cursor: WordCursor, feet: str, inches: str | None, trail: str) -> Reading:
    is_one = feet == "1" or (not inches and not trail and _is_attribute(cursor))
    said = f"{say_number(feet)} {'foot' if is_one else 'feet'}"
    if inches:
        said += f" {say_number(inches)} {'inch' if inches == '1' else 'inches'}"
    return Reading(said, trail=trail)


def _say_inches(cursor: WordCursor, text: str, trail: str) -> Reading:
    low, _, high = text.partition("-")
    said = f"{say_number(low)} to {say_number(high)}" if high else f"{say_number(low)}"
    is_one = text == "1" or (not trail and _is_attribute(cursor))
    return Reading(f"{said} {'inch' if is_one else 'inches'}", trail=trail)


def _is_attribute(cursor: WordCursor) -> bool:
    """Like `is_attribute` of the one word, whose trail is a mark of inches."""
    before = cursor.previous()
    if before.trail or before.core.lower() not in ("a", "an", "the", "this", "that", "my", "your"):
        return False
    return cursor.peek().core[:1].isalpha()


def _read_angle(match: re.Match[str]) -> Reading:
    said = f"{say_number(match[1])} degrees {say_number(match[2])} minutes"
    if match[3]:
        said += f" {say_number(match[3])} seconds"
    names = {"N": " north", "S": " south", "E": " east", "W": " west"}
    return Reading(said + names.get(match[4], ""))
