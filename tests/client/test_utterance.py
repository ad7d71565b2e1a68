import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from duplex_tts import (
    Cancelled,
    ConnectionLost,
    Done,
    Options,
    Session,
    SpeechFailed,
    Utterance,
    Word,
)
from duplex_tts.channel.context import UNSPOKEN_LIMIT
from duplex_tts.utterance import UNREAD_LIMIT_MS
from tests.support.live_server import live_server, wait_until
from tests.support.scripted_server import ScriptedConnection, idle, run_server


async def speak_everything(peer: ScriptedConnection) -> None:
    """Speak everything: one audio message per text message."""
    lengths: dict[str, list[int]] = {}
    while True:
        message = await peer.receive_any()
        context = message["context"]
        spoken = lengths.setdefault(context, [])
        if message["type"] == "text":
            spoken.append(len(message["text"]))
            await peer.send_audio(context, sum(spoken[:-1]), sum(spoken), ms=100.0)
        elif message["type"] == "end":
            ms, characters = 100.0 * len(spoken), sum(spoken)
            await peer.send_done(context, ms=ms, characters=characters, chunks=len(spoken))
        elif message["type"] == "cancel":
            await peer.send(type="cancelled", context=context, text_to=sum(spoken), audio_ms=0)


async def test_text_goes_in_and_audio_comes_out() -> None:
    async with run_server(speak_everything) as url, Session.connect(url) as session:
        utterance = session.speak(["One ", "two."], voice="heart")
        audio = [chunk async for chunk in utterance]
        assert [chunk.text for chunk in audio] == [(0, 4), (4, 8)]
        assert await utterance.done() == Done(utterance.id, 200.0, 8, 2)
        assert utterance.words == [Word(0, 4, 0, 100), Word(4, 8, 100, 200)]
        assert utterance.text == "One two."
        assert utterance.audio_ms == 200.0
        assert utterance.ttfa_ms is not None
        assert utterance.finished


async def test_the_joined_text_is_cached() -> None:
    async with run_server(speak_everything) as url, Session.connect(url) as session:
        utterance = session.speak(["One ", "two ", "three."])
        await anext(utterance)
        assert "One two three.".startswith(utterance.text)
        await utterance.done()
        assert utterance.text == "One two three."
        assert utterance.text is utterance.text


async def test_unread_audio_is_kept() -> None:
    async with run_server(speak_everything) as url, Session.connect(url) as session:
        utterance = session.speak(["One ", "two."])
        await utterance.done()
        assert len([chunk async for chunk in utterance]) == 2
        assert [chunk async for chunk in utterance] == []


async def test_ttfa_is_measured_from_the_first_text() -> None:
    async def late() -> AsyncIterator[str]:
        await asyncio.sleep(0.2)
        yield "One"

    async with run_server(speak_everything) as url, Session.connect(url) as session:
        utterance = session.speak(late())
        await utterance.done()
        assert utterance.ttfa_ms is not None
        assert 0 < utterance.ttfa_ms < 200
        assert session.stats().ttfa_ms == (utterance.ttfa_ms,)


async def test_utterances_start_in_order_up_to_max_in_flight() -> None:
    started: list[str] = []
    gate = asyncio.Event()

    async def finish(peer: ScriptedConnection, context: str) -> None:
        await gate.wait()
        await peer.send_done(context, ms=0, characters=0, chunks=0)

    async def script(peer: ScriptedConnection) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                message = await peer.receive_any()
                if message["type"] == "start":
                    started.append(message["context"])
                    tasks.create_task(finish(peer, message["context"]))

    options = Options(max_in_flight=2)
    async with run_server(script) as url, Session.connect(url, options=options) as session:
        utterances = [session.speak("") for _ in range(4)]
        await wait_until(lambda: len(started) == 2)
        await session.ping()
        assert len(started) == 2
        assert session.stats().in_flight == 4
        gate.set()
        await asyncio.gather(*(utterance.done() for utterance in utterances))
        assert started == [utterance.id for utterance in utterances]
        assert session.stats().in_flight == 0


async def test_text_is_not_sent_far_ahead_of_its_speech() -> None:
    most = UNSPOKEN_LIMIT + 1_000
    ahead = 0

    async def script(peer: ScriptedConnection) -> None:
        nonlocal ahead
        context, received, spoken, chunks = (await peer.receive("start"))["context"], 0, 0, 0
        while (message := await peer.receive_any())["type"] == "text":
            received += len(message["text"])
            ahead = max(ahead, received - spoken)
            if received - spoken == most:
                await peer.send_audio(context, spoken, received)
                spoken, chunks = received, chunks + 1
        await peer.send_audio(context, spoken, received)
        await peer.send_done(context, ms=10 * (chunks + 1), characters=received, chunks=chunks + 1)

    async with run_server(script) as url, Session.connect(url) as session:
        await session.speak("word " * 4_000).done()
    assert ahead == most


