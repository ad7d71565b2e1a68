"""livekit-agents with our own plugin, alone and in a real `AgentSession`.

The first part asks what LiveKit's own tests ask of a plugin (livekit/agents, tests/test_tts.py,
which is in no package and needs Docker, a fault proxy and keys), restated here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, APITimeoutError

from bench.client.fault_proxy import fault_proxy
from duplex_tts import Options
from duplex_tts.heard import Heard
from duplex_tts.livekit import TTS
from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, SENTENCE, STORY, SpeechChecker
from tests.interop.live_servers import RunningServer
from tests.interop.livekit_call import Loudspeaker, ScriptedModel, agent_call
from tests.interop.livekit_speech import push_and_read, read_stream
from tests.interop.timing import expect_timed
from tests.support.scripted_server import ScriptedConnection, run_server

ONCE = APIConnectOptions(max_retry=0)


def words(text: str) -> list[str]:
    return [f"{word} " for word in text.split()]


class Collected:
    """The events of a plugin."""

    def __init__(self, voice: TTS, name: str) -> None:
        self.events: list[Any] = []
        voice.on(name, self.events.append)


@pytest.fixture
async def voice(server: RunningServer) -> AsyncIterator[TTS]:
    async with TTS(server.http) as created:
        yield created


# --- what LiveKit's tests ask of a plugin ---------------------------------------------------------


async def test_a_text_is_one_request_whose_last_frame_is_final(
    voice: TTS, checker: SpeechChecker
) -> None:
    metrics = Collected(voice, "metrics_collected")
    events = [event async for event in voice.synthesize(STORY)]
    assert [event.is_final for event in events] == [False] * (len(events) - 1) + [True]
    assert all(0 < event.frame.duration < 0.25 for event in events)
    assert len({event.request_id for event in events}) == 1
    assert {event.frame.sample_rate for event in events} == {voice.sample_rate}
    assert len(metrics.events) == 1
    checker.expect_speech((await read_stream(voice.synthesize(STORY))).clip, STORY)


async def test_tokens_are_one_segment_whose_last_frame_is_final(voice: TTS) -> None:
    metrics = Collected(voice, "metrics_collected")
    async with voice.stream() as stream:
        for word in words(STORY):
            stream.push_text(word)
        stream.flush()
        stream.end_input()
        events = [event async for event in stream]
    assert [event.is_final for event in events] == [False] * (len(events) - 1) + [True]
    assert all(0 < event.frame.duration < 0.25 for event in events)
    assert len({event.request_id for event in events}) == 1
    assert len({event.segment_id for event in events}) == 1
    assert events[0].segment_id
    (metric,) = metrics.events
    assert metric.characters_count == len("".join(words(STORY)))
    assert 0 < metric.ttfb < 5


async def test_no_text_is_no_speech_and_no_error(voice: TTS) -> None:
    errors = Collected(voice, "error")
    assert (await push_and_read(voice.stream(), [])).recording.pieces == []
    assert errors.events == []


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_server_that_hangs_is_a_timeout_which_is_retried(
    server: RunningServer, streamed: bool
) -> None:
    async with fault_proxy(server.http) as proxy, TTS(f"http://{proxy.address}") as voice:
        proxy.stall()
        errors, metrics = Collected(voice, "error"), Collected(voice, "metrics_collected")
        impatient = APIConnectOptions(max_retry=3, timeout=0.2, retry_interval=0.0)
        begun_s = time.monotonic()
        if streamed:
            speaking = push_and_read(voice.stream(conn_options=impatient), [HELLO])
        else:
            speaking = read_stream(voice.synthesize(HELLO, conn_options=impatient))
        with pytest.raises(APITimeoutError):
            await speaking
        assert 0.8 <= time.monotonic() - begun_s < 5
        recoverable = [event.recoverable for event in errors.events if event.error]
        assert recoverable.count(True) == 3 or not streamed
        assert recoverable[-1] is False
        assert metrics.events == []


async def test_a_server_that_hangs_after_the_text_is_a_timeout(server: RunningServer) -> None:
    async with fault_proxy(server.http) as proxy, TTS(f"http://{proxy.address}") as voice:
        await push_and_read(voice.stream(), [HELLO])
        proxy.stall()
        once = APIConnectOptions(max_retry=0, timeout=0.3)
        with pytest.raises(APITimeoutError):
            await push_and_read(voice.stream(conn_options=once), [HELLO])


async def test_no_server_is_a_connection_error() -> None:
    async with TTS("http://127.0.0.1:9") as voice:
        with pytest.raises(APIConnectionError):
            await push_and_read(voice.stream(conn_options=ONCE), [HELLO])


# --- errors ---------------------------------------------------------------------------------------


async def test_a_wrong_key_is_not_retried(keyed_server: RunningServer) -> None:
    async with TTS(keyed_server.http, WRONG_KEY) as voice:
        errors = Collected(voice, "error")
        with pytest.raises(APIStatusError, match="API key") as refused:
            await push_and_read(voice.stream(), [HELLO])
        assert refused.value.status_code == 401
        assert [event.recoverable for event in errors.events] == [False]


async def test_the_right_key_is_accepted(keyed_server: RunningServer) -> None:
    async with TTS(keyed_server.http, keyed_server.key) as voice:
        assert (await push_and_read(voice.stream(), [HELLO])).clip.duration_s > 1


async def test_an_unknown_voice_is_not_retried(server: RunningServer) -> None:
    async with TTS(server.http, voice="haert") as voice:
        with pytest.raises(APIStatusError, match="heart") as refused:
            await push_and_read(voice.stream(), [HELLO])
        assert refused.value.status_code == 404


async def test_an_impossible_rate_is_not_retried(server: RunningServer) -> None:
    async with TTS(server.http, sample_rate=7) as voice:
        with pytest.raises(APIStatusError, match="sample_rate") as refused:
            await push_and_read(voice.stream(), [HELLO])
        assert refused.value.status_code == 400


@pytest.mark.parametrize("text", ["...", "\U0001f600", " \n "])
async def test_a_text_without_sound_is_no_failure(voice: TTS, text: str) -> None:
    errors = Collected(voice, "error")
    assert (await push_and_read(voice.stream(conn_options=ONCE), [text])).clip.duration_s <= 0.02
    assert errors.events == []


# --- speech ---------------------------------------------------------------------------------------


async def test_words_are_heard_before_the_sentence_ends_with_their_times(
    voice: TTS, checker: SpeechChecker
) -> None:
    frames = await push_and_read(voice.stream(), words(SENTENCE), period_s=0.06)
    assert frames.recording.first_s < frames.last_text_s
    checker.expect_speech(frames.clip, SENTENCE)
    expect_timed(checker, frames.clip, SENTENCE, frames.words)


async def test_the_timed_transcript_is_exactly_the_text(voice: TTS) -> None:
    text = 'It costs $3.50,  "really" -- see https://example.com (20:15)!\n\nGood-bye. '
    frames = await push_and_read(voice.stream(), [text[n : n + 3] for n in range(0, len(text), 3)])
    assert "".join(word for word, _ in frames.words) == text


async def test_options_apply_from_the_next_answer_on(voice: TTS) -> None:
    usual_s = (await push_and_read(voice.stream(), [STORY])).clip.duration_s
    voice.update_options(speed=1.5)
    faster_s = (await push_and_read(voice.stream(), [STORY])).clip.duration_s
    assert usual_s / faster_s == pytest.approx(1.5, rel=0.1)


async def test_all_answers_use_one_connection_that_prewarm_opens(server: RunningServer) -> None:
    async with fault_proxy(server.http) as proxy, TTS(f"http://{proxy.address}") as voice:
        voice.prewarm()
        voice.prewarm()
        for _ in range(3):
            await push_and_read(voice.stream(), [HELLO])
        assert proxy.connections == 1


async def test_a_broken_connection_is_resumed_within_a_word(
    server: RunningServer, checker: SpeechChecker
) -> None:
    async with fault_proxy(server.http) as proxy, TTS(f"http://{proxy.address}") as voice:
        errors = Collected(voice, "error")
        await push_and_read(voice.stream(), [HELLO])
        proxy.cut_after_bytes = 60_000  # a second of the story
        frames = await push_and_read(voice.stream(), words(STORY), period_s=0.03)
        assert proxy.cuts == 1
        checker.expect_speech(frames.clip, STORY)
        expect_timed(checker, frames.clip, STORY, frames.words)
        assert errors.events == []


async def test_closing_during_speech_leaves_only_the_next_text(
    voice: TTS, checker: SpeechChecker
) -> None:
    stream = voice.stream()
    stream.push_text(f"{STORY} " * 10)
    await anext(stream)
    await stream.aclose()
    checker.expect_speech((await push_and_read(voice.stream(), words(HELLO))).clip, HELLO)


async def test_text_that_is_not_spoken_yet_can_be_taken_back(
    voice: TTS, checker: SpeechChecker
) -> None:
    async with voice.stream() as stream:
        stream.push_text("The lamp is lit. But I must not say tha")
        reading = asyncio.create_task(read_stream(stream))
        await asyncio.sleep(0.3)
        kept = await voice.retract(len("The lamp is lit."))
        assert kept.strip() == "The lamp is lit."
        stream.end_input()
        checker.expect_speech((await reading).clip, kept)


# --- in an AgentSession ---------------------------------------------------------------------------


async def test_after_an_interruption_the_model_is_told_what_was_heard(voice: TTS) -> None:
    model = ScriptedModel(words(STORY), 0.03)
    async with agent_call(voice, model) as call:
        heard = Collected(voice, "heard")
        voice.follow(call.session)
        assert await call.interrupt_after(1_700) < 0.5
        (answer,) = call.answers
        assert answer.interrupted
        assert answer.text_content == heard.events[0].text
        assert answer.text_content in texts_heard(call.speaker)
        model.tokens = ["Good-bye."]
        await call.ask()
        told = [m for m in model.seen_contexts[-1].messages() if m.role == "assistant"]
        assert [m.text_content for m in told] == [answer.text_content]
        assert call.answers[-1].text_content == "Good-bye."
        assert heard.events[1].complete
        assert not call.errors


def texts_heard(speaker: Loudspeaker) -> set[str]:
    """The words that had begun when the playback stopped, with and without the last one."""
    begun = [word for word, start_s in speaker.words if start_s * 1000 <= speaker.played_ms]
    return {"".join(begun).rstrip(), "".join(begun[:-1]).rstrip()}


async def test_an_answer_interrupted_before_its_first_sound_was_not_said(voice: TTS) -> None:
    async with agent_call(voice, ScriptedModel(words(STORY), 0.5)) as call:
        voice.follow(call.session)
        handle = call.session.generate_reply(user_input="Tell me.")
        await asyncio.sleep(0.05)
        await call.session.interrupt()
        await handle
        assert call.answers == []


async def test_the_rate_of_the_output_is_adopted(voice: TTS, checker: SpeechChecker) -> None:
    model = ScriptedModel(words(HELLO))
    async with agent_call(voice, model, speaker=Loudspeaker(16000)) as call:
        voice.follow(call.session)
        await call.ask()
        assert voice.sample_rate == 16000
        checker.expect_speech(call.speaker.clip, HELLO)
        assert len(call.speaker.words) == len(HELLO.split())


class LossySpeaker(Loudspeaker):
    """Lost 0.3 s of audio in a pause, as the room's output does: its position leaves them out."""

    def on_playback_finished(self, **event: Any) -> None:
        played_s = event["playback_position"]
        self.on_playback_progressed(started_at=time.time(), offset=0.3, duration=played_s)
        super().on_playback_finished(**event)


