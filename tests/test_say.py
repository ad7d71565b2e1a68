import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from duplex_tts import say
from duplex_tts.devices import DeviceFailed, NullDevice
from duplex_tts.errors import Refused, SpeechFailed
from duplex_tts.player import Player
from duplex_tts.say import Errand, Report, arriving, given, say_aloud, say_into
from tests.scripted_server import Peer, server


async def speak_all(peer: Peer) -> dict[str, Any]:
    """Take text until its end, then speak it at once; returns the `start`."""
    start, text = await peer.receive("start"), ""
    while (message := await peer.receive_any())["type"] == "text":
        text += message["text"]
    assert message["type"] == "end"
    await peer.audio(start["context"], 0, len(text))
    await peer.done(start["context"], ms=10, characters=len(text), chunks=1)
    return {**start, "said": text}


def errand(url: str, text: AsyncIterator[str], **options: Any) -> Errand:
    return Errand(url, None, text, **options)


# --- what is said -----------------------------------------------------------------------------


async def test_a_listener_gets_live_speech_and_hears_each_word() -> None:
    starts, words = [], []

    async def script(peer: Peer) -> None:
        starts.append(await speak_all(peer))

    report, device = Report(), NullDevice(record=True)
    async with server(script) as url:
        await say_aloud(
            errand(
                url,
                given("Hello there"),
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


async def test_a_file_gets_whole_sentences(tmp_path: Path) -> None:
    starts, words = [], []

    async def script(peer: Peer) -> None:
        starts.append(await speak_all(peer))

    async with server(script) as url:
        told = errand(url, given("Hello there"), on_word=lambda _, text: words.append(text))
        await say_into(told, tmp_path / "speech", "flac", Report())
    assert starts[0]["mode"] == "batch"
    assert words == ["Hello there"]
    assert soundfile.info(tmp_path / "speech").frames == 1


async def test_a_refusal_raises_without_waiting_for_more_text() -> None:
    async def script(peer: Peer) -> None:
        start = await peer.receive("start")
        await peer.say(
            type="error", context=start["context"], code="unknown_voice", message="no voice bob"
        )

    async def never_ends() -> AsyncIterator[str]:
        yield "Hello"
        await asyncio.Event().wait()

    async with server(script) as url:
        with pytest.raises(SpeechFailed, match=r"no voice bob \(unknown_voice\)"):
            await say_aloud(errand(url, never_ends()), NullDevice(), Report())


async def test_what_could_not_be_spoken_is_told_after_the_rest_was_heard() -> None:
    async def script(peer: Peer) -> None:
        start = await peer.receive("start")
        await peer.say(
            type="error", context=start["context"], code="engine_failed", message="broken"
        )
        await peer.receive_text(5)
        await peer.receive("end")
        await peer.audio(start["context"], 0, 5)
        await peer.done(start["context"], ms=10, characters=5, chunks=1)

    device = NullDevice(record=True)
    async with server(script) as url:
        with pytest.raises(SpeechFailed, match=r"not all was spoken: broken"):
            await say_aloud(errand(url, given("Hello")), device, Report())
    assert device.recording().any()


async def test_a_session_that_is_lost_for_good_raises_as_itself() -> None:
    async def script(peer: Peer) -> None:
        await peer.receive("start")
        peer.vanish()

    async def not_any_more(peer: Peer) -> None:
        await peer.say(type="error", context=None, code="invalid_api_key", message="no")

    async with server(script, not_any_more, greetings=1) as url:
        with pytest.raises(Refused):
            await say_aloud(errand(url, given("Hi")), NullDevice(), Report())


async def test_without_anything_that_plays_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(peer: Peer) -> None:
        await peer.left()

    def mute(device: None, sample_rate_hz: int) -> Player:
        return Player(NullDevice(), sample_rate_hz)

    monkeypatch.setattr(say, "Player", mute)
    async with server(script) as url:
        with pytest.raises(DeviceFailed, match=r"-o hello\.wav"):
            await say_aloud(errand(url, given("Hello")), None, Report())


# --- where text comes from ----------------------------------------------------------------------


async def test_text_is_read_as_it_arrives_and_characters_are_never_torn() -> None:
    read_end, write_end = os.pipe()
    text = arriving(read_end)
    os.write(write_end, "Hé".encode()[:2])
    assert await anext(text) == "H"
    os.write(write_end, "Hé".encode()[2:] + b"!")
    assert await anext(text) == "é!"
    os.write(write_end, b"\xe2\x82")
    os.close(write_end)
    assert [piece async for piece in text] == ["\N{REPLACEMENT CHARACTER}"]
    os.close(read_end)


async def test_a_file_and_a_closed_descriptor_can_be_read_too(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("from a file")
    with (tmp_path / "text").open() as file:
        assert [piece async for piece in arriving(file.fileno())] == ["from a file"]
    assert [piece async for piece in arriving(-1)] == []


async def test_an_argument_that_is_no_utf8_can_still_be_sent() -> None:
    undecodable = os.fsdecode(b"caf\xe9")
    assert [piece async for piece in given(undecodable)] == ["caf\N{REPLACEMENT CHARACTER}"]
