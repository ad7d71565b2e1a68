"""docs/client.md: every snippet runs, against a real server."""

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
from tests.support.repository import ROOT

PAGE = ROOT / "docs" / "client.md"
ADDRESS = "http://127.0.0.1:8000"


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def table_of(first_cell: str) -> list[str]:
    """The code in the first cells of the table with this heading."""
    (table,) = re.findall(rf"^\| {first_cell} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE.read_text(), re.M)
    return [name for row in table.splitlines() for name in re.findall(r"`(\w+)", row.split("|")[1])]


def compiled(snippet: str) -> CodeType:
    code: CodeType = compile(snippet, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return code


async def llm_stream(question: str) -> AsyncIterator[Any]:
    for content in ("The sky ", None, "scatters blue light."):
        delta = SimpleNamespace(content=content)
        yield SimpleNamespace(choices=[SimpleNamespace(delta=delta)])


async def test_every_snippet_runs(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(player, "SoundDevice", NullDevice)
    played: list[bytes] = []
    names: dict[str, Any] = {"play": played.append, "llm_stream": llm_stream}
    outputs = []
    for snippet in snippets("python"):
        before = len(played)
        result = eval(compiled(snippet.replace(ADDRESS, url)), names)
        if inspect.isawaitable(result):
            await result
        assert "play(audio" not in snippet or sum(map(len, played[before:])) > 10_000, snippet
        outputs.append(capsys.readouterr().out)
    said = "".join(outputs)
    for promised in (
        "sky ", "characters=30", "Cancelled(", "Hello.", "Stats(transport='websocket'",
        "unknown_voice", "Retracted\n", "Done\n",
    ):  # fmt: skip
        assert promised in said, promised
    assert soundfile.info(tmp_path / "hello.wav").duration > 0.5


def test_every_command_runs(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUPLEX_TTS_URL", url)
    (tmp_path / "texts.jsonl").write_text(json.dumps({"id": "one", "text": "One."}) + "\n")
    program = shlex.join([sys.executable, "-P", "-m", "duplex_tts"])
    for command in "".join(snippets("sh")).splitlines():
        here = command.replace("duplex-tts", program)
        ran = subprocess.run(here, shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
    assert soundfile.info(tmp_path / "hello.wav").duration > 0.5
    assert soundfile.info(tmp_path / "out" / "one.wav").duration > 0.2


def test_events_and_errors_are_those_there_are() -> None:
    events = {event.__name__ for event in get_args(duplex_tts.SessionEvent)}
    assert set(table_of("event")) == events
    errors = {
        name
        for name, value in ((name, getattr(duplex_tts, name)) for name in duplex_tts.__all__)
        if inspect.isclass(value) and issubclass(value, duplex_tts.ClientError)
    }
    assert set(table_of("raised")) == errors - {"ClientError"}


def test_options_and_figures_are_those_there_are() -> None:
    text = PAGE.read_text()
    for name in (*Options.__dataclass_fields__, *Stats.__dataclass_fields__):
        assert re.search(rf"\b{name}\b", text), name
    for name in re.findall(r"`session\.(\w+)", text):
        assert hasattr(Session, name), name


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)", PAGE.read_text()):
        assert (PAGE.parent / link).exists(), link
