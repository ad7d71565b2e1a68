"""What single languages need, and how it is said that it is missing."""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import pytest

from backend.config import ChatterboxSettings, EngineSettings
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.text.language_parts import (
    CANGJIE,
    HEBREW_FILES,
    create_multilingual_tokenizer,
)
from backend.engines.chatterbox.text.traced_text import TracedText
from backend.errors import Unsupported
from backend.events import Start
from backend.monitoring.metrics import Metrics
from backend.tts_manager import TTSManager
from tests.support.chatterbox.small_tokenizers import write_graphemes
from tests.support.chatterbox.tiny import tiny

PACKAGES = {"zh": "spacy-pkuseg", "ja": "pykakasi", "he": "dicta-onnx"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The multilingual files, on a machine without network and without any package of a
    language.
    """

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("PKUSEG_HOME", str(tmp_path / "pkuseg"))
    find_spec = importlib.util.find_spec
    absent = {"spacy_pkuseg", "pykakasi", "dicta_onnx", "russian_text_stresser"}
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: find_spec(name) if name not in absent - set(sys.modules) else None,
    )
    write_graphemes(tmp_path)
    return tmp_path


def install(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> ModuleType:
    """A package of this name with these contents."""
    module = ModuleType(name)
    module.__spec__ = SimpleNamespace(name=name)  # type: ignore[assignment]
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def said(tokenizer: Any, language: str, text: str) -> str:
    rewritten: TracedText = tokenizer.rewriters[language](TracedText.of(text))
    assert len(rewritten.ends) == len(rewritten.text)
    assert rewritten.ends[-1] == len(text)
    return rewritten.text


def test_the_tokenizer_is_created_without_network(folder: Path) -> None:
    tokenizer = create_multilingual_tokenizer(folder)
    assert tokenizer.cangjie_converter.word2cj == {"\u4f60": "ab", "\u597d": "ba", "\u6c49": "ab"}
    assert set(tokenizer.missing_languages) == set(PACKAGES)
    assert said(tokenizer, "ru", "\u043c\u0438\u0440") == "\u043c\u0438\u0440"


@pytest.mark.parametrize(("language", "package"), PACKAGES.items())
def test_a_missing_package_is_named_with_the_command(
    language: str, package: str, folder: Path
) -> None:
    why = create_multilingual_tokenizer(folder).missing_languages[language]
    assert f"{sys.executable} -m pip install" in why
    assert package in why
    assert "restart" in why


def test_a_context_in_a_language_that_lacks_something_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    upstream = tiny(turbo=False, engine="chatterbox-multilingual")
    upstream.tokenizer = create_multilingual_tokenizer(folder)
    model = ChatterboxModel(upstream, ChatterboxSettings(), tmp_path / "voices")
    assert len(model.info.languages) == 23
    assert set(model.voices()[0].other_languages) == {*model.info.languages[1:]} - set(PACKAGES)
    tts = TTSManager(model, EngineSettings(), Metrics(), 1)
    for language in ("ja", "zh-TW", "he"):
        with pytest.raises(Unsupported, match="pip install") as caught:
            tts.resolve_params(Start("c", language=language))
        assert caught.value.context == "c"
    for fine in (None, "en", "ar", "ko", "ru"):
        assert tts.resolve_params(Start("c", language=fine)).language == fine


def test_chinese_needs_the_model_of_its_package_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "spacy_pkuseg", pkuseg=None)
    why = create_multilingual_tokenizer(folder).missing_languages["zh"]
    assert str(folder / "pkuseg") in why
    assert "spacy_pkuseg.pkuseg()" in why


def test_chinese_is_cut_into_words_and_spelled_in_cangjie(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pkuseg" / "spacy_ontonotes").mkdir(parents=True)
    (folder / "pkuseg" / "spacy_ontonotes.zip").touch()
    cut = SimpleNamespace(cut=lambda text: [text[:2], *text[2:]])
    install(monkeypatch, "spacy_pkuseg", pkuseg=lambda: cut)
    tokenizer = create_multilingual_tokenizer(folder)
    text = "\u4f60\u597d\u6c49\u3002"
    tokenizer.cangjie_converter.segmenter = cut
    expected = tokenizer.cangjie_converter(text)
    tokenizer.cangjie_converter.segmenter = None
    assert said(tokenizer, "zh", text) == expected
    assert expected.startswith("[cj_a][cj_b][cj_.][cj_b][cj_a][cj_.] [cj_a][cj_b][cj_1][cj_.]")
    rewritten = tokenizer.rewriters["zh"](TracedText.of(text))
    assert rewritten.ends[:18] == (1,) * 18
    assert rewritten.ends[18:36] == (2,) * 18


def test_japanese_is_read_in_hiragana(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Kakasi:
        def convert(self, text: str) -> list[dict[str, str]]:
            return [
                {"orig": part, "hira": "\u3068\u304d" if part != "\u3067" else part}
                for part in text
            ]

    install(monkeypatch, "pykakasi", kakasi=Kakasi)
    monkeypatch.setattr("chatterbox.models.tokenizers.tokenizer._kakasi", None)
    tokenizer = create_multilingual_tokenizer(folder)
    assert said(tokenizer, "ja", "\u6c49\u3067") == "\u3068\u304d\u3066\u3099"


def test_hebrew_needs_the_files_of_its_package_and_gets_its_points_from_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Dicta:
        def __init__(self, path: str) -> None:
            asked.append((path, module.Tokenizer.from_pretrained("a name on the hub")))

        def add_diacritics(self, text: str) -> str:
            return text.replace("\u05e9", "\u05e9\u05b8")

    module = install(monkeypatch, "dicta_onnx.model", Tokenizer=None)
    install(monkeypatch, "dicta_onnx", Dicta=Dicta, model=module)
    missing = create_multilingual_tokenizer(folder).missing_languages["he"]
    assert all(str(folder / "he" / name) in missing for name in HEBREW_FILES)
    (folder / "he").mkdir()
    (folder / "he" / HEBREW_FILES[0]).touch()
    write_graphemes(folder / "he")
    (folder / "he" / "grapheme_mtl_merged_expanded_v1.json").rename(folder / "he" / HEBREW_FILES[1])
    tokenizer = create_multilingual_tokenizer(folder)
    assert said(tokenizer, "he", "\u05e9\u05dc") == "\u05e9\u05b8\u05dc"
    (path, loaded), *_ = asked
    assert path == str(folder / "he" / HEBREW_FILES[0])
    assert loaded.get_vocab_size() > 50


def test_a_broken_part_takes_only_its_language(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> NoReturn:
        raise RuntimeError("no dictionary")

    (folder / "pkuseg" / "spacy_ontonotes").mkdir(parents=True)
    (folder / "pkuseg" / "spacy_ontonotes.zip").touch()
    install(monkeypatch, "spacy_pkuseg", pkuseg=fail)
    tokenizer = create_multilingual_tokenizer(folder)
    assert "no dictionary" in tokenizer.missing_languages["zh"]
    assert "ru" in tokenizer.rewriters


def test_an_unreadable_cangjie_table_is_an_error(folder: Path) -> None:
    (folder / CANGJIE).write_text("[")
    with pytest.raises(ValueError, match=CANGJIE):
        create_multilingual_tokenizer(folder)


def test_russian_gets_its_stress_marks_if_the_optional_package_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stresser:
        def stress_text(self, text: str) -> str:
            return text.replace("\u0438", "\u0438\u0301")

    stresser = install(
        monkeypatch, "russian_text_stresser.text_stresser", RussianTextStresser=Stresser
    )
    install(monkeypatch, "russian_text_stresser", text_stresser=stresser)
    assert (
        said(create_multilingual_tokenizer(folder), "ru", "\u043c\u0438\u0440")
        == "\u043c\u0438\u0301\u0440"
    )
