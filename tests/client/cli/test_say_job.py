import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from duplex_tts.cli import say_job
from duplex_tts.cli.say_job import SayJob, SayReport, say_aloud, say_to_file
from duplex_tts.errors import NothingToSpeak, Refused, SpeechFailed
from duplex_tts.playback.devices import DeviceFailed, NullDevice
from duplex_tts.player import Player
from tests.support.live_server import wait_until
from tests.support.scripted_server import ScriptedConnection, run_server


async def speak_all(peer: ScriptedConnection) -> dict[str, Any]:
    """Receive the text to its end, then speak it at once; returns the `start` message."""
    start, text = await peer.receive("start"), ""
    while (message := await peer.receive_any())["type"] == "text":
        text += message["text"]
    assert message["type"] == "end"
    await peer.send_audio(start["context"], 0, len(text))
    await peer.send_done(start["context"], ms=10, characters=len(text), chunks=1)
    return {**start, "said": text}


def create_job(url: str, text: str | AsyncIterator[str], **options: Any) -> SayJob:
    return SayJob(url, None, text, **options)


# --- speaking -------------------------------------------------------------------------------------


async def test_say_aloud_uses_live_mode_and_reports_each_word() -> None:
    starts, words = [], []

    async def script(peer: ScriptedConnection) -> None:
        starts.append(await speak_all(peer))

    report, device = SayReport(), NullDevice(record=True)
    async with run_server(script) as url:
        await say_aloud(
            create_job(
                url,
                "Hello there",
                parameters={"voice": "heart", "speed": None},
                on_word=lambda _, text: words.append(text),
            ),
            device,
            report,
        )
    assert starts[0].get("mode", "live") == "live"
    assert (starts[0]["voice"], starts[0]["said"]) == ("heart", "Hello there")
    assert "speed" not in starts[0]
    assert words == ["Hello there"]
    assert device.recording().any()
    assert report.utterance is not None
    assert report.utterance.audio_ms == 10


async def test_say_to_file_uses_batch_mode(tmp_path: Path) -> None:
    starts, words = [], []

    async def script(peer: ScriptedConnection) -> None:
        starts.append(await speak_all(peer))

    async with run_server(script) as url:
        saying = create_job(url, "Hello there", on_word=lambda _, text: words.append(text))
        await say_to_file(saying, tmp_path / "speech", "flac", SayReport())
    assert starts[0]["mode"] == "batch"
    assert words == ["Hello there"]
    assert soundfile.info(tmp_path / "speech").frames == 240


async def test_a_refusal_raises_without_waiting_for_more_text() -> None:
    async def script(peer: ScriptedConnection) -> None:
        start = await peer.receive("start")
        await peer.send(
            type="error", context=start["context"], code="unknown_voice", message="no voice bob"
        )

    async def never_ends() -> AsyncIterator[str]:
        yield "Hello"
        await asyncio.Event().wait()

    async with run_server(script) as url:
        with pytest.raises(SpeechFailed, match=r"no voice bob \(unknown_voice\)"):
            await say_aloud(create_job(url, never_ends()), NullDevice(), SayReport())


async def test_a_failed_sentence_raises_after_the_rest_was_heard() -> None:
    async def script(peer: ScriptedConnection) -> None:
        start = await peer.receive("start")
        await peer.send(
            type="error", context=start["context"], code="engine_failed", message="broken"
        )
        await peer.receive_text(5)
        await peer.receive("end")
        await peer.send_audio(start["context"], 0, 5)
        await peer.send_done(start["context"], ms=10, characters=5, chunks=1)

    device = NullDevice(record=True)
    async with run_server(script) as url:
        with pytest.raises(SpeechFailed, match=r"not all was spoken: broken"):
            await say_aloud(create_job(url, "Hello"), device, SayReport())
    assert device.recording().any()


async def test_a_session_that_is_lost_for_good_raises_as_itself() -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.receive("start")
        peer.reset_connection()

    async def not_any_more(peer: ScriptedConnection) -> None:
        await peer.send(type="error", context=None, code="invalid_api_key", message="no")

    async with run_server(script, not_any_more, greetings=1) as url:
        with pytest.raises(Refused):
            await say_aloud(create_job(url, "Hi"), NullDevice(), SayReport())


async def test_say_aloud_raises_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(peer: ScriptedConnection) -> None:
        await peer.wait_closed()

    def mute(device: None, sample_rate_hz: int) -> Player:
        return Player(NullDevice(), sample_rate_hz)

    monkeypatch.setattr(say_job, "Player", mute)
    async with run_server(script) as url:
        with pytest.raises(DeviceFailed, match=r"install.*alsa-utils.*-o hello\.wav"):
            await say_aloud(create_job(url, "Hello"), None, SayReport())


# --- nothing to speak, failures -------------------------------------------------------------------


async def speak_silence(peer: ScriptedConnection) -> None:
    """Answer text that has no sound."""
    start = await peer.receive("start")
    text = (await peer.receive("text"))["text"]
    await peer.receive("end")
    await peer.send_audio(start["context"], 0, len(text), ms=0.0)
    await peer.send_done(start["context"], ms=0.0, characters=len(text), chunks=1)


