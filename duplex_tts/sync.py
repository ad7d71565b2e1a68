"""Sessions for code without `async`: the same, blocking.

    from duplex_tts import sync

    with sync.Session() as session:
        for audio in session.speak("Hello there."):
            play(audio.data)

An event loop in a thread of its own does the work; these may be used from any thread.
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


class _Loop:
    """An event loop that runs in a daemon thread until it is stopped."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="duplex-tts", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for its result. An interruption (Ctrl-C) cancels it."""
        if not self._thread.is_alive():
            work.close()
            raise ConnectionLost("the session is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
        """Call a function there, and wait for its result."""

        async def called() -> Result:
            return function(*arguments, **named)

        return self.run(called())

    def stop(self) -> None:
        """End the thread. Safe to call twice."""
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
    """See `duplex_tts.Session`. Raises on opening what `connect` raises there."""

    def __init__(
        self, url: str = DEFAULT_URL, key: str | None = None, options: Options | None = None
    ) -> None:
        self._loop = _Loop()
        try:
            self._session = self._loop.run(_connected(url, key, options))
        except BaseException:
            self._loop.stop()
            raise

    @property
    def ready(self) -> Ready:
        """The server's defaults: voice, format, sample rate."""
        return self._session.ready

    def speak(self, text: Text, **parameters: Unpack[Parameters]) -> Utterance:
        """Say something; returns at once. See `duplex_tts.Session.speak`."""
        return Utterance(self._loop, self._loop.call(self._session.speak, text, **parameters))

    def cancel(self) -> None:
        """Be silent: cancel all that is being spoken or waits for its turn."""
        self._loop.call(self._session.cancel)

    def ping(self) -> float:
        """Milliseconds to the server and back."""
        return self._loop.run(self._session.ping())

    def stats(self) -> Stats:
        """The session in figures, now."""
        return self._loop.call(self._session.stats)

    def close(self) -> None:
        """Close the connection and end the thread. Safe to call twice."""
        try:
            self._loop.run(self._session.close())
        except ConnectionLost:
            return
        finally:
            self._loop.stop()

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
    """See `duplex_tts.Utterance`."""

    def __init__(self, loop: _Loop, spoken: utterance.Utterance) -> None:
        self._loop = loop
        self._spoken = spoken

    @property
    def text(self) -> str:
        """What was sent so far; a word of `words` is `text[word.start:word.end]`."""
        return self._spoken.text

    @property
    def words(self) -> list[Word]:
        """Those received so far, with their times."""
        return list(self._spoken.words)

    @property
    def ttfa_ms(self) -> float | None:
        """From its first text to its first sound."""
        return self._spoken.ttfa_ms

    @property
    def audio_ms(self) -> float:
        """How much of it has been received."""
        return self._spoken.audio_ms

    @property
    def restarts(self) -> list[Restarted]:
        """Where it went on after the server had lost it."""
        return list(self._spoken.restarts)

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self._spoken.finished

    @property
    def cancelled(self) -> bool:
        """Whether somebody has cancelled it."""
        return self._spoken.cancelled

    def __iter__(self) -> Iterator[Audio]:
        """Its audio, as it comes."""
        while (audio := self._loop.run(_next(self._spoken))) is not None:
            yield audio

    def done(self) -> Done | Cancelled:
        """Wait until all of it has been received. See `duplex_tts.Utterance.done`."""
        return self._loop.run(self._spoken.done())

    def cancel(self) -> None:
        """Be silent: what is not iterated yet is dropped, and the iteration ends now."""
        self._loop.call(self._spoken.cancel)

    def flush(self) -> None:
        """Ask to speak all that was sent so far."""
        self._loop.call(self._spoken.flush)

    def played(self, ms: float) -> None:
        """Report how much of it was really heard."""
        self._loop.call(self._spoken.played, ms)


async def _connected(url: str, key: str | None, options: Options | None) -> session.Session:
    return await session.Session.connect(url, key, options)


async def _next(spoken: utterance.Utterance) -> Audio | None:
    try:
        return await anext(spoken)
    except StopAsyncIteration:
        return None
