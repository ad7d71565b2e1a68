"""The screen of `duplex-tts type`: scripted keys, and what the terminal shows."""

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
from duplex_tts.cli.type.screen import type_aloud
from duplex_tts.playback.devices import NullDevice
from duplex_tts.player import Player
from tests.support.live_server import live_server, wait_until

ESC, CTRL_C, CTRL_D, BACKSPACE = "\x1b", "\x03", "\x04", "\x7f"
STRUCK = "\x1b[0;90;9m"  # the style of cancelled text
WITHIN_S = 20.0

KeyScript = Callable[[Any, "RecordedTerminal"], Coroutine[Any, Any, None]]


class RecordedTerminal(io.StringIO):
    """Records what is written to the terminal."""

    encoding = "utf-8"

    def fileno(self) -> int:
        raise io.UnsupportedOperation

    @property
    def plain(self) -> str:
        """The text without escape sequences."""
        return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", self.getvalue())

    async def shows(self, text: str) -> None:
        await wait_until(lambda: text in self.plain, WITHIN_S)


async def run_screen(
    key_script: KeyScript, parameters: Parameters | None = None
) -> RecordedTerminal:
    """Run a script of keys until it quits; returns the terminal."""
    terminal = RecordedTerminal()
    output = Vt100_Output(
        terminal, lambda: Size(24, 100), term="xterm", default_color_depth=ColorDepth.DEPTH_4_BIT
    )
    with create_pipe_input() as keyboard:
        async with (
            asyncio.timeout(WITHIN_S),
            live_server() as live,
            Session.connect(live.address) as session,
            Player(NullDevice(), session.ready.sample_rate) as player,
        ):
            task = asyncio.create_task(key_script(keyboard, terminal))
            try:
                await type_aloud(session, player, parameters or Parameters(), (keyboard, output))
            finally:
                await task
    return terminal


async def test_heard_lines_stay_on_the_terminal() -> None:
    async def key_script(keyboard: Any, terminal: RecordedTerminal) -> None:
        await terminal.shows("Enter: speak the line")
        keyboard.send_text("Hello wor")
        keyboard.send_text(BACKSPACE * 3 + "there.\r")
        await terminal.shows("first sound after")
        keyboard.send_text("Bye" + CTRL_D)

    terminal = await run_screen(key_script)
    lines = [line.strip() for line in terminal.plain.splitlines()]
    assert any(line.endswith("Hello there.") for line in lines)
    assert any(line.endswith("Bye") for line in lines)
    assert STRUCK not in terminal.getvalue()


async def test_escape_stops_and_strikes_out_unheard_text() -> None:
    async def key_script(keyboard: Any, terminal: RecordedTerminal) -> None:
        await terminal.shows("Enter: speak the line")
        keyboard.send_text("One two three. " * 30)
        await wait_until(lambda: "\x1b[0;32;1mOne" in terminal.getvalue(), WITHIN_S)  # it is heard
        keyboard.send_text(ESC)
        await wait_until(lambda: STRUCK in terminal.getvalue(), WITHIN_S)
        keyboard.send_text(CTRL_D)

    await run_screen(key_script)


async def test_control_c_quits_at_once() -> None:
    async def key_script(keyboard: Any, terminal: RecordedTerminal) -> None:
        await terminal.shows("Enter: speak the line")
        keyboard.send_text("One two three. " * 30)
        await wait_until(lambda: "\x1b[0;32;1mOne" in terminal.getvalue(), WITHIN_S)
        keyboard.send_text(CTRL_C)

    assert STRUCK in (await run_screen(key_script)).getvalue()


async def test_control_characters_are_removed_from_pasted_text() -> None:
    async def key_script(keyboard: Any, terminal: RecordedTerminal) -> None:
        await terminal.shows("Enter: speak the line")
        keyboard.send_text("\x1b[200~Pas\x07ted\ttext\x1b[201~ now" + CTRL_D)

    assert "Pasted text now" in (await run_screen(key_script)).plain


async def test_a_refusal_is_shown_and_the_next_line_can_be_typed() -> None:
    async def key_script(keyboard: Any, terminal: RecordedTerminal) -> None:
        await terminal.shows("Enter: speak the line")
        keyboard.send_text("Hello ")
        await terminal.shows("unknown_voice")
        keyboard.send_text(CTRL_D)

    await run_screen(key_script, Parameters(voice="nobody"))
