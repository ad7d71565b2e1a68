"""Spoken text to the phonemes of a Piper voice, mapped back to its words.

espeak-ng reads clauses and may join words ("of the") or make several of one ("25"), so what it says
is aligned with the words of the clause. Marks, which it drops, stand where Piper puts them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from backend.engines.incremental.units import Unit, is_sound
from backend.engines.piper.alignment import align_words
from backend.engines.piper.espeak import Espeak
from backend.engines.piper.voice_config import BEGIN, END, PAD, VoiceConfig
from backend.text.reading.spoken_text import TIE

MOST_PHONEMES = 240  # of a unit: it is encoded in one engine step
_LONGEST_WORD = 64  # characters of a word that are read together; more are read in parts
_LONGEST_CLAUSE = 200
_SHORT_PART = 8
_CACHED = 2048  # clauses and words, for all utterances of a voice

# Each is a word for itself: nothing separates them, and espeak-ng reads them one by one.
_IDEOGRAPH = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_IDEOGRAPH}][^\w\s]*|[^\s{_IDEOGRAPH}]+(?:{TIE}[^\s{_IDEOGRAPH}]+)*")
_LAST_WORD = re.compile(rf"[^\s{_IDEOGRAPH}]+\Z")

# The mark that Piper's voices know, for each at which espeak-ng ends a clause.
_MARKS = {
    mark: known
    for known, marks in {
        ".": ".。．।॥۔։።᠃",
        ",": ",，、،՝፣",
        "?": "?？؟;՞፧",
        "!": "!！՜",
        ":": ":：፡",
        ";": ";；؛—–…",
    }.items()
    for mark in marks
}
_GREEK_MARKS = {";": "?", "\u00b7": ";", "\u0387": ";"}


@dataclass(frozen=True, slots=True)
class _Word:
    """`text[start:end]`, and the mark behind it in Piper's alphabet; "" if it ends no clause."""

    start: int
    end: int
    text: str
    mark: str

    @property
    def is_silent(self) -> bool:
        return not any(c.isalnum() for c in self.text)


def drop_half_word(text: str, speak_to: int) -> str:
    """`text` without a last word behind `speak_to` that may still grow."""
    half = _LAST_WORD.search(text)
    return text if half is None else text[: max(half.start(), speak_to)]


