"""Upstream's tokenizers over vocabularies of a few letters, as files in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

from backend.engines.chatterbox.text.language_parts import CANGJIE, VOCABULARY
from backend.engines.chatterbox.variants import VARIANTS
from backend.text.markup.brackets import SOUNDS

MULTILINGUAL = VARIANTS["chatterbox-multilingual"]
_SPECIAL = ("[STOP]", "[UNK]", "[SPACE]", "[START]")
_LETTERS = "abcdefghijklmnopqrstuvwxyz.,!?'\"\u0131\u0300\u0301\u0303\u0306\u0307\u0308\u0327"
_OTHERS = (
    "\u0645\u0631\u062d\u0628\u0627\u061f\u060c\u03b1\u03b9\u03ba\u03bd\u03c2\u03c4\u0928\u092e"
    "\u0938\u094d\u0924\u0947\u0964\u1112\u1161\u11ab\u043c\u0438\u0440\u05e9\u05dc\u05d5\u05dd"
    "\u3068\u3046\u304d\u3087\u3067\u3002"
)


def write_graphemes(folder: Path) -> None:
    """The multilingual vocabulary, and Cangjie codes of three characters."""
    tags = [f"[{language}]" for language in MULTILINGUAL.languages]
    codes = [f"[cj_{code}]" for code in "abdwj12."]
    pieces = [*_SPECIAL, *tags, *codes, *_LETTERS, *_OTHERS, "th", "he"]
    vocabulary = {piece: n for n, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("t", "h"), ("h", "e")], unk_token="[UNK]"))
    tokenizer.add_special_tokens([*_SPECIAL, *tags, *codes])
    tokenizer.save(str(folder / VOCABULARY))
    entries = ["\u4f60\tab", "\u597d\tba", "\u6c49\tab"]
    (folder / CANGJIE).write_text(json.dumps(entries), encoding="utf-8")


def write_bytes(folder: Path) -> None:
    """A vocabulary of single bytes as Turbo's and Nano's, with their sounds."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: n for n, letter in enumerate((*letters, "<|endoftext|>"))}
    sounds = {f"[{sound}]": len(vocabulary) + n for n, sound in enumerate(sorted(SOUNDS))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "added_tokens.json").write_text(json.dumps(sounds))


def write_tokenizer_config(folder: Path) -> None:
    """As in Turbo's repository."""
    config: dict[str, Any] = {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
