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


async def arriving(*texts: Any) -> AsyncIterator[Any]:
    for text in texts:
        yield text


async def all_of(text: Any) -> list[str]:
    return [piece async for piece in iter_text(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello", ["Hello"]),
        ("", []),
        (["Hel", "", "lo"], ["Hel", "lo"]),
        (("Hel", "lo"), ["Hel", "lo"]),
        ([chunk("Hel"), chunk(None), chunk("", choices=False), chunk("lo")], ["Hel", "lo"]),
        ((each for each in ("Hel", "lo")), ["Hel", "lo"]),
    ],
)
async def test_text_in_any_shape_comes_in_pieces(text: Any, expected: list[str]) -> None:
    assert await all_of(text) == expected


async def test_an_async_stream_of_a_model_goes_straight_in() -> None:
    assert await all_of(arriving(chunk("Hel"), chunk(None), "lo")) == ["Hel", "lo"]


async def test_an_iterator_that_blocks_does_not_hold_up_the_loop() -> None:
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


async def test_a_blocking_iterator_is_not_read_far_ahead_and_closed_when_it_is_left() -> None:
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


async def test_an_async_iterator_that_is_left_is_closed() -> None:
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


async def test_what_an_iterator_raises_is_raised() -> None:
    def broken() -> Iterator[str]:
        yield "Hel"
        raise KeyError("mine")

    texts = iter_text(broken())
    assert await anext(texts) == "Hel"
    with pytest.raises(KeyError, match="mine"):
        await anext(texts)


@pytest.mark.parametrize("text", [None, 5, b"bytes"])
def test_what_is_no_text_is_refused_at_once(text: Any) -> None:
    with pytest.raises(TypeError, match="cannot speak"):
        iter_text(text)


def test_a_forgotten_await_is_named() -> None:
    async def stream() -> None:
        """A coroutine, as a client's `create` is."""

    coroutine: Any = stream()
    with pytest.raises(TypeError, match="await it first"):
        iter_text(coroutine)
    coroutine.close()


async def test_pieces_that_are_no_text_are_refused() -> None:
    with pytest.raises(TypeError, match="int"):
        await all_of(["Hel", 5])
