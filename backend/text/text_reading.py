"""Reads a whole text at once, to show how it is read. Pure; takes about 0.1 ms a word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.text.markup.reader import MarkupOptions
from backend.text.pacer import PendingSentence, Speak
from backend.text.reading.language import Language
from backend.text.reading.spoken_text import SpokenText
from backend.text.text_buffer import LanguageChoice, TextBuffer


@dataclass(frozen=True, slots=True)
class ReadSentence:
    """`text[start:end]` and what is said for it."""

    start: int
    end: int
    spoken: SpokenText


def read_sentences(
    text: str,
    language: Callable[[], Language],
    markup: MarkupOptions,
    choice: LanguageChoice | None = None,
) -> list[ReadSentence]:
    """The sentences of `text`, which tile it, as they are spoken if nothing follows. `choice`:
    chooses their languages.
    """
    buffer = TextBuffer(len(text), language, markup, choice=choice)
    buffer.push_text(text, 0.0)
    buffer.end_text()
    sentences = []
    while not buffer.is_finished:
        while buffer.is_behind:
            buffer.read_slice()
        sentence = buffer.pending_sentence()
        if sentence.text:
            sentences.append(_read(buffer, sentence))
    return sentences


def _read(buffer: TextBuffer, sentence: PendingSentence) -> ReadSentence:
    start, size = buffer.utterance_start, len(sentence.text)
    spoken = buffer.mark_released(sentence, Speak(size, size, final=True))
    buffer.mark_spoken(size)
    buffer.close_utterance()
    return ReadSentence(start, start + size, spoken)
