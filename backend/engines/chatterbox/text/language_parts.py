"""What single languages of the multilingual model need besides its weights.

Upstream's tokenizer rewrites Chinese, Japanese and Hebrew with packages of their own, fetches their
files when it needs them, and speaks the raw text if that fails. Here all is loaded at the start,
from files that are there, and a language that lacks something is refused by name.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import structlog

from backend.engines.chatterbox.text.traced_text import TracedText

log = structlog.get_logger(__name__)

VOCABULARY = "grapheme_mtl_merged_expanded_v1.json"
CANGJIE = "Cangjie5_TC.json"
HEBREW_FILES = ("dicta-1.0.onnx", "tokenizer.json")

Rewriter = Callable[[TracedText], TracedText]


class MissingPart(Exception):
    """A language cannot be spoken; the message says what it needs, and the command."""


def create_multilingual_tokenizer(folder: Path) -> Any:
    """Upstream's `MTLTokenizer` over the files of `folder`. Blocks (seconds). Gets two attributes:
    `rewriters` and `missing_languages`, both by language.
    """
    from chatterbox.models.tokenizers import tokenizer as upstream

    converter = upstream.ChineseCangjieConverter
    with (
        mock.patch.object(upstream, "hf_hub_download", return_value=str(folder / CANGJIE)),
        mock.patch.object(converter, "_init_segmenter"),  # it may download
    ):
        tokenizer = upstream.MTLTokenizer(str(folder / VOCABULARY))
    if not tokenizer.cangjie_converter.word2cj:
        raise ValueError(f"{CANGJIE} has no characters")
    tokenizer.cangjie_converter.segmenter = None
    tokenizer.rewriters, tokenizer.missing_languages = {}, {}
    for language, load in _LOADERS.items():
        try:
            tokenizer.rewriters[language] = load(tokenizer, folder)
            continue
        except MissingPart as missing:
            why = str(missing)
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            why = f"what {language} needs could not be loaded ({error}); reinstall it"
        tokenizer.missing_languages[language] = why
        log.info("language.missing", language=language, why=why)
    return tokenizer


def _load_chinese(tokenizer: Any, folder: Path) -> Rewriter:
    """Words apart, then each character as its Cangjie code."""
    _require_package("spacy_pkuseg", "spacy-pkuseg", "Chinese")
    home = Path(os.path.expanduser(os.getenv("PKUSEG_HOME", "~/.pkuseg")))
    if not all((home / f"spacy_ontonotes{part}").exists() for part in ("", ".zip")):
        raise MissingPart(
            f"Chinese needs the model of spacy-pkuseg in {home}; run: "
            f"{sys.executable} -c 'import spacy_pkuseg; spacy_pkuseg.pkuseg()', "
            "then restart the server"
        )
    import spacy_pkuseg

    converter, segmenter = tokenizer.cangjie_converter, spacy_pkuseg.pkuseg()
    return lambda text: text.rewrite(" ".join(segmenter.cut(text.text))).map(converter)


def _load_japanese(tokenizer: Any, folder: Path) -> Rewriter:
    """Chinese characters as hiragana."""
    _require_package("pykakasi", "pykakasi", "Japanese")
    from chatterbox.models.tokenizers.tokenizer import hiragana_normalize

    hiragana_normalize("\u6f22")  # loads its dictionary
    return lambda text: text.rewrite(hiragana_normalize(text.text))


def _load_hebrew(tokenizer: Any, folder: Path) -> Rewriter:
    """With vowel points."""
    _require_package("dicta_onnx", "--no-deps dicta-onnx", "Hebrew")
    paths = [folder / "he" / name for name in HEBREW_FILES]
    if lost := [str(path) for path in paths if not path.is_file()]:
        raise MissingPart(
            f"Hebrew needs {' and '.join(lost)}: the model of dicta-onnx, and the tokenizer of "
            "dicta-il/dictabert-large-char-menaked (docs/chatterbox.md); restart the server then"
        )
    import dicta_onnx
    from tokenizers import Tokenizer

    local = mock.Mock(from_pretrained=lambda _: Tokenizer.from_file(str(paths[1])))
    with mock.patch("dicta_onnx.model.Tokenizer", local):  # it would ask the hub
        dicta = dicta_onnx.Dicta(str(paths[0]))
    return lambda text: text.rewrite(dicta.add_diacritics(text.text))


def _load_russian(tokenizer: Any, folder: Path) -> Rewriter:
    """With stress marks, if the optional package is there."""
    if importlib.util.find_spec("russian_text_stresser") is None:
        log.info("language.plain", language="ru", why="russian-text-stresser is not installed")
        return lambda text: text
    from russian_text_stresser.text_stresser import RussianTextStresser

    stresser = RussianTextStresser()
    return lambda text: text.rewrite(stresser.stress_text(text.text))


def _require_package(module: str, install: str, language: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MissingPart(
            f"{language} needs the package {install.split()[-1]}; run: "
            f"{sys.executable} -m pip install {install}, then restart the server"
        )


_LOADERS: Mapping[str, Callable[[Any, Path], Rewriter]] = {
    "zh": _load_chinese,
    "ja": _load_japanese,
    "he": _load_hebrew,
    "ru": _load_russian,
}