async def test_audio_that_a_pause_has_lost_is_not_heard_later(voice: TTS) -> None:
    async with agent_call(voice, ScriptedModel(words(STORY)), speaker=LossySpeaker()) as call:
        heard = Collected(voice, "heard")
        voice.follow(call.session)
        await call.interrupt_after(1_000)
        assert heard.events[0].ms == pytest.approx(call.speaker.played_ms + 300, abs=1)


async def test_following_twice_is_following_once(voice: TTS) -> None:
    async with agent_call(voice, ScriptedModel(words(HELLO))) as call:
        voice.follow(call.session)
        output = call.session.output.audio
        voice.follow(call.session)
        assert call.session.output.audio is output


async def test_following_needs_an_output(voice: TTS) -> None:
    async with agent_call(voice, ScriptedModel([])) as call:
        call.session.output.audio = None
        with pytest.raises(RuntimeError, match=r"after `await session.start"):
            voice.follow(call.session)


# --- what the server is told ----------------------------------------------------------------------


async def test_the_server_is_told_what_is_played_but_not_during_a_pause() -> None:
    reports: list[tuple[float, float]] = []

    async def speak_two_seconds(peer: ScriptedConnection) -> None:
        message = await peer.receive_any()
        context = message["context"]
        text = await peer.receive_text(len("One two. "))
        for second in range(2):
            await peer.send_audio(context, *[(0, 4), (4, len(text))][second], ms=1000.0)
        while (message := await peer.receive_any())["type"] != "cancel":
            if message["type"] == "played":
                reports.append((time.monotonic(), message["ms"]))

    async with run_server(speak_two_seconds) as url:
        voice = TTS(url, options=Options(progress_timeout_s=30))
        async with agent_call(voice, ScriptedModel(["One ", "two. "])) as call:
            voice.follow(call.session)
            heard = Collected(voice, "heard")
            handle = call.session.generate_reply(user_input="Tell me.")
            await wait_for_reports(reports, 3)
            assert call.session.output.audio is not None
            call.session.output.audio.pause()
            paused_ms = call.speaker.playing_ms
            count = len(reports)
            await wait_for_reports(reports, count + 3)
            assert reports[-1][1] == pytest.approx(paused_ms, abs=60)
            call.session.output.audio.resume()
            await wait_for_reports(reports, len(reports) + 1)
            await call.session.interrupt()
            await handle
            assert [ms for _, ms in reports] == sorted(ms for _, ms in reports)
            assert isinstance(heard.events[0], Heard)
            assert heard.events[0].ms == pytest.approx(call.speaker.played_ms, abs=5)


async def wait_for_reports(reports: list[tuple[float, float]], count: int) -> None:
    async with asyncio.timeout(10):
        while len(reports) < count:  # noqa: ASYNC110 - filled by the scripted server
            await asyncio.sleep(0.01)
