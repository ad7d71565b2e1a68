"""`duplex-tts lexicon`: its requests to the server, and its output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from duplex_tts.cli import app as cli
from tests.client.cli.conftest import Served

WHERE = ["--url", "host:1", "--key", "secret"]
NGUYEN = {"written": "Nguyen", "said": "win", "match_case": None, "parts": False}
KUBE = {"written": "kube", "said": "cube", "match_case": True, "parts": True}


def run_lexicon(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(cli.app, ["lexicon", *arguments], input=stdin)


@pytest.mark.parametrize(
    "arguments", [WHERE, ["list", *WHERE], [*WHERE, "list"], ["--voice", "anna", *WHERE, "list"]]
)
def test_entries_are_listed(served: Served, arguments: list[str]) -> None:
    listing = {"entries": [NGUYEN, KUBE], "bad_lines": [{"line": 3, "why": "expected ="}]}
    requests = served(200, listing)
    result = run_lexicon(*arguments)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["Nguyen", "win"] in lines
    assert ["kube", "cube", "match", "case,", "in", "parts", "of", "words,", "too"] in lines
    assert "line 3" in result.stderr
    (request,) = requests
    voice = "anna" if "anna" in arguments else None
    assert (request.method, request.url.params.get("voice")) == ("GET", voice)
    assert request.headers["authorization"] == "Bearer secret"


def test_empty_list_teaches_how_to_add(served: Served) -> None:
    served(200, {"entries": [], "bad_lines": []})
    assert 'lexicon add "Nguyen" "win"' in run_lexicon(*WHERE).stdout


@pytest.mark.parametrize(
    ("options", "match_case", "parts"),
    [([], None, False), (["--match-case"], True, False), (["--any-case", "--parts"], False, True)],
)
def test_entry_is_added(
    served: Served, options: list[str], match_case: bool | None, parts: bool
) -> None:
    requests = served(200, {"added": 1})
    result = run_lexicon("add", "Nguyen", "win", *options, "--voice", "anna", *WHERE)
    assert (result.exit_code, result.stdout) == (0, "Nguyen is now said win\n")
    (request,) = requests
    assert (request.method, str(request.url)) == ("PUT", "http://host:1/v1/lexicon?voice=anna")
    entry = {**NGUYEN, "match_case": match_case, "parts": parts}
    assert json.loads(request.content) == {"entries": [entry]}


def test_entry_is_removed(served: Served) -> None:
    requests = served(200, {"status": "ok"})
    assert run_lexicon("remove", "New York", *WHERE).stdout == "New York was removed\n"
    (request,) = requests
    assert (request.method, dict(request.url.params)) == ("DELETE", {"written": "New York"})


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("names.pls", "application/pls+xml"),
        ("names.XML", "application/pls+xml"),
        ("names.txt", "text/plain"),
        ("names", "text/plain"),
    ],
)
def test_file_is_imported_and_exported(
    served: Served, tmp_path: Path, name: str, media_type: str
) -> None:
    (tmp_path / name).write_bytes(b"Nguyen = win\n")
    requests = served(200, {"added": 1})
    result = run_lexicon("import", str(tmp_path / name), *WHERE)
    assert result.stdout == "1 entry added\n"
    (request,) = requests
    assert (request.method, request.content) == ("PUT", b"Nguyen = win\n")
    assert request.headers["content-type"] == media_type
    requests = served(200, b"Anna = ahna\n")
    assert run_lexicon("export", str(tmp_path / name), *WHERE).exit_code == 0
    assert (tmp_path / name).read_bytes() == b"Anna = ahna\n"
    assert requests[0].headers["accept"] == media_type


def test_standard_input_and_output(served: Served) -> None:
    requests = served(200, {"added": 2})
    result = run_lexicon("import", "-", *WHERE, stdin="Zoë = zoh ee\nA = ay\n".encode())
    assert result.stdout == "2 entries added\n"
    assert requests[0].content.decode() == "Zoë = zoh ee\nA = ay\n"
    served(200, b"Anna = ahna\n")
    assert run_lexicon("export", "-", *WHERE).stdout == "Anna = ahna\n"


@pytest.mark.parametrize("arguments", [("import", "nowhere.txt"), ("export", "nowhere/names.txt")])
def test_unusable_file_is_one_line(served: Served, arguments: tuple[str, ...]) -> None:
    served(200, {"added": 1})
    result = run_lexicon(*arguments, *WHERE)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "nowhere" in result.stderr


def test_refusal_is_the_servers_message(served: Served) -> None:
    served(400, {"code": "bad_lexicon", "message": "'Nguyen': '1' cannot be said"})
    result = run_lexicon("add", "Nguyen", "w1n", *WHERE)
    assert (result.exit_code, result.stderr) == (
        1,
        "duplex-tts: 'Nguyen': '1' cannot be said\n",
    )


def test_other_server_is_named(served: Served) -> None:
    served(200, {"hello": "there"})
    result = run_lexicon(*WHERE)
    assert (result.exit_code, "no lexicon" in result.stderr) == (1, True)


def test_help_teaches() -> None:
    for command in ([], ["add"], ["remove"], ["list"], ["import"], ["export"]):
        result = run_lexicon(*command, "--help")
        assert result.exit_code == 0
    assert "Nguyen" in run_lexicon("add", "--help").stdout
