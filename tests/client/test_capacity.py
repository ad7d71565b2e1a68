"""A client of an overloaded server waits and tries again, if it is told to."""

from __future__ import annotations

import asyncio

import pytest

from duplex_tts.errors import ConnectionLost, Refused, SpeechFailed
from duplex_tts.events import Cancelled, Done
from duplex_tts.options import Options
from duplex_tts.session import Session
from tests.support.scripted_server import READY, ScriptedConnection, run_server

TEXT = "Hello there."


async def refuse(peer: ScriptedConnection, retry_after_ms: int = 20) -> None:
    """Refuse the next context."""
    start = await peer.receive("start")
    await peer.send(
        type="error",
        context=start["context"],
        code="overloaded",
        message="full",
        retry_after_ms=retry_after_ms,
    )


async def speak(peer: ScriptedConnection) -> None:
    """Speak the next context that is started; messages for the refused one are skipped."""
    while (start := await peer.receive_any())["type"] != "start":
        pass
    context = start["context"]
    text = ""
    while (message := await peer.receive_any())["type"] != "end":
        assert message["context"] == context
        text += message["text"]
    assert text == TEXT
    await peer.send_audio(context, 0, len(TEXT))
    await peer.send_done(context, ms=10, characters=len(TEXT), chunks=1)


async def test_an_utterance_that_was_refused_is_spoken_once_there_is_capacity() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await refuse(peer)
        while (await peer.receive_any())["type"] != "end":
            pass
        await refuse(peer)
        await speak(peer)

    async with (
        run_server(script) as url,
        Session.connect(url, options=Options(capacity_wait_s=5)) as session,
    ):
        done = await session.speak(TEXT).done()
        assert isinstance(done, Done)
        assert done.characters == len(TEXT)


async def test_a_refusal_raises_unless_the_client_is_told_to_wait() -> None:
    async with run_server(refuse) as url, Session.connect(url) as session:
        with pytest.raises(SpeechFailed, match="overloaded"):
            await session.speak(TEXT).done()


async def test_a_wait_longer_than_allowed_raises_at_once() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await refuse(peer, retry_after_ms=60_000)

    async with (
        run_server(script) as url,
        Session.connect(url, options=Options(capacity_wait_s=5)) as session,
    ):
        with pytest.raises(SpeechFailed, match="overloaded"):
            await asyncio.wait_for(session.speak(TEXT).done(), 5)


async def refuse_for_a_minute(peer: ScriptedConnection) -> None:
    """Refuse the next context and answer a ping, which then has arrived after the refusal."""
    await refuse(peer, retry_after_ms=60_000)
    while (message := await peer.receive_any(pings=True))["type"] != "ping":
        pass
    await peer.send_pong(message)


async def test_cancel_ends_an_utterance_that_waits_for_capacity_at_once() -> None:
    async with (
        run_server(refuse_for_a_minute) as url,
        Session.connect(url, options=Options(capacity_wait_s=100)) as session,
    ):
        utterance = session.speak(TEXT)
        await session.ping()
        utterance.cancel()
        cancelled = await asyncio.wait_for(utterance.done(), 5)
        assert cancelled == Cancelled(utterance.id, 0, 0.0)


async def test_closing_ends_an_utterance_that_waits_for_capacity() -> None:
    async with run_server(refuse_for_a_minute) as url:
        async with Session.connect(url, options=Options(capacity_wait_s=100)) as session:
            utterance = session.speak(TEXT)
            await session.ping()
            assert not utterance.finished
        with pytest.raises(ConnectionLost):
            await utterance.done()


@pytest.mark.slow
async def test_an_utterance_that_waits_is_spoken_by_a_new_session() -> None:
    async def break_off(peer: ScriptedConnection) -> None:
        await refuse_for_a_minute(peer)
        peer.reset_connection()

    async def forget(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.refuse_resume()
        await speak(peer)

    async with (
        run_server(break_off, forget) as url,
        Session.connect(url, options=Options(capacity_wait_s=100)) as session,
    ):
        utterance = session.speak(TEXT)
        await session.ping()
        assert isinstance(await asyncio.wait_for(utterance.done(), 10), Done)


async def test_a_connection_that_was_refused_is_opened_once_there_is_capacity() -> None:
    async def full(peer: ScriptedConnection) -> None:
        await peer.send(
            type="error", context=None, code="overloaded", message="full", retry_after_ms=20
        )

    async def free(peer: ScriptedConnection) -> None:
        await peer.send(**READY)
        await speak(peer)

    async with run_server(full, full, free, greetings=0) as url:
        with pytest.raises(Refused, match="full"):
            await Session.connect(url)
        async with Session.connect(url, options=Options(capacity_wait_s=5)) as session:
            assert isinstance(await session.speak(TEXT).done(), Done)
