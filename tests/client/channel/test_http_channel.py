"""The HTTP fallback, the return to a WebSocket, and the replacement of old sessions."""

import asyncio
import logging
from collections.abc import AsyncIterator

import numpy as np
import pytest

from bench.client.fault_proxy import fault_proxy
from duplex_tts import (
    Audio,
    Cancelled,
    Done,
    Error,
    FellBack,
    NoWebSocket,
    Options,
    Refused,
    Replaced,
    Restarted,
    Retracted,
    Returned,
    Session,
    SessionEvent,
    SpeechFailed,
    Utterance,
)
from tests.support.engines.fake_engine import decode_pcm
from tests.support.live_server import live_server, wait_until
from tests.support.scripted_server import ScriptedConnection, idle, run_server

WORDS = [f"w{number}. " if number % 9 == 8 else f"w{number} " for number in range(100)]
TEXT = "".join(WORDS)


async def write_words() -> AsyncIterator[str]:
    for word in WORDS:
        yield word
        await asyncio.sleep(0.002)


@pytest.fixture
def fast_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duplex_tts.channel.failover.CHECK_S", 0.02)
    monkeypatch.setattr("duplex_tts.channel.failover.RETRY_S", 0.02)


async def hear_characters(utterance: Utterance) -> str:
    pcm = b"".join([chunk.data async for chunk in utterance])
    done = await utterance.done()
    assert isinstance(done, Done)
    assert done.characters == len(utterance.text)
    return decode_pcm(np.frombuffer(pcm, "<f4"))


def without_spaces(text: str) -> str:
    return "".join(text.split())


async def test_the_same_words_arrive_over_http_with_a_warning_without_websockets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[SessionEvent] = []
    async with live_server() as live, fault_proxy(live.address) as proxy:
        proxy.block_websockets = True
        options = Options(on_event=events.append)
        with caplog.at_level(logging.WARNING, "duplex_tts"):
            async with Session.connect(proxy.address, options=options) as session:
                assert (session.ready.voice, session.ready.sample_rate) == ("heart", 24000)
                for text in (write_words(), TEXT):
                    utterance = session.speak(text, format="pcm_f32le")
                    assert await hear_characters(utterance) == without_spaces(TEXT)
                    words = [utterance.text[word.start : word.end] for word in utterance.words]
                    assert list(map(str.strip, words)) == TEXT.split()
                    times = [word.start_ms for word in utterance.words]
                    assert times == sorted(times)
                assert session.stats().transport == "http"
                assert session.stats().bytes_in > 100_000
    assert [type(event) for event in events] == [FellBack]
    assert "speech comes over HTTP" in caplog.text


async def test_over_http_a_sentence_is_spoken_while_the_next_is_written() -> None:
    async def two_sentences() -> AsyncIterator[str]:
        yield "The first one. And"
        assert (await anext(utterance)).text == (0, 15)
        yield " the second."

    async with live_server() as live, fault_proxy(live.address) as proxy:
        proxy.block_websockets = True
        async with Session.connect(proxy.address) as session:
            utterance = session.speak(two_sentences())
            assert isinstance(await utterance.done(), Done)


async def test_failed_requests_lose_and_repeat_nothing() -> None:
    async with live_server() as live, fault_proxy(live.address) as proxy:
        proxy.block_websockets = True
        async with Session.connect(proxy.address) as session:
            proxy.more_cuts = iter(range(20_000, 400_000, 30_000))
            proxy.cut_after_bytes = 10_000
            utterance = session.speak(TEXT, format="pcm_f32le")
            assert await hear_characters(utterance) == without_spaces(TEXT)
            assert utterance.restarts


async def test_the_session_returns_to_a_websocket_when_possible(fast_checks: None) -> None:
    events: list[SessionEvent] = []
    async with live_server() as live, fault_proxy(live.address) as proxy:
        proxy.block_websockets = True
        options = Options(on_event=events.append)
        async with Session.connect(proxy.address, options=options) as session:
            utterance = session.speak(write_words(), format="pcm_f32le")
            await anext(utterance)
            proxy.block_websockets = False
            await wait_until(lambda: session.stats().transport == "websocket", within_s=5)
            assert await hear_characters(session.speak(TEXT, format="pcm_f32le")) == without_spaces(
                TEXT
            )
            assert isinstance(await utterance.done(), Done)
            assert utterance.restarts == []
    assert [type(event) for event in events] == [FellBack, Returned]


async def test_open_contexts_continue_over_http_when_websockets_get_blocked() -> None:
    async with (
        live_server() as live,
        fault_proxy(live.address) as proxy,
        Session.connect(proxy.address) as session,
    ):
        utterance = session.speak(write_words(), format="pcm_f32le")
        first = await anext(utterance)
        proxy.block_websockets = True
        proxy.cut()
        rest = b"".join([chunk.data async for chunk in utterance])
        assert decode_pcm(np.frombuffer(first.data + rest, "<f4")) == without_spaces(TEXT)
        assert isinstance(await utterance.done(), Done)
        assert session.stats().transport == "http"
        assert len(utterance.restarts) == 1


