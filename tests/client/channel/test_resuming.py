"""Resuming a session after a broken connection: with scripted servers, then with the real one."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Literal

import numpy as np
import pytest

from bench.client.fault_proxy import FaultProxy, fault_proxy, host_and_port
from duplex_tts import (
    Advice,
    Audio,
    Cancelled,
    ClientError,
    ConnectionLost,
    Done,
    Options,
    Refused,
    Restarted,
    Resumed,
    Retracted,
    Session,
    SessionEvent,
    Utterance,
)
from duplex_tts.channel.channel_config import LONGEST_DELAY_S, backoff_delays_s
from tests.support.engines.fake_engine import decode_pcm
from tests.support.live_server import live_server, wait_until
from tests.support.scripted_server import READY, ScriptedConnection, idle, run_server

# --- with scripted servers ------------------------------------------------------------------------


async def test_a_resumed_session_continues_where_it_broke() -> None:
    events: list[SessionEvent] = []

    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive_text(4)
        await peer.send_audio("c", 0, 3)
        await peer.send_audio("c", 3, 4)
        await peer.send(type="error", context=None, code="bad_json", message="what?")
        await peer.receive("text")
        peer.reset_connection()

    async def again(peer: ScriptedConnection) -> None:
        resume = await peer.receive("resume")
        assert (resume["session"], resume["token"]) == (READY["session"], READY["token"])
        assert (resume["after"], resume["answers"]) == ({"c": 1}, 1)
        await peer.send_resumed(received=2)
        assert (await peer.receive("text"))["text"] == "two"
        await peer.receive("end")
        peer.continue_after("c", 2, 20.0)
        await peer.send_audio("c", 4, 7)
        await peer.send_done("c", ms=30, characters=7, chunks=3)

    options = Options(on_event=events.append)
    async with run_server(script, again) as url, Session.connect(url, options=options) as session:
        context = await session.start("c")
        await context.push("One ")
        assert [type(await anext(context)) for _ in range(2)] == [Audio, Audio]
        await wait_until(lambda: len(session.errors) == 1)
        await context.push("two")
        await context.end()
        rest = [event async for event in context]
        assert [type(event) for event in rest] == [Audio, Done]
        stats = session.stats()
        assert (stats.reconnects, stats.resumes, stats.restarts) == (1, 1, 0)
    assert [type(event) for event in events] == [Resumed]


async def test_repeated_audio_is_delivered_once() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive_text(3)
        await peer.send_audio("c", 0, 2)
        await peer.send_audio("c", 0, 2, seq=0)
        peer.continue_after("c", 1, 10.0)
        await peer.send_audio("c", 2, 3)
        await peer.send_done("c", ms=20, characters=3, chunks=2)
        await peer.send_audio("c", 2, 3, seq=1)

    async with run_server(script) as url, Session.connect(url) as session:
        context = await session.start("c")
        await context.push("One")
        assert [type(event) async for event in context] == [Audio, Audio, Done]
        await session.ping()


@pytest.mark.slow
async def test_pings_acknowledge_received_audio_and_replies() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive_text(3)
        await peer.send_audio("c", 0, 3)
        await peer.send(type="error", context="c", code="timeout", message="slow")
        ping = await peer.receive("ping")
        while ping["answers"] == 0:
            await peer.send_pong(ping)
            ping = await peer.receive("ping")
        assert (ping["after"], ping["answers"]) == ({"c": 0}, 1)
        await peer.send_done("c", ms=10, characters=3, chunks=1)

    async with run_server(script) as url, Session.connect(url) as session:
        context = await session.start("c")
        await context.push("One")
        assert len([event async for event in context]) == 3


async def test_only_unheard_text_is_resent_when_the_server_lost_the_session() -> None:
    events: list[SessionEvent] = []

    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive_text(11)
        await peer.send_audio("c", 0, 4, ms=100.0)
        peer.reset_connection()

    async def another(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.refuse_resume()
        assert await peer.receive("start") == {"type": "start", "context": "c", "seed": 7}
        assert await peer.receive_text(7) == "two sun"
        assert (await peer.receive("retract"))["to"] == 4
        assert (await peer.receive("text"))["text"] == "three"
        await peer.receive("end")
        await peer.send_audio("c", 0, 4, ms=50.0)
        await peer.send(type="retracted", context="c", to=4)
        await peer.send_audio("c", 4, 9, ms=50.0)
        await peer.send_done("c", ms=100.0, characters=9, chunks=2)

    options = Options(on_event=events.append)
    async with run_server(script, another) as url, Session.connect(url, options=options) as session:
        context = await session.start("c", seed=7)
        await context.push("One two sun")
        await anext(context)
        await context.retract(8)
        await context.push("three")
        await context.end()
        restarted, first, retracted, second, done = [event async for event in context]
        assert restarted == Restarted("c", 4, 100.0)
        assert isinstance(first, Audio)
        assert (first.seq, first.text, first.start_ms) == (1, (4, 8), 100.0)
        assert retracted == Retracted("c", 8)
        assert isinstance(second, Audio)
        assert (second.text, second.words[0].start) == ((8, 13), 8)
        assert done == Done("c", 200.0, 13, 3)
        assert session.stats().restarts == 1
    assert events == [Restarted("c", 4, 100.0)]


async def test_a_context_with_a_resume_gap_is_restarted_and_others_continue() -> None:
    async def script(peer: ScriptedConnection) -> None:
        for _ in range(4):
            await peer.receive_any()
        peer.reset_connection()

    async def again(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.send_resumed(received=4)
        await peer.send(type="error", context="gone", code="resume_gap", message="too late")
        new = (await peer.receive("start"))["context"]
        assert new != "gone"
        assert (await peer.receive("text"))["context"] == new
        await peer.send_audio("kept", 0, 3)
        await peer.send_done("kept", ms=10, characters=3, chunks=1)
        await peer.send_audio(new, 0, 3)
        await peer.send_done(new, ms=10, characters=3, chunks=1)

    async with run_server(script, again) as url, Session.connect(url) as session:
        gone, kept = await session.start("gone"), await session.start("kept")
        await gone.push("One")
        await kept.push("Two")
        assert [type(event) async for event in kept] == [Audio, Done]
        events = [event async for event in gone]
        assert events[0] == Restarted("gone", 0, 0.0)
        assert [event.context for event in events[1:]] == ["gone", "gone"]


async def test_a_cancelled_context_is_not_restarted() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive_text(7)
        await peer.send_audio("c", 0, 4, ms=100.0)
        await peer.receive("cancel")
        peer.reset_connection()

    async def another(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.refuse_resume()
        await peer.receive("ping")

    async with run_server(script, another) as url, Session.connect(url) as session:
        context = await session.start("c")
        await context.push("One two")
        await anext(context)
        await context.cancel()
        assert [event async for event in context] == [Cancelled("c", 4, 100.0)]


async def test_giving_up_on_resuming_reports_what_was_lost() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive_text(3)
        peer.reset_connection()

    async def full(peer: ScriptedConnection) -> None:
        await peer.send(type="error", context=None, code="overloaded", message="no room")

    options = Options(give_up_s=0.4)
    scripts = [script, *[full] * 50]
    async with (
        run_server(*scripts, greetings=1) as url,
        Session.connect(url, options=options) as session,
    ):
        utterance = session.speak("One")
        with pytest.raises(ConnectionLost, match=r"no room .*utterance-1 after 0 characters"):
            await utterance.done()
        assert session.stats().transport == "down"
        with pytest.raises(Refused, match="no room"):
            await session.start()


async def test_a_lost_session_is_reopened_for_the_next_utterance() -> None:
    async def script(peer: ScriptedConnection) -> None:
        peer.reset_connection()

    async def refusing(peer: ScriptedConnection) -> None:
        await peer.send(type="error", context=None, code="invalid_api_key", message="no")

    async def later(peer: ScriptedConnection) -> None:
        await peer.send(**READY)
        id_ = (await peer.receive("start"))["context"]
        await peer.receive_text(3)
        await peer.send_audio(id_, 0, 3)
        await peer.send_done(id_, ms=10, characters=3, chunks=1)

    async with (
        run_server(script, refusing, later, greetings=1) as url,
        Session.connect(url) as session,
    ):
        await wait_until(lambda: session.stats().transport == "down")
        assert isinstance(await session.speak("One").done(), Done)


async def test_a_session_ended_by_the_server_is_not_resumed() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.send(type="error", context=None, code="session_ended", message="bye")
        await peer.websocket.close(1008)

    async with run_server(script) as url, Session.connect(url) as session:
        with pytest.raises(Refused, match="bye"):
            [event async for event in await session.start()]


async def test_a_silent_server_triggers_a_reconnect() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.websocket.wait_closed()

    async def again(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.send_resumed(received=1)
        await peer.send_done("c", ms=0, characters=0, chunks=0)

    options = Options(ping_timeout_s=0.1)
    async with run_server(script, again) as url, Session.connect(url, options=options) as session:
        assert [type(event) async for event in await session.start("c")] == [Done]
        assert session.stats().resumes == 1


async def test_an_unanswered_ping_is_resent_after_a_reconnect() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("ping")
        peer.reset_connection()

    async def again(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.send_resumed(received=0)

    async with run_server(script, again) as url, Session.connect(url) as session:
        assert await session.ping() > 0


async def test_a_damaged_message_is_received_again_after_a_resume() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive_text(3)
        await peer.websocket.send(b"\xff\0\0\0{}")

    async def again(peer: ScriptedConnection) -> None:
        resume = await peer.receive("resume")
        assert resume["after"] == {"c": -1}
        await peer.send_resumed(received=2)
        await peer.send_audio("c", 0, 3)
        await peer.send_done("c", ms=10, characters=3, chunks=1)

    async with run_server(script, again) as url, Session.connect(url) as session:
        context = await session.start("c")
        await context.push("One")
        assert [type(event) async for event in context] == [Audio, Done]


async def test_a_message_of_an_unknown_type_is_ignored_when_it_comes_again() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive_text(3)
        await peer.send(type="news", context="c")

    async def again(peer: ScriptedConnection) -> None:
        resume = await peer.receive("resume")
        assert resume["answers"] == 0  # it may have been damaged
        await peer.send_resumed(received=2)
        await peer.send(type="news", context="c")
        await peer.send_audio("c", 0, 3)
        await peer.send_done("c", ms=10, characters=3, chunks=1)

    async with run_server(script, again) as url, Session.connect(url) as session:
        context = await session.start("c")
        await context.push("One")
        assert [type(event) async for event in context] == [Audio, Done]
        assert session.stats().resumes == 1


async def test_advice_is_reported_and_changes_nothing() -> None:
    events: list[SessionEvent] = []

    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        await peer.receive_text(3)
        advice = {"context": "c", "code": "thin_line", "message": "late", "format": "opus"}
        await peer.send(type="advice", **advice, bit_rate="auto")
        await peer.send_audio("c", 0, 3)
        await peer.send_done("c", ms=10, characters=3, chunks=1)

    options = Options(on_event=events.append)
    async with run_server(script) as url, Session.connect(url, options=options) as session:
        context = await session.start("c")
        await context.push("One")
        assert [type(event) async for event in context] == [Audio, Done]
    assert events == [Advice("c", "thin_line", "late", "opus", "auto")]


async def test_contexts_restart_on_a_server_without_resuming() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive_text(3)
        peer.reset_connection()

    async def older(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.send(type="error", context="default", code="unsupported", message="no")
        assert await peer.receive_text(3) == "One"
        await peer.send_audio("c", 0, 3)
        await peer.send_done("c", ms=10, characters=3, chunks=1)

    async with run_server(script, older) as url, Session.connect(url) as session:
        context = await session.start("c")
        await context.push("One")
        assert [type(event) async for event in context] == [Restarted, Audio, Done]


async def test_closing_during_an_outage_leaves_no_task() -> None:
    async def script(peer: ScriptedConnection) -> None:
        peer.reset_connection()

    async with run_server(script, *[idle] * 20, greetings=1) as url:
        session = await Session.connect(url)
        await asyncio.sleep(0.05)
        before = len(asyncio.all_tasks())
        await session.close()
        assert len(asyncio.all_tasks()) < before
        assert not [task for task in asyncio.all_tasks() if "duplex-tts" in task.get_name()]


def test_reconnect_delays_are_zero_then_exponential_with_jitter() -> None:
    delays = list(itertools.islice(backoff_delays_s(), 30))
    assert delays[0] == 0
    assert all(0.025 * 2**n <= d <= 0.05 * 2**n for n, d in enumerate(delays[1:6]))
    assert all(LONGEST_DELAY_S / 2 <= delay <= LONGEST_DELAY_S for delay in delays[10:])
    assert delays != list(itertools.islice(backoff_delays_s(), 30))


async def accept_silently(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept the connection and send nothing."""
    await asyncio.Event().wait()


