"""What the commands share: options, errors of one line, exit codes, the server at hand."""

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
        help=f"The server: host:port, http:// or ws://. Default: {DEFAULT_URL}, or a server of "
        "its own for the duration when nothing answers there.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="DUPLEX_TTS_KEY",
        help="The server's API key, where it wants one. Better in the environment: others on "
        "this machine can read a command line.",
    ),
]
Voice = Annotated[str | None, typer.Option(help="See `duplex-tts voices`.")]


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("it is no number that could be meant")
    return value


Speed = Annotated[
    float | None, typer.Option(help="1 is normal, 2 is twice as fast.", callback=_finite)
]
Volume = Annotated[
    float | None,
    typer.Option(
        help="1 is normal, 0 is silence, 2 is twice the amplitude.",
        min=0.0,
        max=2.0,
        callback=_finite,
    ),
]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same sound.")]
Language = Annotated[str | None, typer.Option(help="A language of the voice.")]
DeviceName = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help=f"What to play on: {', '.join(DEVICES)} (silence, in real time).",
    ),
]


def device_named(name: str) -> Device | None:
    """None for the best there is. Raises `typer.BadParameter`."""
    if name not in DEVICES:
        raise typer.BadParameter(f"there are {', '.join(DEVICES)}", param_hint="--device")
    if name in PROGRAMS:
        return ProgramDevice(name)
    if name == AUTO:
        return None
    return SoundDevice() if name == SoundDevice.name else NullDevice()


@contextmanager
def answering() -> Iterator[Interruption]:
    """Turn what can go wrong into one line and an exit code, and an interruption into its code."""
    log = logging.getLogger("duplex_tts")
    level = log.level
    log.setLevel(logging.ERROR)  # what matters is said here
    with interruptible() as interruption:
        try:
            yield interruption
        except NothingToSpeak as error:
            complain(str(error))
            raise typer.Exit(NOTHING_TO_SPEAK) from error
        except ClientError as error:
            if interruption.number is not None:  # it broke because we left
                raise typer.Exit(interruption.exit_code) from error
            complain(str(error))
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt:
            raise typer.Exit(interruption.exit_code) from None
        finally:
            log.setLevel(level)


def complain(what: str) -> None:
    """Say in a line what is wrong."""
    stderr.print(f"[red]duplex-tts:[/red] {escape(what)}", soft_wrap=True)


@contextmanager
def server_at_hand(url: str | None) -> Iterator[str]:
    """The address to use: the one asked for, else the default, else a server of our own."""
    if url is not None or is_ready(DEFAULT_URL):
        yield _checked(url or DEFAULT_URL)
        return
    stderr.print("[dim]No server is running: starting one for this call (`make run` keeps one).[/]")
    with local_server() as address:
        yield address


def is_ready(url: str) -> bool:
    """Whether a server takes connections there. Blocks for `HTTP_TIMEOUT_S` at most."""
    try:
        with _NO_PROXY.open(http_url(url, "/readyz"), timeout=HTTP_TIMEOUT_S):
            return True
    except (OSError, http.client.HTTPException):  # what answers may be anything
        return False


def _checked(url: str) -> str:
    try:
        return websocket_url(url)
    except BadAddress as error:
        raise typer.BadParameter(str(error), param_hint="--url") from error
