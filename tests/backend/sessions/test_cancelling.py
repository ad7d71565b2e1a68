"""Cancelling in a session, in scripted time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.events import (
    Audio,
    Cancel,
    Cancelled,
    Done,
    End,
    Played,
    Pong,
    Ready,
    Start,
    Text,
)
from tests.support.engines.inline_tts import InlineTTS
from tests.support.scripted_session import PCM, ScriptedClient, make_settings, run_script, start


def test_cancel_reports_the_position_and_stops_audio() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "One two three four five. Six seven. " * 5), End("a"))
        client.send(start("b"), Text("b", "Not disturbed at all. "), End("b"))
        await client.wait(0.035)
        client.send(Cancel("a"))
        await client.wait_settled()

    client = run_script(script, tts=InlineTTS(delay_s=0.01))
    client.assert_sums()
    cancelled = client.single_event(Cancelled)
    assert 0 < cancelled.text_to < 180
    of_a = [e for e in client.events if not isinstance(e, Ready | Pong) and e.context == "a"]
    assert of_a[-1] is cancelled
    assert client.events_of(Done) == []
    client.assert_sums("b")
    assert client.heard_text("b") == "Notdisturbedatall."


def test_cancel_drops_queued_audio() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.send(start(mode="batch"), Text("a", "One two. Three four. Five six. No"))
        client.send(start("b", mode="batch"), Text("b", "Other. "), End("b"))
        await client.wait(1.0)
        queued = len(client.session.send_queue)
        client.send(Cancel("a"))
        assert len(client.session.send_queue) < queued
        client.reading.set()
        await client.wait_settled()

    client = run_script(script)
    client.assert_sums()
    assert client.single_event(Cancelled).text_to == 9, "one message was taken"
    assert client.heard_text() == "Onetwo."
    assert client.heard_text("b") == "Other."


def test_cancel_before_anything_is_spoken() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello"), Cancel("a"))
        await client.wait_settled()

    assert run_script(script).events == [Cancelled("a", 0, 0.0)]


def test_cancel_while_audio_waits_for_room() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.send(start(mode="batch"), Text("a", "One. Two. Three. Four. Five. "), End("a"))
        await client.wait(1.0)
        client.send(Cancel("a"))
        client.reading.set()
        await client.wait_settled()

    client = run_script(script, make_settings(bidirectional_streaming={"queue_size": 1}))
    client.assert_sums()
    assert client.single_event(Cancelled).text_to == 5


def test_a_cancelled_id_is_used_up() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello"), Cancel("a"), Text("a", "again"), Cancel("a"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["context_ended"] * 3
    assert client.events_of(Audio) == []


def test_cancel_makes_room_for_another_context() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello"), Cancel("a"), start("b"), Text("b", "Hi"), End("b"))
        await client.wait_settled()

    client = run_script(script, make_settings(bidirectional_streaming={"max_concurrent_tasks": 1}))
    assert client.heard_text("b") == "Hi"


def test_played_may_come_after_the_end() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello"), End("a"))
        await client.wait_settled()
        client.send(Played("a", 50))
        await client.wait(0)

    assert run_script(script).codes() == []


@pytest.mark.slow
@given(
    cancel_at_s=st.floats(0, 1),
    engine_delay_s=st.sampled_from([0.0, 0.01, 0.1]),
    read_pause_s=st.sampled_from([0.0, 0.03]),
    queue_size=st.sampled_from([1, 3, 100]),
    immediate=st.booleans(),
    name=st.sampled_from([PCM, "opus", "mulaw"]),
)
@hypothesis_settings(max_examples=100, deadline=None)
def test_cancel_at_any_time_reports_exactly_the_delivered_audio(
    cancel_at_s: float,
    engine_delay_s: float,
    read_pause_s: float,
    queue_size: int,
    immediate: bool,
    name: str,
) -> None:
    async def script(client: ScriptedClient) -> None:
        client.read_pause_s = read_pause_s
        for context in ("a", "b"):
            client.send(
                Start(context, format=name), Text(context, "One two three. Four five. " * 3)
            )
            client.send(End(context))
        await client.wait(cancel_at_s)
        client.send(Cancel("a"))
        await client.wait_settled()

    config = make_settings(
        bidirectional_streaming={"queue_size": queue_size, "immediate_send": immediate}
    )
    client = run_script(script, config, InlineTTS(delay_s=engine_delay_s))
    client.assert_sums("a")
    client.assert_sums("b")
    assert client.single_event(Done, "b").characters == 78
    if client.events_of(Done, "a"):  # done before the cancel
        assert client.codes() == ["context_ended"]
    else:
        last = [e for e in client.events if not isinstance(e, Ready | Pong) and e.context == "a"]
        assert isinstance(last[-1], Cancelled)
