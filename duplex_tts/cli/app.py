"""The `duplex-tts` application and its small commands."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from duplex_tts.cli.batch.command import batch
from duplex_tts.cli.bench_check import bench_problem, plan_problem
from duplex_tts.cli.book.command import book
from duplex_tts.cli.keys import DEFAULT_FILE, create_key
from duplex_tts.cli.lexicon import app as lexicon
from duplex_tts.cli.mcp.command import HELP, mcp
from duplex_tts.cli.read import read
from duplex_tts.cli.say import say
from duplex_tts.cli.server_program import exec_program
from duplex_tts.cli.service.command import app as service
from duplex_tts.cli.shared_options import reporting_errors, stderr
from duplex_tts.cli.speechd import app as speechd
from duplex_tts.cli.type.command import type_
from duplex_tts.cli.voices import app as voices

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    name="duplex-tts",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,  # locals contain the user's text
    help="Text to speech that starts while the text is still being written.",
    epilog="Try `duplex-tts say 'Hello there'`: it starts a server by itself.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            print(f"duplex-tts {version('duplex-tts')}")
        except PackageNotFoundError:
            print("duplex-tts (not installed: no version)")
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
app.command("book")(book)
app.command("read")(read)
app.command("mcp", help=HELP)(mcp)
app.add_typer(voices, name="voices")
app.add_typer(lexicon, name="lexicon")
app.add_typer(service, name="service")
app.add_typer(speechd, name="speechd")


@app.command(context_settings=_PASS_ON, add_help_option=False)
def serve(context: typer.Context) -> None:
    """Run the server, until Ctrl-C. `duplex-tts serve --help` lists its options."""
    exec_program("backend.main", context.args)


@app.command(context_settings=_PASS_ON, add_help_option=False)
def download(context: typer.Context) -> None:
    """Download the model of an engine ahead of its first use (`duplex-tts download --help`)."""
    exec_program("backend.engines.download", context.args)


@app.command(context_settings=_PASS_ON, add_help_option=False)
def config(context: typer.Context) -> None:
    """Print all settings and where each value comes from; takes the options of `serve`."""
    exec_program("backend.config_sources", context.args)


@app.command(context_settings=_PASS_ON, add_help_option=False)
def cluster_config(context: typer.Context) -> None:
    """Print or check the file for Ray Serve on a cluster (`duplex-tts cluster-config --help`)."""
    exec_program("backend.ray_serve.config_file", context.args)


@app.command(context_settings=_PASS_ON, add_help_option=False)
def doctor(context: typer.Context) -> None:
    """Check this machine and the settings, and say what to do (`duplex-tts doctor --help`)."""
    exec_program("backend.doctor.__main__", context.args)


@app.command()
def key(
    name: Annotated[str, typer.Argument(help="Who will use it: a person, a device, a program.")],
    admin: Annotated[
        bool, typer.Option("--admin", help="The key may also list and end sessions of others.")
    ] = False,
    file: Annotated[Path, typer.Option(help="File to store the hash in.")] = DEFAULT_FILE,
) -> None:
    """Create an API key for a server and print it. Only its hash is stored: note the key now.

    ```
    duplex-tts key "my phone"
    duplex-tts serve --host 0.0.0.0 --set access.api_keys_file=duplex-tts.keys
    duplex-tts say "Hello" --url http://server:8000 --key dtts_...
    ```
    """
    with reporting_errors():
        print(create_key(name, file, admin=admin))
    stderr.print(
        f"[dim]Its hash is in {escape(str(file))}. Start the server with[/dim] "
        f"--set access.api_keys_file={escape(str(file))}",
        soft_wrap=True,
    )


@app.command(context_settings=_PASS_ON, add_help_option=False)
def bench(context: typer.Context) -> None:
    """Measure the server on this machine; needs a clone (`duplex-tts bench --help`)."""
    if problem := bench_problem():
        sys.exit(f"duplex-tts: {problem}")
    exec_program("bench.__main__", context.args)


@app.command(context_settings=_PASS_ON, add_help_option=False)
def plan(context: typer.Context) -> None:
    """Plan how many replicas many listeners need; needs a clone (`duplex-tts plan --help`)."""
    if problem := plan_problem():
        sys.exit(f"duplex-tts: {problem}")
    exec_program("bench.plan.__main__", context.args)
