"""What can be spoken: a string, or anything that yields text a piece at a time."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

Text = str | Iterable[Any] | AsyncIterable[Any]
"""A string, or strings or OpenAI-style chunks (`.choices[0].delta.content`), iterated either way.
"""

_AHEAD = 16  # pieces that a blocking iterator may be ahead of who speaks them


def pieces(text: Text) -> AsyncIterator[str]:
    """The text as it comes; empty pieces are left out.

    What only blocks (a generator, a model's synchronous stream) is iterated in a thread of its own,
    so that nothing else waits for it; a list or a tuple is there already. An iterator that is left
    early is closed. Raises `TypeError` for what is no text, and what the iterator raises.
    """
    if isinstance(text, str):
        return _contents(_given((text,)))
    if isinstance(text, AsyncIterable):
        return _contents(aiter(text))
    if isinstance(text, list | tuple):
        return _contents(_given(text))
    if isinstance(text, Iterable) and not isinstance(text, bytes | bytearray):
        return _contents(_from_thread(iter(text)))
    hint = "; await it first" if inspect.isawaitable(text) else ""
    raise TypeError(f"cannot speak {type(text).__name__}: expected text, or what yields text{hint}")


async def _contents(found: AsyncIterator[Any]) -> AsyncIterator[str]:
    try:
        async for each in found:
            if piece := _content(each):
                yield piece
    finally:
        if close := getattr(found, "aclose", None):
            await close()


def _content(each: Any) -> str | None:
    if isinstance(each, str) or each is None:
        return each
    try:
        content = each.choices[0].delta.content if each.choices else None
    except (AttributeError, IndexError, TypeError):
        content = each
    if isinstance(content, str) or content is None:
        return content
    name = type(each).__name__
    raise TypeError(f"cannot speak {name}: expected text or .choices[0].delta.content")


async def _given(texts: Iterable[Any]) -> AsyncIterator[Any]:
    for text in texts:
        yield text


async def _from_thread(texts: Iterator[Any]) -> AsyncIterator[Any]:
    reading = _Reading(texts)
    # A daemon: one that waits for a model's next token must not hold up the end of the program.
    threading.Thread(target=reading.run, name="duplex-tts-text", daemon=True).start()
    try:
        while True:
            text, error = await reading.found.get()
            if isinstance(error, StopAsyncIteration):
                return
            if error is not None:
                raise error
            reading.room.release()
            yield text
    finally:
        reading.leave()


class _Reading:
    """An iterator that blocks, read in a thread; `found`: what it yielded, or why it ended."""

    def __init__(self, texts: Iterator[Any]) -> None:
        self.found: asyncio.Queue[tuple[Any, BaseException | None]] = asyncio.Queue()
        self.room = threading.Semaphore(_AHEAD)
        self._texts = texts
        self._loop = asyncio.get_running_loop()
        self._left = threading.Event()

    def run(self) -> None:
        """Read to the end, or until nobody listens any more."""
        try:
            for text in self._texts:
                self.room.acquire()
                if self._left.is_set():
                    break
                self._put(text)
            self._put(None, StopAsyncIteration())
        except BaseException as error:  # noqa: BLE001 - handed to whoever iterates
            self._put(None, error)
        finally:
            if close := getattr(self._texts, "close", None):
                close()

    def leave(self) -> None:
        """Nobody listens any more."""
        self._left.set()
        self.room.release()

    def _put(self, text: Any, error: BaseException | None = None) -> None:
        try:
            self._loop.call_soon_threadsafe(self.found.put_nowait, (text, error))
        except RuntimeError:  # the loop is closed
            self._left.set()
