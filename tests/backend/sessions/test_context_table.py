"""`ContextTable`: how many ended ids are remembered."""

from __future__ import annotations

import pytest

from backend.errors import ContextEnded, UnknownContext
from backend.events import Cancelled, Text
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