@pytest.mark.parametrize("fallback", [True, False])
async def test_connecting_gives_up_after_give_up_s(fallback: bool) -> None:
    listener = await asyncio.start_server(accept_silently, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    options = Options(give_up_s=0.2, fallback=fallback)
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(ConnectionLost, match=r"within 0\.2 s"):
        await Session.connect(f"{host}:{port}", options=options)
    assert asyncio.get_running_loop().time() - began_s < 5, "half of a handshake's own limit"
    listener.close()


async def test_resuming_gives_up_after_give_up_s_on_a_silent_server() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        peer.reset_connection()

    async def turned_mute(peer: ScriptedConnection) -> None:
        await peer.receive("resume")
        await peer.wait_closed()

    options = Options(give_up_s=0.2)
    async with (
        run_server(script, turned_mute) as url,
        Session.connect(url, options=options) as session,
    ):
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(ConnectionLost, match=r"no connection for 0\.2 s"):
            await session.speak("Hello").done()
        assert asyncio.get_running_loop().time() - began_s < 5


# --- with the real server -------------------------------------------------------------------------

WORDS = [f"w{number}. " if number % 9 == 8 else f"w{number} " for number in range(150)]


async def write_words() -> AsyncIterator[str]:
    for word in WORDS:
        yield word
        await asyncio.sleep(0.002)


def cut_repeatedly(
    proxy: FaultProxy, chance: random.Random, most_bytes: int, addresses: list[str]
) -> None:
    """Break the connection repeatedly, at random bytes; each reconnect goes to one of the servers,
    which know only their own sessions.
    """

    def cuts() -> Iterator[int]:
        while True:
            proxy.upstream = host_and_port(chance.choice(addresses))
            yield chance.randrange(2_000, most_bytes)

    proxy.more_cuts = cuts()
    proxy.cut_after_bytes = chance.randrange(2_000, most_bytes)


async def hear_utterance(utterance: Utterance) -> tuple[list[Audio], str]:
    """Return all audio, which must be in order, and the characters heard in it."""
    audio = [chunk async for chunk in utterance]
    at, at_ms = 0, 0.0
    for chunk in audio:
        assert chunk.text[0] == at
        assert chunk.start_ms == pytest.approx(at_ms, abs=0.1)
        at, at_ms = chunk.text[1], at_ms + chunk.duration_ms
    pcm = np.frombuffer(b"".join(chunk.data for chunk in audio), "<f4")
    return audio, decode_pcm(pcm)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["live", "batch"])
