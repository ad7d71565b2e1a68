"""Blocking sessions, for code without `async`.

    from duplex_tts import sync

    with sync.Session() as session:
        for audio in session.speak("Hello there."):
            play(audio.data)

An event loop in a background thread does the work; sessions may be used from any thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from duplex_tts import session, utterance
from duplex_tts.channel.address import DEFAULT_URL
from duplex_tts.channel.context import Parameters
from duplex_tts.errors import ConnectionLost
from duplex_tts.events import Audio, Cancelled, Done, Ready, Restarted, Word
from duplex_tts.options import Options, Stats
from duplex_tts.text_stream import Text

Result = TypeVar("Result")


class _LoopThread:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="duplex-tts", daemon=True)
        self._thread.start()

    def run_coroutine(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine and wait for its result. An interrupt (Ctrl-C) cancels it."""
        if not self._thread.is_alive():
            work.close()
            raise ConnectionLost("the session is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def call_function(
        self, function: Callable[..., Result], *arguments: Any, **named: Any
    ) -> Result:
        """Call a function on the loop and wait for its result."""

        async def call() -> Result:
            return function(*arguments, **named)

        return self.run_coroutine(call())

    def stop_thread(self) -> None:
        """Stop the loop and join the thread. Safe to call twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


class Session:
    """The blocking form of `duplex_tts.Session`. Raises on creation what `connect` raises."""

    def __init__(
        self, url: str = DEFAULT_URL, key: str | None = None, options: Options | None = None
    ) -> None:
        self._loop = _LoopThread()
        try:
            self._session = self._loop.run_coroutine(_open_session(url, key, options))
        except BaseException:
            self._loop.stop_thread()
            raise

    @property
    def ready(self) -> Ready:
        """The server's defaults: voice, format, sample rate."""
        return self._session.ready

    def speak(self, text: Text, **parameters: Unpack[Parameters]) -> Utterance:
        """Speak a text; returns at once. See `duplex_tts.Session.speak`."""
        spoken = self._loop.call_function(self._session.speak, text, **parameters)
        return Utterance(self._loop, spoken)

    def cancel(self) -> None:
        """Cancel all utterances, spoken or queued."""
        self._loop.call_function(self._session.cancel)

    def ping(self) -> float:
        """Measure the round trip to the server in milliseconds."""
        return self._loop.run_coroutine(self._session.ping())

    def stats(self) -> Stats:
        """Statistics of the session."""
        return self._loop.call_function(self._session.stats)

    def close(self) -> None:
        """Close the connection and end the thread. Safe to call twice."""
        try:
            self._loop.run_coroutine(self._session.close())
        except ConnectionLost:
            return
        finally:
            self._loop.stop_thread()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Utterance:
    """The blocking form of `duplex_tts.Utterance`."""

    def __init__(self, loop: _LoopThread, spoken: utterance.Utterance) -> None:
        self._loop = loop
        self._spoken = spoken

    @property
    def text(self) -> str:
        """The text sent so far; a word of `words` is `text[word.start:word.end]`."""
        return self._spoken.text

    @property
    def words(self) -> list[Word]:
        """The words received so far, with their times."""
        return list(self._spoken.words)

    @property
    def ttfa_ms(self) -> float | None:
        """Time from the first text to the first audio; None before that."""
        return self._spoken.ttfa_ms

    @property
    def audio_ms(self) -> float:
        """Duration of the audio received so far."""
        return self._spoken.audio_ms

    @property
    def restarts(self) -> list[Restarted]:
        """Where speech continued after the server had lost the context."""
        return list(self._spoken.restarts)

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self._spoken.finished

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._spoken.cancelled

    def __iter__(self) -> Iterator[Audio]:
        """The audio as it arrives."""
        while (audio := self._loop.run_coroutine(_next_audio(self._spoken))) is not None:
            yield audio

    def done(self) -> Done | Cancelled:
        """Wait until all audio has been received. See `duplex_tts.Utterance.done`."""
        return self._loop.run_coroutine(self._spoken.done())

    def cancel(self) -> None:
        """Cancel: unread audio is dropped, and the iteration ends at once."""
        self._loop.call_function(self._spoken.cancel)

    def flush(self) -> None:
        """Ask the server to speak all text sent so far."""
        self._loop.call_function(self._spoken.flush)

    def played(self, ms: float) -> None:
        """Report how much of the audio was heard."""
        self._loop.call_function(self._spoken.played, ms)


async def _open_session(url: str, key: str | None, options: Options | None) -> session.Session:
    return await session.Session.connect(url, key, options)


async def _next_audio(spoken: utterance.Utterance) -> Audio | None:
    try:
        return await anext(spoken)
    except StopAsyncIteration:
        return None
