from __future__ import annotations

import itertools

import pytest
from hibari.g2p import G2P
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text.reading.spoken_text import TIE
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


@pytest.mark.parametrize("tied", ["three dollars and fifty cents", "five kilometers"])
def test_tied_words_are_one_unit(tied: str) -> None:
    (_, unit, _) = units(f"about {tied.replace(' ', TIE)}, then")
    assert unit == (tied.replace(" ", TIE) + ",", G2P()(tied + ","))


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
    text = "The U S team read one half of it, that is, on January fifth, for three dollars."
    ours = " ".join(phonemes for _, phonemes in units(text))
    assert ours == G2P()(text)


@pytest.mark.parametrize("text", ["We use ", "He got ", "They read ", "the house "])
def test_a_word_whose_reading_depends_on_the_next_is_doubtful(text: str) -> None:
    unit = load_reader().read_units(text)[-1]
    assert unit.is_doubtful
    assert not load_reader().read_units("a table ")[-1].is_doubtful


@pytest.mark.parametrize(
    ("spelled", "phonemes"),
    [("F A Q", "ˌɛfˌAkjˈu"), ("A M", "ˌAˈɛm"), ("U S", "jˌuˈɛs"), ("A P I", "ˌApˌiˈI")],
)
def test_spelled_letters_are_said_as_one_word(spelled: str, phonemes: str) -> None:
    (_, unit, _) = units(f"the {spelled.replace(' ', TIE)} now")
    assert unit[1] == phonemes


@pytest.mark.parametrize("text", ["Team A won", "He got an A.", 'Choose "A", then'])
def test_a_capital_a_is_the_letter(text: str) -> None:
    (letter,) = [phonemes for word, phonemes in units(text) if word.strip('".,') == "A"]
    assert "ˈA" in letter


def test_a_pronunciation_in_ipa_is_converted() -> None:
    assert load_reader().read_ipa("ˈnaɪdʒəɹ") == "nˈIʤəɹ".replace("nˈ", "ˈn")
    assert load_reader().read_ipa("ʘ!") == "!"
