"""The `voices` commands: list voices, create them from recordings, remove them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from duplex_tts.cli.server_api import server_api
from duplex_tts.cli.shared_options import FAILED, Key, Url, print_error

_PATH = "/v1/voices"
_LIST_TIMEOUT_S = 5.0
_CREATE_TIMEOUT_S = 300.0  # on a CPU, queued after the recordings of others

app = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")
_out = Console(highlight=False)


@app.callback()
def voices(context: typer.Context, url: Url = None, key: Key = None) -> None:
    """List the voices of the server; create voices from recordings, remove them."""
    context.obj = url, key  # for the subcommands
    if context.invoked_subcommand is None:
        list_(context)


@app.command("list")
def list_(context: typer.Context, url: Url = None, key: Key = None) -> None:
    """List the voices of the server."""
    with server_api(context, url, key, _LIST_TIMEOUT_S) as api:
        listing = api.send_request("GET", _PATH)
    try:
        _out.print(_voice_table(listing))
    except (KeyError, TypeError, AttributeError):
        print_error("what answers is not a speech server: it lists no voices")
        raise typer.Exit(FAILED) from None


def _voice_table(listing: dict[str, Any]) -> Table:
    table = Table("voice", "language", "description", "", box=None)
    for voice in listing["voices"]:
        states = ("default",) * (voice["name"] == listing["default"])
        states += ("from a recording",) * bool(voice.get("learned"))
        states += ("downloaded on first use",) * (not voice["ready"])
        table.add_row(voice["name"], voice["language"], voice["description"], ", ".join(states))
    return table


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
    name: Annotated[str, typer.Argument(help="A voice created from a recording.")],
    url: Url = None,
    key: Key = None,
) -> None:
    """Remove a voice created from a recording. Speech that already uses it is not interrupted."""
    with server_api(context, url, key, _CREATE_TIMEOUT_S) as api:
        api.send_request("DELETE", f"{_PATH}/{quote(name, safe='')}")
    _out.print(f"{name} was removed", markup=False)