@pytest.mark.parametrize("seed", range(2))
async def test_repeated_breaks_lose_and_repeat_no_sample(
    mode: Literal["live", "batch"], seed: int
) -> None:
    async with (
        live_server() as live,
        fault_proxy(live.address) as proxy,
        Session.connect(proxy.address) as session,
    ):
        cut_repeatedly(proxy, random.Random(seed), 60_000, [live.address])
        utterance = session.speak(write_words(), mode=mode, format="pcm_f32le")
        audio, spoken = await hear_utterance(utterance)
        done = await utterance.done()
        stats = session.stats()
    assert spoken == "".join(WORDS).replace(" ", "")
    assert isinstance(done, Done)
    assert (done.characters, done.chunks) == (len("".join(WORDS)), len(audio))
    assert stats.resumes > 3
    assert stats.restarts == 0


@pytest.mark.slow
@pytest.mark.parametrize("word_length", [4, 300], ids=["words", "words split over messages"])
async def test_breaks_with_lost_sessions_lose_and_repeat_no_word(word_length: int) -> None:
    words = [f"w{number:x<{word_length}} " for number in range(20_000 // (word_length + 40))]
    async with (
        live_server() as one,
        live_server() as other,
        fault_proxy(one.address) as proxy,
        Session.connect(proxy.address) as session,
    ):
        cut_repeatedly(proxy, random.Random(1), 500_000, [one.address, other.address])
        utterance = session.speak("".join(words), mode="batch", format="pcm_f32le")
        _, spoken = await hear_utterance(utterance)
        await utterance.done()
    assert spoken == "".join(words).replace(" ", "")
    assert len(utterance.restarts) > 2
    at, at_ms = 0, 0.0
    for word in utterance.words:
        assert utterance.text[at : word.start].isspace() or at == word.start
        assert word.start_ms == pytest.approx(at_ms, abs=0.1)
        at, at_ms = word.end, word.end_ms


async def test_audio_is_bit_identical_after_a_break(url: str) -> None:
    text = (
        "When the last train had left, the old clock began to strike again. Two children looked "
        "up, counted thirteen strokes, and decided to tell no one. Nobody had wound it for years."
    )

    async def speech(session: Session) -> bytes:
        utterance = session.speak(text, seed=5, mode="batch")
        audio = b"".join([chunk.data async for chunk in utterance])
        assert isinstance(await utterance.done(), Done)
        return audio

    async with Session.connect(url) as session:
        whole = await speech(session)
    async with fault_proxy(url) as proxy, Session.connect(proxy.address) as session:
        for at in (1, 90_000, 150_000, len(whole) - 10):
            proxy.cut_after_bytes = at
            assert await speech(session) == whole
        await wait_until(lambda: session.stats().resumes == 4)


@pytest.mark.slow
async def test_a_stalled_connection_is_detected_and_resumed() -> None:
    async with live_server() as live, fault_proxy(live.address) as proxy:
        options = Options(ping_timeout_s=0.2)
        async with Session.connect(proxy.address, options=options) as session:
            utterance = session.speak(write_words(), format="pcm_f32le")
            await anext(utterance)
            proxy.stall()
            await wait_until(lambda: proxy.connections > 1, within_s=5)
            proxy.flow()
            await utterance.done()
            assert session.stats().resumes >= 1


async def test_damaged_frames_are_repaired_by_resuming() -> None:
    async with (
        live_server() as live,
        fault_proxy(live.address) as proxy,
        Session.connect(proxy.address) as session,
    ):
        utterance = session.speak("".join(WORDS), mode="batch", format="pcm_f32le")
        proxy.damage_after_bytes = 0  # the length of the next frame
        _, spoken = await hear_utterance(utterance)
        assert session.stats().resumes >= 1
    assert spoken == "".join(WORDS).replace(" ", "")


@pytest.mark.slow
async def test_a_slow_line_delays_audio_without_changing_it() -> None:
    async with (
        live_server() as live,
        fault_proxy(live.address) as proxy,
        Session.connect(proxy.address) as session,
    ):
        proxy.delay_s = 0.02
        utterance = session.speak(write_words(), format="pcm_f32le")
        _, spoken = await hear_utterance(utterance)
        assert spoken == "".join(WORDS).replace(" ", "")
        assert await session.ping() >= 2 * 20
        assert session.stats().reconnects == 0


@pytest.mark.parametrize("at", [*range(0, 40, 3), 60, 97, 131, 180, 260])
async def test_the_session_continues_after_damage_anywhere_in_a_frame_header(at: int) -> None:
    async with (
        live_server() as live,
        fault_proxy(live.address) as proxy,
        Session.connect(proxy.address, options=Options(ping_timeout_s=0.5)) as session,
    ):
        utterance = session.speak("One two three. Four five.", mode="batch", format="pcm_f32le")
        proxy.damage_after_bytes = at
        async with asyncio.timeout(10):
            with suppress(ClientError):
                assert isinstance(await utterance.done(), Done)
            _, spoken = await hear_utterance(session.speak("Six.", format="pcm_f32le"))
        assert spoken == "Six."
