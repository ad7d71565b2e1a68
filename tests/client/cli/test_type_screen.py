"""The terminal of `duplex-tts type`: keys of a scripted person, and what the screen then says."""

import asyncio
import io
import re
from collections.abc import Callable, Coroutine
from typing import Any

from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output

from duplex_tts import Parameters, Session
from duplex_tts.cli.type_screen import type_aloud
from duplex_tts.playback.devices import NullDevice
from duplex_tts.player import Player
from tests.support.live_server import eventually, live_server

ESC, CTRL_C, CTRL_D, BACKSPACE = "\x1b", "\x03", "\x04", "\x7f"
STRUCK = "\x1b[0;90;9m"  # what will not be heard
WITHIN_S = 20.0

Person = Callable[[Any, "Shown"], Coroutine[Any, Any, None]]


class Shown(io.StringIO):
    """What was written to the terminal."""

    encoding = "utf-8"

    def fileno(self) -> int:
        raise io.UnsupportedOperation

    @property
    def plain(self) -> str:
        """Without what moves and colours."""
        return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", self.getvalue())

    async def shows(self, text: str) -> None:
        await eventually(lambda: text in self.plain, WITHIN_S)


async def sit_down(person: Person, parameters: Parameters | None = None) -> Shown:
    """Let a person type until they leave; returns the terminal."""
    shown = Shown()
    output = Vt100_Output(
        shown, lambda: Size(24, 100), term="xterm", default_color_depth=ColorDepth.DEPTH_4_BIT
    )
    with create_pipe_input() as keyboard:
        async with (
            asyncio.timeout(WITHIN_S),
            live_server() as live,
            Session.connect(live.address) as session,
            Player(NullDevice(), session.ready.sample_rate) as player,
        ):
            person_ = asyncio.create_task(person(keyboard, shown))
            try:
                await type_aloud(session, player, parameters or Parameters(), (keyboard, output))
            finally:
                await person_
    return shown


async def test_what_is_typed_stays_when_it_was_heard() -> None:
    async def person(keyboard: Any, shown: Shown) -> None:
        await shown.shows("Enter: speak all")
        keyboard.send_text("Hello wor")
        keyboard.send_text(BACKSPACE * 3 + "there.\r")
        await shown.shows("first sound after")
        keyboard.send_text("Bye" + CTRL_D)

    shown = await sit_down(person)
    lines = [line.strip() for line in shown.plain.splitlines()]
    assert any(line.endswith("Hello there.") for line in lines)
    assert any(line.endswith("Bye") for line in lines)
    assert STRUCK not in shown.getvalue()


async def test_escape_stops_and_strikes_what_was_not_heard() -> None:
    async def person(keyboard: Any, shown: Shown) -> None:
        await shown.shows("Enter: speak all")
        keyboard.send_text("One two three. " * 30)
        await eventually(lambda: "\x1b[0;32;1mOne" in shown.getvalue(), WITHIN_S)  # it is heard
        keyboard.send_text(ESC)
        await eventually(lambda: STRUCK in shown.getvalue(), WITHIN_S)
        keyboard.send_text(CTRL_D)

    await sit_down(person)


async def test_control_c_leaves_at_once() -> None:
    async def person(keyboard: Any, shown: Shown) -> None:
        await shown.shows("Enter: speak all")
        keyboard.send_text("One two three. " * 30)
        await eventually(lambda: "\x1b[0;32;1mOne" in shown.getvalue(), WITHIN_S)
        keyboard.send_text(CTRL_C)

    assert STRUCK in (await sit_down(person)).getvalue()


async def test_what_is_pasted_loses_its_control_characters() -> None:
    async def person(keyboard: Any, shown: Shown) -> None:
        await shown.shows("Enter: speak all")
        keyboard.send_text("\x1b[200~Pas\x07ted\ttext\x1b[201~ now" + CTRL_D)

    assert "Pasted text now" in (await sit_down(person)).plain


async def test_a_refusal_is_shown_and_the_next_line_can_be_typed() -> None:
    async def person(keyboard: Any, shown: Shown) -> None:
        await shown.shows("Enter: speak all")
        keyboard.send_text("Hello ")
        await shown.shows("unknown_voice")
        keyboard.send_text(CTRL_D)

    await sit_down(person, Parameters(voice="nobody"))
