"""Failures of an engine in a session, in scripted time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.events import (
    Done,
    End,
    Failed,
    Flush,
    Text,
)
from tests.support.engines.inline_tts import InlineTTS
from tests.support.scripted_session import ScriptedClient, make_settings, run_script, start


def test_a_failed_sentence_is_reported_and_the_next_is_spoken() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "First one. Then explode here. Last one. "), End("a"))
        client.send(start("b"), Text("b", "Not disturbed. "), End("b"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["engine_failed"]
    client.assert_sums()
    assert client.single_event(Done).characters == 40
    assert client.heard_text() == "Firstone.Lastone."
    assert client.heard_text("b") == "Notdisturbed."


def test_the_rest_of_a_sentence_is_spoken_after_a_failure() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello there explode "))
        await client.wait(1.0)
        client.send(Text("a", "all is well again. Indeed."), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert "engine_failed" in client.codes()
    client.assert_sums()
    assert client.heard_text().endswith("alliswellagain.Indeed.")
    assert client.single_event(Done).characters == 46


def test_a_context_ends_if_every_sentence_fails() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "One explode. Two explode. Explode explode"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["engine_failed"] * 3
    client.assert_sums()
    assert client.single_event(Done).characters == 41


def test_a_voice_that_the_engine_refuses_ends_the_context() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(voice="broken"), Text("a", "One here. Two here. Three"), End("a"))
        client.send(start("b"), Text("b", "Hi"), End("b"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["voice_unavailable"]
    assert client.heard_text("a") == ""
    assert client.heard_text("b") == "Hi"


def test_an_unavailable_voice_ends_the_context_with_an_error() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(voice="remote"), Text("a", "Hello "))
        await client.wait(0.1)
        client.send(Text("a", "there"), start("b"), Text("b", "Hi"), End("b"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["voice_unavailable", "context_ended"]
    assert client.heard_text("b") == "Hi"


def test_a_release_over_the_timeout_fails() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "First one. "), Flush("a"))
        await client.wait(5.0)
        client.tts.delay_s = 0.0
        client.send(Text("a", "Second one. "), End("a"))
        await client.wait_settled()

    client = run_script(script, tts=InlineTTS(delay_s=3.0, patience_s=2.0))
    assert client.codes() == ["timeout"]
    assert [at_s for at_s, event in client.log if isinstance(event, Failed)] == [2.0]
    client.assert_sums()
    assert client.heard_text() == "Secondone."


def test_a_client_that_does_not_read_causes_no_engine_timeout() -> None:
    async def script(client: ScriptedClient) -> None:
        client.reading.clear()
        client.send(start(mode="batch"), Text("a", "One two. " * 20), End("a"))
        await client.wait(600)
        client.reading.set()
        await client.wait_settled()

    client = run_script(script, make_settings(bidirectional_streaming={"queue_size": 1}))
    assert client.codes() == []
    assert client.single_event(Done).characters == 180


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Well. ", "Hello there ", "explode ", "my. ", "1 ", "Sh", "\n", "."]),
            st.sampled_from([0.0, 0.2, 1.0]),
            st.booleans(),
        ),
        max_size=15,
    )
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_spans_tile_the_text_over_any_failures(pieces: list[tuple[str, float, bool]]) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start())
        for piece, pause_s, flush in pieces:
            client.send(Text("a", piece))
            if flush:
                client.send(Flush("a"))
            await client.wait(pause_s)
        client.send(End("a"))
        await client.wait_settled()

    client = run_script(script)
    client.assert_sums()
    text = "".join(piece for piece, _, _ in pieces)
    assert client.single_event(Done).characters == len(text)
    heard, rest = client.heard_text(), iter("".join(text.split()))
    assert all(character in rest for character in heard)
    if "explode" not in text:
        assert heard == "".join(text.split())
