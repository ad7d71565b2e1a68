"""Detects text in a script that none of the engine's languages is written in. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import name, normalize

# First words of Unicode's names of their letters; languages not listed are written in LATIN.
_SCRIPTS = {
    "am": ("ETHIOPIC",),
    "ar": ("ARABIC",),
    "be": ("CYRILLIC",),
    "bg": ("CYRILLIC",),
    "bn": ("BENGALI",),
    "el": ("GREEK",),
    "fa": ("ARABIC",),
    "gu": ("GUJARATI",),
    "he": ("HEBREW",),
    "hi": ("DEVANAGARI",),
    "hy": ("ARMENIAN",),
    "ja": ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"),
    "ka": ("GEORGIAN",),
    "kk": ("CYRILLIC",),
    "kn": ("KANNADA",),
    "ko": ("HANGUL", "CJK"),
    "mk": ("CYRILLIC",),
    "ml": ("MALAYALAM",),
    "mr": ("DEVANAGARI",),
    "ne": ("DEVANAGARI",),
    "pa": ("GURMUKHI",),
    "ru": ("CYRILLIC",),
    "sr": ("CYRILLIC", "LATIN"),
    "ta": ("TAMIL",),
    "te": ("TELUGU",),
    "th": ("THAI",),
    "uk": ("CYRILLIC",),
    "ur": ("ARABIC",),
    "yue": ("CJK",),
    "zh": ("CJK",),
}
_WORD = re.compile(r"[^\W_]+")


def foreign_script(text: str, languages: Iterable[str]) -> str | None:
    """The script of a text, such as "cyrillic", if none of these languages (`en-GB`) can read a
    word of it. None if something is readable or there are no words: every language reads numbers,
    and a single Greek letter, which is a symbol.
    """
    known = {
        script
        for language in languages
        for script in _SCRIPTS.get(language.partition("-")[0].lower(), ("LATIN",))
    }
    found = None
    for word in set(_WORD.findall(normalize("NFKC", text))):
        for letter in set(word):
            script = _script(letter) if letter.isalpha() else None
            if script == "MODIFIER":  # an apostrophe, a stress mark
                continue
            if script is None or script in known or (script, len(word)) == ("GREEK", 1):
                return None
            found = script
    return None if found is None else found.lower()


def _script(letter: str) -> str:
    return name(letter, "unknown").partition(" ")[0]
