"""One entry of a lexicon: something written, and how it is said. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from backend.errors import BadLexicon
from backend.text.reading.written_words import FILLER, WrittenWord, split_words

MOST_WORDS = 8
MOST_MARKS = 3  # behind the last word
LONGEST_WRITTEN = 100  # characters
LONGEST_SAID = 200
LONGEST_PART = 32

_QUOTED = 40  # characters of a bad entry in its error
_STRESSED = re.compile(r"(?<=-)[A-Z]{2,}\b|\b[A-Z]{2,}(?=-)")
_MARKS_SAID = " '.-"
_MARKS_IPA = " .|-‿'ˈˌːˑ↗↘"  # beside letters, modifiers and combining marks


@dataclass(frozen=True, slots=True)
class LexiconEntry:
    """Create it with `create_entry`. `said`: a respelling in plain words, or IPA between slashes.

    `match_case`: True: only as written; False: in any case; None: as written if it is all capitals
    ("US"), else in any case. `parts`: matches inside of words, too.
    """

    written: str
    said: str
    match_case: bool | None = None
    parts: bool = False

    @property
    def phonemes(self) -> str | None:
        """The IPA, without slashes; None for a respelling."""
        return self.said[1:-1].strip() if self.said.startswith("/") else None

    @property
    def respelling(self) -> str:
        """The plain words; syllables in capitals ("shi-VAWN") are stressed, not spelled."""
        return _STRESSED.sub(lambda syllable: syllable[0].lower(), self.said)

    @property
    def is_exact(self) -> bool:
        """Whether it matches only as written."""
        if self.match_case is not None:
            return self.match_case
        return self.written.isupper()

    @property
    def key(self) -> str:
        """The same for entries that replace each other."""
        return self.written if self.is_exact else f"{fold(self.written)}="  # no entry has =

    @property
    def words(self) -> list[WrittenWord]:
        """What is written, as the reading splits a text."""
        return split_words(self.written, final=True)


def create_entry(
    written: str, said: str, *, match_case: bool | None = None, parts: bool = False
) -> LexiconEntry:
    """Check and tidy an entry. Raises `BadLexicon`."""
    entry = LexiconEntry(normalize(written), normalize(said), match_case, parts)
    quoted = entry.written[:_QUOTED]
    if not 0 < len(entry.written) <= LONGEST_WRITTEN:
        raise BadLexicon(f"{quoted!r}: expected 1 to {LONGEST_WRITTEN} characters to be said")
    if not entry.written.isprintable() or "=" in entry.written or FILLER in entry.written:
        raise BadLexicon(f"{quoted!r}: expected text of one line, without =")
    words = entry.words
    if len(words) > MOST_WORDS or len(words[-1].trail) > MOST_MARKS:
        raise BadLexicon(
            f"{quoted!r}: expected at most {MOST_WORDS} words, and {MOST_MARKS} marks at the end"
        )
    if any(word.lead for word in words[1:]):
        raise BadLexicon(f"{quoted!r}: expected no opening quotation mark or bracket inside")
    if parts and (len(entry.written) > LONGEST_PART or " " in entry.written):
        raise BadLexicon(
            f"{quoted!r}: a part of words has at most {LONGEST_PART} letters, no space"
        )
    _check_said(entry, quoted)
    return entry


def _check_said(entry: LexiconEntry, quoted: str) -> None:
    if not 0 < len(entry.said) <= LONGEST_SAID:
        raise BadLexicon(
            f"{quoted!r}: expected 1 to {LONGEST_SAID} characters for how it is said, "
            'such as "win" or "/wɪn/"'
        )
    if not entry.said.startswith("/"):
        bad = next((c for c in entry.said if not (_is_letter(c) or c in _MARKS_SAID)), None)
        if bad is not None or not any(map(_is_letter, entry.said)):
            raise BadLexicon(
                f"{quoted!r}: {bad or entry.said[:_QUOTED]!r} cannot be said; respell it in plain "
                'words ("win", "sequel"), or write IPA between slashes'
            )
        return
    ipa = entry.phonemes
    if not ipa or len(entry.said) < 3 or not entry.said.endswith("/"):
        raise BadLexicon(f"{quoted!r}: expected IPA between two slashes, such as /wɪn/")
    bad = next((c for c in ipa if not (_is_letter(c) or c in _MARKS_IPA)), None)
    if bad is not None or not any(c.isalpha() for c in ipa):
        raise BadLexicon(f"{quoted!r}: {bad or ipa[:_QUOTED]!r} is not a character of the IPA")
    if entry.parts:
        raise BadLexicon(f"{quoted!r}: parts of words take a respelling, not IPA")


def _is_letter(character: str) -> bool:
    """Letters, their modifiers and combining marks."""
    return unicodedata.category(character)[0] in "LM" or unicodedata.category(character) == "Sk"


def normalize(text: str) -> str:
    """Composed characters, one space between words, straight apostrophes."""
    composed = unicodedata.normalize("NFC", text).replace("’", "'")
    return re.sub(r"\s+", " ", composed).strip()


def fold(text: str) -> str:
    """The same for all capitalisations."""
    return text.replace("’", "'").casefold()
