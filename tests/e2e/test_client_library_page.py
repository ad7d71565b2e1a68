"""docs/client-library.md: every snippet runs on a real server; tables and links are complete."""

import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any, get_args

import pytest
import soundfile

import duplex_tts
from duplex_tts import Options, Session, Stats, player
from duplex_tts.playback.devices import NullDevice
from tests.support.epub_files import EpubFile, page
from tests.support.repository import ROOT

PAGE = ROOT / "docs" / "client-library.md"
ADDRESS = "http://127.0.0.1:8000"


def find_snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def first_column(heading: str) -> list[str]:
    """The names in the first column of the table with this heading."""
    (table,) = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE.read_text(), re.M)
    return [name for row in table.splitlines() for name in re.findall(r"`(\w+)", row.split("|")[1])]


def compile_snippet(snippet: str) -> CodeType:
    code: CodeType = compile(snippet, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return code


async def llm_stream(question: str) -> AsyncIterator[Any]:
    for content in ("The sky ", None, "scatters blue light."):
        delta = SimpleNamespace(content=content)
        yield SimpleNamespace(choices=[SimpleNamespace(delta=delta)])


@pytest.mark.slow
async def test_every_snippet_runs(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(player, "SoundDevice", NullDevice)
    played: list[bytes] = []
    names: dict[str, Any] = {"play": played.append, "llm_stream": llm_stream}
    outputs = []
    for snippet in find_snippets("python"):
        before = len(played)
        result = eval(compile_snippet(snippet.replace(ADDRESS, url)), names)
        if inspect.isawaitable(result):
            await result
        assert "play(audio" not in snippet or sum(map(len, played[before:])) > 10_000, snippet
        outputs.append(capsys.readouterr().out)
    output = "".join(outputs)
    for expected in (
        "sky ", "characters=30", "Cancelled(", "Hello.", "Stats(transport='websocket'",
        "unknown_voice", "Retracted\n", "Done\n",
    ):  # fmt: skip
        assert expected in output, expected
    assert soundfile.info(tmp_path / "hello.wav").duration > 0.5


@pytest.mark.slow
def test_every_command_runs(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUPLEX_TTS_URL", url)
    (tmp_path / "texts.jsonl").write_text(json.dumps({"id": "one", "text": "One."}) + "\n")
    EpubFile({"1.xhtml": page("<h1>One</h1><p>It was.</p>")}).write(tmp_path / "novel.epub")
    program = shlex.join([sys.executable, "-P", "-m", "duplex_tts"])
    for command in "".join(find_snippets("sh")).splitlines():
        line = command.replace("duplex-tts", program)
        result = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
    assert soundfile.info(tmp_path / "hello.wav").duration > 0.5
    assert soundfile.info(tmp_path / "out" / "one.wav").duration > 0.2


def test_the_tables_list_all_events_and_errors() -> None:
    events = {event.__name__ for event in get_args(duplex_tts.SessionEvent)}
    assert set(first_column("event")) == events
    errors = {
        name
        for name, value in ((name, getattr(duplex_tts, name)) for name in duplex_tts.__all__)
        if inspect.isclass(value) and issubclass(value, duplex_tts.ClientError)
    }
    assert set(first_column("raised")) == errors - {"ClientError"}


def test_the_page_mentions_all_options_and_statistics() -> None:
    text = PAGE.read_text()
    for name in (*Options.__dataclass_fields__, *Stats.__dataclass_fields__):
        assert re.search(rf"\b{name}\b", text), name
    for name in re.findall(r"`session\.(\w+)", text):
        assert hasattr(Session, name), name


def test_link_targets_exist() -> None:
    for link in re.findall(r"\]\(([^)#]+)", PAGE.read_text()):
        assert (PAGE.parent / link).exists(), link
