"""`duplex-tts read`: its requests to the server, and its output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from duplex_tts.cli import app as cli
from tests.client.cli.conftest import Served

WHERE = ["--url", "host:1", "--key", "secret"]
TEXT = "Pay $3.\n🙂 Ask\u2014\x1b[1mDr. Li."
ANSWER = {
    "spoken": "Pay three dollars. Ask Doctor Li.",
    "sentences": [[0, 8], [8, len(TEXT)]],
    "words": [
        {"from": 0, "to": 3, "spoken": "Pay", "phonemes": "pˈA"},
        {"from": 4, "to": 7, "spoken": "three dollars", "phonemes": None},
        {"from": 10, "to": 13, "spoken": "Ask", "phonemes": "ˈæsk"},
        {"from": 18, "to": 21, "spoken": "Doctor", "phonemes": "dˈɑktəɹ"},
    ],
}


def run_read(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(cli.app, ["read", *arguments, *WHERE], input=stdin)


def read_request(requests: list[httpx.Request]) -> dict[str, Any]:
    (request,) = requests
    assert (request.method, str(request.url)) == ("POST", "http://host:1/v1/read")
    assert request.headers["authorization"] == "Bearer secret"
    body: dict[str, Any] = json.loads(request.content)
    return body


def test_each_sentence_is_shown_with_what_is_said(served: Served) -> None:
    requests = served(200, ANSWER)
    result = run_read(TEXT)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "Pay $3.",
        "  Pay three dollars",
        "🙂 Ask\u2014 [1mDr. Li.",
        "  Ask Doctor",
    ]
    body = read_request(requests)
    assert body == {"text": TEXT, "voice": None, "language": None, "ssml": False}


def test_sentence_without_sound_is_named(served: Served) -> None:
    served(200, {"spoken": "", "sentences": [[0, 2]], "words": []})
    assert run_read("🙂.").stdout.splitlines() == ["🙂.", "  (silent)"]


def test_words_are_a_table(served: Served) -> None:
    served(200, ANSWER)
    lines = run_read("--words", TEXT).stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["written", "said", "phonemes"],
        ["Pay", "Pay", "pˈA"],
        ["$3.", "three", "dollars"],
        ["Ask", "Ask", "ˈæsk"],
        ["Dr.", "Doctor", "dˈɑktəɹ"],
    ]


@pytest.mark.parametrize("text", [TEXT, ":smile: [red]" + "very long text " * 30])
def test_answer_of_the_server_is_printed_as_it_is(served: Served, text: str) -> None:
    answer = {**ANSWER, "spoken": text}
    served(200, answer)
    stdout = run_read("--json", text).stdout
    assert json.loads(stdout) == answer
    assert stdout.count("\n") == 1


def test_options_are_sent(served: Served) -> None:
    requests = served(200, ANSWER)
    run_read("--voice", "anna", "--language", "en-GB", "--ssml", "Ask", "Dr. Li.")
    body = {"text": "Ask Dr. Li.", "voice": "anna", "language": "en-GB", "ssml": True}
    assert read_request(requests) == body


@pytest.mark.parametrize("arguments", [[], ["-"], ["--file", "-"]])
def test_standard_input_is_read(served: Served, arguments: list[str]) -> None:
    requests = served(200, ANSWER)
    run_read(*arguments, stdin="\ufeffZoë\n".encode())
    assert read_request(requests)["text"] == "Zoë\n"


def test_file_is_read(served: Served, tmp_path: Path) -> None:
    requests = served(200, ANSWER)
    (tmp_path / "notes.md").write_text("# Zoë\n", "utf-8")
    run_read("-f", str(tmp_path / "notes.md"))
    assert read_request(requests)["text"] == "# Zoë\n"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "part"),
    [
        (["-f", "nowhere.txt"], 1, "nowhere.txt: No such file"),
        (["  "], 2, "nothing to speak"),
        (["Hello.", "-f", "nowhere.txt"], 2, "not both"),
    ],
)
def test_unusable_text_is_refused_before_a_server_is_asked(
    served: Served, arguments: list[str], exit_code: int, part: str
) -> None:
    requests = served(200, ANSWER)
    result = run_read(*arguments)
    assert (result.exit_code, requests) == (exit_code, [])
    assert part in result.stderr


def test_binary_data_is_refused(served: Served) -> None:
    served(200, ANSWER)
    result = run_read("-", stdin=b"\0\1\2")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "not text" in result.stderr


def test_refusal_is_the_servers_message(served: Served) -> None:
    served(404, {"code": "unknown_voice", "message": "no voice 'anna'"})
    result = run_read("Hello", "--voice", "anna")
    assert (result.exit_code, result.stderr) == (1, "duplex-tts: no voice 'anna'\n")


@pytest.mark.parametrize("answer", [{"hello": "there"}, {"sentences": [[0]], "words": []}])
def test_other_server_is_named(served: Served, answer: dict[str, Any]) -> None:
    served(200, answer)
    result = run_read("Hello")
    assert (result.exit_code, "older server" in result.stderr) == (1, True)


def test_help_teaches() -> None:
    result = run_read("--help")
    assert result.exit_code == 0
    assert "duplex-tts read 'Dr. Smith paid $3.50 on 3/12.'" in result.stdout
