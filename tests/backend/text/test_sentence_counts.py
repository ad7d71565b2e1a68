"""How many sentences a text is, whole and typed a character at a time."""

import json
from pathlib import Path
from typing import Any

import pytest

from backend.text.segmenter import Segmenter

CASES = [
    json.loads(line)
    for line in Path(__file__).with_name("sentence_counts.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"])
def test_a_text_is_cut_as_a_reader_would(case: dict[str, Any], size: int) -> None:
    segmenter, text = Segmenter(), case["text"]
    sentences = [
        sentence
        for start in range(0, len(text), size)
        for sentence in segmenter.push_text(text[start : start + size])
    ]
    sentences += segmenter.end_text()
    assert len(sentences) == case["sentences"], [sentence.text for sentence in sentences]