async def test_the_http_fallback_can_be_disabled() -> None:
    async with live_server() as live, fault_proxy(live.address) as proxy:
        proxy.block_websockets = True
        with pytest.raises(NoWebSocket, match="403"):
            await Session.connect(proxy.address, options=Options(fallback=False))


async def test_connecting_fails_without_a_speech_server_over_http() -> None:
    async with run_server() as url, fault_proxy(url) as proxy:
        proxy.block_websockets = True
        with pytest.raises(NoWebSocket, match="403"):
            await Session.connect(proxy.address)


async def test_errors_are_the_same_over_http() -> None:
    async with live_server() as live, fault_proxy(live.address) as proxy:
        proxy.block_websockets = True
        async with Session.connect(proxy.address) as session:
            with pytest.raises(SpeechFailed, match="unknown_voice"):
                await session.speak("One", voice="nobody").done()
            utterance = session.speak("One. It will explode now. Three.")
            with pytest.raises(SpeechFailed, match="not all was spoken"):
                await utterance.done()
            spans = [chunk.text async for chunk in iterate_ignoring_failure(utterance)]
            assert spans == [(0, 5), (5, 26), (26, 32)]


async def iterate_ignoring_failure(utterance: Utterance) -> AsyncIterator[Audio]:
    try:
        async for chunk in utterance:
            yield chunk
    except SpeechFailed:
        return


async def test_speech_can_be_cancelled_and_retracted_over_http() -> None:
    async with live_server() as live, fault_proxy(live.address) as proxy:
        proxy.block_websockets = True
        async with Session.connect(proxy.address) as session:
            utterance = session.speak(write_words())
            await anext(utterance)
            utterance.cancel()
            cancelled = await utterance.done()
            assert isinstance(cancelled, Cancelled)
            assert 0 < cancelled.text_to < len(TEXT)

            context = await session.start("c")
            await context.push("Hello there friend. Some more")
            await context.retract(22)
            await context.push("ng.")
            await context.end()
            events = [event async for event in context]
            assert Retracted("c", 22) in events
            assert isinstance(events[-1], Done)
            assert events[-1].characters == 25
            assert not [event for event in events if isinstance(event, Error | Restarted)]


async def test_a_wrong_key_does_not_cause_the_fallback() -> None:
    async with live_server(access={"api_keys": "right"}) as live:
        async with Session.connect(live.address, key="right") as session:
            assert isinstance(await session.speak("One").done(), Done)
        for key in (None, "wrong"):
            with pytest.raises(Refused) as refused:
                await Session.connect(live.address, key=key)
            assert refused.value.code == "invalid_api_key"


async def test_the_key_is_sent_over_http() -> None:
    async with (
        live_server(access={"api_keys": "right"}) as live,
        fault_proxy(live.address) as proxy,
    ):
        proxy.block_websockets = True
        async with Session.connect(proxy.address, key="right") as session:
            assert isinstance(await session.speak("One").done(), Done)
        async with Session.connect(proxy.address, key="wrong") as session:
            with pytest.raises(Refused, match="invalid_api_key"):
                await session.speak("One").done()


async def test_an_old_session_is_replaced_without_a_gap(fast_checks: None) -> None:
    events: list[SessionEvent] = []
    async with live_server() as live:
        options = Options(max_age_s=0.1, on_event=events.append)
        async with Session.connect(live.address, options=options) as session:
            first = session.speak(write_words(), format="pcm_f32le")
            await anext(first)
            before = session.ready.session
            await wait_until(lambda: session.ready.session != before, within_s=5)
            assert not first.finished
            second = session.speak(TEXT, format="pcm_f32le")
            assert await hear_characters(second) == without_spaces(TEXT)
            assert isinstance(await first.done(), Done)
            assert first.restarts == []
            stats = session.stats()
            assert stats.replaced >= 1
            assert (stats.reconnects, stats.resumes, stats.restarts) == (0, 0, 0)
            await wait_until(lambda: len(live.connections.sessions()) <= 2, within_s=5)
    assert events
    assert all(isinstance(event, Replaced) for event in events)
    assert len(live.connections.sessions()) == 0


async def test_a_failed_replacement_is_retried(fast_checks: None) -> None:
    tries = 0

    async def refusing(peer: ScriptedConnection) -> None:
        nonlocal tries
        tries += 1
        await peer.send(type="error", context=None, code="overloaded", message="no room")

    async with (
        run_server(idle, *[refusing] * 100, greetings=1) as url,
        Session.connect(url, options=Options(max_age_s=0.01)) as session,
    ):
        await wait_until(lambda: tries > 1, within_s=5)
        assert session.stats().transport == "websocket"
        assert session.stats().replaced == 0
        await session.ping()


@pytest.mark.parametrize(
    "name", ["max_age_s", "ping_timeout_s", "give_up_s", "max_in_flight", "progress_timeout_s"]
)
def test_options_that_are_not_positive_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Options(**{name: 0})  # type: ignore[arg-type]
