"""pipecat with our own service, alone and in a pipeline with a real-time transport."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from pipecat.frames.frames import (
    AggregatedTextFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    TTSUpdateSettingsFrame,
)
from pipecat.tests.utils import SleepFrame, run_test

from bench.client.fault_proxy import fault_proxy
from duplex_tts.heard import Heard
from duplex_tts.pipecat import DuplexTTSService
from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, SENTENCE, STORY, AudioClip, SpeechChecker, decode
from tests.interop.live_servers import RunningServer
from tests.interop.pipecat_call import PipelineCall, pipeline_call
from tests.interop.pipecat_speakers import (
    SENTENCES,
    expect_timed_speech,
    expect_two_turns_on_one_socket,
)
from tests.interop.pipecat_turn import llm_response, run_turn
from tests.support.scripted_server import ScriptedConnection, run_server


def words(text: str) -> list[str]:
    return [f"{word} " for word in text.split()]


def service(server: RunningServer, **options: Any) -> DuplexTTSService:
    return DuplexTTSService(server.http, **{"key": server.key, **options})


def record_heard(service: DuplexTTSService) -> list[Heard]:
    heard: list[Heard] = []

    async def note(_: DuplexTTSService, what: Heard) -> None:
        heard.append(what)

    service.add_event_handler("on_interrupted", note)
    return heard


# --- what Pipecat's tests ask of a service --------------------------------------------------------


async def test_the_frames_of_an_answer_come_in_pipecats_order(server: RunningServer) -> None:
    down, up = await run_test(
        service(server), frames_to_send=[TTSSpeakFrame(text=HELLO)], start_timeout=10
    )
    kinds = [type(frame) for frame in down]
    started, stopped = kinds.index(TTSStartedFrame), kinds.index(TTSStoppedFrame)
    assert kinds.count(TTSStartedFrame) == kinds.count(TTSStoppedFrame) == 1
    assert kinds.index(AggregatedTextFrame) < stopped
    inside = [n for n, kind in enumerate(kinds) if kind in (TTSAudioRawFrame, TTSTextFrame)]
    assert started < inside[0] < inside[-1] < stopped
    assert not up
    ids = {frame.context_id for frame in down if isinstance(frame, TTSAudioRawFrame)}
    assert ids == {down[started].context_id}


async def test_tokens_are_heard_before_the_sentence_ends(
    server: RunningServer, checker: SpeechChecker
) -> None:
    tokens = [SENTENCE[n : n + 4] for n in range(0, len(SENTENCE), 4)]
    listener = await run_turn(service(server), llm_response(tokens, period_s=0.04))
    assert listener.spoke_while_written
    checker.expect_speech(listener.clip, SENTENCE)
    assert [word for word, _ in listener.words] == SENTENCE.split()


async def test_two_turns_share_one_connection(
    server: RunningServer, checker: SpeechChecker
) -> None:
    async with fault_proxy(server.http) as proxy:
        voice = DuplexTTSService(f"http://{proxy.address}")
        await expect_two_turns_on_one_socket(voice, checker)
        assert proxy.connections == 1


async def test_a_turn_is_spoken_at_the_rate_of_the_pipeline(
    server: RunningServer, checker: SpeechChecker
) -> None:
    listener = await run_turn(service(server), llm_response([HELLO]), sample_rate_hz=8000)
    assert listener.sample_rate_hz == 8000
    checker.expect_speech(listener.clip, HELLO)


async def test_a_broken_connection_is_resumed_within_a_word(
    server: RunningServer, checker: SpeechChecker
) -> None:
    async with fault_proxy(server.http) as proxy:
        proxy.cut_after_bytes = 60_000
        voice = DuplexTTSService(f"http://{proxy.address}")
        listener = await run_turn(voice, llm_response(words(STORY), period_s=0.03))
        assert proxy.cuts == 1
    expect_timed_speech(checker, listener, STORY)
    assert listener.turns == 1


async def test_settings_change_from_the_next_turn_on(server: RunningServer) -> None:
    Settings = DuplexTTSService.Settings
    frames: list[Frame] = [
        *llm_response([STORY]),
        TTSUpdateSettingsFrame(delta=Settings(speed=1.5)),
        *llm_response([STORY]),
    ]
    voice = service(server, settings=Settings(voice="heart", speed=1.0))
    down, _ = await run_test(voice, frames_to_send=frames, start_timeout=10)
    seconds: dict[str, float] = {}
    for frame in down:
        if isinstance(frame, TTSAudioRawFrame):
            seconds[str(frame.context_id)] = (
                seconds.get(str(frame.context_id), 0.0) + len(frame.audio) / 2 / frame.sample_rate
            )
    first, second = seconds.values()
    assert first / second == pytest.approx(1.5, rel=0.1)


# --- errors ---------------------------------------------------------------------------------------


async def test_a_wrong_key_is_one_pipeline_error_with_the_reason(
    keyed_server: RunningServer,
) -> None:
    with pytest.raises(AssertionError, match="API key"):
        await run_turn(service(keyed_server, key=WRONG_KEY), llm_response([HELLO]))


async def test_the_right_key_is_accepted(keyed_server: RunningServer) -> None:
    listener = await run_turn(service(keyed_server), llm_response([HELLO]))
    assert listener.clip.duration_s > 1


async def test_an_unknown_voice_is_a_pipeline_error_that_names_the_voices(
    server: RunningServer,
) -> None:
    voice = service(server, settings=DuplexTTSService.Settings(voice="haert"))
    with pytest.raises(AssertionError, match="heart"):
        await run_turn(voice, llm_response([HELLO]))


async def test_no_server_is_a_pipeline_error() -> None:
    with pytest.raises(AssertionError, match="no speech server answers"):
        await run_turn(DuplexTTSService("http://127.0.0.1:9"), llm_response([HELLO]))


async def test_texts_without_sound_are_no_failure(server: RunningServer) -> None:
    turns = [frame for _ in range(4) for frame in llm_response(["..."])]
    listener = await run_turn(service(server), turns)
    assert listener.clip.duration_s < 0.1


# --- interruption ---------------------------------------------------------------------------------


async def test_only_the_next_turn_is_heard_after_an_interruption(
    server: RunningServer, checker: SpeechChecker
) -> None:
    voice = service(server)
    interruption = [SleepFrame(0.5), InterruptionFrame(), SleepFrame(0.3)]
    turns = [*llm_response(SENTENCES * 30), *interruption, *llm_response([HELLO])]
    listener = await run_turn(voice, turns)
    assert listener.interrupted_at_s is not None
    later = listener.recording.data_after(listener.interrupted_at_s)
    checker.expect_speech(decode(later, "s16le", 24000), HELLO)


def expect_heard(call: PipelineCall, heard: Heard, answer: str) -> None:
    """Both are what was played; Pipecat's context may have one word more, which had begun."""
    assert answer.startswith(heard.text)
    assert len(answer.split()) - len(heard.text.split()) in (0, 1)
    assert not heard.complete


