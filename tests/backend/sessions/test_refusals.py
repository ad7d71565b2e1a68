"""What a session refuses, in scripted time."""

from __future__ import annotations

import pytest

from backend.errors import Overloaded
from backend.events import (
    Audio,
    Cancel,
    Command,
    Done,
    End,
    Flush,
    Played,
    Retract,
    Start,
    Text,
)
from tests.support.engines.inline_tts import InlineTTS
from tests.support.scripted_session import ScriptedClient, make_settings, run_script, start


class SingleListenerTTS(InlineTTS):
    """Has capacity for one listener."""

    def check_capacity(self, start: Start | None = None) -> None:
        if self.utterances:
            raise Overloaded("full")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (Start("b", voice="unknown"), "unknown_voice"),
        (Start("b", format="midi"), "bad_format"),
        (Start("b", format="mp3", bit_rate=1), "bad_format"),
        (Start("b", format="wav", bit_rate=64_000), "bad_format"),
        (Start("b", sample_rate=7999), "bad_format"),
        (Start("b", sample_rate=10**400), "bad_format"),
        (Start("b", format="opus", sample_rate=44100), "bad_format"),
        (Start("b", speed=0.1), "bad_message"),
        (Start("b", speed=float("inf")), "bad_message"),
        (Start("b", seed=-1), "bad_message"),
        (Start("b", seed=2**31), "bad_message"),
        (Start("b", language="tlh"), "unsupported"),
        (Retract("b", 0), "unknown_context"),
        (Retract("b", -1), "bad_message"),
        (Played("b", 0), "unknown_context"),
        (Played("b", -1), "bad_message"),
        (Cancel("b"), "unknown_context"),
    ],
)
def test_a_refused_command_has_a_code_and_changes_nothing(command: Command, code: str) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello "))
        client.send(command)
        client.send(Text("a", "there"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes("b") == [code]
    assert client.heard_text() == "Hellothere"
    client.assert_sums()


def test_a_refused_start_uses_up_its_id() -> None:
    """Text sent right after it must not be spoken with other parameters."""

    async def script(client: ScriptedClient) -> None:
        client.send(start(voice="unknown"), Text("a", "Hello"), start(), End("a"))
        client.send(start("b"), Text("b", "Hi"), End("b"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["unknown_voice", *["context_ended"] * 3]
    assert client.events_of(Audio) == []
    assert client.heard_text("b") == "Hi"


@pytest.mark.parametrize("late", [Text("a", "x"), Flush("a"), End("a"), Start("a")])
def test_commands_after_end_are_refused(late: Command) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello"), End("a"), late)  # while being spoken
        await client.wait_settled()
        client.send(late)  # and after `done`
        await client.wait_settled()

    client = run_script(script)
    first = "context_started" if isinstance(late, Start) else "context_ended"
    assert client.codes() == [first, "context_ended"]
    assert client.heard_text() == "Hello"
    assert client.single_event(Done).characters == 5


def test_start_after_text_is_refused_and_changes_nothing() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "Hello"), start(voice="second"), End("a"))
        await client.wait_settled()

    client = run_script(script)
    assert client.codes() == ["context_started"]
    assert client.tts.utterances[0].voice == "heart"


def test_text_over_the_limit_is_refused_whole() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello there. "), Text("a", "x" * 100), End("a"))
        await client.wait_settled()

    client = run_script(script, make_settings(server={"max_text_length": 100}))
    assert client.codes() == ["text_limit"]
    assert client.heard_text() == "Hellothere."
    assert client.single_event(Done).characters == 13


def test_spoken_text_frees_room() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "x" * 98 + ". "), Flush("a"))
        await client.wait(10)
        client.send(Text("a", "y" * 100), End("a"))
        await client.wait_settled()

    client = run_script(script, make_settings(server={"max_text_length": 100}))
    assert client.codes() == []
    assert client.single_event(Done).characters == 200


def test_contexts_over_the_limit_are_refused() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start("a"), start("b"), start("c"), Text("d", "x"))
        client.send(Text("a", "Hello"), End("a"))
        await client.wait(1)
        client.send(Text("e", "Hi"), End("e"), End("b"))
        await client.wait_settled()

    client = run_script(script, make_settings(bidirectional_streaming={"max_concurrent_tasks": 2}))
    assert (client.codes("c"), client.codes("d")) == (["too_many_contexts"], ["too_many_contexts"])
    assert client.heard_text() == "Hello"
    assert client.single_event(Done, "e").characters == 2, "a finished context frees a place"


def test_when_overloaded_new_contexts_are_refused_and_old_ones_go_on() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello there "), start("b"))
        await client.wait(0.1)
        client.send(Text("c", "Hi"), Text("a", "friend"), End("a"), End("b"))
        await client.wait_settled()

    client = run_script(script, tts=SingleListenerTTS())
    assert client.codes("c") == ["overloaded"]
    assert client.heard_text() == "Hellotherefriend"


@pytest.mark.parametrize("end", [End("a"), Cancel("a")])
def test_when_overloaded_the_next_context_of_a_listener_is_admitted(end: Command) -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(start(), Text("a", "Hello there "), start("b"), Text("b", "Next"), End("b"))
        await client.wait(0.1)
        client.send(end)
        await client.wait(4)
        client.send(start("c"), Text("c", "And on"), End("c"))
        await client.wait(10)
        client.send(start("d"))
        await client.wait_settled()

    client = run_script(script, tts=SingleListenerTTS())
    assert client.heard_text("b") + client.heard_text("c") == "NextAndon"
    assert client.codes("d") == ["overloaded"], "its turn is over"


def test_a_refused_first_text_opens_nothing() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Text("a", "x" * 101), Text("a", "and its rest"), End("a"))
        client.send(Text("b", "Hello there."), End("b"))
        await client.wait_settled()

    client = run_script(script, make_settings(server={"max_text_length": 100}))
    assert client.codes("a") == ["text_limit", "context_ended", "context_ended"]
    assert {event.context for event in client.events if isinstance(event, Audio)} == {"b"}


def test_batch_is_admitted_when_overloaded() -> None:
    class FullTTS(InlineTTS):
        def check_capacity(self, start: Start | None = None) -> None:
            raise Overloaded("full")

    async def script(client: ScriptedClient) -> None:
        client.send(start(mode="batch"), Text("a", "Hello there."), End("a"))
        await client.wait_settled()

    client = run_script(script, tts=FullTTS())
    assert client.codes() == []
    assert client.heard_text() == "Hellothere."
