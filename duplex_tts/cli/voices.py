"""The `voices` commands: list, download, create from recordings, remove.

Voices to download lie on this machine: those commands are a program of the server
(`backend.engines.piper.voices_command`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from duplex_tts.cli.server_api import server_api
from duplex_tts.cli.server_program import exec_program
from duplex_tts.cli.shared_options import FAILED, Key, Url, print_error

_PATH = "/v1/voices"
_DOWNLOADS = "backend.engines.piper.voices_command"
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
_DOWNLOADED = re.compile(r"[a-z]{2,3}_[A-Za-z0-9]{2,4}-\w+-(?:x_low|low|medium|high)")
_LIST_TIMEOUT_S = 5.0
_CREATE_TIMEOUT_S = 300.0  # on a CPU, queued after the recordings of others

app = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")
_out = Console(highlight=False)


@app.callback()
def voices(context: typer.Context, url: Url = None, key: Key = None) -> None:
    """List the voices of the server; download others, create them from recordings, remove them.

    ```
    duplex-tts voices
    duplex-tts voices available arabic
    duplex-tts voices get ar_JO-kareem-medium
    ```
    """
    context.obj = url, key  # for the subcommands
    if context.invoked_subcommand is None:
        list_(context)


@app.command("list")
def list_(
    context: typer.Context,
    language: Annotated[
        str | None, typer.Argument(help="A tag or a name: ar, ar_JO, arabic, Deutsch.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """List the voices of the server, by language. `available` lists those to download."""
    query = {"params": {"language": language}} if language else {}
    with server_api(context, url, key, _LIST_TIMEOUT_S) as api:
        listing = api.send_request("GET", _PATH, **query)
    try:
        _print_voices(listing, language, as_json=as_json)
    except (KeyError, TypeError, AttributeError):
        print_error("what answers is not a speech server: it lists no voices")
        raise typer.Exit(FAILED) from None


def _print_voices(listing: dict[str, Any], language: str | None, *, as_json: bool) -> None:
    table = _voice_table(listing)
    if as_json:
        print(json.dumps(listing["voices"], ensure_ascii=False))
    elif table.row_count:
        _out.print(table)
    elif language:
        print_error(
            f"no voice of the server speaks {language}; to download one: "
            f"duplex-tts voices available {language}"
        )
        raise typer.Exit(FAILED)


def _voice_table(listing: dict[str, Any]) -> Table:
    table = Table("voice", "language", "description", "", box=None)
    for voice in sorted(listing["voices"], key=lambda voice: str(voice["language"])):
        states = ("default",) * (voice["name"] == listing["default"])
        states += ("from a recording",) * bool(voice.get("learned"))
        states += ("downloaded on first use",) * (not voice["ready"])
        table.add_row(voice["name"], voice["language"], voice["description"], ", ".join(states))
    return table


@app.command(context_settings=_PASS_ON, add_help_option=False)
def available(context: typer.Context) -> None:
    """List the voices that can be downloaded, by language, with size, quality and licence."""
    exec_program(_DOWNLOADS, ["available", *context.args])


@app.command(context_settings=_PASS_ON, add_help_option=False)
def get(context: typer.Context) -> None:
    """Download voices onto this machine (`duplex-tts voices get --help`)."""
    exec_program(_DOWNLOADS, ["get", *context.args])


@app.command(context_settings=_PASS_ON, add_help_option=False)
def refresh(context: typer.Context) -> None:
    """Fetch the newest catalogue of the voices that can be downloaded."""
    exec_program(_DOWNLOADS, ["refresh", *context.args])


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the voice: letters, digits, - and _.")],
    recording: Annotated[
        Path,
        typer.Argument(
            help="5 to 30 s of speech: WAV, FLAC, MP3 or OGG.", exists=True, dir_okay=False
        ),
    ],
    url: Url = None,
    key: Key = None,
) -> None:
    """Create a voice from a recording; the server stores it.

    ```
    duplex-tts voices add anna anna.wav
    duplex-tts say "Hello, it is me." --voice anna
    ```

    Record one person without background noise, speaking in the style you want to hear. The best 10
    seconds are used; what the recording lacks is printed. Ask the person for permission first.
    """
    with server_api(context, url, key, _CREATE_TIMEOUT_S) as api, recording.open("rb") as audio:
        files = {"audio": (recording.name, audio)}
        added = api.send_request("POST", _PATH, data={"name": name}, files=files)
    for warning in added.get("warnings", []):
        print_error(f"warning: {warning}")
    voice = added["name"]
    _out.print(f'{voice} is ready: duplex-tts say "Hello" --voice {voice}', markup=False)


@app.command()
def remove(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="A voice created from a recording, or one that was downloaded.")
    ],
    url: Url = None,
    key: Key = None,
) -> None:
    """Remove a voice. Speech that already uses it is not interrupted.

    A downloaded one, such as ar_JO-kareem-medium, is removed from this machine, unless `--url`
    names a server.
    """
    if _DOWNLOADED.fullmatch(name) and not (url or context.obj[0]):
        exec_program(_DOWNLOADS, ["remove", name])
    with server_api(context, url, key, _CREATE_TIMEOUT_S) as api:
        api.send_request("DELETE", f"{_PATH}/{quote(name, safe='')}")
    _out.print(f"{name} was removed", markup=False)
