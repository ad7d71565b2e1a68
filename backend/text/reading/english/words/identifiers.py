"""Names made of letters, digits and marks: "GPT-4", "x86_64", parts of addresses. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from backend.text.reading.english.numbers.number_words import cardinal, spell_digits
from backend.text.reading.english.words.capitals import (
    add_ending,
    is_pronounceable,
    read_mixed,
    say_capitals,
    spell,
)
from backend.text.reading.english.words.respellings import CASUAL

_RUN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:\.\d+)+|\d+")
_NAME = re.compile(r"[A-Za-z]+(?:['’]s)?|\d")
_LETTERS_AND_DIGITS = re.compile(r"(?=.*[A-Za-z])(?=.*\d)[A-Za-z0-9]+(?:[-‐‑._][A-Za-z0-9]+)*")
_OFFSET = re.compile(r"(UTC|GMT)([+\-−–])(\d{1,2})(?::?(\d\d))?")
_TO = re.compile(r"([BCDFGP])2([BCFGP])")
_HEX = re.compile(r"(?=.*\d)(?=.*[a-f])[0-9a-f]{7,}|(?=.*\d)(?=.*[A-F])[0-9A-F]{7,}")
_LONGEST_SAID = 40  # characters of a run of letters that are said; the rest is silent

# Parts of names in small letters that are not said as they are written.
_SMALL = {
    "py": "pie",
    "js": "J S",
    "ts": "T S",
    "md": "M D",
    "usr": "user",
    "etc": "etsy",
    "src": "source",
    "lib": "lib",
    "env": "env",
    "utf": "U T F",
    "sha": "sha",
    "io": "I O",
    "ai": "A I",
    "ui": "U I",
    "id": "I D",
    "api": "A P I",
    "url": "U R L",
    "uk": "U K",
    "us": "U S",
    "eu": "E U",
    "tv": "T V",
    "exe": "E X E",
    "ios": "I O S",
    "iso": "I S O",
    "json": "Jason",
    "yaml": "yammel",
    "toml": "tommel",
    "sql": "sequel",
    "jpeg": "jay peg",
    "jpg": "jay peg",
    "readme": "read me",
    "ipv": "I P V",
    "usb": "U S B",
    "ascii": "askey",
    "gui": "gooey",
    "dev": "dev",
    "tmp": "temp",
    "cfg": "config",
    "www": "W W W",
    "stdin": "standard in",
    "stdout": "standard out",
    "stderr": "standard error",
}


@lru_cache(2048)
def say_run(run: str) -> str:
    """A run of letters, of digits or a decimal number, out of context."""
    if run[0].isdecimal():
        return say_digits(run)
    if len(run) > _LONGEST_SAID:
        run = run[:_LONGEST_SAID]
    if (small := _SMALL.get(run)) is not None:
        return small
    if len(run) == 1:
        return run.upper()
    if run.isupper():
        return say_capitals(run)
    if run[1:].islower() and (careless := CASUAL.get(run.lower())) is not None:
        return careless
    if not run.islower():
        return read_mixed(run) or run
    return spell(run) if run.isascii() and not _has_syllable(run) else run


def _has_syllable(run: str) -> bool:
    """Whether a part of a name can be said: names are laxer than words ("org", "args")."""
    return any(letter in "aeiouy" for letter in run) and is_pronounceable("a" + run)


@lru_cache(2048)
def say_digits(digits: str) -> str:
    """Digits in a name: "four", "ninety five", "one oh one", "ninety seven hundred", "two point
    ten"; longer ones and those with a leading zero digit by digit.
    """
    if "." in digits:
        return " point ".join(map(say_digits, digits.split(".")))
    if (digits[0] == "0" and len(digits) > 1) or len(digits) > 4 or not digits.isascii():
        return spell_digits(str(int(digits)).zfill(len(digits)))
    number = int(digits)
    if len(digits) <= 2 or number % 1000 == 0:
        return cardinal(number)
    first, rest = divmod(number, 100)
    if rest == 0:
        return f"{cardinal(first)} hundred"
    return f"{cardinal(first)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def read_offset(core: str) -> str | None:
    """A time zone: "U T C plus five thirty"."""
    match = _OFFSET.fullmatch(core)
    if not match:
        return None
    sign = "plus" if match[2] == "+" else "minus"
    minutes = f" {cardinal(int(match[4]))}" if match[4] and match[4] != "00" else ""
    return f"{spell(match[1])} {sign} {cardinal(int(match[3]))}{minutes}"


def read_identifier(core: str) -> str | None:
    """Letters with digits: "M P three", "x eighty six sixty four", "U S one oh one"."""
    if match := _TO.fullmatch(core):
        return f"{match[1]} to {match[2]}"
    base, ending = (core[:-2], core[-2:]) if core.endswith(("'s", "’s")) else (core, "")
    if not _LETTERS_AND_DIGITS.fullmatch(base):
        return None
    said = say_hash(base) or say_letters_and_digits(base)
    return add_ending(said, ending) if ending else said


def say_hash(text: str) -> str | None:
    """Hexadecimal digits, spelled; None if `text` is none."""
    if not _HEX.fullmatch(text.replace("-", "")) or text.count("-") not in (0, 4):
        return None
    return " ".join(spell_digits(c) if c.isdecimal() else c.upper() for c in text if c != "-")


def say_letters_and_digits(text: str) -> str:
    """Each run of letters and digits by itself; short runs of letters beside digits are spelled."""
    said: list[str] = []
    for match in _RUN.finditer(text):
        run = match[0]
        beside = text[match.end() : match.end() + 1].isdecimal()
        if run == "s" and text[0].isupper() and text[match.start() - 1].isdecimal():
            said[-1] = _pluralize(said[-1])
        elif run.isalpha() and run.isascii() and beside and len(run) <= 2 and not run.istitle():
            said.append(spell(run))
        else:
            said.append(say_run(run))
    return " ".join(said)


def _pluralize(number: str) -> str:
    if number.endswith("y"):
        return number[:-1] + "ies"
    return number + ("es" if number.endswith("x") else "s")


@lru_cache(512)
def say_marked(text: str, marks: tuple[tuple[str, str], ...]) -> str:
    """Runs of letters and digits, and between them the marks as `marks` says, the first that fits;
    other marks are silent.
    """
    said: list[str] = []
    at = 0
    while at < len(text):
        if run := _RUN.match(text, at):
            said.append(say_run(run[0]))
            at = run.end()
            continue
        for mark, word in marks:
            if text.startswith(mark, at):
                said.append(word)
                at += len(mark)
                break
        else:
            at += 1
    return " ".join(filter(None, said))


def order_marks(marks: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Marks for `say_marked`, the longest first."""
    return tuple(sorted(marks.items(), key=lambda item: -len(item[0])))
