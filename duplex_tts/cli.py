"""The command line: `duplex-tts say "Hello there"`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from duplex_tts.address import DEFAULT_URL, http_url, websocket_url
from duplex_tts.context import Parameters
from duplex_tts.errors import ClientError, ConnectionLost
from duplex_tts.keys import DEFAULT_FILE, new_key
from duplex_tts.local_server import local_server
from duplex_tts.say import Errand, Report, arriving, given, say
from duplex_tts.sinks import FILE_FORMATS, FileSink, Sink, check_name, open_player

FAILED = 1
INTERRUPTED = 130  # what a shell reports for Ctrl-C
HTTP_TIMEOUT_S = 2.0
STDIN = 0
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

app = typer.Typer(
    name="duplex-tts",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,  # they would show the text
    help="Speak while the text is still being written.",
    epilog="`duplex-tts say 'Hello there'` needs nothing else: it brings its own server.",
)
stderr = Console(stderr=True, highlight=False)

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="DUPLEX_TTS_URL",
        metavar="ADDRESS",
        help=f"The server: host:port, http:// or ws://. Default: {DEFAULT_URL}, or a server of "
        "its own for the duration when nothing answers there.",
    ),
]


@app.command("say")
def say_command(  # noqa: PLR0913 - a parameter is an option
    text: Annotated[
        list[str] | None, typer.Argument(help="What to say; from standard input when left out.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help=f"Write a file ({' '.join(FILE_FORMATS)}) instead of playing."
        ),
    ] = None,
    voice: Annotated[str | None, typer.Option(help="See `duplex-tts voices`.")] = None,
    speed: Annotated[float | None, typer.Option(help="1 is normal, 2 is twice as fast.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same sound.")] = None,
    language: Annotated[str | None, typer.Option(help="A language of the voice.")] = None,
    url: Url = None,
) -> None:
    """Speak text: play it, or write it to a file with `-o`.

    ```
    duplex-tts say "Hello there"
    duplex-tts say "Hello there" -o hello.wav
    some-llm | duplex-tts say
    some-llm | duplex-tts say -o out.flac
    ```

    Standard input is spoken as it arrives, before its sentence or line is finished. Ctrl-C stops;
    a file then holds what was said so far.
    """
    if not text and os.isatty(STDIN):
        stderr.print("[dim]Type, and hear it. Ctrl-D ends.[/dim]")

    async def open_sink(sample_rate_hz: int) -> Sink:
        return FileSink(output, sample_rate_hz) if output else await open_player(sample_rate_hz)

    arrives = given(" ".join(text)) if text else arriving(STDIN)
    parameters = Parameters(voice=voice, speed=speed, seed=seed, language=language)
    report = Report()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with _answering():
        if output:
            check_name(output)
        try:
            with _server(url) as address:
                asyncio.run(say(address, Errand(arrives, open_sink, parameters), report))
        finally:
            if report.ttfa_s is not None:
                stderr.print(summary(report, output), soft_wrap=True)


def summary(report: Report, output: Path | None) -> str:
    """One line on what was heard."""
    parts = [
        f"first sound after {(report.ttfa_s or 0) * 1000:.0f} ms",
        f"{report.audio_s:.2f} s of speech",
        f"{report.words} words, {report.characters} characters",
    ]
    if output:
        parts.append(str(output))
    else:
        times = {0: "never ran dry", 1: "ran dry once"}.get(report.gaps, f"ran dry {report.gaps}x")
        parts.append(f"{times} ({report.gaps_s:.2f} s)" if report.gaps else times)
    return " · ".join(parts)


@app.command()
def voices(url: Url = None) -> None:
    """List the voices that the server can speak with."""
    with _answering(), _server(url) as address:
        offered = _get(http_url(address, "/v1/voices"))
    table = Table("voice", "language", "description", "", box=None)
    for voice in offered["voices"]:
        default = "default" if voice["name"] == offered["default"] else ""
        state = default if voice["ready"] else "downloaded on first use"
        table.add_row(voice["name"], voice["language"], voice["description"], state)
    Console(highlight=False).print(table)


def _get(url: str) -> Any:
    try:
        with _NO_PROXY.open(url, timeout=HTTP_TIMEOUT_S) as response:
            return json.load(response)
    except (OSError, ValueError) as error:
        raise ConnectionLost(f"no speech server answers at {url} ({error})") from error


@app.command(context_settings=_PASS_ON, add_help_option=False)
def serve(context: typer.Context) -> None:
    """Run the server; flags are passed on (`duplex-tts serve --help` lists them)."""
    _become("backend.main", context.args)


@app.command(context_settings=_PASS_ON, add_help_option=False)
def config(context: typer.Context) -> None:
    """Print the settings in force, and where each comes from; takes the flags of `serve`."""
    _become("backend.config", context.args)


@app.command()
def key(
    name: Annotated[str, typer.Argument(help="Whose it is: a person, a device, a program.")],
    admin: Annotated[
        bool, typer.Option("--admin", help="It may also see and end the sessions of others.")
    ] = False,
    file: Annotated[Path, typer.Option(help="Where its hash is kept.")] = DEFAULT_FILE,
) -> None:
    """Make an API key for a server, and print it: it is not kept, only its hash is.

    ```
    duplex-tts key "my phone"
    duplex-tts serve --host 0.0.0.0 --set access.api_keys_file=duplex-tts.keys
    ```
    """
    with _answering():
        print(new_key(name, file, admin=admin))
    stderr.print(
        f"[dim]Its hash is in {escape(str(file))}. Start the server with[/dim] "
        f"--set access.api_keys_file={escape(str(file))}",
        soft_wrap=True,
    )


@app.command(context_settings=_PASS_ON, add_help_option=False)
def bench(context: typer.Context) -> None:
    """Measure the server on this machine (`duplex-tts bench --help`)."""
    _become("bench", context.args)


def _become(module: str, arguments: list[str]) -> NoReturn:
    # -P: a folder named `backend` where the user happens to be is not ours.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])


@contextmanager
def _server(url: str | None) -> Iterator[str]:
    """The address to use: the one asked for, else the default, else a server of our own."""
    if url is not None or _is_ready(DEFAULT_URL):
        yield _checked(url or DEFAULT_URL)
        return
    stderr.print("[dim]No server is running: starting one for this call (`make run` keeps one).[/]")
    with local_server() as address:
        yield address


def _checked(url: str) -> str:
    try:
        return websocket_url(url)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from error


def _is_ready(url: str) -> bool:
    try:
        with _NO_PROXY.open(http_url(url, "/readyz"), timeout=HTTP_TIMEOUT_S):
            return True
    except OSError:
        return False


@contextmanager
def _answering() -> Iterator[None]:
    """Turn what can go wrong into one line and an exit code."""
    try:
        yield
    except ClientError as error:
        stderr.print(f"[red]duplex-tts:[/red] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
