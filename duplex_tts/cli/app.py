"""The command line: `duplex-tts say "Hello there"`."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from duplex_tts.cli.batch import batch
from duplex_tts.cli.bench_check import why_no_bench
from duplex_tts.cli.keys import DEFAULT_FILE, new_key
from duplex_tts.cli.say import say
from duplex_tts.cli.server_program import become
from duplex_tts.cli.shared_options import answering, stderr
from duplex_tts.cli.type import type_
from duplex_tts.cli.voices import app as voices

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    name="duplex-tts",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,  # they would show the text
    help="Speak while the text is still being written.",
    epilog="`duplex-tts say 'Hello there'` needs nothing else: it brings its own server.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            print(f"duplex-tts {version('duplex-tts')}")
        except PackageNotFoundError:
            print("duplex-tts, not installed: it has no version")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


app.command("say")(say)
app.command("type")(type_)
app.command("batch")(batch)
app.add_typer(voices, name="voices")


@app.command(context_settings=_PASS_ON, add_help_option=False)
def serve(context: typer.Context) -> None:
    """Run the server; flags are passed on (`duplex-tts serve --help` lists them)."""
    become("backend.main", context.args)


@app.command(context_settings=_PASS_ON, add_help_option=False)
def download(context: typer.Context) -> None:
    """Fetch the weights of an engine (`duplex-tts download --help`)."""
    become("backend.engines.download", context.args)


@app.command(context_settings=_PASS_ON, add_help_option=False)
def config(context: typer.Context) -> None:
    """Print the settings in force, and where each comes from; takes the flags of `serve`."""
    become("backend.config_sources", context.args)


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
    with answering():
        print(new_key(name, file, admin=admin))
    stderr.print(
        f"[dim]Its hash is in {escape(str(file))}. Start the server with[/dim] "
        f"--set access.api_keys_file={escape(str(file))}",
        soft_wrap=True,
    )


@app.command(context_settings=_PASS_ON, add_help_option=False)
def bench(context: typer.Context) -> None:
    """Measure the server on this machine, in a checkout (`duplex-tts bench --help`)."""
    if why := why_no_bench():
        sys.exit(f"duplex-tts: {why}")
    become("bench.__main__", context.args)
