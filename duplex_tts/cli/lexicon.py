"""The `lexicon` commands: list, add and remove how names are said, import and export files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from duplex_tts.cli.server_api import server_api
from duplex_tts.cli.shared_options import FAILED, Key, Url, print_error
from duplex_tts.cli.text_files import check_encoding
from duplex_tts.errors import ClientError

_PATH = "/v1/lexicon"
_TIMEOUT_S = 30.0
_STDIN = Path("-")
_PLS, _TEXT = "application/pls+xml", "text/plain"

app = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")
_out = Console(highlight=False)

OfVoice = Annotated[
    str | None,
    typer.Option("--voice", help="The entries of this voice; without, those of all voices."),
]
MatchCase = Annotated[
    bool | None,
    typer.Option(
        "--match-case/--any-case",
        help="Only as written, or in any case. Default: only as written if it is all capitals "
        '("US"), else in any case.',
    ),
]


class UnusableFile(ClientError):
    """The file cannot be read or written."""


@app.callback()
def lexicon(
    context: typer.Context, voice: OfVoice = None, url: Url = None, key: Key = None
) -> None:
    """List how names are said; add, remove, import and export entries.

    ```
    duplex-tts lexicon add "Nguyen" "win"
    duplex-tts lexicon add "Siobhan" "/ʃɪˈvɔːn/"
    duplex-tts lexicon
    ```

    Changes apply to everything that is not spoken yet.
    """
    context.obj = url, key, voice  # for the subcommands
    if context.invoked_subcommand is None:
        list_(context)


@app.command("list")
def list_(context: typer.Context, voice: OfVoice = None, url: Url = None, key: Key = None) -> None:
    """List the entries of the server, or with --voice those of a voice."""
    query = _query(context, voice)
    with server_api(context, url, key, _TIMEOUT_S) as api:
        listing = api.send_request("GET", _PATH, params=query)
    try:
        _print_entries(listing, query.get("voice"))
    except (KeyError, TypeError, AttributeError):
        print_error("what answers has no lexicon: it may be an older server")
        raise typer.Exit(FAILED) from None


@app.command()
def add(  # noqa: PLR0913 - a parameter is an option
    context: typer.Context,
    written: Annotated[str, typer.Argument(help="What is written: a word, or up to 8.")],
    said: Annotated[
        str,
        typer.Argument(help="How it is said: plain words (win), or IPA between slashes (/wɪn/)."),
    ],
    match_case: MatchCase = None,
    parts: Annotated[
        bool, typer.Option("--parts", help="Inside of other words, too; else whole words only.")
    ] = False,
    voice: OfVoice = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Add an entry, in the place of an earlier one for the same words.

    ```
    duplex-tts lexicon add "Nguyen" "win"
    duplex-tts lexicon add "Siobhan" "/ʃɪˈvɔːn/" --voice heart
    duplex-tts lexicon add "Polish" "poe lish" --match-case
    duplex-tts lexicon add "kube" "cube" --parts
    ```

    It applies to whole words, also before 's and in names such as Nguyen-Smith. Write plain words
    that any reader says right; capitals are spelled: "F B I".
    """
    entry = {"written": written, "said": said, "match_case": match_case, "parts": parts}
    with server_api(context, url, key, _TIMEOUT_S) as api:
        api.send_request("PUT", _PATH, params=_query(context, voice), json={"entries": [entry]})
    _out.print(f"{written} is now said {said}", markup=False, soft_wrap=True)


@app.command()
def remove(
    context: typer.Context,
    written: Annotated[str, typer.Argument(help="What is written.")],
    voice: OfVoice = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Remove an entry."""
    query = {"written": written, **_query(context, voice)}
    with server_api(context, url, key, _TIMEOUT_S) as api:
        api.send_request("DELETE", _PATH, params=query)
    _out.print(f"{written} was removed", markup=False, soft_wrap=True)


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            help="A lexicon of the W3C (.pls, .xml), or lines such as `Nguyen = win` (any other "
            "name; - for standard input)."
        ),
    ],
    voice: OfVoice = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Add all entries of a file, or none if one of them is wrong."""
    with server_api(context, url, key, _TIMEOUT_S) as api:
        try:
            content = sys.stdin.buffer.read() if file == _STDIN else file.read_bytes()
        except OSError as error:
            raise UnusableFile(f"{file}: {error.strerror}") from error
        if (media_type := _media_type(file)) == _TEXT:
            check_encoding(content, "standard input" if file == _STDIN else str(file))
        added = api.send_request(
            "PUT",
            _PATH,
            params=_query(context, voice),
            content=content,
            headers={"content-type": media_type},
        )
    count = added.get("added", 0)
    _out.print(f"{count} {'entry' if count == 1 else 'entries'} added", markup=False)


@app.command("export")
def export(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            help="File to write: .pls or .xml for a lexicon of the W3C, any other name for lines; "
            "- for standard output."
        ),
    ],
    voice: OfVoice = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Write all entries to a file."""
    with server_api(context, url, key, _TIMEOUT_S) as api:
        content = api.fetch(_PATH, _media_type(file), params=_query(context, voice))
        if file == _STDIN:
            sys.stdout.buffer.write(content)
            return
        try:
            file.write_bytes(content)
        except OSError as error:
            raise UnusableFile(f"{file}: {error.strerror}") from error
    _out.print(f"{file} was written", markup=False, soft_wrap=True)


def _media_type(file: Path) -> str:
    return _PLS if file.suffix.lower() in (".pls", ".xml") else _TEXT


def _query(context: typer.Context, voice: str | None) -> dict[str, str]:
    voice = voice or context.obj[2]
    return {"voice": voice} if voice else {}


def _print_entries(listing: dict[str, Any], voice: str | None) -> None:
    for line in listing["bad_lines"]:
        print_error(f"line {line['line']} of the server's file is not used: {line['why']}")
    if not listing["entries"]:
        of = f"The voice {voice} has no entries of its own" if voice else "There are no entries"
        _out.print(f'{of}; add one: duplex-tts lexicon add "Nguyen" "win"', markup=False)
        return
    table = Table("written", "said", "", box=None)
    for entry in listing["entries"]:
        rules = ["match case" if entry["match_case"] else "any case"]
        rules = rules if entry["match_case"] is not None else []
        rules += ["in parts of words, too"] * entry["parts"]
        table.add_row(*map(Text, (entry["written"], entry["said"], ", ".join(rules))))
    _out.print(table)
