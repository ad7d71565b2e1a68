"""Speaks lines while they are typed: between the keys, a session, and a player. No terminal here.

Each line is a context of the server. It is sent as it is typed, taken back as it is erased, and
played behind the lines before it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Self

from duplex_tts.channel.context import Context, Parameters
from duplex_tts.cli.typed_line import Push, Retract, TypedText
from duplex_tts.errors import ClientError, SpeechFailed
from duplex_tts.events import Audio, Done, Error, Retracted, Word
from duplex_tts.playback.queued_utterance import QueuedUtterance
from duplex_tts.player import Player
from duplex_tts.session import Session


class TypedLine:
    """A line from its first key to its last sound; a `Player` plays it.

    `typed`: how it stands. `ttfa_ms`: from its first text to its first sound. `told` is called
    when it changes by what the server says, or is heard.
    """

    def __init__(self, session: Session, parameters: Parameters, told: Callable[[], None]) -> None:
        self.typed = TypedText()
        self.parameters: Mapping[str, object] = parameters
        self.cancelled = False
        self.ttfa_ms: float | None = None
        self._session = session
        self._manner = parameters
        self._told = told
        self._context: Context | None = None
        self._first_text_s: float | None = None
        self._changed = asyncio.Event()

    @property
    def text(self) -> str:
        """As it stands."""
        return self.typed.text

    def changed(self) -> None:
        """It was typed at: the server has to be told."""
        self._changed.set()

    def heard(self, word: Word, _text: str) -> None:
        """A word begins to be heard."""
        self.typed.heard_to = word.end
        self._told()

    def played(self, ms: float) -> None:
        """So much of it was heard."""
        if self._context is not None:
            self._context.played_now(ms)

    def cancel(self) -> None:
        """It is not wanted any more. Harmless twice."""
        if not self.cancelled:
            self.cancelled = True
            self._changed.set()
            if self._context is not None:
                self._context.cancel_now()

    async def __aiter__(self) -> AsyncIterator[Audio]:
        """Its audio, while it is typed. Raises `SpeechFailed` at the end when not all of it could
        be spoken, and `ConnectionLost`.
        """
        troubles: list[Error] = []
        self._context = await self._session.start(**self._manner)
        if self.cancelled:
            self._context.cancel_now()
        sending = asyncio.create_task(self._send(self._context), name="duplex-tts-typed-line")
        ended = False
        try:
            async for event in self._context:
                if self.cancelled:
                    return
                ended = isinstance(event, Done)
                if isinstance(event, Error):
                    troubles.append(event)
                elif isinstance(event, Retracted):
                    self.typed.retracted(event.to)
                elif isinstance(event, Audio):
                    self._hear(event)
                    yield event
                self._changed.set()
                self._told()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if troubles or not ended:
            first = troubles[0]
            message = "not all was spoken: " * ended + f"{first.message} ({first.code})"
            raise SpeechFailed(message, troubles)

    def _hear(self, audio: Audio) -> None:
        self.typed.spoken(audio.text[1])
        if audio.data and self.ttfa_ms is None and self._first_text_s is not None:
            self.ttfa_ms = (time.perf_counter() - self._first_text_s) * 1000

    async def _send(self, context: Context) -> None:
        """Tell the server of every change."""
        while not self.cancelled:
            while command := self.typed.next_command():
                if isinstance(command, Push):
                    self._first_text_s = self._first_text_s or time.perf_counter()
                    await context.push(command.text)
                elif isinstance(command, Retract):
                    await context.retract(command.to)
                else:
                    await context.end()
            await self._changed.wait()
            self._changed.clear()


class Typewriter:
    """The lines that are not wholly heard yet; the last one is typed at, unless it has ended.

    Use it as a block, from an event loop. `told` is called when a line has changed by itself,
    `gone` with each line when nothing of it will be heard any more, and why if that is an error.
    """

    def __init__(
        self,
        session: Session,
        player: Player,
        parameters: Parameters,
        told: Callable[[], None],
        gone: Callable[[TypedLine, ClientError | None], None],
    ) -> None:
        self.lines: list[TypedLine] = []
        self._session = session
        self._player = player
        self._parameters = parameters
        self._told = told
        self._gone = gone
        self._following: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)

    @property
    def open_line(self) -> TypedLine | None:
        """The one that is typed at."""
        return self.lines[-1] if self.lines and not self.lines[-1].typed.ended else None

    def insert(self, text: str) -> None:
        """Type: begins a line if none is open. What no Unicode text can hold is replaced."""
        line = self.open_line or self._begin()
        line.typed.insert(text.encode(errors="replace").decode())
        line.changed()

    def erase(self) -> int:
        """Take back the last character, if it is not spoken; returns how many were taken back."""
        return self._edit(TypedText.erase)

    def erase_word(self) -> int:
        """Take back the last word, as far as it is not spoken."""
        return self._edit(TypedText.erase_word)

    def erase_line(self) -> int:
        """Take back all of the line that is not spoken."""
        return self._edit(lambda typed: typed.erase(len(typed.text)))

    def enter(self) -> None:
        """The line is complete: speak all of it."""
        if line := self.open_line:
            line.typed.ended = True
            line.changed()

    def stop(self) -> None:
        """Be silent, and forget all that was not heard."""
        self._player.stop()
        for line in self.lines:
            line.typed.ended = True

    async def finish(self) -> None:
        """Complete the line, and wait until everything was heard."""
        self.enter()
        while self._following:
            await asyncio.wait(self._following)

    def _edit(self, edit: Callable[[TypedText], int]) -> int:
        line = self.open_line
        taken_back = edit(line.typed) if line else 0
        if line and taken_back:
            line.changed()
        return taken_back

    def _begin(self) -> TypedLine:
        line = TypedLine(self._session, self._parameters, self._told)
        self.lines.append(line)
        playback = self._player.play(line, line.heard)
        task = asyncio.create_task(self._follow(line, playback), name="duplex-tts-typewriter")
        self._following.add(task)
        task.add_done_callback(self._following.discard)
        return line

    async def _follow(self, line: TypedLine, playback: QueuedUtterance) -> None:
        error: ClientError | None = None
        try:
            await playback.done()
        except ClientError as failed:
            error = failed
        self.lines.remove(line)
        self._gone(line, error)
