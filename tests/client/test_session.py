import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from duplex_tts.errors import ConnectionLost, ProtocolError, Refused
from duplex_tts.events import (
    Audio,
    Cancelled,
    ContextEvent,
    Done,
    Error,
    Ready,
    Retracted,
    Word,
)
from duplex_tts.options import Options
from duplex_tts.session import Session
from tests.support.scripted_server import READY, ScriptedConnection, audio_message, idle, run_server


async def test_a_session_knows_the_servers_defaults() -> None:
    async with run_server(idle) as url, Session.connect(url) as session:
        assert session.ready == Ready("s", "t", "heart", 24000, "pcm_s16le")


async def test_a_session_can_be_awaited_and_closed_by_hand() -> None:
    async with run_server(idle) as url:
        session = await Session.connect(url)
        await session.close()
        await session.close()
        with pytest.raises(ConnectionLost):
            await session.start()


async def test_commands_carry_only_what_was_given() -> None:
    received: list[dict[str, Any]] = []

    async def script(peer: ScriptedConnection) -> None:
        while True:
            received.append(await peer.receive_any())

    async with run_server(script) as url, Session.connect(url) as session:
        context = await session.start("c", voice="heart", speed=1.5)
        await context.push("été 🙂 et plus")
        await context.push("")
        await context.retract(3)
        await context.played(12.5)
        await context.flush()
        await context.end()
        await context.cancel()
        await session.ping()
    assert received == [
        {"type": "start", "context": "c", "voice": "heart", "speed": 1.5},
        {"type": "text", "context": "c", "text": "été 🙂 et plus"},
        {"type": "retract", "context": "c", "to": 3},
        {"type": "played", "context": "c", "ms": 12.5},
        {"type": "flush", "context": "c"},
        {"type": "end", "context": "c"},
        {"type": "cancel", "context": "c"},
    ]


async def test_events_of_a_context_end_with_done() -> None:
    async def script(peer: ScriptedConnection) -> None:
        context = (await peer.receive("start"))["context"]
        await peer.receive_text(12)
        await peer.receive("retract")
        await peer.send_audio(context, 0, 6, ms=100.0)
        await peer.send(type="retracted", context=context, to=9)
        await peer.send_audio(context, 6, 9, ms=50.5)
        await peer.send_done(context, ms=150.5, characters=9, chunks=2)

    async with run_server(script) as url, Session.connect(url) as session:
        context = await session.start()
        await context.push("One two more")
        await context.retract(8)
        events = [event async for event in context]
        assert [type(event) for event in events] == [Audio, Retracted, Audio, Done]
        assert events[0] == Audio(
            context.id, 0, 0.0, 100.0, (0, 6), (Word(0, 6, 0.0, 100.0),), b"\1\2" * 2400
        )
        assert [event async for event in context] == []


async def test_each_context_gets_its_own_events() -> None:
    async def script(peer: ScriptedConnection) -> None:
        first, second = [(await peer.receive("start"))["context"] for _ in range(2)]
        assert first != second
        await peer.receive_text(7)
        await peer.send_audio(second, 0, 4)
        await peer.send_audio(first, 0, 3)
        await peer.send_done(first, ms=10, characters=3, chunks=1)
        await peer.send(type="cancelled", context=second, text_to=4, audio_ms=10)

    async with run_server(script) as url, Session.connect(url) as session:
        first, second = await session.start(), await session.start()
        await second.push("Four")
        await first.push("One")
        assert [type(event) async for event in first] == [Audio, Done]
        assert [event async for event in second][1:] == [Cancelled(second.id, 4, 10)]


async def test_a_context_id_can_be_reused_after_its_end() -> None:
    async def script(peer: ScriptedConnection) -> None:
        for _ in range(2):
            await peer.receive("start")
            await peer.send(type="done", context="c", audio_ms=0, characters=0, chunks=0)

    async with run_server(script) as url, Session.connect(url) as session:
        context = await session.start("c")
        with pytest.raises(ValueError, match="open"):
            await session.start("c")
        assert [type(event) async for event in context] == [Done]
        again = await session.start("c")
        assert [type(event) async for event in again] == [Done]


