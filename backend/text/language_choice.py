"""Chooses the language of a sentence from its first words (`language: "auto"`). Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from backend.language_names import primary_subtag
from backend.text.alphabets import find_script, scripts_of
from backend.text.language_detector import load_detector, rank_languages

AUTO = "auto"
"""The language of a context whose sentences' languages are chosen."""

_LETTERS = re.compile(r"[^\W\d_]+")
_LONGEST = 200  # characters that are looked at
_ENOUGH = 40  # letters that decide, sure or not
# Letters that the detector is asked about. Of the tests' sentences that have as many
# (texts_of_languages.jsonl) the choice among 23 languages is then right for 47 of 50, after 20
# characters on average. Few begin with names of other languages.
_LEAST = 16
_LEAST_HAN = 24  # if the text may yet turn out to be Japanese
_SYLLABLE = 3  # letters that one of a script without an alphabet counts for
_SYLLABIC = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR")


class LanguageChooser:
    """Chooses among the languages of a voice.

    A word in a script that one of them has is decisive, unless it is Latin, which names in all
    texts are. Else the commonest script decides, and the detector where languages share it: once
    it is sure, after 40 letters, or at the end of the sentence. What is decided of a text is
    decided of each longer one: the choice does not depend on how the text arrives.
    """

    def __init__(self, languages: Sequence[str]) -> None:
        """`languages`: tags; the first is the voice's own."""
        self.languages = {primary_subtag(tag): tag for tag in reversed(languages)}
        self.own = languages[0]
        self._by_script: dict[str, list[str]] = {}
        for code in self.languages:
            for script in scripts_of(code):
                self._by_script.setdefault(script, []).append(code)

    def choose(self, text: str, fallback: str, *, is_complete: bool) -> str | None:
        """The tag of the language of the sentence that begins with `text`; None while it is not
        known. `is_complete`: it must be, by now; `fallback` where the text does not tell.
        """
        if len(self.languages) == 1:
            return self.own
        is_complete = is_complete or len(text) > _LONGEST
        for seen, is_last in _begin_words(text[:_LONGEST], is_complete=is_complete):
            if code := self._choose_by(seen, primary_subtag(fallback), is_last=is_last):
                return self.languages.get(code, fallback)
        return fallback if is_complete else None

    def _choose_by(self, text: str, fallback: str, *, is_last: bool) -> str | None:
        """The code that the complete words of `text` decide for."""
        scripts = self._count_scripts(text)
        if not scripts:
            return None
        for script in scripts:
            if script != "LATIN" and scripts[script] > 1 and len(self._by_script[script]) == 1:
                return self._by_script[script][0]
        script, letters = scripts.most_common(1)[0]
        codes, total = self._by_script[script], scripts.total()
        is_enough = is_last or total >= _ENOUGH
        if is_last and letters < _LEAST and script == "LATIN" and fallback not in codes:
            return fallback  # "OK." in a Russian text
        if len(codes) == 1:
            return codes[0] if is_enough or len(self._by_script) == 1 else None
        least = _LEAST_HAN if script == "CJK" and "ja" in codes else _LEAST
        if letters < least and not is_last:
            return None
        likely = rank_languages(text, codes)
        if is_enough and (fallback in likely or not likely):
            return fallback
        return likely[0] if is_enough or len(likely) == 1 else None

    def _count_scripts(self, text: str) -> Counter[str]:
        """The letters of the scripts that the voice can read."""
        scripts: Counter[str] = Counter()
        for letter in "".join(_LETTERS.findall(text)):
            script = find_script(letter)
            if script in self._by_script:
                scripts[script] += _SYLLABLE if script in _SYLLABIC else 1
        return scripts


def needs_detector(languages: Iterable[str]) -> bool:
    """Whether the detector is needed to choose among languages."""
    codes = {primary_subtag(tag) for tag in languages}
    scripts = Counter(script for code in codes for script in scripts_of(code))
    return any(count > 1 for count in scripts.values())


def prepare_choice(voices: Collection[Sequence[str]]) -> None:
    """Load the detector if one of the voices, which are given by their languages, needs it. Blocks
    (0.7 s, the first time).
    """
    if any(map(needs_detector, voices)):
        load_detector()


def _begin_words(text: str, *, is_complete: bool) -> Iterator[tuple[str, bool]]:
    """The text up to the end of each complete word, and whether that is all of it."""
    words = list(_LETTERS.finditer(text))
    for word in words:
        is_syllabic = find_script(word[0][-1]) in _SYLLABIC
        if is_syllabic:  # each letter is a word
            for end in range(word.start() + 1, word.end()):
                yield text[:end], False
        is_last = is_complete and word is words[-1]
        if word.end() < len(text) or is_last or is_syllabic:
            yield text[: word.end()], is_last
