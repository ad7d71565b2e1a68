"""`ContextTable`: how many ended ids are remembered."""

from __future__ import annotations

import pytest

from backend.errors import ContextEnded, UnknownContext
from backend.events import Audio, Cancel, Cancelled, Done, End, Event, Flush, Flushed, Start, Text
from tests.support.scripted_session import ScriptedClient, run_script

REMEMBERED = 10_000


def test_the_oldest_ended_ids_are_forgotten_beyond_10_000() -> None:
    async def script(client: ScriptedClient) -> None:
        table = client.session._contexts
        for number in range(REMEMBERED):
            table.mark_used(f"c{number}")
        assert table.is_used("c0")
        with pytest.raises(ContextEnded):
            table.get_or_open("c0")
        table.mark_used("one more")
        assert not table.is_used("c0")
        assert table.is_used("c1")
        assert table.is_used("one more")
        with pytest.raises(UnknownContext):
            table.get("c0")
        table.get_or_open("c0")

    run_script(script)


def test_marking_an_ended_id_again_forgets_none() -> None:
    async def script(client: ScriptedClient) -> None:
        table = client.session._contexts
        for number in range(REMEMBERED):
            table.mark_used(f"c{number}")
        table.mark_used("c5")
        assert table.is_used("c0")
        assert table.is_used("c5")

    run_script(script)


def test_a_running_context_is_not_used_up_until_it_ends() -> None:
    async def script(client: ScriptedClient) -> None:
        table = client.session._contexts
        client.send(Text("a", "Hello there."))
        assert "a" in table
        assert not table.is_used("a")
        table.stop_context("a", "cancelled")
        assert "a" not in table
        assert table.is_used("a")
        assert client.events_of(Cancelled) == []

    run_script(script)


def contexts_of(events: list[Event]) -> list[str]:
    """The contexts in the order of their messages, each run once."""
    names: list[str] = []
    for event in events:
        if isinstance(event, Audio | Flushed | Done) and names[-1:] != [event.context]:
            names.append(event.context)
    return names


def test_a_context_that_comes_after_another_is_silent_until_that_has_ended() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "One two three. "), Start("b", follows="a"), Text("b", "Four."))
        client.send(Start("c", follows="b"), Flush("c"), Text("c", "Five."), End("c"), End("b"))
        await client.wait(30)
        assert contexts_of(client.events) == ["a"]
        client.send(Text("a", "Six."), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert contexts_of(client.events) == ["a", "b", "c"]
    for name, characters in (("a", 19), ("b", 5), ("c", 5)):
        client.assert_sums(name)
        assert client.single_event(Done, name).characters == characters


def test_a_context_after_a_cancelled_or_unknown_one_speaks_at_once() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "One two three. "), Start("b", follows="a"), Text("b", "Four. "))
        client.send(Cancel("a"), Start("c", follows="nothing"), Text("c", "Five. "))
        await client.wait(1)
        assert client.events_of(Audio, "b")
        assert client.events_of(Audio, "c")

    run_script(script)


def test_a_waiting_context_can_be_cancelled() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "One. "), Start("b", follows="a"), Text("b", "Two."), End("b"))
        await client.wait(1)
        client.send(Cancel("b"), Text("a", "Three."), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert contexts_of(client.events) == ["a"]
    assert client.single_event(Cancelled, "b").audio_ms == 0
    assert client.single_event(Done, "a").characters == 11


def test_a_context_after_a_cancelled_waiting_one_waits_for_the_same() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "One two three. "), Start("b", follows="a"), Start("c", follows="b"))
        client.send(Text("c", "Four."), End("c"), Cancel("b"))
        await client.wait(30)
        client.send(Text("a", "Five."), End("a"))
        await client.wait_settled()

    assert contexts_of(run_script(script).events) == ["a", "c"]
