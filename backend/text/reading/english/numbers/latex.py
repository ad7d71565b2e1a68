r"""Reads mathematics in LaTeX: "$x^2 + y^2$", "\frac{1}{2}". Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.arithmetic import say_expression
from backend.text.reading.english.numbers.number_forms import say_fraction
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import NO_WORD, WordCursor

_COMMANDS = {
    "times": "times",
    "cdot": "times",
    "div": "divided by",
    "pm": "plus or minus",
    "mp": "minus or plus",
    "leq": "less than or equal to",
    "le": "less than or equal to",
    "geq": "greater than or equal to",
    "ge": "greater than or equal to",
    "neq": "is not equal to",
    "ne": "is not equal to",
    "approx": "is approximately",
    "equiv": "is equivalent to",
    "infty": "infinity",
    "sum": "sum",
    "prod": "product",
    "int": "integral",
    "partial": "partial",
    "nabla": "nabla",
    "to": "to",
    "rightarrow": "to",
    "Rightarrow": "implies",
    "in": "in",
    "cup": "union",
    "cap": "intersection",
    "forall": "for all",
    "exists": "there exists",
    "ldots": "and so on",
    "dots": "and so on",
    "cdots": "and so on",
    "circ": "degrees",
    "%": "percent",
    "log": "log",
    "sin": "sine",
    "cos": "cosine",
    "tan": "tangent",
}
_SILENT = word_set(
    """
    left right quad qquad text mathrm mathbf mathit displaystyle , ; ! ( ) [ ] { }
    """
)
_OPENING = ("$$", "$", r"\(", r"\[")
_START = re.compile(r"\$\$?[^\s\d.$-]|\$\$?-?\d+[a-z^_=+*\\]|\\[(\[]|\\[a-zA-Z]+[{\\^_]?")
_LIKELY = re.compile(r"[\\^_={}+*<>]|\$[a-zA-Z]\$?$|\$[a-zA-Z][,.]?$")
_MOST_WORDS = 11
_COMMAND = re.compile(r"\\([A-Za-z]+|.)\s*")
_PLAIN = re.compile(r"[^\\{}_^&~$]+")


def read_latex(cursor: WordCursor) -> Reading | None:
    r"""Mathematics between `$`, `$$`, `\(` or a command alone, over at most 12 words."""
    text = cursor.word.text.lstrip("(\"'“")
    if text[:1] not in ("$", "\\") or not _START.match(text) or not _LIKELY.search(text):
        return None
    opening = next((mark for mark in _OPENING if text.startswith(mark)), "")
    closing = {r"\(": r"\)", r"\[": r"\]"}.get(opening, opening)
    formula, count, trail = text[len(opening) :], 1, ""
    while closing and closing not in formula:
        following = cursor.peek(count)
        if following is NO_WORD or count > _MOST_WORDS:
            return None
        formula += " " + following.text
        count += 1
    if closing:
        formula, _, trail = formula.rpartition(closing)
    else:
        formula, trail = cursor.word.core, cursor.word.trail
        formula += "".join(c for c in trail if c in "}")
        trail = trail.replace("}", "")
    return Reading(say_formula(formula), count, trail if re.fullmatch(r"[^\w\s]*", trail) else "")


def say_formula(text: str, depth: int = 0) -> str:
    """A formula in words; unknown commands by their names. Nesting is cut at 8 levels."""
    said, at = [], 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            words, at = _say_command(text, at, depth)
        elif char in "^_":
            group, at = _find_group(text, at + 1)
            words = _say_script(char, group, depth)
        elif char == "{":
            group, at = _find_group(text, at)
            words = say_formula(group, depth + 1) if depth < 8 else ""
        elif match := _PLAIN.match(text, at):
            words, at = _say_plain(match[0]), match.end()
        else:
            words, at = "", at + 1
        said.append(words)
    return " ".join(" ".join(said).split())


def _say_plain(text: str) -> str:
    return " ".join(say_expression(word) or "" for word in text.split())


def _say_script(mark: str, group: str, depth: int) -> str:
    if mark == "^" and group in ("2", "3"):
        return "squared" if group == "2" else "cubed"
    said = say_formula(group, depth + 1) if depth < 8 else ""
    return f"to the power of {said}" if mark == "^" else f"sub {said}"


def _say_command(text: str, at: int, depth: int) -> tuple[str, int]:
    match = _COMMAND.match(text, at)
    if not match:
        return "", at + 1
    name, at = match[1], match.end()
    if name in ("frac", "dfrac", "tfrac"):
        top, at = _find_group(text, at)
        bottom, at = _find_group(text, at)
        if top.isdigit() and bottom.isdigit() and len(top + bottom) < 10:
            return say_fraction(int(top), int(bottom)), at
        if depth >= 8:
            return "", at
        return f"{say_formula(top, depth + 1)} over {say_formula(bottom, depth + 1)}", at
    if name == "sqrt":
        group, at = _find_group(text, at)
        return f"square root of {say_formula(group, depth + 1) if depth < 8 else ''}", at
    return ("" if name in _SILENT else _COMMANDS.get(name, name)), at


def _find_group(text: str, at: int) -> tuple[str, int]:
    """The group or the character at an offset, and the offset behind it."""
    if text[at : at + 1] != "{":
        return text[at : at + 1], at + 1
    level = 0
    for end in range(at, len(text)):
        level += {"{": 1, "}": -1}.get(text[end], 0)
        if level == 0:
            return text[at + 1 : end], end + 1
    return text[at + 1 :], len(text)