async def test_text_at_the_limit_is_flushed_for_a_server_that_speaks_only_on_flush(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("duplex_tts.channel.context.HELD_UP_S", 0.01)

    async def script(peer: ScriptedConnection) -> None:
        context, received, spoken, chunks = (await peer.receive("start"))["context"], 0, 0, 0
        while (message := await peer.receive_any())["type"] != "end":
            received += len(message.get("text", ""))
            if message["type"] == "flush" and received > spoken:
                await peer.send_audio(context, spoken, received)
                spoken, chunks = received, chunks + 1
        await peer.send_audio(context, spoken, received)
        await peer.send_done(context, ms=10 * (chunks + 1), characters=received, chunks=chunks + 1)

    async with run_server(script) as url, Session.connect(url) as session:
        assert isinstance(await session.speak("word " * 4_000).done(), Done)


async def test_an_unread_utterance_pauses_its_text_and_frees_its_slot() -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "word "

    async def unheard() -> AsyncIterator[str]:
        for word in endless():
            yield word

    options = Options(max_in_flight=1)
    async with (
        run_server(speak_everything) as url,
        Session.connect(url, options=options) as session,
    ):
        first = session.speak(unheard())
        second = session.speak("Me too.")
        await second.done()
        sent_ahead_ms = 100 * (UNSPOKEN_LIMIT / len("word ") + 2)
        assert UNREAD_LIMIT_MS < first.audio_ms <= UNREAD_LIMIT_MS + sent_ahead_ms
        before = taken
        await session.ping()
        assert taken == before
        await anext(first)
        await anext(first)
        for _ in range(round((first.audio_ms - UNREAD_LIMIT_MS) / 100) + 5):
            await anext(first)
        await wait_until(lambda: taken > before)
        first.cancel()
        assert isinstance(await first.done(), Cancelled)


async def test_awaiting_done_lifts_the_unread_limit() -> None:
    async with run_server(speak_everything) as url, Session.connect(url) as session:
        utterance = session.speak(["word "] * 500)
        done = await utterance.done()
        assert isinstance(done, Done)
        assert done.audio_ms > UNREAD_LIMIT_MS
        assert len([chunk async for chunk in utterance]) == 500


async def test_a_cancel_ends_the_iteration_and_drops_unread_audio() -> None:
    closed = False

    async def endless() -> AsyncIterator[str]:
        nonlocal closed
        try:
            yield "One "
            yield "two "
            await asyncio.Event().wait()
        finally:
            closed = True

    async with run_server(speak_everything) as url, Session.connect(url) as session:
        utterance = session.speak(endless())
        assert (await anext(utterance)).text == (0, 4)
        await wait_until(lambda: utterance.audio_ms == 200.0)
        utterance.cancel()
        assert [chunk async for chunk in utterance] == []
        utterance.cancel()
        assert await utterance.done() == Cancelled(utterance.id, 8, 0)
        await wait_until(lambda: closed)


async def test_a_cancel_wakes_a_waiting_iteration() -> None:
    async def mute(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive("cancel")
        await peer.send(type="cancelled", context="utterance-1", text_to=0, audio_ms=0)

    async def never() -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield ""

    async with run_server(mute) as url, Session.connect(url) as session:
        utterance = session.speak(never())
        waiting = asyncio.ensure_future(anext(utterance, None))
        await asyncio.sleep(0.01)
        utterance.cancel()
        assert await waiting is None
        assert isinstance(await utterance.done(), Cancelled)


async def test_a_queued_utterance_can_be_cancelled() -> None:
    options = Options(max_in_flight=1)
    async with run_server(idle) as url, Session.connect(url, options=options) as session:
        first, second = session.speak("One"), session.speak("Two")
        await session.ping()
        second.cancel()
        assert await second.done() == Cancelled(second.id, 0, 0.0)
        assert not first.finished


async def test_session_cancel_cancels_all_utterances() -> None:
    async with run_server(speak_everything) as url, Session.connect(url) as session:
        utterances = [session.speak("word " * 100) for _ in range(5)]
        session.cancel()
        for utterance in utterances:
            assert [chunk async for chunk in utterance] == []
            assert isinstance(await utterance.done(), Cancelled)
        assert isinstance(await session.speak("And now this.").done(), Done)


async def test_a_cancel_after_the_end_changes_nothing() -> None:
    async with run_server(speak_everything) as url, Session.connect(url) as session:
        utterance = session.speak("One")
        done = await utterance.done()
        utterance.cancel()
        assert await utterance.done() == done


async def test_exceptions_of_the_text_are_raised_and_cancel_the_speech() -> None:
    async def broken() -> AsyncIterator[str]:
        yield "One "
        raise KeyError("the model is gone")

    cancelled = asyncio.Event()

    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive("text")
        await peer.receive("cancel")
        cancelled.set()

    async with run_server(script) as url, Session.connect(url) as session:
        utterance = session.speak(broken())
        with pytest.raises(KeyError, match="gone"):
            await utterance.done()
        with pytest.raises(KeyError, match="gone"):
            [chunk async for chunk in utterance]
        await cancelled.wait()


async def test_a_refused_utterance_raises_and_others_continue() -> None:
    async with live_server() as live, Session.connect(live.address) as session:
        refused = session.speak("One", voice="nobody")
        spoken = session.speak("Two")
        with pytest.raises(SpeechFailed, match="unknown_voice") as failed:
            await refused.done()
        assert [error.code for error in failed.value.errors] == ["unknown_voice"]
        assert isinstance(await spoken.done(), Done)


async def test_a_sentence_that_could_not_be_spoken_raises_after_the_others() -> None:
    async with live_server() as live, Session.connect(live.address) as session:
        utterance = session.speak("One. It will explode now. Three.")
        with pytest.raises(SpeechFailed, match="not all was spoken"):
            await utterance.done()
        audio = [await anext(utterance) for _ in range(3)]
        assert audio[-1].text[1] == len("One. It will explode now. Three.")
        with pytest.raises(SpeechFailed):
            await anext(utterance)


@pytest.mark.parametrize(
    "parameters", [{"voise": "heart"}, {"pitch": 2}], ids=["misspelt", "unknown"]
)
async def test_unknown_parameters_are_refused_at_once(parameters: Any) -> None:
    async with run_server(idle) as url, Session.connect(url) as session:
        with pytest.raises(TypeError, match="unknown parameter"):
            session.speak("One", **parameters)
        with pytest.raises(TypeError, match="unknown parameter"):
            await session.start(**parameters)


@pytest.mark.parametrize("speed", [float("nan"), {1, 2}])
async def test_a_value_that_json_cannot_hold_fails_the_utterance(speed: Any) -> None:
    async with run_server(speak_everything) as url, Session.connect(url) as session:
        with pytest.raises((ValueError, TypeError)):
            await session.speak("One", speed=speed).done()
        assert isinstance(await session.speak("One").done(), Done)


async def test_a_lone_surrogate_fails_the_utterance() -> None:
    async with run_server(speak_everything) as url, Session.connect(url) as session:
        with pytest.raises(ValueError, match="surrogate"):
            await session.speak("One \ud83d").done()
        assert isinstance(await session.speak("One").done(), Done)


async def test_closing_fails_running_and_queued_utterances() -> None:
    async with run_server(idle) as url:
        async with Session.connect(url, options=Options(max_in_flight=1)) as session:
            utterances = [session.speak("One"), session.speak("Two")]
            await session.ping()
        for utterance in utterances:
            with pytest.raises(ConnectionLost, match="closed"):
                await utterance.done()
        with pytest.raises(ConnectionLost, match="closed"):
            session.speak("Three")
        assert not [task for task in asyncio.all_tasks() if "utterance" in task.get_name()]


async def test_fifty_utterances_leave_no_task() -> None:
    async with run_server(speak_everything) as url, Session.connect(url) as session:
        await session.ping()
        before = len(asyncio.all_tasks())
        for _ in range(50):
            await session.speak("One").done()
        await wait_until(lambda: len(asyncio.all_tasks()) <= before)
        stats = session.stats()
        assert (stats.utterances, stats.reconnects) == (50, 0)
        assert stats.bytes_in > 50 * 100
        assert stats.bytes_out > 50 * 100


async def test_flush_and_played_reach_the_server() -> None:
    commands: list[tuple[str, float | None]] = []

    async def script(peer: ScriptedConnection) -> None:
        while True:
            message = await peer.receive_any()
            commands.append((message["type"], message.get("ms")))

    async def slow() -> AsyncIterator[str]:
        yield "One"
        await asyncio.Event().wait()

    async with run_server(script) as url, Session.connect(url) as session:
        utterance = session.speak(slow())
        await wait_until(lambda: len(commands) == 2)
        utterance.flush()
        utterance.played(250.0)
        await wait_until(lambda: len(commands) == 4)
    assert commands == [("start", None), ("text", None), ("flush", None), ("played", 250.0)]


def test_flush_and_played_have_no_effect_before_the_start_and_after_the_end() -> None:
    async def check() -> None:
        utterance = Utterance("u", {})
        utterance.flush()
        utterance.played(5)
        utterance.set_result(Done("u", 0, 0, 0))
        utterance.flush()
        utterance.played(5)

    asyncio.run(check())
