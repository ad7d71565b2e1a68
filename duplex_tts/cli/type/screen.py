"""The terminal screen of `duplex-tts type`: handles keys, shows what was heard and may change."""

from __future__ import annotations

import asyncio
import unicodedata
from functools import partial

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.formatted_text import FormattedText, StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.output import Output
from prompt_toolkit.shortcuts import print_formatted_text
from prompt_toolkit.styles import Style

from duplex_tts.channel.context import Parameters
from duplex_tts.cli.type.typewriter import SpokenLine, Typewriter
from duplex_tts.errors import ClientError, SpeechFailed
from duplex_tts.player import Player
from duplex_tts.session import Session

ESCAPE_TIMEOUT_S = 0.02  # wait this long whether Esc begins a key sequence: Esc must be fast
HELP = "Enter: speak the line · Backspace: delete · Esc: stop · Ctrl-D: quit"
STYLE = Style.from_dict(
    {
        "heard": "bold ansigreen",
        "coming": "underline",
        "silenced": "strike ansibrightblack",
        "status": "ansibrightblack",
        "error": "ansired",
    }
)


async def type_aloud(
    session: Session,
    player: Player,
    parameters: Parameters,
    terminal: tuple[Input, Output] | None = None,
) -> None:
    """Run the screen until the user quits. Raises `ClientError`.

    `terminal`: input and output; None for the terminal of the process.
    """
    screen = TypeScreen(player, *(terminal or (None, None)))
    async with Typewriter(
        session, player, parameters, screen.redraw, screen.line_finished
    ) as typewriter:
        await screen.run_app(typewriter)


class TypeScreen:
    """Shows a `Typewriter` and passes it the keys. Finished lines scroll up."""

    def __init__(self, player: Player, input_: Input | None, output: Output | None) -> None:
        self._player = player
        self._error = ""
        self._ttfa_ms: float | None = None
        self._ending: asyncio.Task[None] | None = None
        text = FormattedTextControl(self._format_lines, focusable=True)
        status = FormattedTextControl(self._format_status)
        self._app = Application[None](
            Layout(HSplit([Window(text, wrap_lines=True), Window(status, height=1)])),
            style=STYLE,
            key_bindings=self._bind_keys(),
            erase_when_done=True,
            input=input_,
            output=output,
        )
        self._app.ttimeoutlen = ESCAPE_TIMEOUT_S

    async def run_app(self, typewriter: Typewriter) -> None:
        """Run until the user quits; what is not heard by then is cancelled."""
        self._typewriter = typewriter
        try:
            await self._app.run_async()
        finally:
            if self._ending:
                self._ending.cancel()
            self._player.stop()
            for line in typewriter.lines:
                self._print_line(line)

    def redraw(self) -> None:
        """Redraw the screen."""
        self._app.invalidate()

    def line_finished(self, line: SpokenLine, error: ClientError | None) -> None:
        """Scroll up a finished line. Shows its error, or quits if the session is lost."""
        self._ttfa_ms = line.ttfa_ms or self._ttfa_ms
        if error is not None and not isinstance(error, SpeechFailed):
            self._quit(error)
        self._error = str(error or "")
        if self._app.is_running:
            run_in_terminal(partial(self._print_line, line))

    # --- display ----------------------------------------------------------------------------------

    def _format_lines(self) -> StyleAndTextTuples:
        formatted: StyleAndTextTuples = []
        for line in self._typewriter.lines:
            formatted += _format_line(line)
            if line.buffer.ended:
                formatted.append(("", "\n"))
        return [*formatted, ("[SetCursorPosition]", "")]

    def _format_status(self) -> StyleAndTextTuples:
        if self._error:
            return [("class:error", self._error)]
        parts = ["speaking the rest"] if self._ending else [HELP]
        if self._ttfa_ms is not None:
            parts.append(f"first sound after {self._ttfa_ms:.0f} ms")
        return [("class:status", " · ".join(parts))]

    def _print_line(self, line: SpokenLine) -> None:
        formatted = FormattedText(_format_line(line))
        print_formatted_text(formatted, style=STYLE, output=self._app.output)

    # --- keys -------------------------------------------------------------------------------------

    def _bind_keys(self) -> KeyBindings:
        keys = KeyBindings()
        keys.add("backspace")(lambda event: self._bell_if_none(self._typewriter.erase_character()))
        keys.add("c-w")(lambda event: self._bell_if_none(self._typewriter.erase_word()))
        keys.add("c-u")(lambda event: self._bell_if_none(self._typewriter.erase_line()))
        keys.add("enter")(lambda event: self._typewriter.end_line())
        keys.add("escape", eager=True)(lambda event: self._typewriter.stop_speech())
        keys.add("c-d")(lambda event: self._start_ending())
        keys.add("c-c")(lambda event: self._quit())
        keys.add("tab")(lambda event: self._insert_text(" "))
        keys.add(Keys.BracketedPaste)(lambda event: self._insert_text(_strip_controls(event.data)))
        keys.add(Keys.Any)(lambda event: self._insert_text(event.data))
        return keys

    def _insert_text(self, text: str) -> None:
        """Insert typed text; other keys (arrows and the like) are ignored."""
        if self._ending is None and text and text == _strip_controls(text):
            self._error = ""
            self._typewriter.insert_text(text)

    def _bell_if_none(self, erased: int) -> None:
        if not erased:
            self._app.output.bell()

    def _start_ending(self) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._finish_and_quit(), name="duplex-tts-ending")

    async def _finish_and_quit(self) -> None:
        await self._typewriter.finish_lines()
        self._quit()

    def _quit(self, error: ClientError | None = None) -> None:
        if self._app.future is None or self._app.future.done():
            return
        if error:
            self._app.exit(exception=error)
        else:
            self._app.exit()


def _strip_controls(text: str) -> str:
    """Remove control characters, except line ends, which become line feeds."""
    lines = "\n".join(text.replace("\t", " ").splitlines())
    return "".join(c for c in lines if c == "\n" or unicodedata.category(c) != "Cc")


def _format_line(line: SpokenLine) -> StyleAndTextTuples:
    """Style the text by its state."""
    buffer, text = line.buffer, line.text
    heard, coming, open_ = (
        text[: buffer.heard_to],
        text[buffer.heard_to : buffer.spoken_to],
        text[buffer.spoken_to :],
    )
    if line.cancelled:
        return [("class:heard", heard), ("class:silenced", coming + open_)]
    return [("class:heard", heard), ("class:coming", coming), ("", open_)]
