from __future__ import annotations

import itertools

import pytest
from hibari.g2p import G2P
from hibari.g2p.normalize import normalize
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.engines.hibari.phonemes import normalise
from tests.support.engines.hibari_model import load_reader

PIECES = [
    "hello", "the", "$3.2", "billion", "January", "5th,", "2024", "9:30", "a.m.", "Dr.", "Jones",
    "...", "-", "—", "🎉", "हिन्दी", "中文", "(yes)", "[x](/y/)", "50%", "5", "km", "&", "3/4",
    "U.S.", "No.", "Chapter", "IV", "²", "’", "=", "#1", "1,250.50", "+3", "555-0142", "₹500",
    "\n", "  ",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join) | st.text(max_size=40)


def units(text: str) -> list[tuple[str, str]]:
    return [(text[unit.start : unit.end], unit.phonemes) for unit in load_reader().read_units(text)]


@settings(max_examples=300, deadline=None)
@given(texts)
def test_the_traced_normaliser_gives_the_packages_result(text: str) -> None:
    assert str(normalise(text)) == normalize(text.replace("[", "(").replace("]", ")"))


@settings(max_examples=200, deadline=None)
@given(texts)
def test_each_normalised_character_maps_to_the_source(text: str) -> None:
    line = normalise(text)
    assert len(line.spans) == len(line)
    assert all(0 <= start <= end <= len(text) for start, end in line.spans)


@settings(max_examples=60, deadline=None)
@given(texts)
def test_every_word_is_in_exactly_one_unit(text: str) -> None:
    read = load_reader().read_units(text)
    assert " ".join(text[u.start : u.end] for u in read).split() == text.split()
    assert all(a.end <= b.start for a, b in itertools.pairwise(read))


def test_ordinary_words_are_units_of_their_own() -> None:
    assert [word for word, _ in units("Hello there, my friend.")] == [
        "Hello", "there,", "my", "friend.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "together",
    [
        "$3.2 billion",
        "January 5th, 2024",
        "10:45 a.m.",
        "5 km",
        "Chapter IV",
        "9 - 10",
        "£4 million",
    ],
)
def test_words_with_one_reading_are_one_unit(together: str) -> None:
    assert together in [word for word, _ in units(f"It was {together} then.")]


def test_one_word_may_be_read_as_many() -> None:
    ((word, phonemes),) = units("$1,250.50")
    assert word == "$1,250.50"
    assert len(phonemes.split()) > 5


def test_unreadable_text_is_a_unit_without_phonemes() -> None:
    assert units("हिन्दी 中文 🎉") == [("हिन्दी", ""), ("中文", ""), ("🎉", "")]


@pytest.mark.parametrize("odd", ["⑴", "\x1b¹", "xİ"])
def test_a_word_that_the_package_fails_on_affects_only_itself(odd: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        G2P()(odd)
    (before, _, after) = units(f"hello {odd} there")
    assert before == ("hello", "həlˈO")
    assert after == ("there", "ðˈɛɹ")


def test_a_text_cannot_set_phonemes() -> None:
    assert "X" not in "".join(phonemes for _, phonemes in units("[word](/XXX/)"))
    assert any("wˈɜɹd" in phonemes for _, phonemes in units("[word](/XXX/)"))


def test_the_reading_is_the_packages_own() -> None:
    text = "The U.S. team read 1/2 of it, e.g. on January 5th, 2024, for $3.2 billion."
    ours = " ".join(phonemes for _, phonemes in units(text))
    assert ours == G2P()(text)


@pytest.mark.parametrize("text", ["We use ", "He got ", "They read ", "the house "])
def test_a_word_whose_reading_depends_on_the_next_is_doubtful(text: str) -> None:
    unit = load_reader().read_units(text)[-1]
    assert unit.is_doubtful
    assert not load_reader().read_units("a table ")[-1].is_doubtful