async def test_text_without_words_leaves_the_file_unchanged(tmp_path: Path) -> None:
    good = tmp_path / "good.wav"
    good.write_bytes(b"good")
    async with run_server(speak_silence) as url:
        with pytest.raises(NothingToSpeak):
            await say_to_file(create_job(url, "\N{GRINNING FACE}"), good, None, SayReport())
    assert good.read_bytes() == b"good"
    assert os.listdir(tmp_path) == ["good.wav"]


async def test_text_without_words_raises_when_played() -> None:
    async with run_server(speak_silence) as url:
        with pytest.raises(NothingToSpeak):
            await say_aloud(create_job(url, "\N{GRINNING FACE}"), NullDevice(), SayReport())


async def test_a_server_failure_leaves_an_existing_file_unchanged(tmp_path: Path) -> None:
    async def script(peer: ScriptedConnection) -> None:
        start = await peer.receive("start")
        await peer.receive_text(5)
        await peer.send_audio(start["context"], 0, 3)
        await peer.send(type="error", context=None, code="session_ended", message="enough")

    old, new = tmp_path / "old.wav", tmp_path / "new.wav"
    old.write_bytes(b"good")
    for path in (old, new):
        async with run_server(script) as url:
            with pytest.raises(Refused):
                await say_to_file(create_job(url, "Hello"), path, None, SayReport())
    assert old.read_bytes() == b"good"
    assert soundfile.info(new).frames == 240, "a new file holds what was said"
    assert sorted(os.listdir(tmp_path)) == ["new.wav", "old.wav"]


async def test_an_interrupted_report_counts_what_was_heard_not_what_was_received() -> None:
    received = asyncio.Event()

    async def script(peer: ScriptedConnection) -> None:
        start = await peer.receive("start")
        await peer.receive_text(5)
        await peer.send_audio(start["context"], 0, 5, ms=5_000.0)
        received.set()

    report = SayReport()
    async with run_server(script) as url:
        saying = asyncio.create_task(say_aloud(create_job(url, "Hello"), NullDevice(), report))
        await received.wait()
        await wait_until(lambda: report.words == 1, 20)
        saying.cancel()
        await asyncio.wait([saying])
    assert report.utterance is not None
    assert report.utterance.audio_ms == 5_000
    assert 0 <= report.heard_ms < 4_000
    assert not report.complete


# --- subtitles ------------------------------------------------------------------------------------


async def speak_first_sentence(peer: ScriptedConnection) -> None:
    """Speak `One.` of a text and never more."""
    start = await peer.receive("start")
    await peer.receive_text(9)
    await peer.receive("end")
    await peer.send_audio(start["context"], 0, 4)


async def test_subtitles_are_written_beside_the_sound(tmp_path: Path) -> None:
    async def script(peer: ScriptedConnection) -> None:
        await speak_all(peer)

    paths = [tmp_path / "hello.srt", tmp_path / "hello.json"]
    async with run_server(script) as url:
        job = create_job(url, "Hello there", subtitles=paths)
        await say_to_file(job, tmp_path / "hello.wav", None, SayReport())
    assert paths[0].read_text(encoding="utf-8").endswith("\nHello there\n")
    assert json.loads(paths[1].read_bytes())["words"][0]["word"] == "Hello there"
    assert sorted(os.listdir(tmp_path)) == ["hello.json", "hello.srt", "hello.wav"]


@pytest.mark.parametrize("existed", [False, True])
async def test_an_interrupt_keeps_sound_and_subtitles_of_one_speech(
    tmp_path: Path, existed: bool
) -> None:
    sound, srt = tmp_path / "x.wav", tmp_path / "x.srt"
    if existed:
        sound.write_bytes(b"former")
        srt.write_text("former")
    report = SayReport()
    async with run_server(speak_first_sentence) as url:
        job = create_job(url, "One. Two.", subtitles=[srt])
        saying = asyncio.create_task(say_to_file(job, sound, None, report))
        await wait_until(lambda: report.heard_ms > 0, 10)
        saying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saying
    if existed:
        assert (sound.read_bytes(), srt.read_text()) == (b"former", "former")
    else:
        assert soundfile.info(sound).frames == 240
        assert srt.read_text().splitlines()[2:] == ["One."]
    assert sorted(os.listdir(tmp_path)) == ["x.srt", "x.wav"]


async def test_a_text_without_sound_leaves_no_subtitles(tmp_path: Path) -> None:
    async def script(peer: ScriptedConnection) -> None:
        start = await peer.receive("start")
        await peer.receive_text(1)
        await peer.receive("end")
        await peer.send_audio(start["context"], 0, 1, ms=0)
        await peer.send_done(start["context"], ms=0, characters=1, chunks=1)

    async with run_server(script) as url:
        job = create_job(url, "🙂", subtitles=[tmp_path / "x.vtt"])
        with pytest.raises(NothingToSpeak):
            await say_to_file(job, tmp_path / "x.wav", None, SayReport())
    assert os.listdir(tmp_path) == []
