"""docs/reading.md: what it says of texts is what is said for them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from backend.text.markup.reader import MarkupOptions
from backend.text.reading.english import ENGLISH
from backend.text.text_reading import read_sentences
from tests.support.engines.hibari_model import shared_model
from tests.support.live_server import live_server
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "reading.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([^`]+)` \| (.+) \|$", PAGE, re.MULTILINE)


def test_the_page_has_its_tables() -> None:
    assert len(ROWS) > 60


@pytest.mark.parametrize(("written", "said"), ROWS)
def test_text_is_read_as_the_page_says(written: str, said: str) -> None:
    text = written.replace(r"\n", "\n")
    sentences = read_sentences(text, lambda: ENGLISH, MarkupOptions())
    plain = [sentence.spoken.plain for sentence in sentences]
    assert " / ".join(filter(None, plain)) == said


async def test_the_request_is_answered_as_the_page_says(tmp_path: Path) -> None:
    (request,) = re.findall(r"/v1/read -d '(.+)'", PAGE)
    answer = re.findall(r'^    \{"spoken": .*?\]\}$', PAGE, re.MULTILINE | re.DOTALL)
    lexicon = {"folder": str(tmp_path)}
    async with live_server(shared_model(), lexicon=lexicon) as live, httpx.AsyncClient() as http:
        response = await http.post(f"{live.http}/v1/read", content=request)
    assert [response.json()] == [json.loads(text) for text in answer]


def test_the_example_of_a_language_runs() -> None:
    page = (ROOT / "docs" / "adding-a-language.md").read_text("utf-8")
    (snippet,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(snippet, "adding-a-language.md", "exec"), names)
    assert "GERMAN" in names
