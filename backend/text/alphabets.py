"""Detects text in a script that none of the engine's languages is written in. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from unicodedata import name, normalize

from backend.language_names import primary_subtag

# First words of Unicode's names of their letters; languages not listed are written in LATIN.
_SCRIPTS = {
    "am": ("ETHIOPIC",),
    "ar": ("ARABIC",),
    "as": ("BENGALI",),
    "ba": ("CYRILLIC",),
    "be": ("CYRILLIC",),
    "bg": ("CYRILLIC",),
    "bn": ("BENGALI",),
    "bo": ("TIBETAN",),
    "ckb": ("ARABIC",),
    "cv": ("CYRILLIC",),
    "el": ("GREEK",),
    "fa": ("ARABIC",),
    "gu": ("GUJARATI",),
    "he": ("HEBREW",),
    "hi": ("DEVANAGARI",),
    "hy": ("ARMENIAN",),
    "ja": ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"),
    "ka": ("GEORGIAN",),
    "kk": ("CYRILLIC",),
    "km": ("KHMER",),
    "kn": ("KANNADA",),
    "ko": ("HANGUL", "CJK"),
    "kok": ("DEVANAGARI",),
    "ky": ("CYRILLIC",),
    "lo": ("LAO",),
    "mk": ("CYRILLIC",),
    "ml": ("MALAYALAM",),
    "mn": ("CYRILLIC",),
    "mr": ("DEVANAGARI",),
    "my": ("MYANMAR",),
    "ne": ("DEVANAGARI",),
    "or": ("ORIYA",),
    "pa": ("GURMUKHI",),
    "ps": ("ARABIC",),
    "ru": ("CYRILLIC",),
    "sa": ("DEVANAGARI",),
    "sd": ("ARABIC",),
    "si": ("SINHALA",),
    "sr": ("CYRILLIC", "LATIN"),
    "ta": ("TAMIL",),
    "te": ("TELUGU",),
    "tg": ("CYRILLIC",),
    "th": ("THAI",),
    "ti": ("ETHIOPIC",),
    "tt": ("CYRILLIC",),
    "ug": ("ARABIC",),
    "uk": ("CYRILLIC",),
    "ur": ("ARABIC",),
    "yi": ("HEBREW",),
    "yue": ("CJK",),
    "zh": ("CJK",),
}
_WORD = re.compile(r"[^\W_]+")


def foreign_script(text: str, languages: Iterable[str]) -> str | None:
    """The script of a text, such as "cyrillic", if none of these languages (`en-GB`) can read a
    word of it. None if something is readable or there are no words: every language reads numbers,
    and a single Greek letter, which is a symbol.
    """
    known = {script for language in languages for script in scripts_of(language)}
    found = None
    for word in set(_WORD.findall(normalize("NFKC", text))):
        for letter in set(word):
            script = find_script(letter) if letter.isalpha() else None
            if script == "MODIFIER":  # an apostrophe, a stress mark
                continue
            if script is None or script in known or (script, len(word)) == ("GREEK", 1):
                return None
            found = script
    return None if found is None else found.lower()


def scripts_of(language: str) -> tuple[str, ...]:
    """The scripts that a language is written in, by the first words of Unicode's names of their
    letters.
    """
    return _SCRIPTS.get(primary_subtag(language), ("LATIN",))


def needs_dictionary(language: str) -> bool:
    """Whether its words are found by a dictionary: it has neither spaces nor syllabic signs."""
    return scripts_of(language)[0] in ("THAI", "LAO", "KHMER", "MYANMAR")


@lru_cache(4096)
def find_script(letter: str) -> str:
    """The script of a letter; "unknown" if it has none."""
    return name(letter, "unknown").partition(" ")[0]
