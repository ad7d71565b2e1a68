"""Text tokens: upstream's, and where they end in the text."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chatterbox import mtl_tts, tts, tts_turbo
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.chatterbox.text.text_tokens import TextTokens, TokenizedText
from backend.engines.chatterbox.upstream import create_tokenizer
from backend.engines.chatterbox.variants import VARIANTS
from backend.text.markup.brackets import SOUNDS
from backend.text.markup.reader import MarkupOptions
from backend.text.reading.languages import find_language
from backend.text.text_reading import read_sentences
from tests.support.chatterbox.small_tokenizers import (
    MULTILINGUAL,
    write_bytes,
    write_graphemes,
    write_tokenizer_config,
)
from tests.support.chatterbox.tiny import CharacterTokenizer, tiny_t3

TEXTS = {
    "en": "the cat, \u201cthen\u201d a tie!",
    "ar": "\u0645\u0631\u062d\u0628\u0627\u060c \u0645\u0631\u062d\u0628\u0627\u061f",
    "el": "\u03c4\u03b9 \u03ba\u03ac\u03bd\u03b9\u03c2.",
    "fr": "Ça va d\u00e9j\u00e0?",
    "hi": "\u0928\u092e\u0938\u094d\u0924\u0947\u0964",
    "ko": "\ud55c \ud55c.",
    "pt": "N\u00e3o, n\u00e3o.",
    "ru": "\u043c\u0438\u0440.",
    "tr": "Istanbul, \u0131\u0131.",
    "sw": "he: the",
}


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("multilingual")
    write_graphemes(folder)
    return create_tokenizer(MULTILINGUAL, folder)


@pytest.fixture
def turbo(tmp_path: Path) -> Any:
    write_bytes(tmp_path)
    return create_tokenizer(VARIANTS["chatterbox-turbo"], tmp_path)


def model(*, is_multilingual: bool = False, is_gpt: bool = False) -> Any:
    hp = SimpleNamespace(start_text_token=255, stop_text_token=0, is_multilingual=is_multilingual)
    return SimpleNamespace(hp=hp, is_gpt=is_gpt)


def assert_ends_are_places_in(text: str, tokenized: TokenizedText) -> None:
    assert len(tokenized.ends) == len(tokenized.tokens)
    assert sorted(tokenized.ends) == list(tokenized.ends)
    assert tokenized.ends[-1] == len(text)
    assert tokenized.ends[0] >= 0


@pytest.mark.parametrize("is_turbo", [False, True])
def test_text_tokens_equal_upstream(is_turbo: bool) -> None:
    t3: Any = tiny_t3(turbo=is_turbo)
    tokenizer = CharacterTokenizer()
    tokens = TextTokens(tokenizer, t3)("hello  there").tokens.tolist()
    if is_turbo:
        assert tokens == tokenizer("Hello there.")["input_ids"]
    else:
        assert tokens == [255, *tokenizer.text_to_tokens("Hello there.")[0].tolist(), 0]


@pytest.mark.parametrize("language", TEXTS)
def test_multilingual_tokens_equal_upstream(language: str, multilingual: Any) -> None:
    text = TEXTS[language]
    tokenized = TextTokens(multilingual, model(is_multilingual=True))(text, language)
    said = mtl_tts.punc_norm(text)
    if language in ("ar", "hi"):  # upstream does not know their marks: it adds a full stop
        said = said.removesuffix(".")
    expected = multilingual.text_to_tokens(said, language_id=language)[0].tolist()
    assert tokenized.tokens.tolist() == [255, *expected, 0]
    assert multilingual.tokenizer.token_to_id(f"[{language}]") == expected[0]
    assert multilingual.tokenizer.token_to_id("[UNK]") not in expected
    assert_ends_are_places_in(text, tokenized)


def test_multilingual_ends_are_those_of_the_written_characters(multilingual: Any) -> None:
    tokenized = TextTokens(multilingual, model(is_multilingual=True))(
        "then d\u00e9j\u00e0: the", "fr"
    )
    pieces = [
        multilingual.tokenizer.id_to_token(token) for token in tokenized.tokens[1:-1].tolist()
    ]
    found = list(zip(pieces, tokenized.ends[1:-1], strict=True))
    assert found[:5] == [("[fr]", 0), ("th", 2), ("e", 3), ("n", 4), ("[SPACE]", 5)]
    assert found[5:8] == [("d", 6), ("e", 7), ("\u0301", 7)]
    assert found[8:12] == [("j", 8), ("a", 9), ("\u0300", 9), (",", 10)]
    assert found[-1] == (".", 14)


def test_languages_with_a_region_are_those_without(multilingual: Any) -> None:
    read = TextTokens(multilingual, model(is_multilingual=True))
    assert read("he", "pt-BR").tokens.tolist() == read("he", "pt").tokens.tolist()
    assert read("he").tokens.tolist() == read("he", "en").tokens.tolist()
    assert read("he", "pt").tokens.tolist() != read("he").tokens.tolist()


def test_a_rewriter_is_asked_in_its_language_only(multilingual: Any) -> None:
    rewritten = SimpleNamespace(
        tokenizer=multilingual.tokenizer, rewriters={"he": lambda text: text.append("a")}
    )
    read = TextTokens(rewritten, model(is_multilingual=True))
    assert len(read("he.", "he").tokens) == len(read("he.", "en").tokens) + 1
    assert_ends_are_places_in("he.", read("he.", "he"))


@pytest.mark.parametrize("configured", [False, True])
def test_sounds_are_single_tokens(configured: bool, turbo: Any, tmp_path: Path) -> None:
    if configured:
        write_tokenizer_config(tmp_path)
        turbo = create_tokenizer(VARIANTS["chatterbox-nano"], tmp_path)
    expected: dict[str, int] = json.loads((tmp_path / "added_tokens.json").read_text())
    read = TextTokens(turbo, model(is_gpt=True))
    for sound in SOUNDS:
        text = f"Oh [{sound}] no."
        tokenized = read(text)
        tokens = tokenized.tokens.tolist()
        assert tokens.count(expected[f"[{sound}]"]) == 1
        assert len(tokens) == len("Oh  no.") + 1
        place = tokens.index(expected[f"[{sound}]"])
        assert tokenized.ends[place] == text.index("]") + 1
        assert_ends_are_places_in(text, tokenized)


def test_turbo_tokens_equal_upstream_and_end_at_their_characters(turbo: Any) -> None:
    text = "so \u201cna\u00efve\u201d \u2014 he said"
    tokenized = TextTokens(turbo, model(is_gpt=True))(text)
    said = tts_turbo.punc_norm(text)
    assert tokenized.tokens.tolist() == turbo(said, return_tensors="pt").input_ids[0].tolist()
    assert_ends_are_places_in(text, tokenized)
    assert tokenized.ends[:4] == (1, 2, 3, 4)


def test_words_said_for_one_written_word_are_read_as_separate_words() -> None:
    read = TextTokens(CharacterTokenizer(), model())
    assert read("five\u00a0dollars").tokens.tolist() == read("five dollars").tokens.tolist()


@given(text=st.text(min_size=1, max_size=60), language=st.sampled_from(MULTILINGUAL.languages))
def test_every_text_has_ends_within_it(text: str, language: str, multilingual: Any) -> None:
    for read, code in (
        (TextTokens(multilingual, model(is_multilingual=True)), language),
        (TextTokens(CharacterTokenizer(), model()), "en"),
    ):
        tokenized = read(text, code)
        assert_ends_are_places_in(text, tokenized)
        assert tokenized.ends[0] == 0


READ = {
    "ar": "\u0645\u0631\u062d\u0628\u0627\u060c 3:45 \u0648 12,5 %.",
    "de": "Um 3:45 Uhr: Dr. M\u00fcller zahlt 1.234,56 \u20ac!",
    "fr": "Il dit \u00ab Va. \u00bb 3,50 \u20ac : peu\u2026",
    "hi": "\u0928\u092e\u0938\u094d\u0924\u0947\u0964",
    "ja": "\u300c\u306f\u3044\u300d\u30683\u67084\u65e5\u30015\u6642\u3002",
    "ko": "\ud55c \ud55c 45\ud55c.",
    "ru": "\u043c\u0438\u0440 2024 \u0433. \u043c\u0438\u0440?",
    "zh": "\u4f60\u597d\uff0c\u4eca3\u70b945\u5206\u3002",
}


def read_aloud(text: str, language: str) -> str:
    """What the product's own reading gives to an engine."""
    sentences = read_sentences(text, lambda: find_language(language), MarkupOptions())
    return "".join(sentence.spoken.text for sentence in sentences)


@pytest.mark.parametrize("language", READ)
def test_the_reading_leaves_other_languages_as_they_are_written(
    language: str, multilingual: Any
) -> None:
    text = READ[language]
    tokenize = TextTokens(multilingual, model(is_multilingual=True))
    spoken = tokenize(read_aloud(text, language), language)
    assert spoken.tokens.tolist() == tokenize(text, language).tokens.tolist()


def test_english_numbers_are_words_before_they_are_tokens() -> None:
    tokenize = TextTokens(CharacterTokenizer(), model())
    expanded = tokenize("It costs five dollars at three forty five.")
    spoken = tokenize(read_aloud("It costs $5 at 3:45.", "en"))
    assert spoken.tokens.tolist() == expanded.tokens.tolist()


def test_standard_tokens_equal_upstream_for_english() -> None:
    text = "well: \u201cyes\u201d\u2026 it is"
    tokenizer = CharacterTokenizer()
    tokenized = TextTokens(tokenizer, model())(text)
    expected = tokenizer.text_to_tokens(tts.punc_norm(text))[0].tolist()
    assert tokenized.tokens.tolist() == [255, *expected, 0]
