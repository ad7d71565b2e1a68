"""Pieces of programs, tags, and names with marks around them. Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.words.capitals import spell
from backend.text.reading.english.words.identifiers import (
    order_marks,
    say_letters_and_digits,
    say_marked,
)

_NAMES = {
    "c++": "C plus plus",
    "g++": "G plus plus",
    "c#": "C sharp",
    "f#": "F sharp",
    "j#": "J sharp",
    "q&a": "Q and A",
    "r&d": "R and D",
    "at&t": "A T and T",
    "b&b": "B and B",
    "m&m": "M and M",
    "m&ms": "M and M's",
    "h&m": "H and M",
    "s&p": "S and P",
    "p&l": "P and L",
    "r&b": "R and B",
    "a/c": "A C",
    "w/": "with",
    "w/o": "without",
    "w/out": "without",
    "b/c": "because",
    "c/o": "care of",
    "n/a": "N A",
    "w/e": "whatever",
    "tl;dr": "T L D R",
    "km/h": "kilometers per hour",
    "m/s": "meters per second",
    "notepad++": "notepad plus plus",
}
_OPERATORS = order_marks(
    {
        "===": "equals",
        "==": "equals",
        "!==": "is not equal to",
        "!=": "is not equal to",
        "=": "equals",
    }
    | {"<=": "less than or equal to", ">=": "greater than or equal to", "=>": "to", "->": "to"}
    | {
        "<": "less than",
        ">": "greater than",
        "&&": "and",
        "&": "and",
        "||": "or",
        "++": "plus plus",
    }
    | {"--": "minus minus", "+=": "plus equals", "-=": "minus equals", "+": "plus", "*": "times"}
    | {"/": "slash", "\\": "backslash", "@": "at", "#": "hash", "%": "percent", "$": "dollar"}
    | {"^": "to the power of", "~": "tilde", ".": "dot", "::": "", "<-": "", ":=": "equals"}
)
_CALL = re.compile(r"[\w.:]+[(\[{].*|.*[\w\"'][)\]}](?:[;:.,]+.*)?")
_FLAG = re.compile(r"(-{1,2})([A-Za-z][\w.-]*)(=\S+)?")
_STEP = re.compile(r"([A-Za-z_]\w*)(\+\+|--)")
_STEP_BEFORE = re.compile(r"\+\+([A-Za-z_]\w*)")
_MARK_GRADE = re.compile(r"([A-F])([+−–-])")
_PLUS = re.compile(r"([A-Za-z]\w*)\+")
_USER = re.compile(r"@(\w[\w.-]*)")
_TAG = re.compile(r"#(\w+)")
_SNAKE = re.compile(r"_*[A-Za-z0-9]+(?:_+[A-Za-z0-9]+)+_*|_+[A-Za-z0-9]+_*|[A-Za-z0-9]+_+")
_SMILE = re.compile(r":([a-z][a-z0-9_+-]*)")
_OPERATOR_INSIDE = re.compile(r"[\w)\]]\s*(?:[=!<>]=|=>|->|&&|\|\||::|[=&+*^<>%@])")


def read_code(core: str, trail: str) -> str | None:
    """`C++`, `foo(bar`, `snake_case`, `--help`, `key=value`, `@user`, `#tag`, `:smile:`."""
    if (name := _NAMES.get(core.lower())) is not None:
        return name
    if core.endswith(("'s", "’s")) and (name := _NAMES.get(core[:-2].lower())) is not None:
        return f"{name}'s"
    for read in (_read_prefixed, _read_suffixed):
        if (said := read(core, trail)) is not None:
            return said
    if _SNAKE.fullmatch(core):
        return " ".join(say_letters_and_digits(part) for part in core.split("_") if part)
    if _CALL.fullmatch(core) or _OPERATOR_INSIDE.search(core):
        return say_marked(core, _OPERATORS)
    return None


def _read_prefixed(core: str, trail: str) -> str | None:
    if core[0] not in "-@#:$\\":
        return None
    if (match := _SMILE.fullmatch(core)) and trail.startswith(":"):
        return " ".join(map(say_letters_and_digits, re.split(r"[_+-]+", match[1])))
    if match := _USER.fullmatch(core):
        return f"at {say_marked(match[1], _OPERATORS)}"
    if match := _TAG.fullmatch(core):
        kind = "number" if match[1].isdecimal() else "hashtag"
        return f"{kind} {say_marked(match[1], _OPERATORS)}"
    if match := _FLAG.fullmatch(core):
        dashes = "dash dash " if match[1] == "--" else "dash " if len(match[2]) <= 2 else ""
        if match[1] == "-" and len(match[2]) == 2 and match[2].isalpha():
            return dashes + spell(match[2])
        return dashes + say_marked(match[2] + (match[3] or ""), _OPERATORS)
    if core[0] in "$\\" and core[1:2].isalpha():
        return say_marked(core, _OPERATORS)
    return None


def _read_suffixed(core: str, trail: str) -> str | None:
    if match := _STEP_BEFORE.fullmatch(core):
        return f"plus plus {say_letters_and_digits(match[1])}"
    if match := _MARK_GRADE.fullmatch(core):
        return f"{match[1]} {'plus' if match[2] == '+' else 'minus'}"
    if match := _STEP.fullmatch(core):
        step = "plus plus" if match[2] == "++" else "minus minus"
        return f"{say_letters_and_digits(match[1])} {step}"
    if match := _PLUS.fullmatch(core):
        return f"{say_letters_and_digits(match[1])} plus"
    return None
