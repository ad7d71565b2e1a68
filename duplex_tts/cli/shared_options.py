"""What the commands share: options, one-line error messages, exit codes, and finding a server."""

from __future__ import annotations

import http.client
import logging
import math
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from duplex_tts.channel.address import DEFAULT_URL, http_url, websocket_url
from duplex_tts.cli.interrupts import Interruption, interruptible
from duplex_tts.errors import BadAddress, ClientError, NothingToSpeak
from duplex_tts.local_server import local_server
from duplex_tts.playback.device_programs import PROGRAMS, ProgramDevice
from duplex_tts.playback.devices import Device, NullDevice, SoundDevice

FAILED = 1
NOTHING_TO_SPEAK = 2
HTTP_TIMEOUT_S = 2.0
AUTO = "auto"
DEVICES = (AUTO, SoundDevice.name, *PROGRAMS, NullDevice.name)

stderr = Console(stderr=True, highlight=False)
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="DUPLEX_TTS_URL",
        metavar="ADDRESS",
        help="Address of the server, for example 192.168.1.5:8000 or https://host/tts. Default: "
        f"{DEFAULT_URL}; if nothing answers there, a server is started for this call.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="DUPLEX_TTS_KEY",
        help="API key, if the server requires one. The environment variable is safer: other "
        "users of this machine can read command lines.",
    ),
]
Voice = Annotated[str | None, typer.Option(help="Name of a voice; `duplex-tts voices` lists them.")]


def _require_finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("expected a finite number")
    return value


Speed = Annotated[
    float | None,
    typer.Option(help="1 is normal, 2 is twice as fast.", callback=_require_finite),
]
Volume = Annotated[
    float | None,
    typer.Option(
        help="1 is normal, 0 is silence, 2 is twice the amplitude.",
        min=0.0,
        max=2.0,
        callback=_require_finite,
    ),
]
Seed = Annotated[
    int | None, typer.Option(help="Any number; the same text and seed sound the same.")
]
Language = Annotated[
    str | None,
    typer.Option(help="Language of the text: en, pt-BR; auto: each sentence's by its words."),
]
Ssml = Annotated[
    bool,
    typer.Option("--ssml", help="Carry out SSML, also if the text does not begin with `speak`."),
]
DeviceName = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help=f"Where to play: {', '.join(DEVICES)} (null: silently, in real time).",
    ),
]


def device_from_name(name: str) -> Device | None:
    """Create the device of this name; None for `auto`. Raises `typer.BadParameter`."""
    if name not in DEVICES:
        known = ", ".join(DEVICES)
        raise typer.BadParameter(f"expected one of {known}", param_hint="--device")
    if name in PROGRAMS:
        return ProgramDevice(name)
    if name == AUTO:
        return None
    return SoundDevice() if name == SoundDevice.name else NullDevice()


@contextmanager
def reporting_errors() -> Iterator[Interruption]:
    """Print errors of the block as one line and exit; exit on a signal with its code."""
    log = logging.getLogger("duplex_tts")
    level = log.level
    log.setLevel(logging.ERROR)  # warnings repeat what is printed here
    with interruptible() as interruption:
        try:
            yield interruption
        except NothingToSpeak as error:
            print_error(str(error))
            raise typer.Exit(NOTHING_TO_SPEAK) from error
        except ClientError as error:
            if interruption.signal_number is not None:  # caused by the interrupt
                raise typer.Exit(interruption.exit_code) from error
            print_error(str(error))
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt:
            raise typer.Exit(interruption.exit_code) from None
        finally:
            log.setLevel(level)


def print_error(message: str) -> None:
    """Print a message on a line of stderr."""
    stderr.print(f"[red]duplex-tts:[/red] {escape(message)}", soft_wrap=True)


@contextmanager
def ensure_server(url: str | None) -> Iterator[str]:
    """Yield the address of a server: `url`, else the default if it answers, else a local one that
    runs during the block.
    """
    if url is not None or is_ready(DEFAULT_URL):
        yield check_url(url or DEFAULT_URL)
        return
    stderr.print(
        "[dim]No server is running: starting one for this call (`duplex-tts serve` keeps one).[/]"
    )
    with local_server() as address:
        yield address


def is_ready(url: str) -> bool:
    """Whether a server at this address accepts connections. Blocks for `HTTP_TIMEOUT_S` at most."""
    try:
        with _NO_PROXY.open(http_url(url, "/readyz"), timeout=HTTP_TIMEOUT_S):
            return True
    except (OSError, http.client.HTTPException):  # the latter if it is not an HTTP server
        return False


def check_url(url: str) -> str:
    """Return the address of the WebSocket. Raises `typer.BadParameter`."""
    try:
        return websocket_url(url)
    except BadAddress as error:
        raise typer.BadParameter(str(error), param_hint="--url") from error
