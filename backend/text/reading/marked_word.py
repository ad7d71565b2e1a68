"""What a mark in the text says. Pure."""

from __future__ import annotations

from backend.text.markup.marks import Mark, Pause, Phoneme, SayAs, Sound, Sub
from backend.text.reading.language import Language
from backend.text.reading.say_as import read_as
from backend.text.reading.sentence_reader import read_plainly
from backend.text.reading.spoken_word import SpokenWord


def read_mark(mark: Mark, masked: str, start: int, language: Language) -> SpokenWord | None:
    """What is said for the part of the text that a mark is about, which is `masked`; None if the
    mark leaves the reading of the text as it is. `start`: the offset of the sentence.
    """
    first, last = mark.start - start, mark.end - start
    match mark:
        case Pause():
            return SpokenWord(first, last, "", pause_ms=mark.ms)
        case Sound():
            return SpokenWord(first, last, "", sound=mark.name)
        case Sub():
            return SpokenWord(first, last, read_plainly(mark.alias, language))
        case SayAs():
            return SpokenWord(first, last, read_as(masked, mark.interpret_as, mark.format))
        case Phoneme():
            said = read_plainly(masked, language)
            return SpokenWord(first, last, said, phonemes=mark.ipa)
    return None
