"""Reading a whole text, to show how it is read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from backend.text.markup.reader import MarkupOptions
from backend.text.reading.english import ENGLISH
from backend.text.reading.language import Language
from backend.text.text_reading import ReadSentence, read_sentences
from tests.backend.text.markup.texts import marked_texts


def read(text: str, *, ssml: bool = False, language: Language = ENGLISH) -> list[ReadSentence]:
    return read_sentences(text, lambda: language, MarkupOptions(ssml=ssml))


def said(text: str, *, ssml: bool = False) -> list[str]:
    return [sentence.spoken.plain for sentence in read(text, ssml=ssml)]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("", []),
        ("Pay $3.50 now.", ["Pay three dollars and fifty cents now."]),
        ("One. Two!", ["One.", "Two!"]),
        ("# Title\n\n- **5** kg\n- x < y", ["Title", "five kilograms", "X less than Y"]),
        ("<think>No. Never.</think>Yes.", ["Yes."]),
        ("Unfinished [pau", ["Unfinished pau"]),
    ],
)
def test_each_sentence_is_read(text: str, spoken: list[str]) -> None:
    assert [part for part in said(text) if part] == spoken


def test_ssml_is_carried_out_on_request() -> None:
    text = '<sub alias="ahna">Anna</sub>'
    assert said(text, ssml=True) == ["ahna"]
    assert said(text) == ["Anna"]


def test_a_language_without_rules_says_what_is_written() -> None:
    (sentence,) = read("5 kg", language=Language("xx", ()))
    assert sentence.spoken.plain == "5 kg"


def test_each_sentence_asks_for_its_language() -> None:
    languages = iter([ENGLISH, *[Language("xx", ())] * 9])
    sentences = read_sentences("I am 5. You are 6.", lambda: next(languages), MarkupOptions())
    assert [sentence.spoken.plain for sentence in sentences] == ["I am five.", "You are 6."]


def test_words_are_in_offsets_of_their_sentence() -> None:
    text = "One. Then 12 kg."
    sentence = read(text)[-1]
    words = [(start, end) for (start, end), _, _ in sentence.spoken.list_words()]
    assert [text[sentence.start + a : sentence.start + b] for a, b in words] == ["Then", "12 kg."]


@settings(derandomize=True, deadline=None, max_examples=200)
@given(marked_texts)
def test_sentences_tile_the_text(text: str) -> None:
    sentences = read(text)
    ends = [sentence.end for sentence in sentences]
    assert [sentence.start for sentence in sentences] == [0, *ends][: len(sentences)]
    assert (ends or [0])[-1] == len(text)
    for sentence in sentences:
        for (start, end), _, _ in sentence.spoken.list_words():
            assert 0 <= start < end <= sentence.end - sentence.start