@pytest.mark.parametrize(
    "totals",
    [
        {"ms": 20, "characters": 3, "chunks": 1},
        {"ms": 10, "characters": 4, "chunks": 1},
        {"ms": 10, "characters": 3, "chunks": 2},
    ],
)
async def test_wrong_totals_raise_and_do_not_affect_other_contexts(
    totals: dict[str, int],
) -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive("start")
        await peer.receive_text(3)
        await peer.send_audio("c", 0, 3, ms=10)
        await peer.send_done("c", **totals)

    async def again(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.send_resumed(received=3)
        await peer.send_done("c", **totals)
        await peer.receive("cancel")
        await peer.send_done("other", ms=0, characters=0, chunks=0)

    async with run_server(script, again) as url, Session.connect(url) as session:
        context, other = await session.start("c"), await session.start("other")
        await context.push("One")
        with pytest.raises(ProtocolError):
            [event async for event in context]
        assert [type(event) async for event in other] == [Done]


async def test_done_before_all_text_was_spoken_raises() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive_text(6)
        await peer.send_audio("c", 0, 3, ms=10)
        await peer.send_done("c", ms=10, characters=3, chunks=1)

    async def again(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.send_resumed(received=3)
        await peer.send_done("c", ms=10, characters=3, chunks=1)

    async with run_server(script, again) as url, Session.connect(url) as session:
        context = await session.start("c")
        await context.push("One")
        await context.push("Two")
        with pytest.raises(ProtocolError, match="6 characters were sent"):
            [event async for event in context]


@pytest.mark.parametrize("second", [(2, 5), (4, 5)], ids=["repeated", "lost"])
async def test_spans_that_do_not_tile_raise(second: tuple[int, int]) -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive("text")
        await peer.send_audio("c", 0, 3)
        await peer.send_audio("c", *second)

    async def again(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.send_resumed(received=2)
        peer.continue_after("c", 1, 10.0)
        await peer.send_audio("c", *second)

    async with run_server(script, again) as url, Session.connect(url) as session:
        context = await session.start("c")
        await context.push("Hello")
        with pytest.raises(ProtocolError, match="3 characters"):
            [event async for event in context]


async def test_an_error_that_is_no_refusal_does_not_end_the_context() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.send(type="error", context="c", code="text_limit", message="too much")
        await peer.send(type="done", context="c", audio_ms=0, characters=0, chunks=0)

    async with run_server(script) as url, Session.connect(url) as session:
        context = await session.start("c")
        events = [event async for event in context]
        assert events == [Error("c", "text_limit", "too much"), Done("c", 0, 0, 0)]


async def test_a_refused_start_ends_the_context() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.send(type="error", context="c", code="unknown_voice", message="no such")
        await peer.send(type="error", context="c", code="context_ended", message="text in flight")
        ping = await peer.receive("ping")
        await peer.send(type="pong", id=ping["id"])

    async with run_server(script) as url, Session.connect(url) as session:
        context = await session.start("c", voice="nobody")
        assert [event async for event in context] == [Error("c", "unknown_voice", "no such")]
        await session.ping()
        assert not session.errors


async def test_errors_without_an_open_context_are_kept_by_the_session() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.send(type="error", context=None, code="bad_json", message="what?")
        await peer.send(type="error", context="gone", code="context_ended", message="over")
        ping = await peer.receive("ping")
        await peer.send(type="pong", id=ping["id"])

    async with run_server(script) as url, Session.connect(url) as session:
        await session.ping()
        assert [error.code for error in session.errors] == ["bad_json", "context_ended"]


async def test_each_ping_is_completed_by_its_own_pong() -> None:
    async def script(peer: ScriptedConnection) -> None:
        pings = [await peer.receive("ping") for _ in range(2)]
        await peer.send(type="pong", id="a stranger's")
        for ping in reversed(pings):
            await peer.send_pong(ping)

    finished: list[str] = []

    async def ping(session: Session, name: str) -> float:
        took_ms = await session.ping()
        finished.append(name)
        return took_ms

    async with run_server(script) as url, Session.connect(url) as session:
        took_ms = await asyncio.gather(ping(session, "first"), ping(session, "second"))
        assert finished == ["second", "first"]
        assert min(took_ms) > 0


async def test_a_session_lost_for_good_raises_in_all_contexts() -> None:
    async def script(peer: ScriptedConnection) -> None:
        for _ in range(2):
            await peer.receive("start")
        await peer.receive("text")
        await peer.send_audio("first", 0, 3)
        await peer.receive("text")
        peer.reset_connection()

    async def read(events: AsyncIterator[ContextEvent]) -> list[ContextEvent]:
        received = []
        try:
            async for event in events:
                received.append(event)
        except Refused:
            return received
        raise AssertionError("the events ended as if all was well")

    async def not_any_more(peer: ScriptedConnection) -> None:
        await peer.send(type="error", context=None, code="invalid_api_key", message="no")

    async with (
        run_server(script, not_any_more, greetings=1) as url,
        Session.connect(url) as session,
    ):
        first, second = await session.start("first"), await session.start("second")
        await first.push("One")
        await first.push("Two")
        received, nothing = await asyncio.gather(read(first), read(second))
        assert [type(event) for event in received] == [Audio]
        assert nothing == []
        with pytest.raises(Refused, match="invalid_api_key"):
            await first.push("more")


async def test_closing_raises_for_a_reader_in_another_task() -> None:
    async with run_server(idle) as url:
        session = await Session.connect(url)
        waiting = asyncio.create_task(anext(aiter(await session.start())))
        await asyncio.sleep(0)
        await session.close()
        with pytest.raises(ConnectionLost):
            await waiting


async def test_leaving_the_block_leaves_no_task_and_keeps_the_callers_exception() -> None:
    async with run_server(idle) as url:
        before = asyncio.all_tasks()

        async def block() -> None:
            async with Session.connect(url) as session:
                await session.start()
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            await block()
        left = {task.get_name() for task in asyncio.all_tasks() - before}
        assert "duplex-tts-reader" not in left


@pytest.mark.parametrize(
    "message",
    [
        "not json",
        "[]",
        '{"type": "done", "context": "c"}',
        b"\xff\0\0\0{}",
        b"\1",
        audio_message("never opened", 0, 1),
        json.dumps(READY),
    ],
)
async def test_repeated_protocol_violations_end_the_session(message: str | bytes) -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.websocket.send(message)

    async def again(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.send_resumed(received=1)
        await peer.websocket.send(message)
        assert await peer.wait_closed() == 1002

    async with run_server(script, again) as url, Session.connect(url) as session:
        context = await session.start("c")
        with pytest.raises(ProtocolError):
            await anext(context)


async def test_a_full_server_refuses_the_connection_with_its_code() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.send(type="error", context=None, code="overloaded", message="no room")

    async with run_server(script, greetings=0) as url:
        with pytest.raises(Refused, match="no room") as refused:
            await Session.connect(url)
        assert refused.value.code == "overloaded"


async def test_a_connection_closed_before_ready_raises() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.websocket.close()

    async with run_server(script, greetings=0) as url:
        with pytest.raises(ConnectionLost):
            await Session.connect(url)


async def test_connecting_to_a_silent_server_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duplex_tts.channel.websocket.READY_TIMEOUT_S", 0.01)
    async with run_server(idle, greetings=0) as url:
        with pytest.raises(ConnectionLost, match="no `ready` came"):
            await Session.connect(url)


async def test_another_protocol_version_is_refused() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.send(**{**READY, "protocol": 2})

    async with run_server(script, greetings=0) as url:
        with pytest.raises(ProtocolError, match="protocol 2"):
            await Session.connect(url)


async def test_a_refused_connection_raises_with_the_address() -> None:
    async with run_server(idle) as url:
        pass
    with pytest.raises(ConnectionLost, match=url):
        await Session.connect(url)


async def test_a_key_that_no_header_can_hold_is_refused() -> None:
    async with run_server() as url:
        for key in ("line\nbreak", "na\u00efve"):
            with pytest.raises(Refused, match="invalid_api_key"):
                await Session.connect(url, key)


@pytest.mark.parametrize(
    "send",
    [
        lambda peer: peer.send_audio("c", 0, 4),
        lambda peer: peer.send(type="retracted", context="c", to=4),
    ],
    ids=["audio", "retracted"],
)
async def test_events_for_text_that_was_never_sent_raise(
    send: Callable[[ScriptedConnection], Awaitable[None]],
) -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive_text(3)
        await send(peer)

    async def again(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.send_resumed(received=2)
        await send(peer)

    async with run_server(script, again) as url, Session.connect(url) as session:
        context = await session.start("c")
        await context.push("One")
        with pytest.raises(ProtocolError, match="more than was sent"):
            [event async for event in context]


async def test_volume_and_typing_are_sent_only_when_given() -> None:
    starts = []

    async def script(peer: ScriptedConnection) -> None:
        for _ in range(2):
            starts.append(await peer.receive("start"))

    async with run_server(script) as url, Session.connect(url) as session:
        await session.start(volume=0.5, typing="phrase")
        await session.start(volume=None, typing=None)
        await session.ping()
    assert (starts[0]["volume"], starts[0]["typing"]) == (0.5, "phrase")
    assert not {"volume", "typing"} & set(starts[1])


async def test_lexicon_of_the_session_and_of_an_utterance_are_sent_together() -> None:
    starts = []

    async def script(peer: ScriptedConnection) -> None:
        for _ in range(2):
            starts.append(await peer.receive("start"))

    options = Options(lexicon={"Nguyen": "win", "Anna": "ahna"})
    async with run_server(script) as url, Session.connect(url, options=options) as session:
        await session.start(lexicon={"Anna": "anner"}, dictionaries=["ours"])
        await session.start()
        await session.ping()
    assert starts[0]["lexicon"] == {"Nguyen": "win", "Anna": "anner"}
    assert starts[0]["dictionaries"] == ["ours"]
    assert starts[1]["lexicon"] == {"Nguyen": "win", "Anna": "ahna"}


async def test_ssml_of_the_session_holds_where_an_utterance_does_not_set_it() -> None:
    starts = []

    async def script(peer: ScriptedConnection) -> None:
        for _ in range(3):
            starts.append(await peer.receive("start"))

    options = Options(ssml=True)
    async with run_server(script) as url, Session.connect(url, options=options) as session:
        await session.start()
        await session.start(ssml=False, voice="heart")
        await session.start(ssml=None)
        await session.ping()
    assert [start.get("ssml") for start in starts] == [True, False, True]


async def test_the_websocket_is_opened_under_the_path_of_the_proxy() -> None:
    paths = []

    async def script(peer: ScriptedConnection) -> None:
        assert peer.websocket.request is not None
        paths.append(peer.websocket.request.path)
        await peer.wait_closed()

    async with run_server(script) as url, Session.connect(f"http://{url}/tts/"):
        pass
    assert paths == ["/tts/ws/tts?direct=1"]
