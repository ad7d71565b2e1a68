import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from duplex_tts.text_stream import pieces


def chunk(content: str | None, *, choices: bool = True) -> Any:
    choice = SimpleNamespace(delta=SimpleNamespace(content=content))
    return SimpleNamespace(choices=[choice] if choices else [])


async def arriving(*texts: Any) -> AsyncIterator[Any]:
    for text in texts:
        yield text


async def all_of(text: Any) -> list[str]:
    return [piece async for piece in pieces(text)]


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

    found = pieces(blocking())
    assert await anext(found) == "Hel"
    waiting = asyncio.ensure_future(anext(found))
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    gate.set()
    assert await waiting == "lo"
    assert [piece async for piece in found] == []


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

    found = pieces(endless())
    assert await anext(found) == "on "
    await found.aclose()  # type: ignore[attr-defined]
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

    found = pieces(endless())
    await anext(found)
    await found.aclose()  # type: ignore[attr-defined]
    assert closed


async def test_what_an_iterator_raises_is_raised() -> None:
    def broken() -> Iterator[str]:
        yield "Hel"
        raise KeyError("mine")

    found = pieces(broken())
    assert await anext(found) == "Hel"
    with pytest.raises(KeyError, match="mine"):
        await anext(found)


@pytest.mark.parametrize("text", [None, 5, b"bytes"])
def test_what_is_no_text_is_refused_at_once(text: Any) -> None:
    with pytest.raises(TypeError, match="cannot speak"):
        pieces(text)


def test_a_forgotten_await_is_named() -> None:
    async def stream() -> None:
        """As a client's `create` is: a coroutine."""

    coroutine: Any = stream()
    with pytest.raises(TypeError, match="await it first"):
        pieces(coroutine)
    coroutine.close()


async def test_pieces_that_are_no_text_are_refused() -> None:
    with pytest.raises(TypeError, match="int"):
        await all_of(["Hel", 5])