class PhonemeReader:
    """Reads text as one voice does. Thread-safe."""

    longest = _LONGEST_WORD

    def __init__(self, config: VoiceConfig, espeak: Espeak | None) -> None:
        """`espeak`: None for voices that read letters."""
        self._voice = config.espeak
        self._espeak = espeak
        self._known = {c for c in config.ids if len(c) == 1} - {PAD, BEGIN, END}
        greek = config.language.partition("-")[0] in ("el", "grc")
        self._marks = _MARKS | (_GREEK_MARKS if greek else {})
        self._is_english = config.language.startswith("en")
        self._read_clause = lru_cache(_CACHED)(self._ask)

    def read_units(self, text: str) -> list[Unit]:
        """See `UnitReader.read_units`."""
        units: list[Unit] = []
        for clause in self._split_clauses(text):
            units += self._read_words(clause)
        return _attach_marks(units)

    def read_ipa(self, ipa: str) -> str:
        """See `UnitReader.read_ipa`. Sounds that the voice does not know are left out."""
        return self._keep_known(ipa.replace("'", "ˈ").replace("͡", ""))[:MOST_PHONEMES].strip()

    @staticmethod
    def effort(text: str) -> int:
        """See `UnitReader.effort`."""
        return len(text)

    @staticmethod
    def window_end(text: str, start: int, affordable: int) -> int:
        """See `UnitReader.window_end`."""
        at = start + affordable
        if at >= len(text):
            return len(text)
        space = re.compile(r"\s").search(text, at, at + _LONGEST_WORD)
        return space.start() if space else at

    def _split_clauses(self, text: str) -> Iterator[list[_Word]]:
        clause: list[_Word] = []
        for word in self._split_words(text):
            clause.append(word)
            if word.mark or word.end - clause[0].start > _LONGEST_CLAUSE:
                yield clause
                clause = []
        if clause:
            yield clause

    def _split_words(self, text: str) -> Iterator[_Word]:
        for match in _WORD.finditer(text):
            for start in range(match.start(), match.end(), _LONGEST_WORD):
                end = min(start + _LONGEST_WORD, match.end())
                yield _Word(start, end, text[start:end], self._find_mark(text, start, end))

    def _find_mark(self, text: str, start: int, end: int) -> str:
        """The mark that ends the word: not the point of an ordinal or an abbreviation."""
        at = end
        while at > start and not text[at - 1].isalnum():
            at -= 1
        mark = next((self._marks[c] for c in text[at:end] if c in self._marks), "")
        behind = text[end : end + 8].lstrip()[:1]
        if mark == "." and behind and (behind.islower() or text[start:at].isdigit()):
            return ""
        return mark

    def _read_words(self, clause: list[_Word]) -> list[Unit]:
        """The units of a clause."""
        texts = tuple(word.text.replace(TIE, " ") for word in clause)
        units = []
        for first, behind, sounds in self._read_clause(texts):
            words = clause[first:behind]
            sounds = sounds + words[-1].mark if words[-1].mark in self._known else sounds
            if len(sounds) > MOST_PHONEMES and len(words) == 1 and len(texts[first]) > _SHORT_PART:
                units += self._read_parts(words[0])
            else:
                units.append(Unit(words[0].start, words[-1].end, sounds[:MOST_PHONEMES]))
        return units

    def _read_parts(self, word: _Word) -> list[Unit]:
        """A word with too many phonemes, such as a number of 60 digits, in parts."""
        units = []
        for start in range(0, len(word.text), _SHORT_PART):
            part = word.text[start : start + _SHORT_PART]
            sounds = "".join(s for _, _, s in self._read_clause((part,)))[:MOST_PHONEMES]
            units.append(Unit(word.start + start, word.start + start + len(part), sounds))
        return units

    def _ask(self, words: tuple[str, ...]) -> tuple[tuple[int, int, str], ...]:
        """The sounds of the words of a clause: which they are (from, to), and their phonemes."""
        if self._espeak is None:
            return tuple((n, n + 1, self._keep_known(w)) for n, w in enumerate(words))
        said = self._espeak.read(self._voice, _as_clause(words)).split(" ")
        said = [sounds for sounds in said if sounds]
        groups = align_words(words, said, self._read_alone)
        return tuple(
            (first, behind, self._say(words[first:behind], said[start:end]))
            for first, behind, start, end in groups
        )

    def _say(self, words: tuple[str, ...], said: list[str]) -> str:
        if self._is_english and words == ("A",):
            said = ["ˈeɪ"]  # espeak-ng takes it for the article
        return self._keep_known(" ".join(said))

    def _read_alone(self, word: str) -> str:
        return "".join(sounds for _, _, sounds in self._read_clause((word,)))

    def _keep_known(self, sounds: str) -> str:
        """The sounds of the voice's alphabet, one code point each; others are left out, as Piper
        does.
        """
        parts = unicodedata.normalize("NFD", sounds)
        if self._espeak is None:
            parts = "".join(c if c in self._known else c.casefold() for c in parts)
            parts = "".join(c for c in parts if c not in self._marks)
        return "".join(c for c in parts if c in self._known)


def _as_clause(words: tuple[str, ...]) -> str:
    """The clause as written: ideographs without spaces between."""
    text = ""
    for word in words:
        joined = re.match(f"[{_IDEOGRAPH}]", word) and re.search(f"[{_IDEOGRAPH}]\\Z", text)
        text += ("" if joined or not text else " ") + word
    return text


def _attach_marks(units: list[Unit]) -> list[Unit]:
    """`units`, a bare mark together with the word before it."""
    attached: list[Unit] = []
    for unit in units:
        before = attached[-1] if attached else None
        is_mark = bool(unit.phonemes) and not unit.is_voiced
        if before and is_mark and before.is_voiced and is_sound(before.phonemes[-1]):
            attached[-1] = Unit(before.start, unit.end, before.phonemes + unit.phonemes)
        else:
            attached.append(unit)
    return attached
