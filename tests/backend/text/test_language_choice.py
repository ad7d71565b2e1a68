"""The language of a sentence is chosen from its first words, however they arrive."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text import language_choice, language_detector
from backend.text.language_choice import LanguageChooser, needs_detector
from tests.support.texts_of_languages import TEXTS, TextOfLanguage

pytest.importorskip("py3langid")

MULTILINGUAL = [
    *("en", "ar", "da", "de", "el", "es", "fi", "fr", "he", "hi", "it", "ja", "ko", "ms", "nl"),
    *("no", "pl", "pt", "ru", "sv", "sw", "tr", "zh"),
]
KNOWN = [text for text in TEXTS if text.language in MULTILINGUAL]
exactly = settings(derandomize=True, deadline=None, max_examples=300)
pieces = st.lists(
    st.sampled_from(
        ["Das ", "ist ", "the ", "house ", "да ", "мир", "你", "か", "1", "é", "α ", "! "]
    ),
    max_size=20,
).map("".join)


def choose(
    text: str, *, is_complete: bool = True, languages: list[str] = MULTILINGUAL
) -> str | None:
    return LanguageChooser(languages).choose(text, languages[0], is_complete=is_complete)


@pytest.mark.parametrize("text", KNOWN, ids=lambda text: text.language)
def test_the_first_sentence_tells_its_language(text: TextOfLanguage) -> None:
    assert choose(" ".join(text.sentences[:2])) == text.language


def test_few_sentences_are_taken_for_another_language() -> None:
    mistaken = {
        sentence
        for text in KNOWN
        for sentence in text.sentences
        if sum(map(str.isalpha, sentence)) >= 16 and choose(sentence) != text.language
    }
    assert mistaken <= {
        "Den 3. maj kom hr. Holm kl. 8.30. ",
        "Han betalte 1.000,50 kr. for ca. 5 kg. ",
        "Han betalte 1 000,50 kroner for ca. 5 kg. ",
    }


@pytest.mark.parametrize(
    ("text", "enough", "language"),
    [
        ("Привет, как дела?", "Привет,", "ru"),
        ("Ich habe gestern mit ihr telefoniert", "Ich habe gestern mit ", "de"),
        ("彼が昨日鍵を置いた", "彼が", "ja"),
        ("iPhone 的价格是多少？我想买一个", "iPhone 的价格是多少？我想", "zh"),
        ("OpenAI выпустила новую модель", "OpenAI выпустила ", "ru"),
        ("東京都知事は今日", "東京都知事は", "ja"),
    ],
)
def test_the_language_is_known_early(text: str, enough: str, language: str) -> None:
    decided = [choose(text[:size], is_complete=False) for size in range(len(text) + 1)]
    assert decided[-1] == language
    assert next(at for at, found in enumerate(decided) if found) <= len(enough)


@pytest.mark.parametrize("text", ["", "12", "OK.", "🙂", "α", "αβγ", "ไทย"])
def test_what_does_not_tell_leaves_the_language_as_it_was(text: str) -> None:
    chooser = LanguageChooser(["en", "fr", "de"])
    assert chooser.choose(text, "fr", is_complete=False) is None
    assert chooser.choose(text, "fr", is_complete=True) == "fr"


def test_a_voice_of_one_language_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_choice, "rank_languages", None)
    assert LanguageChooser(["de-AT"]).choose("Где", "de-AT", is_complete=False) == "de-AT"


def test_the_tag_of_the_voice_is_kept() -> None:
    chooser = LanguageChooser(["en-US", "pt-BR", "pt"])
    assert chooser.choose("Amanhã vou ao médico", "en-US", is_complete=True) == "pt-BR"


def test_scripts_alone_decide_without_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_detector, "load_detector", lambda: None)
    assert choose("Где это?") == "ru"
    assert choose("Wo ist das denn?") == "en"
    assert needs_detector(["en", "de"])
    assert not needs_detector(["en", "ru", "ar"])


@exactly
@given(pieces, pieces)
def test_what_is_decided_stays_decided(text: str, more: str) -> None:
    chooser = LanguageChooser(["en", "de", "ru", "uk", "zh", "ja"])
    if found := chooser.choose(text, "en", is_complete=False):
        assert chooser.choose(text + more, "en", is_complete=False) == found


@pytest.mark.parametrize("text", ["a" * 5000, "ab " * 2000, "я" * 5000, "1 " * 3000, "日" * 4000])
def test_a_choice_is_bounded(text: str) -> None:
    chooser = LanguageChooser(MULTILINGUAL)
    chooser.choose(text, "en", is_complete=False)
    start = time.thread_time()
    assert chooser.choose(text, "en", is_complete=False) is not None
    assert time.thread_time() - start < 0.05
