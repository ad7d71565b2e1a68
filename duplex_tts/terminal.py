"""What the commands share: options, errors of one line, exit codes, the server at hand."""

from __future__ import annotations

import logging
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from duplex_tts.address import DEFAULT_URL, http_url, websocket_url
from duplex_tts.devices import Device, NullDevice, SoundDevice
from duplex_tts.errors import ClientError
from duplex_tts.local_server import local_server
from duplex_tts.programs import PROGRAMS, ProgramDevice

FAILED = 1
INTERRUPTED = 130  # what a shell reports for Ctrl-C
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
Speed = Annotated[float | None, typer.Option(help="1 is normal, 2 is twice as fast.")]
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
def answering() -> Iterator[None]:
    """Turn what can go wrong into one line and an exit code; SIGTERM is taken for Ctrl-C."""
    log = logging.getLogger("duplex_tts")
    level, handler = log.level, signal.getsignal(signal.SIGTERM)
    log.setLevel(logging.ERROR)  # what matters is said here
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    except ClientError as error:
        complain(str(error))
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    finally:
        log.setLevel(level)
        signal.signal(signal.SIGTERM, handler)


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
        with open_url(http_url(url, "/readyz")):
            return True
    except OSError:
        return False


def open_url(url: str, key: str | None = None) -> IO[bytes]:
    """The answer to a GET. Raises `OSError`. Blocks for `HTTP_TIMEOUT_S` at most."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url, headers=headers)
    answer: IO[bytes] = _NO_PROXY.open(request, timeout=HTTP_TIMEOUT_S)
    return answer


def _checked(url: str) -> str:
    try:
        return websocket_url(url)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from error
