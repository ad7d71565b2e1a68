"""`duplex-tts voices`: its requests to the server, and its output."""

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
HEART = {"name": "heart", "language": "en", "description": "warm", "ready": True}
NOVA = {"name": "nova", "language": "en", "description": "clear", "ready": False}
ANNA = {**HEART, "name": "anna", "description": "", "learned": True}


def run_voices(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["voices", *arguments])


@pytest.mark.parametrize("arguments", [WHERE, ["list", *WHERE], [*WHERE, "list"]])
def test_voices_are_listed_with_the_default(served: Served, arguments: list[str]) -> None:
    requests = served(200, {"default": "heart", "voices": [HEART, NOVA, ANNA]})
    result = run_voices(*arguments)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["heart", "en", "warm", "default"] in lines
    assert ["nova", "en", "clear", "downloaded", "on", "first", "use"] in lines
    assert ["anna", "en", "from", "a", "recording"] in lines
    (request,) = requests
    assert (request.method, str(request.url)) == ("GET", "http://host:1/v1/voices")
    assert request.headers["authorization"] == "Bearer secret"


def test_a_recording_is_sent_with_its_name(served: Served, tmp_path: Path) -> None:
    requests = served(201, ANNA)
    (tmp_path / "anna.wav").write_bytes(b"RIFF of anna")
    result = run_voices("add", "anna", str(tmp_path / "anna.wav"), *WHERE)
    assert (result.exit_code, result.stdout[:13]) == (0, "anna is ready")
    (request,) = requests
    assert (request.method, request.url.path) == ("POST", "/v1/voices")
    assert request.headers["authorization"] == "Bearer secret"
    assert b'name="name"\r\n\r\nanna\r\n' in request.content
    assert b'name="audio"; filename="anna.wav"' in request.content
    assert b"RIFF of anna" in request.content


def test_what_a_recording_lacks_is_printed(served: Served, tmp_path: Path) -> None:
    served(201, {**ANNA, "warnings": ["it is [quiet]", "it is short"]})
    (tmp_path / "anna.wav").write_bytes(b"RIFF of anna")
    result = run_voices("add", "anna", str(tmp_path / "anna.wav"), *WHERE)
    assert (result.exit_code, result.stdout[:13]) == (0, "anna is ready")
    assert result.stderr.splitlines() == [
        "duplex-tts: warning: it is [quiet]",
        "duplex-tts: warning: it is short",
    ]


def test_a_missing_recording_is_reported_before_anything_is_sent(served: Served) -> None:
    requests = served(201, ANNA)
    result = run_voices("add", "anna", "nowhere.wav", *WHERE)
    assert result.exit_code == 2
    assert "nowhere.wav" in result.stderr
    assert not requests


def test_a_voice_is_removed_by_its_name_alone(served: Served) -> None:
    requests = served(200, {"status": "ok"})
    assert run_voices("remove", "a/../b", *WHERE).exit_code == 0
    (request,) = requests
    assert (request.method, request.url.raw_path) == ("DELETE", b"/v1/voices/a%2F..%2Fb")


@pytest.mark.parametrize(
    "arguments", [WHERE, ["remove", "anna", *WHERE], ["add", "anna", __file__, *WHERE]]
)
def test_a_refusal_is_printed_with_the_servers_message(
    served: Served, arguments: list[str]
) -> None:
    served(401, {"type": "error", "code": "invalid_api_key", "message": "no such [key]"})
    result = run_voices(*arguments)
    assert result.exit_code == 1
    assert "no such [key]" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("status", "answer"), [(404, b"not found"), (500, b""), (200, b"<html>"), (400, {"x": 1})]
)
def test_an_invalid_response_is_reported_with_its_status(
    served: Served, status: int, answer: Any
) -> None:
    served(status, answer)
    result = run_voices(*WHERE)
    assert result.exit_code == 1
    assert str(status) in result.stderr


def test_an_unreachable_server_is_reported(served: Served) -> None:
    served(0, httpx.ConnectError("refused"))
    result = run_voices(*WHERE)
    assert result.exit_code == 1
    assert "no speech server answers" in result.stderr


@pytest.mark.parametrize("answer", [{"x": 1}, {"voices": 1, "default": "a"}, {"voices": ["a"]}])
def test_a_response_without_voices_is_reported_as_no_speech_server(
    served: Served, answer: Any
) -> None:
    served(200, answer)
    result = run_voices(*WHERE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "not a speech server" in result.stderr


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_path_of_a_proxy_is_kept(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slash: str
) -> None:
    requests = served(200, {"default": "heart", "voices": [HEART], "name": "a"})
    monkeypatch.setenv("DUPLEX_TTS_URL", f"https://host/tts{slash}")
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    for arguments in ([], ["add", "a", str(tmp_path / "a.wav")], ["remove", "a"]):
        assert run_voices(*arguments).exit_code == 0
    assert [str(sent.url) for sent in requests] == [
        "https://host/tts/v1/voices",
        "https://host/tts/v1/voices",
        "https://host/tts/v1/voices/a",
    ]


def test_language_is_passed_to_the_server_and_json_printed(served: Served) -> None:
    requests = served(200, {"default": "heart", "voices": [HEART]})
    result = run_voices("list", "arabic", "--json", *WHERE)
    assert json.loads(result.stdout) == [HEART]
    assert str(requests[0].url) == "http://host:1/v1/voices?language=arabic"


def test_language_without_a_voice_names_the_remedy(served: Served) -> None:
    served(200, {"default": "heart", "voices": []})
    result = run_voices("list", "arabic", *WHERE)
    assert result.exit_code == 1
    assert "duplex-tts voices available arabic" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        (["available", "ar", "--json"], ["available", "ar", "--json"]),
        (["get", "ar_JO-kareem-medium", "--help"], ["get", "ar_JO-kareem-medium", "--help"]),
        (["refresh"], ["refresh"]),
        (["remove", "ar_JO-kareem-medium"], ["remove", "ar_JO-kareem-medium"]),
    ],
)
def test_downloads_are_a_program_of_the_server(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], passed: list[str]
) -> None:
    started: list[tuple[str, list[str]]] = []

    def exec_program(module: str, given: list[str]) -> None:
        started.append((module, given))
        raise SystemExit(0)

    monkeypatch.setattr("duplex_tts.cli.voices.exec_program", exec_program)
    assert run_voices(*arguments).exit_code == 0
    assert started == [("backend.engines.piper.voices_command", passed)]


def test_a_downloaded_voice_of_another_machine_is_the_servers_matter(served: Served) -> None:
    requests = served(200, {"status": "ok"})
    assert run_voices("remove", "ar_JO-kareem-medium", *WHERE).exit_code == 0
    assert requests[0].method == "DELETE"
