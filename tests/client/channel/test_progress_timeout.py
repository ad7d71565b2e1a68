"""An utterance fails when the server answers pings but sends nothing for it."""

import asyncio

import pytest

from duplex_tts import Options, Session, SpeechFailed
from duplex_tts.channel.progress_timeout import ProgressTimeout
from tests.support.scripted_server import ScriptedConnection, idle, run_server

SHORT_TIMEOUT = Options(progress_timeout_s=0.2)


def test_no_reply_is_overdue_before_one_is_expected() -> None:
    timeout = ProgressTimeout()
    timeout.note_progress(1.0)
    assert timeout.overdue_s(1000.0) == 0.0


def test_the_timeout_starts_with_the_first_request_and_restarts_with_progress() -> None:
    timeout = ProgressTimeout()
    timeout.expect_reply(10.0)
    timeout.expect_reply(15.0)
    assert timeout.overdue_s(30.0) == 20.0
    timeout.note_progress(29.0)
    assert timeout.overdue_s(30.0) == 1.0
    timeout.expect_nothing()
    assert timeout.overdue_s(1000.0) == 0.0


def test_nothing_is_overdue_while_received_audio_is_still_playing() -> None:
    timeout = ProgressTimeout()
    timeout.expect_reply(0.0)
    timeout.note_audio(60_000.0, 1.0)
    timeout.note_audio(60_000.0, 2.0)
    assert timeout.overdue_s(120.0) == 0.0
    assert timeout.overdue_s(122.0) == 1.0
    timeout.note_played(90_000.0, 122.0)  # it was paused
    assert timeout.overdue_s(212.0) == 0.0
    assert timeout.overdue_s(213.0) == 1.0


@pytest.mark.slow
async def test_text_that_has_ended_and_is_never_spoken_fails() -> None:
    async with run_server(idle) as url, Session.connect(url, options=SHORT_TIMEOUT) as session:
        async with asyncio.timeout(30):
            with pytest.raises(SpeechFailed, match="progress_timeout_s") as raised:
                await session.speak("Hello.").done()
        assert raised.value.code == "no_progress"
        assert await session.ping() >= 0, "the session goes on"


@pytest.mark.slow
async def test_a_cancel_that_is_never_answered_fails() -> None:
    async with run_server(idle) as url, Session.connect(url, options=SHORT_TIMEOUT) as session:
        context = await session.start()
        await context.push("Hello")
        await context.cancel()
        async with asyncio.timeout(30):
            with pytest.raises(SpeechFailed):
                [event async for event in context]


@pytest.mark.slow
async def test_text_beyond_the_unspoken_limit_fails_when_nothing_is_spoken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("duplex_tts.channel.context.HELD_UP_S", 0.1)
    async with run_server(idle) as url, Session.connect(url, options=SHORT_TIMEOUT) as session:
        async with asyncio.timeout(30):
            with pytest.raises(SpeechFailed):
                await session.speak(["word " * 200] * 20).done()


async def test_nothing_is_overdue_while_the_text_has_not_ended() -> None:
    async with run_server(idle) as url, Session.connect(url, options=SHORT_TIMEOUT) as session:
        context = await session.start()
        await context.push("Hello")
        for _ in range(3):  # the session checks its contexts once a second
            assert context.overdue_s(queued=False) == 0.0
            await session.ping()


async def test_the_timeout_is_ten_times_longer_for_contexts_that_may_be_queued() -> None:
    async with run_server(idle) as url, Session.connect(url) as session:
        live, batch = await session.start(), await session.start(mode="batch")
        for context in (live, batch):
            await context.push("Hello")
            await context.end()
        await session.ping()
        assert 0 < batch.overdue_s(queued=False) < live.overdue_s(queued=False) / 5
        assert 0 < live.overdue_s(queued=True) < live.overdue_s(queued=False) / 5


@pytest.mark.slow
async def test_an_utterance_may_be_queued_while_others_are_spoken() -> None:
    done = asyncio.Event()

    async def script(peer: ScriptedConnection) -> None:
        asked = [await peer.receive_any() for _ in range(6)]
        first, second = (message["context"] for message in asked if message["type"] == "start")
        for seq in range(5):
            await peer.send_audio(second, seq, seq + 1, ms=1.0)
            await asyncio.sleep(0.3)  # five times the timeout in all
        await peer.send_audio(first, 0, 5)
        await peer.send_done(first, ms=10.0, characters=5, chunks=1)
        await peer.send_done(second, ms=5.0, characters=5, chunks=5)
        done.set()

    options = Options(progress_timeout_s=1.0)
    async with run_server(script) as url, Session.connect(url, options=options) as session:
        first, second = session.speak("Hello"), session.speak("Hello")
        await first.done()
        await second.done()
        assert done.is_set()
