"""`duplex-tts type`: options, and the way into the terminal's screen."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from duplex_tts.channel.context import Parameters
from duplex_tts.cli.shared_options import (
    AUTO,
    FAILED,
    DeviceName,
    Key,
    Language,
    Seed,
    Speed,
    Url,
    Voice,
    Volume,
    answering,
    complain,
    device_named,
    server_at_hand,
)
from duplex_tts.playback.devices import Device, DeviceFailed, no_sound
from duplex_tts.player import Player
from duplex_tts.session import Session

Typing = Annotated[
    Literal["auto", "word", "phrase", "sentence"] | None,
    typer.Option(help="In which pieces an unfinished sentence is spoken.", show_default="auto"),
]


def type_(  # noqa: PLR0913 - a parameter is an option
    voice: Voice = None,
    speed: Speed = None,
    seed: Seed = None,
    language: Language = None,
    volume: Volume = None,
    typing: Typing = None,
    device: DeviceName = AUTO,
    url: Url = None,
    key: Key = None,
) -> None:
    """Type and be heard while you type.

    Who types slower than speech is heard phrase by phrase, and never in half words; `--typing`
    chooses words or sentences instead. What you see:

    * **bold**: it was heard, or is being heard;
    * underlined: it will be heard; it can no longer be changed;
    * plain: it can be taken back.

    The keys:

    * **Enter** speaks all of the line; the next one is spoken after it.
    * **Backspace** takes back a character, **Ctrl-W** a word, **Ctrl-U** the line: what is plain.
    * **Esc** stops at once, and forgets what was not heard.
    * **Ctrl-D** speaks to the end and leaves; **Ctrl-C** leaves at once.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        complain("`type` needs a terminal; what is piped in, `duplex-tts say` speaks")
        raise typer.Exit(FAILED)
    parameters = Parameters(
        voice=voice, speed=speed, seed=seed, language=language, volume=volume, typing=typing
    )
    with answering() as interruption:
        player = device_named(device)
        with server_at_hand(url) as address:
            interruption.run(_type(address, key, parameters, player))


async def _type(url: str, key: str | None, parameters: Parameters, device: Device | None) -> None:
    # Loaded here: no other command needs it, and it takes a tenth of a second.
    from duplex_tts.cli.type_screen import type_aloud

    async with (
        Session.connect(url, key) as session,
        Player(device, session.ready.sample_rate) as player,
    ):
        if device is None and not player.device.audible:
            raise DeviceFailed(no_sound())
        await type_aloud(session, player, parameters)
