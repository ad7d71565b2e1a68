"""Log lines of sessions and contexts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict
from wyoming.audio import AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.tts import Synthesize

from backend.config import Settings
from backend.events import Cancel, Done, End, Flush, Start, Text
from backend.sessions.context_record import endpoint_of
from tests.backend.protocols.test_wyoming import read_audio, run_wyoming_server
from tests.support import clock
from tests.support.caller import Caller, open_registry
from tests.support.engines.fake_engine import BAD_WORD
from tests.support.engines.inline_tts import InlineTTS
from tests.support.live_server import live_server, wait_until
from tests.support.scripted_session import ScriptedClient, make_settings, run_script

SECRET = "the words of a user"


@pytest.fixture
def logged(_silence_logs: None) -> Iterator[list[EventDict]]:
    structlog.reset_defaults()
    with capture_logs() as lines:
        yield lines


def named(lines: list[EventDict], event: str) -> list[EventDict]:
    return [line for line in lines if line["event"] == event]


# --- contexts -------------------------------------------------------------------------------------


def test_a_spoken_context_logs_opened_and_closed(logged: list[EventDict]) -> None:
    async def play(client: ScriptedClient) -> None:
        client.send(Start("a", voice="second", format="mulaw"), Text("a", f"{SECRET}."), End("a"))
        await client.wait_settled()

    client = run_script(play, tts=InlineTTS(delay_s=0.04))
    assert client.events_of(Done)
    assert SECRET not in str(logged)
    (opened,), (closed,) = named(logged, "context.opened"), named(logged, "context.closed")
    same = {
        "log_level": "info",
        "session": client.session.id,
        "endpoint": "",
        "context": "a",
        "voice": "second",
        "format": "mulaw",
        "sample_rate": 8000,
        "mode": "live",
    }
    assert opened == {**same, "event": "context.opened"}
    assert closed == {
        **same,
        "event": "context.closed",
        "outcome": "done",
        "seconds": 0.04,
        "characters": 20,
        "audio_ms": client.single_event(Done).audio_ms,
        "chunks": client.single_event(Done).chunks,
        "first_sound_ms": 40.0,
        "render_ms": 40.0,
        "errors": {},
        "gaps": {},
        "gap_ms": {},
        "longest_gap_ms": 0.0,
    }


TextBuffer = Callable[[ScriptedClient], Awaitable[None]]


async def write_late(client: ScriptedClient) -> None:
    client.send(Text("a", "Some words. "), Flush("a"))
    await client.wait(2)
    client.send(Text("a", "And more."), End("a"))
    await client.wait_settled()


async def render_late(client: ScriptedClient) -> None:
    client.send(Text("a", "No. Then so much more is said that it takes long. "), End("a"))
    client.tts.delay_s = 0.5
    await client.wait_settled()


async def read_late(client: ScriptedClient) -> None:
    client.reading.clear()
    client.send(Text("a", f"{'x' * 40}. {'y' * 60}. {'z' * 80}."), End("a"))
    await client.wait(4)
    client.reading.set()
    await client.wait_settled()


async def fail_utterance(client: ScriptedClient) -> None:
    client.tts.delay_s = 0.2
    client.send(Text("a", f"Good. It will {BAD_WORD}. And on."), End("a"))
    await client.wait_settled()


@pytest.mark.parametrize(
    ("script", "causes", "errors"),
    [
        (write_late, {"text_late"}, {}),
        (render_late, {"rendered_late"}, {}),
        (read_late, {"slow_reader"}, {}),
        (fail_utterance, {"refused"}, {"engine_failed": 1}),
    ],
)
def test_the_closing_line_of_a_context_counts_gaps_by_cause(
    script: TextBuffer, causes: set[str], errors: dict[str, int], logged: list[EventDict]
) -> None:
    client = run_script(script, make_settings(bidirectional_streaming={"queue_size": 2}))
    (closed,) = named(logged, "context.closed")
    gaps = named(logged, "listener.gap")
    assert set(closed["gaps"]) == causes
    assert sum(closed["gaps"].values()) == len(gaps) >= 1
    assert closed["longest_gap_ms"] == max(gap["gap_ms"] for gap in gaps)
    assert sum(closed["gap_ms"].values()) == pytest.approx(sum(gap["gap_ms"] for gap in gaps))
    assert {(gap["session"], gap["context"]) for gap in gaps} == {(client.session.id, "a")}
    assert closed["errors"] == errors
    figures = client.tts.metrics.figures().gaps
    assert {cause for cause, gap in figures.items() if gap.count} == causes


def test_the_closing_line_has_the_outcome(logged: list[EventDict]) -> None:
    async def play(client: ScriptedClient) -> None:
        client.send(Text("cancelled", "Some words are on their way. "), Cancel("cancelled"))
        client.send(Start("nowhere", voice="remote"), Text("nowhere", "Hello."), End("nowhere"))
        client.send(Text("huge", "x" * 200))
        client.send(Text("open", "It is never ended. "))
        await client.wait(1)
        client.session.close_record("left")

    run_script(play, make_settings(server={"max_text_length": 100}))
    outcomes = {line["context"]: line["outcome"] for line in named(logged, "context.closed")}
    assert outcomes == {
        "cancelled": "cancelled",
        "nowhere": "voice_unavailable",
        "huge": "text_limit",
        "open": "left",
    }
    opened = [line["context"] for line in named(logged, "context.opened")]
    assert sorted(opened) == sorted(outcomes)


# --- sessions -------------------------------------------------------------------------------------


def test_a_session_logs_opened_and_closed_with_the_sums_of_its_contexts(
    logged: list[EventDict],
) -> None:
    async def play() -> str:
        async with open_registry() as opened:
            caller = Caller(opened)
            await caller.connect()
            await asyncio.sleep(0.01)
            session = caller.session.id
            for context in ("a", "b"):
                caller.send(Text(context, "Some words. "), Flush(context))
                await asyncio.sleep(2)
                caller.send(Text(context, "And more."), End(context))
                await asyncio.sleep(2)
            caller.hang_up()
            await asyncio.sleep(1)
            return session

    session = clock.run(play())
    (opened,), (closed,) = named(logged, "session.opened"), named(logged, "session.closed")
    assert (opened["session"], opened["resumable"]) == (session, True)
    assert closed["outcome"] == "left"
    assert (closed["session"], closed["contexts"], closed["characters"]) == (session, 2, 42)
    assert closed["gaps"] == {"text_late": 2}
    assert closed["seconds"] == pytest.approx(8.01)


def test_an_expired_session_logs_not_resumed(logged: list[EventDict]) -> None:
    async def play() -> None:
        async with open_registry(Settings.model_validate({"server": {"resume_ttl": 3}})) as opened:
            caller = Caller(opened)
            await caller.connect()
            await asyncio.sleep(0.01)
            caller.send(Text("a", "This one is not going to be heard. "))
            await asyncio.sleep(0.01)
            caller.cut()
            await asyncio.sleep(5)

    clock.run(play())
    assert [line["event"] for line in logged] == [
        "session.opened",
        "context.opened",
        "session.detached",
        "context.closed",
        "session.closed",
    ]
    assert {line["outcome"] for line in logged if "outcome" in line} == {"not_resumed"}


def test_a_broken_connection_is_logged_as_the_cause_of_its_gap(logged: list[EventDict]) -> None:
    async def play() -> None:
        async with open_registry() as opened:
            caller = Caller(opened)
            await caller.connect()
            await asyncio.sleep(0.01)
            caller.send(Text("a", f"{'x' * 200}. " * 4))
            await asyncio.sleep(1)
            caller.cut()
            await asyncio.sleep(20)
            await caller.connect()
            await asyncio.sleep(0.01)
            caller.send(End("a"))
            await asyncio.sleep(10)

    clock.run(play())
    (closed,) = named(logged, "context.closed")
    assert closed["outcome"] == "done"
    assert closed["gaps"] == {"disconnected": 1}
    assert closed["longest_gap_ms"] > 10_000


# --- real server ----------------------------------------------------------------------------------


async def test_speech_over_http_logs_its_context(logged: list[EventDict]) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        await http.post("/v1/speech", json={"text": f"{SECRET}.", "voice": "second"})
        await http.post(
            "/v1/audio/speech", json={"input": f"A {BAD_WORD}.", "model": "tts-1", "voice": "heart"}
        )
        async with http.stream("POST", "/v1/speech", json={"text": "word " * 3000}) as answer:
            async for _ in answer.aiter_raw():
                break
        await wait_until(lambda: len(named(logged, "context.closed")) == 3)
    assert SECRET not in str(logged)
    one, failed, left = named(logged, "context.closed")
    assert (one["endpoint"], one["outcome"], one["voice"]) == ("/v1/speech", "done", "second")
    assert (failed["endpoint"], failed["outcome"]) == ("/v1/audio/speech", "engine_failed")
    assert left["outcome"] == "left"
    assert len({line["session"] for line in (one, failed, left)}) == 3
    assert not named(logged, "session.opened")


def test_the_endpoint_is_the_route_not_the_requested_path() -> None:
    @dataclass
    class Route:
        path: str = "/v1/text-to-speech/{voice_id}"

    scope: dict[str, Any] = {
        "type": "http",
        "path": f"/v1/text-to-speech/{SECRET}",
        "route": Route(),
    }
    assert endpoint_of(scope) == "/v1/text-to-speech/{voice_id}"
    assert endpoint_of({"type": "websocket", "path": "wyoming"}) == "wyoming"


async def test_wyoming_sessions_are_logged(logged: list[EventDict]) -> None:
    async with run_wyoming_server() as (_, port):
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Synthesize("Hello there.").event())
            await read_audio(client, AudioStop)
        await wait_until(lambda: bool(named(logged, "session.closed")))
    (closed,) = named(logged, "context.closed")
    assert (closed["endpoint"], closed["outcome"], closed["characters"]) == ("wyoming", "done", 12)
    assert named(logged, "session.closed")[0]["session"] == closed["session"]
