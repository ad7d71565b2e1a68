"""Marks and symbols that stand alone, and letters of other scripts. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import name, normalize

from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor

_NAMES = {
    "&": "and",
    "@": "at",
    "%": "percent",
    "+": "plus",
    "=": "equals",
    "==": "equals",
    "===": "equals",
    "!=": "is not equal to",
    "!==": "is not equal to",
    "≠": "is not equal to",
    "<": "less than",
    ">": "greater than",
    "<=": "less than or equal to",
    ">=": "greater than or equal to",
    "≤": "less than or equal to",
    "≥": "greater than or equal to",
    "≈": "about",
    "~": "about",
    "&&": "and",
    "||": "or",
    "++": "plus plus",
    "+=": "plus equals",
    "-=": "minus equals",
    ":=": "equals",
    "±": "plus or minus",
    "×": "times",
    "÷": "divided by",
    "∞": "infinity",
    "√": "square root",
    "∑": "sum",
    "∫": "integral",
    "∂": "partial",
    "∆": "delta",
    "∈": "in",
    "∉": "not in",
    "∀": "for all",
    "∃": "there exists",
    "∅": "empty set",
    "∪": "union",
    "∩": "intersection",
    "∧": "and",
    "∨": "or",
    "¬": "not",
    "∴": "therefore",
    "∵": "because",
    "§": "section",
    "§§": "sections",
    "¶": "paragraph",
    "©": "copyright",
    "℗": "published",
    "℃": "degrees Celsius",
    "℉": "degrees Fahrenheit",
    "№": "number",
    "°": "degrees",
    "µ": "micro",
    "€": "euros",
    "$": "dollars",
    "£": "pounds",
    "¢": "cents",
    "/": "slash",
    "\\": "backslash",
    "#": "hash",
    "w/": "with",
    "∠": "angle",
}
_ARROWS = word_set("-> --> => ==> ⇒ → ⟶ ⟹ ➔ ➜ ➝ ➞ ➡")
_DASHES = re.compile(r"[-‐‑‒–—―−]+")
_EMOTICON = re.compile(
    r"[:;=]['’]?[-o^]?[)(\]\[DPpOo3*|/\\@$#><cC}{]+|[)(\]\[]+[-o^]?['’]?[:;=]|\^_*\^|[-oO>]_+[-oO<]"
    r"|[<>]?:[-']?[()DPpOo|/\\]+|¯\\_\(ツ\)_/¯|\(╯°□°\).*|[xX]D+|<3+|</3|\\o/"
)
_REPEATED = re.compile(r"([!?])\1+")
_PAUSES = re.compile(r"[.,;:!?…—]")
_MARKS = str.maketrans(
    {"؟": "?", "،": ",", "؛": ";", "。": ".", "、": ",", "，": ",", "！": "!", "？": "?", "；": ";"}
    | {"：": ":", "\u037e": ";", "।": "."}
)
_LIGATURES = str.maketrans({"æ": "ae", "œ": "oe", "Æ": "Ae", "Œ": "Oe"})
_APOSTROPHES = str.maketrans("’‘`´ʼ", "'''''")
_SILENT = re.compile(r"[™®℠\u2020\u2021•·■●◆✓✔✗✘★☆]")
# Letters and digits in the shapes of Unicode's compatibility blocks; not superscripts, fractions.
_SHAPES = re.compile(
    "[\u2080-\u209c\u2102\u210a-\u2115\u2119-\u211d\u2124\u2128-\u2138\u2160-\u217f\u2460-\u24ff"
    "\ufb00-\ufb06\uff01-\uff5e\U0001d400-\U0001d7ff\U0001f130-\U0001f149]+"
)
_RUNS = re.compile(r"[^\W\d_]+|[\W\d_]+")
_READ = ("LATIN", "MODIFIER", "MICRO", "FEMININE", "MASCULINE")


def read_symbol(cursor: WordCursor) -> Reading | None:
    """A word without letters and digits."""
    core = cursor.word.text
    if core in _ARROWS:
        is_between = bool(cursor.previous().core) and bool(cursor.peek().core)
        return Reading("to" if is_between else "", trail="")
    if _DASHES.fullmatch(core):
        return Reading("", trail="—" if cursor.previous().core else "")
    if (said := _NAMES.get(core)) is not None:
        is_first = not cursor.previous().core and core in ("~", ">", "+", "=", "#")
        return Reading("" if is_first else said, trail="")
    if is_emoticon(core):
        return Reading("", trail="")
    if core in ('"', "'", "“", "”", "(", ")", "[", "]"):
        return Reading("", trail="")
    if ".." in core or "…" in core:
        return Reading("", trail="…")
    return Reading("", trail="".join(dict.fromkeys(_PAUSES.findall(core.translate(_MARKS)))))


@lru_cache(256)
def fold_marks(trail: str) -> str:
    """Closing marks as English writes them; repeated ones once: "!!!" is "!"."""
    return _REPEATED.sub(r"\1", trail.translate(_MARKS))


def is_emoticon(text: str) -> bool:
    """Whether it is a face made of marks: ":-)", ":D"."""
    return len(text) <= 12 and _EMOTICON.fullmatch(text) is not None


@lru_cache(1024)
def fold_shapes(core: str) -> str:
    """Letters of other shapes (full width, mathematical, ligatures, subscripts) and apostrophes as
    plain ones; trade marks are left out.
    """
    if "æ" in core or "œ" in core or "Æ" in core or "Œ" in core:
        core = core.translate(_LIGATURES)
    plain = _SHAPES.sub(lambda shaped: normalize("NFKC", shaped[0]), normalize("NFC", core))
    return _SILENT.sub("", plain.translate(_MARKS).translate(_APOSTROPHES))


@lru_cache(1024)
def drop_foreign(core: str) -> str:
    """`core` without letters of scripts that English does not read; one Greek letter is named."""
    said: list[str] = []
    for run in _RUNS.findall(core):
        foreign = [letter for letter in run if _is_foreign(letter)]
        greek = _name_greek(foreign[0]) if len(foreign) == 1 else ""
        if greek:
            said.append(run.replace(foreign[0], f" {greek} "))
        else:
            said.append("".join(letter for letter in run if letter not in foreign))
    return " ".join("".join(said).split())


@lru_cache(512)
def _is_foreign(letter: str) -> bool:
    if letter.isascii() or not letter.isalpha():
        return False
    return not name(letter, "").startswith(_READ)


def _name_greek(letter: str) -> str:
    """Says "alpha" for a Greek letter; "" for others."""
    words = name(letter, "").split()
    if words[:1] != ["GREEK"] or "LETTER" not in words:
        return ""
    said = words[words.index("LETTER") + 1].lower()
    return {"lamda": "lambda", "final": "sigma"}.get(said, said)
