"""Iterates over text to speak: a string, or anything that yields pieces of text."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

Text = str | Iterable[Any] | AsyncIterable[Any]
"""A string, or a sync or async iterable of strings or OpenAI-style chunks
(`.choices[0].delta.content`).
"""

_READ_AHEAD = 16  # items read from a blocking iterator before they are consumed


def iter_text(text: Text) -> AsyncIterator[str]:
    """Yield the text as it arrives, without empty strings.

    A blocking iterator (a generator, a model's synchronous stream) is read in a thread of its own,
    so that it does not block the event loop; a list or a tuple is not. An iterator abandoned early
    is closed. Raises `TypeError` for anything else, and what the iterator raises.
    """
    if isinstance(text, str):
        return _iter_contents(_iter_items((text,)))
    if isinstance(text, AsyncIterable):
        return _iter_contents(aiter(text))
    if isinstance(text, list | tuple):
        return _iter_contents(_iter_items(text))
    if isinstance(text, Iterable) and not isinstance(text, bytes | bytearray):
        return _iter_contents(_iter_in_thread(iter(text)))
    hint = "; await it first" if inspect.isawaitable(text) else ""
    raise TypeError(f"cannot speak {type(text).__name__}: expected text, or what yields text{hint}")


async def _iter_contents(items: AsyncIterator[Any]) -> AsyncIterator[str]:
    try:
        async for item in items:
            if content := _extract_content(item):
                yield content
    finally:
        if close := getattr(items, "aclose", None):
            await close()


def _extract_content(item: Any) -> str | None:
    if isinstance(item, str) or item is None:
        return item
    try:
        content = item.choices[0].delta.content if item.choices else None
    except (AttributeError, IndexError, TypeError):
        content = item
    if isinstance(content, str) or content is None:
        return content
    name = type(item).__name__
    raise TypeError(f"cannot speak {name}: expected text or .choices[0].delta.content")


async def _iter_items(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


async def _iter_in_thread(items: Iterator[Any]) -> AsyncIterator[Any]:
    reader = _ThreadReader(items)
    # A daemon: waiting for a model's next token must not keep the program from exiting.
    threading.Thread(target=reader.read_all, name="duplex-tts-text", daemon=True).start()
    try:
        while True:
            item, error = await reader.results.get()
            if isinstance(error, StopAsyncIteration):
                return
            if error is not None:
                raise error
            reader.free_slots.release()
            yield item
    finally:
        reader.stop_reading()


class _ThreadReader:
    """Reads a blocking iterator in a thread; `results`: items, and the error or end at last."""

    def __init__(self, items: Iterator[Any]) -> None:
        self.results: asyncio.Queue[tuple[Any, BaseException | None]] = asyncio.Queue()
        self.free_slots = threading.Semaphore(_READ_AHEAD)
        self._items = items
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()

    def read_all(self) -> None:
        """Read to the end, or until `stop_reading`. Blocks."""
        try:
            for item in self._items:
                self.free_slots.acquire()
                if self._stopped.is_set():
                    break
                self._put_result(item)
            self._put_result(None, StopAsyncIteration())
        except BaseException as error:  # noqa: BLE001 - raised to the consumer
            self._put_result(None, error)
        finally:
            if close := getattr(self._items, "close", None):
                close()

    def stop_reading(self) -> None:
        """Stop before the next item."""
        self._stopped.set()
        self.free_slots.release()

    def _put_result(self, item: Any, error: BaseException | None = None) -> None:
        try:
            self._loop.call_soon_threadsafe(self.results.put_nowait, (item, error))
        except RuntimeError:  # the loop is closed
            self._stopped.set()
