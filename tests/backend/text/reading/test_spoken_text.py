"""What an engine is given, and back to what was written."""

from __future__ import annotations

import pytest

from backend.events import Word
from backend.text.reading.spoken_text import TIE, SpokenText
from backend.text.reading.spoken_word import SpokenWord

WRITTEN = "It is $5. 🙂 Go now "
WORDS = [
    SpokenWord(0, 3, "It"),
    SpokenWord(3, 6, "is"),
    SpokenWord(6, 10, "five dollars."),
    SpokenWord(10, 12, ""),
    SpokenWord(12, 15, "Go", phonemes="ɡoʊ"),
    SpokenWord(15, 19, "now"),
]
SAID = f"It is five{TIE}dollars. Go now "


@pytest.fixture
def spoken() -> SpokenText:
    return SpokenText(WORDS, WRITTEN)


def test_words_that_are_said_for_one_written_word_are_tied(spoken: SpokenText) -> None:
    assert spoken.text == SAID
    assert spoken.plain == "It is five dollars. Go now"


@pytest.mark.parametrize("count", [1, 3, 4, 5, 6])
def test_more_words_change_nothing_of_those_before(spoken: SpokenText, count: int) -> None:
    part = SpokenText(WORDS[:count], WRITTEN).text
    assert part.endswith(" ")
    assert spoken.text.startswith(part)


def test_scripts_without_spaces_have_none() -> None:
    words = [
        SpokenWord(0, 1, "你"),
        SpokenWord(1, 2, "好"),
        SpokenWord(2, 5, "ok"),
        SpokenWord(5, 6, "再"),
    ]
    assert SpokenText(words, "你好ok 再").text == "你好ok 再"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (0, 0),
        (2, 0),  # not all of a word
        (3, len("It ")),
        (6, len("It is ")),
        (9, len("It is ")),
        (10, SAID.index("Go")),
        (12, SAID.index("Go")),  # the word in between is silent
        (19, len(SAID)),
    ],
)
def test_written_offsets_become_spoken_ones(spoken: SpokenText, written: int, said: int) -> None:
    assert spoken.to_spoken(written) == said


@pytest.mark.parametrize(
    ("said", "limit", "written"),
    [
        (0, 19, 0),
        (len("It "), 19, 3),
        (len("It "), 3, 3),
        (len("It is fi"), 19, 6),
        (SAID.index("Go"), 19, 12),  # the silent word is said along
        (SAID.index("Go"), 10, 10),
        (len(SAID), 19, 19),
        (len(SAID), 15, 15),
    ],
)
def test_spoken_offsets_become_written_ones(
    spoken: SpokenText, said: int, limit: int, written: int
) -> None:
    assert spoken.to_written(said, limit) == written


def test_what_has_no_sound_is_silent(spoken: SpokenText) -> None:
    assert spoken.is_silent(10, 12)
    assert not spoken.is_silent(6, 12)
    assert spoken.is_silent(12, 12)


def test_pronunciations_are_found_by_spoken_offsets(spoken: SpokenText) -> None:
    assert spoken.pronunciations == {SAID.index("Go"): "ɡoʊ"}


@pytest.mark.parametrize(("sounds", "said"), [((), "so "), (("laugh",), "so [laugh] ")])
def test_a_sound_is_left_out_where_an_engine_cannot_make_it(
    sounds: tuple[str, ...], said: str
) -> None:
    words = [SpokenWord(0, 3, "so"), SpokenWord(3, 11, "", sound="laugh")]
    assert SpokenText(words, "so [laugh] ", sounds).text == said


def test_heard_words_are_those_that_were_written(spoken: SpokenText) -> None:
    dollars = SAID.index("dollars")
    heard = [
        Word(0, 2, 0.0, 90.0),
        Word(6, dollars - 1, 100.0, 200.0),
        Word(dollars, dollars + 7, 210.0, 400.0),
        Word(SAID.index("Go"), SAID.index("Go") + 2, 500.0, 600.0),
    ]
    assert list(spoken.group_words(heard)) == [
        Word(0, 2, 0.0, 90.0),
        Word(6, 9, 100.0, 400.0),
        Word(12, 14, 500.0, 600.0),
    ]


def test_a_word_said_in_two_chunks_is_shared_between_them() -> None:
    spoken = SpokenText([SpokenWord(0, 9, "nineteen"), SpokenWord(9, 12, "ok")], "nineteen ok ")
    assert list(spoken.group_words([Word(0, 4, 0.0, 40.0)])) == [Word(0, 4, 0.0, 40.0)]
    assert list(spoken.group_words([Word(4, 8, 40.0, 80.0)])) == [Word(4, 8, 40.0, 80.0)]
    assert [spoken.to_written(said, 12) for said in (0, 4, 8, 9, 12)] == [0, 4, 8, 9, 12]


def test_what_is_said_otherwise_is_written_once_all_of_it_is_said() -> None:
    spoken = SpokenText([SpokenWord(0, 3, "twenty one")], "21 ")
    assert [spoken.to_written(said, 3) for said in (0, 6, 11)] == [0, 0, 3]


def test_words_with_sound_are_listed_with_both_offsets(spoken: SpokenText) -> None:
    listed = [
        (WRITTEN[start:end], at, word.spoken) for (start, end), at, word in spoken.list_words()
    ]
    assert listed == [
        ("It", 0, "It"),
        ("is", 3, "is"),
        ("$5.", 6, "five dollars."),
        ("Go", SAID.index("Go"), "Go"),
        ("now", SAID.index("now"), "now"),
    ]
