import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from duplex_tts.text_stream import iter_text


def chunk(content: str | None, *, choices: bool = True) -> Any:
    choice = SimpleNamespace(delta=SimpleNamespace(content=content))
    return SimpleNamespace(choices=[choice] if choices else [])


async def async_items(*texts: Any) -> AsyncIterator[Any]:
    for text in texts:
        yield text


async def collect(text: Any) -> list[str]:
    return [piece async for piece in iter_text(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello", ["Hello"]),
        ("", []),
        (["Hel", "", "lo"], ["Hel", "lo"]),
        (("Hel", "lo"), ["Hel", "lo"]),
        ([chunk("Hel"), chunk(None), chunk("", choices=False), chunk("lo")], ["Hel", "lo"]),
        ((item for item in ("Hel", "lo")), ["Hel", "lo"]),
    ],
)
async def test_strings_lists_generators_and_chunks_yield_their_text(
    text: Any, expected: list[str]
) -> None:
    assert await collect(text) == expected


async def test_an_async_stream_of_chunks_yields_its_text() -> None:
    assert await collect(async_items(chunk("Hel"), chunk(None), "lo")) == ["Hel", "lo"]


async def test_a_blocking_iterator_does_not_block_the_loop() -> None:
    gate = threading.Event()

    def blocking() -> Iterator[str]:
        yield "Hel"
        assert gate.wait(10)
        yield "lo"

    texts = iter_text(blocking())
    assert await anext(texts) == "Hel"
    waiting = asyncio.ensure_future(anext(texts))
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    gate.set()
    assert await waiting == "lo"
    assert [piece async for piece in texts] == []


async def test_a_blocking_iterator_is_read_a_little_ahead_and_closed_when_abandoned() -> None:
    read, closed = 0, threading.Event()

    def endless() -> Iterator[str]:
        nonlocal read
        try:
            while True:
                read += 1
                yield "on "
        finally:
            closed.set()

    texts = iter_text(endless())
    assert await anext(texts) == "on "
    await texts.aclose()  # type: ignore[attr-defined]
    assert await asyncio.to_thread(closed.wait, 10)
    assert read < 100


async def test_an_abandoned_async_iterator_is_closed() -> None:
    closed = False

    async def endless() -> AsyncIterator[str]:
        nonlocal closed
        try:
            while True:
                yield "on "
        finally:
            closed = True

    texts = iter_text(endless())
    await anext(texts)
    await texts.aclose()  # type: ignore[attr-defined]
    assert closed


async def test_exceptions_of_an_iterator_are_raised() -> None:
    def broken() -> Iterator[str]:
        yield "Hel"
        raise KeyError("mine")

    texts = iter_text(broken())
    assert await anext(texts) == "Hel"
    with pytest.raises(KeyError, match="mine"):
        await anext(texts)


@pytest.mark.parametrize("text", [None, 5, b"bytes"])
def test_values_that_are_no_text_are_refused_at_once(text: Any) -> None:
    with pytest.raises(TypeError, match="cannot speak"):
        iter_text(text)


def test_a_coroutine_is_refused_with_a_hint_to_await_it() -> None:
    async def stream() -> None:
        """A coroutine, as a client's `create` is."""

    coroutine: Any = stream()
    with pytest.raises(TypeError, match="await it first"):
        iter_text(coroutine)
    coroutine.close()


async def test_items_that_are_no_text_are_refused() -> None:
    with pytest.raises(TypeError, match="int"):
        await collect(["Hel", 5])
