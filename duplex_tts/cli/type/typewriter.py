"""Speaks lines while they are typed; connects a session and a player. Independent of a terminal.

Each line is a context of the server. Its text is sent as it is typed and retracted as it is erased;
its audio is played after the lines before it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Self

from duplex_tts.channel.context import Context, Parameters
from duplex_tts.cli.type.edit_buffer import EditBuffer, PushText, RetractText
from duplex_tts.errors import ClientError, SpeechFailed
from duplex_tts.events import Audio, Done, Error, Retracted, Word
from duplex_tts.playback.queued_utterance import QueuedUtterance
from duplex_tts.player import Player
from duplex_tts.session import Session


class SpokenLine:
    """A line that is spoken while it is typed; played by a `Player` (see `Playable`).

    `buffer`: its text. `ttfa_ms`: time from the first text to the first audio. `on_change` is
    called when an event of the server changes it, or a word is heard.
    """

    def __init__(
        self, session: Session, parameters: Parameters, on_change: Callable[[], None]
    ) -> None:
        self.buffer = EditBuffer()
        self.parameters: Mapping[str, object] = parameters
        self.cancelled = False
        self.ttfa_ms: float | None = None
        self._session = session
        self._start_parameters = parameters
        self._on_change = on_change
        self._context: Context | None = None
        self._first_text_s: float | None = None
        self._changed = asyncio.Event()

    @property
    def text(self) -> str:
        """The current text."""
        return self.buffer.text

    def send_edits(self) -> None:
        """Send the edits of `buffer` to the server. Does not wait."""
        self._changed.set()

    def mark_heard(self, word: Word, _text: str) -> None:
        """Record that a word begins to be heard."""
        self.buffer.heard_to = word.end
        self._on_change()

    def played(self, ms: float) -> None:
        """Report how much of the audio was heard."""
        if self._context is not None:
            self._context.played_now(ms)

    def cancel(self) -> None:
        """Stop the speech. Safe to call twice."""
        if not self.cancelled:
            self.cancelled = True
            self._changed.set()
            if self._context is not None:
                self._context.cancel_now()

    async def __aiter__(self) -> AsyncIterator[Audio]:
        """Its audio, while it is typed.

        Raises `SpeechFailed` at the end if a part could not be spoken, and `ConnectionLost`.
        """
        errors: list[Error] = []
        self._context = await self._session.start(**self._start_parameters)
        if self.cancelled:
            self._context.cancel_now()
        sending = asyncio.create_task(
            self._send_commands(self._context), name="duplex-tts-spoken-line"
        )
        ended = False
        try:
            async for event in self._context:
                if self.cancelled:
                    return
                ended = isinstance(event, Done)
                if isinstance(event, Error):
                    errors.append(event)
                elif isinstance(event, Retracted):
                    self.buffer.apply_retraction(event.to)
                elif isinstance(event, Audio):
                    self._note_audio(event)
                    yield event
                self._changed.set()
                self._on_change()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if errors or not ended:
            first = errors[0]
            message = "not all was spoken: " * ended + f"{first.message} ({first.code})"
            raise SpeechFailed(message, errors)

    def _note_audio(self, audio: Audio) -> None:
        self.buffer.mark_spoken(audio.text[1])
        if audio.data and self.ttfa_ms is None and self._first_text_s is not None:
            self.ttfa_ms = (time.perf_counter() - self._first_text_s) * 1000

    async def _send_commands(self, context: Context) -> None:
        """Send every change to the server, until cancelled."""
        while not self.cancelled:
            while command := self.buffer.next_command():
                if isinstance(command, PushText):
                    self._first_text_s = self._first_text_s or time.perf_counter()
                    await context.push(command.text)
                elif isinstance(command, RetractText):
                    await context.retract(command.to)
                else:
                    await context.end()
            await self._changed.wait()
            self._changed.clear()


class Typewriter:
    """The lines not fully heard yet; the last one is edited, unless it has ended.

    Use it as a block, from one event loop. `on_change` is called when the server or the player has
    changed a line, `on_finished` with each line that was heard, cancelled, or failed with an error.
    """

    def __init__(
        self,
        session: Session,
        player: Player,
        parameters: Parameters,
        on_change: Callable[[], None],
        on_finished: Callable[[SpokenLine, ClientError | None], None],
    ) -> None:
        self.lines: list[SpokenLine] = []
        self._session = session
        self._player = player
        self._parameters = parameters
        self._on_change = on_change
        self._on_finished = on_finished
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def open_line(self) -> SpokenLine | None:
        """The line being edited."""
        return self.lines[-1] if self.lines and not self.lines[-1].buffer.ended else None

    def insert_text(self, text: str) -> None:
        """Append typed text; begins a line if none is open. Lone surrogates are replaced."""
        line = self.open_line or self._begin_line()
        line.buffer.insert_text(text.encode(errors="replace").decode())
        line.send_edits()

    def erase_character(self) -> int:
        """Erase the last character, unless it is spoken; returns how many were erased."""
        return self._edit_line(EditBuffer.erase_characters)

    def erase_word(self) -> int:
        """Erase the last word, unless spoken; returns the number of characters erased."""
        return self._edit_line(EditBuffer.erase_word)

    def erase_line(self) -> int:
        """Erase the unspoken part of the line; returns the number of characters erased."""
        return self._edit_line(lambda buffer: buffer.erase_characters(len(buffer.text)))

    def end_line(self) -> None:
        """Complete the line, which is then spoken to its end."""
        if line := self.open_line:
            line.buffer.ended = True
            line.send_edits()

    def stop_speech(self) -> None:
        """Stop, and discard everything not heard."""
        self._player.stop()
        for line in self.lines:
            line.buffer.ended = True

    async def finish_lines(self) -> None:
        """Complete the line, and wait until everything was heard."""
        self.end_line()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _edit_line(self, edit: Callable[[EditBuffer], int]) -> int:
        line = self.open_line
        erased = edit(line.buffer) if line else 0
        if line and erased:
            line.send_edits()
        return erased

    def _begin_line(self) -> SpokenLine:
        line = SpokenLine(self._session, self._parameters, self._on_change)
        self.lines.append(line)
        queued = self._player.play(line, line.mark_heard)
        task = asyncio.create_task(self._wait_finished(line, queued), name="duplex-tts-typewriter")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return line

    async def _wait_finished(self, line: SpokenLine, queued: QueuedUtterance) -> None:
        error: ClientError | None = None
        try:
            await queued.done()
        except ClientError as failed:
            error = failed
        self.lines.remove(line)
        self._on_finished(line, error)