async def test_after_an_interruption_the_context_has_what_was_heard(
    server: RunningServer,
) -> None:
    voice = service(server)
    heard = record_heard(voice)
    async with pipeline_call(voice) as call:
        await call.write(words(STORY), 0.03)
        await call.wait_played(1_700)
        assert await call.interrupt() < 0.5
        assert heard[0].ms == pytest.approx(call.played_at_interruption_ms + call.lag_ms, abs=150)
        expect_heard(call, heard[0], call.answers[-1])
        await call.write(["Good-bye."])
    assert call.answers[-1] == "Good-bye."
    assert not call.errors


async def test_an_answer_whose_audio_is_all_sent_is_cut_at_what_was_played(
    server: RunningServer,
) -> None:
    """The service has sent everything, the transport plays: what was heard is still known."""
    voice = service(server)
    heard = record_heard(voice)
    async with pipeline_call(voice) as call:
        await call.write([HELLO])
        await call.wait_played(900)
        await call.interrupt()
    expect_heard(call, heard[0], call.answers[-1])


async def test_a_second_answer_is_timed_after_the_first_one(server: RunningServer) -> None:
    """Both are with the transport when the second is interrupted."""
    voice = service(server)
    heard = record_heard(voice)
    async with pipeline_call(voice) as call:
        await call.write(["Let me look that up."])
        await call.write(words(STORY))
        await call.wait_played(2_700)  # of the second one a second and a half
        await call.interrupt()
    assert call.answers[0].startswith("Let me look that up")
    expect_heard(call, heard[0], call.answers[-1])


