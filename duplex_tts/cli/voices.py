"""`duplex-tts voices`: which there are, new ones of recordings, and their end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer
from rich.console import Console
from rich.table import Table

from duplex_tts.channel.address import authorization, http_url
from duplex_tts.cli.shared_options import FAILED, Key, Url, answering, complain, server_at_hand
from duplex_tts.errors import ClientError, ConnectionLost

_PATH = "/v1/voices"
_LISTING_S = 5.0
_LEARNING_S = 300.0  # on a CPU, behind the recordings of others

app = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")
_out = Console(highlight=False)


class VoiceRefused(ClientError):
    """The server does not do it; the message says why."""


@dataclass(frozen=True, slots=True)
class _Server:
    """The server at `address`, asked over HTTP."""

    client: httpx.Client
    address: str

    def ask(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """What it says. Raises `VoiceRefused` with its own words where it refuses."""
        response = self.client.request(method, http_url(self.address, path), **content)
        try:
            said = response.json()
        except ValueError:
            said = {}
        if response.is_success and isinstance(said, dict) and said:
            return said
        reason = said.get("message") if isinstance(said, dict) else None
        raise VoiceRefused(str(reason or f"{response.url} answers {response.status_code}"))


@app.callback()
def voices(context: typer.Context, url: Url = None, key: Key = None) -> None:
    """List the voices that the server can speak with; make new ones of recordings, remove them."""
    context.obj = url, key  # for what follows
    if context.invoked_subcommand is None:
        list_(context)


@app.command("list")
def list_(context: typer.Context, url: Url = None, key: Key = None) -> None:
    """List the voices that the server can speak with."""
    with _server(context, url, key, _LISTING_S) as server:
        offered = server.ask("GET", _PATH)
    try:
        _out.print(_table(offered))
    except (KeyError, TypeError, AttributeError):
        complain("what answers there is no speech server: it lists no voices")
        raise typer.Exit(FAILED) from None


def _table(offered: dict[str, Any]) -> Table:
    table = Table("voice", "language", "description", "", box=None)
    for voice in offered["voices"]:
        states = ("default",) * (voice["name"] == offered["default"])
        states += ("made of a recording",) * bool(voice.get("learned"))
        states += ("downloaded on first use",) * (not voice["ready"])
        table.add_row(voice["name"], voice["language"], voice["description"], ", ".join(states))
    return table


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Letters, digits, - and _.")],
    recording: Annotated[
        Path,
        typer.Argument(
            help="5 to 30 s of one person: WAV, FLAC, MP3 or OGG.", exists=True, dir_okay=False
        ),
    ],
    url: Url = None,
    key: Key = None,
) -> None:
    """Make a voice of a recording; the server keeps it.

    ```
    duplex-tts voices add anna anna.wav
    duplex-tts say "Hello, it is me." --voice anna
    ```

    One person, nothing else to be heard, as you want to be spoken to. Ask the person first.
    """
    with _server(context, url, key, _LEARNING_S) as server, recording.open("rb") as audio:
        files = {"audio": (recording.name, audio)}
        voice = server.ask("POST", _PATH, data={"name": name}, files=files)["name"]
    _out.print(f'{voice} is there: duplex-tts say "Hello" --voice {voice}', markup=False)


@app.command()
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="One that was made of a recording.")],
    url: Url = None,
    key: Key = None,
) -> None:
    """Remove a voice that was made of a recording. Who speaks with it now speaks to the end."""
    with _server(context, url, key, _LEARNING_S) as server:
        server.ask("DELETE", f"{_PATH}/{quote(name, safe='')}")
    _out.print(f"{name} is gone", markup=False)


@contextmanager
def _server(
    context: typer.Context, url: str | None, key: str | None, timeout_s: float
) -> Iterator[_Server]:
    """The server at hand, asked over HTTP. Errors become a line and an exit code."""
    url, key = url or context.obj[0], key or context.obj[1]
    with answering(), server_at_hand(url) as address:
        voices = http_url(address, _PATH)
        try:
            with httpx.Client(
                headers=authorization(key), timeout=timeout_s, trust_env=False
            ) as client:
                yield _Server(client, address)
        except httpx.HTTPError as error:
            raise ConnectionLost(f"no speech server answers at {voices} ({error})") from error
