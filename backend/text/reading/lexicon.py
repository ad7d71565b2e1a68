"""Lexicons: how names are said, and the rule that reads them. Pure.

A lookup costs a few dict lookups a word, however many entries there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from backend.text.reading.language import Reading, Rule
from backend.text.reading.lexicon_entry import MOST_MARKS, LexiconEntry, fold
from backend.text.reading.written_words import NO_WORD, WordCursor, WrittenWord

_ENDING = re.compile(r"['’](?:s|d|ll|re|ve)$", re.IGNORECASE)
_LINK = re.compile(r"([-‐‑–])")
_NAME = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SYMBOLS = re.compile(r"[^\w\s'’-]")
_HISSING = ("s", "z", "ʃ", "ʒ", "ɕ", "ʑ")
_VOICELESS = ("p", "t", "k", "f", "θ")


@dataclass(slots=True)
class _End:
    """The entries that end with a word. Keys: what is written; the marks behind the last word."""

    exact: dict[str, LexiconEntry] = field(default_factory=dict)
    any_case: dict[str, LexiconEntry] = field(default_factory=dict)

    def find(self, text: str, trail: str) -> tuple[LexiconEntry, str] | None:
        """The entry, and the marks of `trail` that are part of it."""
        for length in range(min(len(trail), MOST_MARKS), -1, -1):
            marks = trail[:length]
            entry = self.exact.get(text + marks) or self.any_case.get(marks)
            if entry is not None:
                return entry, marks
        return None


@dataclass(slots=True)
class _Node:
    """A word of entries, in lower case: those that end with it, and those that go on."""

    ends: dict[str, _End] = field(default_factory=dict)
    children: dict[str, _Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Match:
    """`count` words match `entry`; `marks` behind the last are part of it, `ending` ("'s") not."""

    entry: LexiconEntry
    count: int
    marks: str = ""
    ending: str = ""


class Lexicon:
    """Immutable. Of two entries that match, the longer one counts, then that of the first layer;
    within a layer an exact one before one in any case, the last one before earlier ones.
    """

    def __init__(self, entries: Iterable[LexiconEntry] = ()) -> None:
        kept = tuple({entry.key: entry for entry in entries}.values())
        self._layers: tuple[_Layer, ...] = (_Layer(kept),) if kept else ()

    @classmethod
    def combine(cls, lexicons: Sequence[Lexicon]) -> Lexicon:
        """A lexicon of all their entries; earlier ones have priority. Cheap."""
        combined = cls()
        combined._layers = tuple(layer for lexicon in lexicons for layer in lexicon._layers)
        return combined

    @property
    def entries(self) -> list[LexiconEntry]:
        """All that count, in their order; those of the last layer first."""
        layers = reversed(self._layers)
        return list({entry.key: entry for layer in layers for entry in layer.entries}.values())

    def __len__(self) -> int:
        """How many entries there are, in all layers."""
        return sum(len(layer.entries) for layer in self._layers)

    def read_words(self, cursor: WordCursor) -> Reading | None:
        """The rule: see `language.Rule`."""
        if not self._layers:
            return None
        word = cursor.word
        if (match := self._find_longest(cursor)) is not None:
            return _say(match, cursor)
        return self._read_compound(word) or self._read_parts(word)

    def _find_longest(self, cursor: WordCursor) -> _Match | None:
        best: _Match | None = None
        nodes = [layer.root for layer in self._layers]
        text, count = "", 0
        while nodes:
            word = cursor.peek(count) if count else cursor.word
            count += 1
            if count > 1 and word.lead:
                break  # a quotation or bracket begins
            best = _find_end(nodes, text + word.core, word, count) or best
            inner = fold(word.core + word.trail)
            nodes = [child for node in nodes if (child := node.children.get(inner)) is not None]
            text += f"{word.core}{word.trail} "
        return best

    def _read_compound(self, word: WrittenWord) -> Reading | None:
        """Names that are joined by hyphens ("Nguyen-Smith"), as far as respellings say them."""
        pieces = _LINK.split(word.core)
        if len(pieces) == 1 or not all(map(_NAME.fullmatch, pieces[::2])):
            return None
        said = list(pieces)
        for at in range(0, len(pieces), 2):
            piece = replace(word, lead="", core=pieces[at], trail="")
            match = _find_end([layer.root for layer in self._layers], pieces[at], piece, 1)
            if match is not None and match.entry.phonemes is None:
                said[at] = match.entry.respelling + match.ending
        return Reading("".join(said)) if said != pieces else None

    def _read_parts(self, word: WrittenWord) -> Reading | None:
        layers = [layer for layer in self._layers if layer.parts]
        lower = word.core.lower()
        if not layers or len(lower) != len(word.core):
            return None
        said, at, found = "", 0, False
        while at < len(word.core):
            entry = _find_part(layers, word.core, lower, at)
            found = found or entry is not None
            said += word.core[at] if entry is None else entry.respelling
            at += 1 if entry is None else len(entry.written)
        is_plain = all(c.isalpha() or c in " '’-." for c in said)
        return Reading(said) if found and is_plain else None


class _Layer:
    """The entries of one lexicon, arranged for lookups."""

    def __init__(self, entries: Sequence[LexiconEntry]) -> None:
        self.entries = entries
        self.root = _Node()
        self.parts: dict[str, LexiconEntry] = {}
        for entry in entries:
            self._add_whole(entry)
            if entry.parts:
                self.parts[entry.written if entry.is_exact else entry.written.lower()] = entry
        self.lengths = sorted({len(part) for part in self.parts}, reverse=True)

    def _add_whole(self, entry: LexiconEntry) -> None:
        words = entry.words
        node, text = self.root, ""
        for word in words[:-1]:
            node = node.children.setdefault(fold(word.core + word.trail), _Node())
            text += f"{word.core}{word.trail} "
        last = words[-1]
        text += last.core
        end = node.ends.setdefault(fold(last.core), _End())
        if entry.is_exact:
            end.exact[text + last.trail] = entry
        else:
            end.any_case[last.trail] = entry


def create_lexicon_rule(lexicon: Lexicon) -> Rule:
    """The rule that reads what is in the lexicon; it goes before a language's own rules. It looks
    ahead only behind a word with which an entry of several words begins.
    """
    return lexicon.read_words


def _find_end(nodes: list[_Node], text: str, word: WrittenWord, count: int) -> _Match | None:
    """The entry that ends with `word`, with or without an ending such as "'s"."""
    plain = text.replace("’", "'")
    ending = match[0].replace("’", "'").lower() if (match := _ENDING.search(word.core)) else ""
    base = fold(word.core[: -len(ending)]) if ending else ""
    for node in nodes:
        end = node.ends.get(fold(word.core))
        if end is not None and (found := end.find(plain, word.trail)):
            return _Match(found[0], count, found[1])
        end = node.ends.get(base) if ending else None
        if end is not None and (found := end.find(plain[: -len(ending)], "")):
            return _Match(found[0], count, "", ending)
    return None


def _find_part(layers: Sequence[_Layer], core: str, lower: str, at: int) -> LexiconEntry | None:
    for layer in layers:
        for length in layer.lengths:
            entry = layer.parts.get(core[at : at + length]) or layer.parts.get(
                lower[at : at + length]
            )
            if entry is not None and (not entry.is_exact or core.startswith(entry.written, at)):
                return entry
    return None


def _say(match: _Match, cursor: WordCursor) -> Reading:
    entry, last = match.entry, cursor.peek(match.count - 1) if match.count > 1 else cursor.word
    trail = last.trail[len(match.marks) :]
    if match.marks.endswith(".") and not trail and cursor.peek(match.count) is NO_WORD:
        trail = "."  # it ends the sentence as well
    if (ipa := entry.phonemes) is None:
        return Reading(entry.respelling + match.ending, match.count, trail)
    written = " ".join(_written(cursor, match.count))
    spoken = " ".join(_SYMBOLS.sub(" ", written).split()) or written
    return Reading(spoken, match.count, trail, ipa + _ending_phonemes(ipa, match.ending))


def _written(cursor: WordCursor, count: int) -> Iterator[str]:
    return (word.core for word in cursor.take(count))


def _ending_phonemes(ipa: str, ending: str) -> str:
    """How an English ending is said behind `ipa`."""
    if ending == "'s":
        last = ipa.rstrip("ʰːˑ.ˈˌ ")[-1:]
        return "ɪz" if last in _HISSING else "s" if last in _VOICELESS else "z"
    return {"": "", "'d": "d", "'ll": "əl", "'re": "ɚ", "'ve": "əv"}[ending]
