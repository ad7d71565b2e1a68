"""Texts of many languages, each with the sentences that a reader would cut it into."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TextOfLanguage:
    """Sentences with numbers, quotations and abbreviations; they tile `text`."""

    language: str
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(self.sentences)


def _read_texts() -> tuple[TextOfLanguage, ...]:
    lines = Path(__file__).with_suffix(".jsonl").read_text("utf-8").splitlines()
    read = map(json.loads, lines)
    return tuple(TextOfLanguage(each["language"], tuple(each["sentences"])) for each in read)


TEXTS = _read_texts()
