"""The `type` command: its options; starts the screen of `type_screen`."""

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
    device_from_name,
    ensure_server,
    print_error,
    reporting_errors,
)
from duplex_tts.playback.devices import Device, DeviceFailed, no_sound_message
from duplex_tts.player import Player
from duplex_tts.session import Session

Typing = Annotated[
    Literal["auto", "word", "phrase", "sentence"] | None,
    typer.Option(help="How much to speak at a time; auto follows your speed.", show_default="auto"),
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
    """Speak what you type, while you type it.

    If you type slower than speech, it speaks phrase by phrase and never half a word;
    `--typing word` or `--typing sentence` changes that. On the screen, text is

    * **bold** when it was heard, or is being heard;
    * underlined when it will be heard and can no longer be changed;
    * plain while it can still be changed.

    The keys:

    * **Enter** speaks the whole line; the next line follows it.
    * **Backspace** deletes a character, **Ctrl-W** a word, **Ctrl-U** the line (plain text only).
    * **Esc** stops at once and discards everything not heard yet.
    * **Ctrl-D** speaks the rest and quits; **Ctrl-C** quits at once.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print_error("`type` needs a terminal; use `duplex-tts say` for piped text")
        raise typer.Exit(FAILED)
    parameters = Parameters(
        voice=voice, speed=speed, seed=seed, language=language, volume=volume, typing=typing
    )
    with reporting_errors() as interruption:
        player_device = device_from_name(device)
        with ensure_server(url) as address:
            interruption.run_coroutine(_run_screen(address, key, parameters, player_device))


async def _run_screen(
    url: str, key: str | None, parameters: Parameters, device: Device | None
) -> None:
    # Imported here: no other command needs it, and it takes 0.1 s.
    from duplex_tts.cli.type.screen import type_aloud

    async with (
        Session.connect(url, key) as session,
        Player(device, session.ready.sample_rate) as player,
    ):
        if device is None and not player.device.audible:
            raise DeviceFailed(no_sound_message())
        await type_aloud(session, player, parameters)