async def test_an_answer_that_may_not_be_interrupted_is_heard_to_its_end(
    server: RunningServer, checker: SpeechChecker
) -> None:
    """Also while it still waits behind another one, which is interrupted."""
    voice = service(server)
    heard = record_heard(voice)
    async with pipeline_call(voice) as call:
        await call.worker.queue_frame(TTSSpeakFrame(text=SENTENCE))
        kept = TTSSpeakFrame(text=HELLO)
        kept.interruptible = False
        await call.worker.queue_frame(kept)
        await call.wait_played(700)
        await call.interrupt()
        interrupted_ms = call.speaker.played_ms
    assert [SENTENCE.startswith(part.text) for part in heard] == [True]
    after = call.speaker.clip.samples[int(call.played_at_interruption_ms * 16) :]
    assert interrupted_ms < 3_000
    checker.expect_speech(AudioClip(after), HELLO)


async def test_the_text_that_stays_after_a_retraction_is_all_that_is_said(
    server: RunningServer, checker: SpeechChecker
) -> None:
    voice = service(server)
    async with pipeline_call(voice) as call:
        writing = asyncio.create_task(
            call.write(["The lamp is lit. ", "But I must not say tha"], 0.3)
        )
        await asyncio.sleep(0.45)
        kept = await voice.retract(len("The lamp is lit. "))
        await writing
        await call.wait_played(1_200)
    assert kept == "The lamp is lit. "
    assert call.answers == ["The lamp is lit."]
    checker.expect_speech(call.speaker.clip, kept)


async def test_an_answer_goes_on_after_a_retraction_that_the_model_outlasts(
    server: RunningServer,
) -> None:
    voice = service(server)
    async with pipeline_call(voice) as call:
        writing = asyncio.create_task(
            call.write(["I ", "must ", "not say tha", "t ", "at ", "all."], 0.5)
        )
        await asyncio.sleep(1.2)
        kept = await voice.retract()
        await writing
        await call.write(["Next."])
        await call.wait_played(1_200)
    assert kept
    assert call.answers == [kept.strip(), "Next."]


async def test_an_answer_that_fails_is_reported_once_and_the_next_one_speaks(
    server: RunningServer,
) -> None:
    fast = DuplexTTSService.Settings(speed=9)
    voice = service(server)
    frames = [
        TTSUpdateSettingsFrame(delta=fast),
        *llm_response(["One ", "two ", "three."], period_s=0.3),
        TTSUpdateSettingsFrame(delta=DuplexTTSService.Settings(speed=1)),
        TTSSpeakFrame(text=HELLO),
        SleepFrame(0.5),
    ]
    down, up = await run_test(voice, frames_to_send=frames, start_timeout=10)
    errors = [frame.error for frame in up if isinstance(frame, ErrorFrame)]
    assert len([error for error in errors if "speed" in error]) == 1
    said = [frame.text for frame in down if isinstance(frame, TTSTextFrame)]
    assert said == HELLO.split()


# --- what the server is told ----------------------------------------------------------------------


async def test_the_server_is_told_what_is_played() -> None:
    reports: list[float] = []

    async def speak_two_seconds(peer: ScriptedConnection) -> None:
        context = (await peer.receive_any())["context"]
        await peer.receive_text(len("One two. "))
        await peer.send_audio(context, 0, 9, ms=2000.0)
        begun_s = time.monotonic()
        while (message := await peer.receive_any())["type"] != "cancel":
            if message["type"] == "played":
                reports.append(message["ms"])
                assert message["ms"] <= (time.monotonic() - begun_s) * 1000 + 50
        await peer.send(type="cancelled", context=context, text_to=9, audio_ms=2000.0)

    async with run_server(speak_two_seconds) as url:
        voice = DuplexTTSService(url)
        heard = record_heard(voice)
        async with pipeline_call(voice) as call:
            await call.write(["One ", "two. "])
            await call.wait_played(1_000)
            await call.interrupt()
    assert len(reports) >= 3
    assert reports == sorted(reports)
    assert heard[0].ms == pytest.approx(call.played_at_interruption_ms + call.lag_ms, abs=150)
