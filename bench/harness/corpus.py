"""The benchmark's texts, and how to split them into streamed pieces."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

DEFAULT_TEXTS = Path(__file__).parents[1] / "texts" / "dev.jsonl"

TOKENS_PER_S = 30.0
TOKENS_PER_WORD = 4 / 3
WORDS_PER_S = TOKENS_PER_S / TOKENS_PER_WORD

_TOKEN = re.compile(r"\s?\w{1,7}|\s?[^\w\s]|\s")
_WORD = re.compile(r"\s*\S+\s*$|\s*\S+")


@dataclass(frozen=True, slots=True)
class BenchText:
    """A text to speak; `kind`: its category."""

    id: str
    kind: str
    text: str

    @property
    def speakable(self) -> bool:
        """Whether it contains a word; otherwise there is nothing to hear or judge."""
        return any(character.isalnum() for character in self.text)


def load_corpus(path: Path = DEFAULT_TEXTS, limit: int | None = None) -> list[BenchText]:
    """Read JSON lines with `id`, `kind`, `text`; `limit`: at most that many, spread over the file.

    Raises `ValueError` naming an invalid line.
    """
    texts = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            fields = json.loads(line)
            texts.append(BenchText(fields["id"], fields["kind"], fields["text"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path.name}, line {number}: {error!r}") from error
    step = 1.0 if limit is None else max(1.0, len(texts) / limit)
    return [texts[int(i * step)] for i in range(int(len(texts) / step))]


def split_tokens(text: str) -> list[str]:
    """Split a text as a language model emits it: leading spaces, separate punctuation, words in
    pieces of at most seven letters; about 0.75 word per token. Joined they are the text.
    """
    return _TOKEN.findall(text)


def split_word_groups(text: str, size: int) -> list[str]:
    """Split a text into pieces of `size` words with leading spaces. Joined they are the text."""
    words = _WORD.findall(text)
    return ["".join(words[i : i + size]) for i in range(0, len(words), size)]
