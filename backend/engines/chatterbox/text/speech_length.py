"""How long a text takes to say, in speech tokens, by its language and script.

Estimates: `expected_tokens` is the pace of somebody who reads aloud, `min_tokens` is faster than
anybody does, and beyond `max_tokens` it is no longer the text.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

TOKENS_PER_S = 25
LONGEST_S = 20.0  # of a passage: longer ones are spoken less reliably

_PAUSE_S = 0.3  # per passage
_FASTEST = 0.7  # of the expected duration; 20 characters a second in English
# Letters a second, of English with its spaces: an audiobook, 150 words a minute.
_LETTERS_PER_S = 14.0
# What differs from English by more than a twentieth, from the letters and words a minute that
# Trauzettel-Klosinski and Dietz measured in 17 languages (IReST, IOVS 53:5452, 2012, read aloud),
# times 0.69, which brings their English, 20 a second, to the audiobook's 14.
_LANGUAGES = {"de": 12.6, "it": 13.1, "pl": 12.4, "pt": 12.6, "sv": 12.8}
_ARABIC, _HEBREW = 8.6, 11.7  # from the same; vowel signs are not counted
_INDIC = 9.0  # consonants and vowels without their signs: 6 syllables a second, as in English
_HANGUL = 6.0  # Korean announcers, 330 syllables a minute with their pauses
_KANA, _KANJI = 7.0, 3.6  # NHK's announcers, 300 characters a minute; a kanji is two kana long
_HANZI = 4.6  # Chinese newsreaders, 250 to 300 characters a minute
_SCRIPTS = (  # first and last code point, letters a second
    (0x0590, 0x05FF, _HEBREW),
    (0x0600, 0x06FF, _ARABIC),
    (0x0750, 0x077F, _ARABIC),
    (0xFB1D, 0xFB4F, _HEBREW),
    (0xFB50, 0xFDFF, _ARABIC),
    (0xFE70, 0xFEFF, _ARABIC),
    (0x0900, 0x0DFF, _INDIC),
    (0x1100, 0x115F, _HANGUL),  # initials; the rest of a decomposed syllable is not counted
    (0x1160, 0x11FF, math.inf),
    (0xAC00, 0xD7AF, _HANGUL),
    (0x3041, 0x30FF, _KANA),
    (0x3400, 0x9FFF, _HANZI),
    (0xF900, 0xFAFF, _HANZI),
    (0x20000, 0x3FFFF, _HANZI),
)
_DIGITS_PER_S = 3.0  # "2026", where the reading left it as it was
_SYMBOL_S = 0.3  # may be said by its name
_SOUND_S = 1.0  # a laugh

_SOUND = re.compile(r"\[[a-z ]+\]")
_REPEATED_MARK = re.compile(r"([^\w\s])\1+")
_INNER_MARK = re.compile(r"[^\w\s'\u2019-]+\s*\w")  # where speech may pause

_SHORT_S = 1.5
_SLACK_S = 1.0  # above twice what is expected; less for a word or two


def expected_tokens(text: str, language: str = "en") -> int:
    """Estimated number of speech tokens."""
    return round(TOKENS_PER_S * _expected_s(text, language))


def min_tokens(text: str, language: str = "en") -> int:
    """Lower bound of speech tokens: with fewer the text is not fully spoken."""
    least_s = sum(least for _, least in _durations(_normalise(_SOUND.sub("", text)), language))
    return int(TOKENS_PER_S * least_s + 1e-6)


def max_tokens(expected: int, pace: float = 1.0) -> int:
    """Upper bound of plausible speech tokens, for an `expected_tokens` and a measured pace: 1 s
    plus twice the expected; half as much again for what takes less than 2 s.
    """
    expected_at_pace = expected * pace
    return round(2 * expected_at_pace + min(_SLACK_S * TOKENS_PER_S, expected_at_pace / 2))


def is_one_breath(text: str, language: str = "en") -> bool:
    """Whether the text is so short that nobody pauses within it."""
    return _expected_s(text, language) < _SHORT_S and not _INNER_MARK.search(text)


def longest_end(text: str, start: int, language: str = "en") -> int:
    """How far `text[start:]` fits into one passage."""
    left_s = LONGEST_S - _PAUSE_S
    for end, (expected_s, _) in enumerate(_durations(text, language, start), start):
        left_s -= expected_s
        if left_s < 0:
            return max(end, start + 1)
    return len(text)


@dataclass(slots=True)
class Pace:
    """Speech tokens per expected token, measured over the passages that ended by themselves; close
    to 1 until some seconds were measured.
    """

    _spoken: int = 2 * TOKENS_PER_S
    _expected: int = 2 * TOKENS_PER_S

    def count(self, spoken: int, expected: int) -> None:
        """Count a passage of so many tokens."""
        self._spoken += spoken
        self._expected += expected

    @property
    def ratio(self) -> float:
        """1.5: half as slow again as expected. Within 0.5 and 2."""
        return min(2.0, max(0.5, self._spoken / self._expected))


def _expected_s(text: str, language: str) -> float:
    said, sounds = _SOUND.subn("", text)
    durations = _durations(_normalise(said), language)
    return _PAUSE_S + sounds * _SOUND_S + sum(expected for expected, _ in durations)


def _normalise(text: str) -> str:
    """Without what takes no time: repeated spaces and marks."""
    return _REPEATED_MARK.sub(r"\1", " ".join(text.split()))


def _durations(text: str, language: str, start: int = 0) -> Iterator[tuple[float, float]]:
    language = re.split(r"[-_]", language, maxsplit=1)[0].lower()  # "zh" of "zh-CN"
    return (_duration_s(text[n], language) for n in range(start, len(text)))


@lru_cache(maxsize=1 << 14)
def _duration_s(character: str, language: str) -> tuple[float, float]:
    """Expected and shortest duration of a character."""
    kind, space_s = unicodedata.category(character)[0], 1 / _LETTERS_PER_S
    if kind == "L":
        letter_s = 1 / _letters_per_s(ord(character), language)
        return letter_s, _FASTEST * letter_s
    if character.isspace():
        return space_s, _FASTEST * space_s
    if kind == "N":
        return 1 / _DIGITS_PER_S, _FASTEST * space_s
    if kind == "P":
        return space_s, 0.0
    return (_SYMBOL_S, 0.0) if kind == "S" else (0.0, 0.0)


def _letters_per_s(code: int, language: str) -> float:
    for first, last, rate in _SCRIPTS:
        if first <= code <= last:
            return _KANJI if rate == _HANZI and language == "ja" else rate
    return _LANGUAGES.get(language, _LETTERS_PER_S)
