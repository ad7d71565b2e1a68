"""The `mcp` command: its options, and its help for the users of coding agents."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from duplex_tts.channel.context import Parameters
from duplex_tts.cli.shared_options import (
    AUTO,
    FAILED,
    DeviceName,
    Key,
    Language,
    Speed,
    Url,
    Voice,
    Volume,
    check_url,
    device_from_name,
    ensure_server,
    print_error,
    reporting_errors,
    stderr,
)

STDIN = 0
_MISSING = "the tools need a package: pip install 'duplex-tts[mcp]'"


def setup_lines(program: str, *arguments: str) -> str:
    """The lines that make each agent start this command line."""
    command = shlex.join([program, *arguments])
    entry = {"command": program, "args": [*arguments]}
    return f"""\
# Claude Code
claude mcp add --scope user duplex-tts -- {command}
# Codex
codex mcp add duplex-tts -- {command}
# Gemini CLI
gemini mcp add --scope user duplex-tts {command}
# VS Code
code --add-mcp {shlex.quote(_dump({"name": "duplex-tts", **entry}))}
# Cursor: in ~/.cursor/mcp.json
{_dump({"mcpServers": {"duplex-tts": entry}})}"""


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))  # short, for terminals of 80 columns


def _print_setup(wanted: bool) -> None:
    if wanted:
        script = Path(sys.executable).with_name("duplex-tts")
        own = [str(script)] if script.exists() else [sys.executable, "-m", "duplex_tts"]
        print(setup_lines(*own, "mcp"))
        raise typer.Exit


HELP = f"""Give a coding agent a voice: an MCP server with tools to speak, to stop, to list voices
and to write sound files.

The agent starts this command itself, once it is told how:

```
{setup_lines("duplex-tts", "mcp")}
```

Then ask the agent: "Say hello to me." Options after `mcp` hold for all that it says, such as
`mcp --voice bella --speed 1.2`. `duplex-tts mcp --setup` prints these lines with full paths, for
agents that do not find `duplex-tts`.
"""


def mcp(  # noqa: PLR0913 - a parameter is an option
    voice: Voice = None,
    speed: Speed = None,
    language: Language = None,
    volume: Volume = None,
    device: DeviceName = AUTO,
    url: Url = None,
    key: Key = None,
    _setup: Annotated[
        bool,
        typer.Option(
            "--setup",
            help="Print the lines that configure the agents, with full paths.",
            callback=_print_setup,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Serve the tools on standard input and output, until it is closed or a signal."""
    if importlib.util.find_spec("mcp") is None:
        print_error(_MISSING)
        raise typer.Exit(FAILED)
    from duplex_tts.cli.mcp.speech_queue import SpeechQueue
    from duplex_tts.cli.mcp.speech_server import SpeechServer
    from duplex_tts.cli.mcp.tools import SpeechTools, create_server

    device_from_name(device)  # refuses an unknown one now
    if url is not None:
        check_url(url)
    if os.isatty(STDIN):
        stderr.print(
            "[dim]Waiting for the messages of an agent, which starts this command itself: see "
            "`duplex-tts mcp --help`. Ctrl-C ends.[/]"
        )
    defaults = Parameters(voice=voice, speed=speed, language=language, volume=volume)
    speech_server = SpeechServer(partial(ensure_server, url))
    queue = SpeechQueue(speech_server, key, partial(device_from_name, device))
    with reporting_errors() as interruption:

        def exit_without_threads() -> None:
            # Waiting for a thread that reads standard input, or starts a server, would take long.
            signalled = interruption.signal_number is not None
            if signalled or speech_server.is_starting:
                os._exit(interruption.exit_code if signalled else 0)

        tools = SpeechTools(queue, speech_server, key, defaults)
        server = create_server(tools, exit_without_threads)
        interruption.run_coroutine(server.run_stdio_async())
