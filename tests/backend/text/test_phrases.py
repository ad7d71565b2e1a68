"""Typed text is cut only at the ends of its phrases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.text.phrases import ends_with_mark, is_bound_to_next, pause_end, phrase_end
from backend.text.words import word_ends


def finished_words(text: str) -> list[int]:
    return [end for end in word_ends(text) if text[end - 1].isspace() or end < len(text)]


def type_phrases(text: str) -> list[str]:
    """The phrases of a text that is typed character by character."""
    phrases, spoken = [], 0
    for length in range(1, len(text) + 1):
        so_far = text[:length]
        end = phrase_end(so_far, spoken, finished_words(so_far), first=not spoken)
        if end > spoken:
            phrases.append(text[spoken:end])
            spoken = end
    return [*phrases, text[spoken:]]


@pytest.mark.parametrize(
    "text",
    [
        "Please bring |the blue bowl |to the kitchen",
        "I forgot |my umbrella this morning",
        "Did you lock |the door |before you went to bed",
        "The keys |are on the table |next to the bowl",
        "Yes, |we can meet at noon",
    ],
)
def test_phrases_end_where_a_reader_might_pause(text: str) -> None:
    assert "|".join(type_phrases(text.replace("|", ""))) == text


@pytest.mark.parametrize(
    "whole",
    [
        *("World War II", "July 4", "5 kg", "New York", "Dr. Smith", "$3.50", "3.5 million"),
        *("e.g. apples", "page 12", "10:45 tomorrow", "St. James Park", "Mary Jones"),
    ],
)
def test_names_and_numbers_stay_whole(whole: str) -> None:
    start, *rest = type_phrases(f"the people talked about {whole} and the others went home")
    assert any(whole in phrase for phrase in [start, *rest])


BOUND_WORDS = (
    "a the of to in on and but I we was were is has my your very Mr. Dr. isn't don't July 5"
)


@pytest.mark.parametrize("word", BOUND_WORDS.split())
def test_no_phrase_ends_on_a_word_bound_to_the_next(word: str) -> None:
    assert is_bound_to_next(f"{word} ", "")
    text = f"people bring flowers {word} "
    assert phrase_end(text, 0, finished_words(text), first=False) < len(text)
    assert pause_end(text, 0, finished_words(text)) < len(text)


def test_a_pause_ends_the_phrase_at_the_last_word_not_bound_to_the_next() -> None:
    text = "How are you and the "
    assert pause_end(text, 0, finished_words(text)) == len("How are you ")
    assert pause_end("and the ", 0, finished_words("and the ")) == 0


def test_a_capitalised_word_may_be_a_name_until_the_next_letter_is_known() -> None:
    assert is_bound_to_next("London ", "")
    assert is_bound_to_next("London ", "B")
    assert not is_bound_to_next("London ", "b")


@given(st.text(alphabet="ab theofIK5.,$\n", max_size=60), st.integers(0, 10), st.booleans())
def test_phrases_end_at_finished_words(text: str, word: int, first: bool) -> None:
    ends = finished_words(text)
    spoken = ends[word] if word < len(ends) else 0
    for end in (phrase_end(text, spoken, ends, first=first), pause_end(text, spoken, ends)):
        assert end == spoken or (end > spoken and end in ends)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "نعم، |أنا بخير؛ |شكرا",
            "ٹھیک ہے۔ |شکریہ",
            "हाँ, |ठीक है। |चलो",
            "好，|走吧！|",
            "はい、|行こう。|",
        ),
        *(
            "ደህና፣ |አመሰግናለሁ። |ቻው",
            "Ναι· |ίσως",
            "ကောင်းပါတယ်၊ |ကျေးဇူး",
            "«Да», |сказал он",
            "„Gut.“ |Dann",
        ),
        *("วันนี้ฝนตก |เราไปกัน", "ມື້ນີ້ຝົນຕົກ |ໄປ", "「いや」、|と"),
    ],
)
def test_a_phrase_ends_at_the_marks_of_all_scripts(text: str) -> None:
    marks = [at for at, character in enumerate(text) if character == "|"]
    ends = [mark - count for count, mark in enumerate(marks)]
    plain = text.replace("|", "")
    found = {end for end in word_ends(plain) if ends_with_mark(plain[:end][-12:])}
    assert set(ends) <= found | {len(plain)}
    assert {end for end in found if end < len(plain)} <= set(ends)
