"""The `read` command: shows how a text is read, without speaking it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from duplex_tts.cli.server_api import server_api
from duplex_tts.cli.shared_options import (
    FAILED,
    Key,
    Language,
    Ssml,
    Url,
    Voice,
    print_error,
    reporting_errors,
)
from duplex_tts.cli.text_files import TextFailed, decode_text
from duplex_tts.errors import NothingToSpeak

_PATH = "/v1/read"
_TIMEOUT_S = 30.0
_STDIN = "-"

_out = Console(highlight=False)


def read(  # noqa: PLR0913 - a parameter is an option
    context: typer.Context,
    text: Annotated[
        list[str] | None,
        typer.Argument(help="The text, 5,000 characters at most; - or none: standard input."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("-f", "--file", help="Read a text file; - for standard input.")
    ] = None,
    words: Annotated[
        bool, typer.Option("--words", help="Each word as written, as said, and its phonemes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the server's answer.")] = False,
    voice: Voice = None,
    language: Language = None,
    ssml: Ssml = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show how a text is read: each sentence, and what is said for it. Nothing is spoken.

    ```
    duplex-tts read 'Dr. Smith paid $3.50 on 3/12.'
    duplex-tts read --words 'Call 555-0100.'
    duplex-tts read -f notes.md
    echo '5 kg' | duplex-tts read --json
    ```

    Single quotes keep the shell from replacing `$3`. Single capitals are said by their names (F B
    I). To change how a word is said: `duplex-tts lexicon add`.
    """
    context.obj = None, None  # no options before a subcommand
    with reporting_errors():
        written = _load_text(text, file)
        if not written.strip():
            raise NothingToSpeak
    body = {"text": written, "voice": voice, "language": language, "ssml": ssml}
    with server_api(context, url, key, _TIMEOUT_S) as api:
        answer = api.send_request("POST", _PATH, json=body)
    try:
        if as_json:
            _out.print(Text(json.dumps(answer, ensure_ascii=False)), soft_wrap=True)
        elif words:
            _out.print(_create_table(written, answer))
        else:
            _print_sentences(written, answer)
    except (KeyError, TypeError, ValueError):
        print_error("what answers does not say how it reads: it may be an older server")
        raise typer.Exit(FAILED) from None


def _load_text(text: list[str] | None, file: Path | None) -> str:
    """The text of the arguments. Blocks. Raises `TextFailed`, `typer.BadParameter`."""
    if text and file:
        raise typer.BadParameter("give a text or a file, not both", param_hint="--file")
    if text and text != [_STDIN]:
        return os.fsencode(" ".join(text)).decode(errors="replace")
    if file is None or str(file) == _STDIN:
        return decode_text(sys.stdin.buffer.read(), "standard input")
    try:
        return decode_text(file.read_bytes(), str(file))
    except OSError as error:
        raise TextFailed(f"{file}: {error.strerror}") from error


def _print_sentences(written: str, answer: dict[str, Any]) -> None:
    words = answer["words"]
    for start, end in answer["sentences"]:
        said = " ".join(word["spoken"] for word in words if start <= word["from"] < end)
        _out.print(Text(_show(written[start:end]), style="dim"), soft_wrap=True)
        _out.print(Text(f"  {said or '(silent)'}"), soft_wrap=True)


def _create_table(written: str, answer: dict[str, Any]) -> Padding:
    table = Table("written", "said", "phonemes", box=None, pad_edge=False)
    for word in answer["words"]:
        shown = _show(written[word["from"] : word["to"]])
        table.add_row(*map(Text, (shown, word["spoken"], word["phonemes"] or "")))
    return Padding(table, 0, expand=False)


def _show(written: str) -> str:
    """On one line, without characters that would control the terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in written).split())
