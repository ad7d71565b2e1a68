"""The terminal of `duplex-tts type`: keys in; what was heard, what is coming, what may change."""

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
from duplex_tts.cli.typewriter import TypedLine, Typewriter
from duplex_tts.errors import ClientError, SpeechFailed
from duplex_tts.player import Player
from duplex_tts.session import Session

ESCAPE_TIMEOUT_S = 0.02  # until Esc is not the beginning of another key: Esc has to be quick
HELP = "Enter: speak all · Backspace: take back · Esc: stop · Ctrl-D: end"
STYLE = Style.from_dict(
    {
        "heard": "bold ansigreen",
        "coming": "underline",
        "silenced": "strike ansibrightblack",
        "status": "ansibrightblack",
        "trouble": "ansired",
    }
)


async def type_aloud(
    session: Session,
    player: Player,
    parameters: Parameters,
    terminal: tuple[Input, Output] | None = None,
) -> None:
    """Let a person type and be heard, until they end it. Raises `ClientError`.

    `terminal`: the one of the process when None.
    """
    screen = Screen(player, *(terminal or (None, None)))
    async with Typewriter(session, player, parameters, screen.redraw, screen.gone) as typewriter:
        await screen.run(typewriter)


class Screen:
    """Shows a `Typewriter`, and hands it the keys. Lines that are over scroll up and stay."""

    def __init__(self, player: Player, input_: Input | None, output: Output | None) -> None:
        self._player = player
        self._trouble = ""
        self._ttfa_ms: float | None = None
        self._ending: asyncio.Task[None] | None = None
        text = FormattedTextControl(self._text, focusable=True)
        status = FormattedTextControl(self._status)
        self._app = Application[None](
            Layout(HSplit([Window(text, wrap_lines=True), Window(status, height=1)])),
            style=STYLE,
            key_bindings=self._keys(),
            erase_when_done=True,
            input=input_,
            output=output,
        )
        self._app.ttimeoutlen = ESCAPE_TIMEOUT_S

    async def run(self, typewriter: Typewriter) -> None:
        """Until the person ends it; then everything has been heard, or is silenced."""
        self._typewriter = typewriter
        try:
            await self._app.run_async()
        finally:
            if self._ending:
                self._ending.cancel()
            self._player.stop()
            for line in typewriter.lines:
                self._print(line)

    def redraw(self) -> None:
        """Something is no longer what is shown."""
        self._app.invalidate()

    def gone(self, line: TypedLine, error: ClientError | None) -> None:
        """Let the line scroll up; an error is shown, or ends everything if nothing can go on."""
        self._ttfa_ms = line.ttfa_ms or self._ttfa_ms
        if error is not None and not isinstance(error, SpeechFailed):
            self._leave(error)
        self._trouble = str(error or "")
        if self._app.is_running:
            run_in_terminal(partial(self._print, line))

    # --- what is shown ----------------------------------------------------------------------------

    def _text(self) -> StyleAndTextTuples:
        shown: StyleAndTextTuples = []
        for line in self._typewriter.lines:
            shown += _shown(line)
            if line.typed.ended:
                shown.append(("", "\n"))
        return [*shown, ("[SetCursorPosition]", "")]

    def _status(self) -> StyleAndTextTuples:
        if self._trouble:
            return [("class:trouble", self._trouble)]
        parts = ["speaking to the end"] if self._ending else [HELP]
        if self._ttfa_ms is not None:
            parts.append(f"first sound after {self._ttfa_ms:.0f} ms")
        return [("class:status", " · ".join(parts))]

    def _print(self, line: TypedLine) -> None:
        shown = FormattedText(_shown(line))
        print_formatted_text(shown, style=STYLE, output=self._app.output)

    # --- keys -------------------------------------------------------------------------------------

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        keys.add("backspace")(lambda event: self._taken_back(self._typewriter.erase()))
        keys.add("c-w")(lambda event: self._taken_back(self._typewriter.erase_word()))
        keys.add("c-u")(lambda event: self._taken_back(self._typewriter.erase_line()))
        keys.add("enter")(lambda event: self._typewriter.enter())
        keys.add("escape", eager=True)(lambda event: self._typewriter.stop())
        keys.add("c-d")(lambda event: self._end())
        keys.add("c-c")(lambda event: self._leave())
        keys.add("tab")(lambda event: self._typed(" "))
        keys.add(Keys.BracketedPaste)(lambda event: self._typed(_cleaned(event.data)))
        keys.add(Keys.Any)(lambda event: self._typed(event.data))
        return keys

    def _typed(self, text: str) -> None:
        """Keys that are no text (arrows and the like) are ignored."""
        if self._ending is None and text and text == _cleaned(text):
            self._trouble = ""
            self._typewriter.insert(text)

    def _taken_back(self, count: int) -> None:
        if not count:
            self._app.output.bell()

    def _end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._speak_to_the_end(), name="duplex-tts-ending")

    async def _speak_to_the_end(self) -> None:
        await self._typewriter.finish()
        self._leave()

    def _leave(self, error: ClientError | None = None) -> None:
        if self._app.future is None or self._app.future.done():
            return
        if error:
            self._app.exit(exception=error)
        else:
            self._app.exit()


def _cleaned(text: str) -> str:
    """Without control characters but for line ends; those of any system."""
    lines = "\n".join(text.replace("\t", " ").splitlines())
    return "".join(c for c in lines if c == "\n" or unicodedata.category(c) != "Cc")


def _shown(line: TypedLine) -> StyleAndTextTuples:
    """Its text, by what has become of it."""
    typed, text = line.typed, line.text
    heard, coming, open_ = (
        text[: typed.heard_to],
        text[typed.heard_to : typed.spoken_to],
        text[typed.spoken_to :],
    )
    if line.cancelled:
        return [("class:heard", heard), ("class:silenced", coming + open_)]
    return [("class:heard", heard), ("class:coming", coming), ("", open_)]
