import asyncio
from collections.abc import AsyncIterator

import pytest

from duplex_tts import ConnectionLost, SpeechFailed
from duplex_tts.agents.kept_session import KeptSession, check_speech_parameters
from duplex_tts.agents.speech import Speech, TimedText
from duplex_tts.events import Audio
from duplex_tts.heard import Heard
from tests.client.test_utterance import speak_everything
from tests.support.live_server import live_server
from tests.support.scripted_server import ScriptedConnection, run_server

TEXT = "Hello there, \U0001f600 how are you? It costs $3.50 -- well, unbelievable!  Good-bye. "


@pytest.fixture
async def session() -> AsyncIterator[KeptSession]:
    async with live_server() as live:
        kept = KeptSession(live.address, None, None)
        yield kept
        await kept.close()


async def speak(speech: Speech, *pieces: str) -> list[Audio]:
    for piece in pieces:
        await speech.push(piece)
    await speech.end()
    return [audio async for audio in speech]


async def test_the_timed_words_together_are_the_text(session: KeptSession) -> None:
    speech = await session.start_speech({})
    chunks = await speak(speech, *[TEXT[n : n + 3] for n in range(0, len(TEXT), 3)])
    parts = [part for chunk in chunks for part in speech.timed_text(chunk)]
    assert "".join(part.text for part in parts) == TEXT
    assert all(part.start_ms <= part.end_ms <= speech.audio_ms for part in parts)
    assert sorted(parts, key=lambda part: part.start_ms) == parts


async def test_what_was_heard_ends_with_the_last_word_heard_by_half() -> None:
    async with run_server(speak_everything) as url:
        session = KeptSession(url, None, None)
        speech = await session.start_speech({})
        await speak(speech, "One ", "two ", "three. ")  # each word takes 100 ms
        assert speech.heard(0.0) == Heard("", 0.0, complete=False)
        assert speech.heard(149.0) == Heard("One ", 149.0, complete=False)
        assert speech.heard(150.0) == Heard("One two ", 150.0, complete=False)
        assert speech.heard(9999.0) == Heard("One two three. ", 300.0, complete=True)
        await session.close()


async def test_a_chunk_without_words_has_one_timed_text() -> None:
    async with run_server(speak_everything) as url:
        session = KeptSession(url, None, None)
        speech = await session.start_speech({})
        await speak(speech, "One ")
        silent = Audio(speech.id, 0, 50.0, 10.0, (0, 4), (), b"")
        assert speech.timed_text(silent) == [TimedText("One ", 50.0, 60.0)]
        assert speech.timed_text(Audio(speech.id, 0, 50.0, 0.0, (4, 4), (), b"")) == []
        await session.close()


async def test_text_is_taken_back_unless_it_is_spoken(session: KeptSession) -> None:
    speech = await session.start_speech({})
    await speech.push("One half")
    receiving = asyncio.create_task(collect(speech))
    assert await speech.retract(4) == "One "
    await speech.push("more.")
    await speech.end()
    assert (await receiving)[-1].text[1] == len("One more.")
    assert speech.text == "One more."
    assert await speech.retract(0) == "One more."


async def test_a_retraction_after_the_iteration_does_not_wait(session: KeptSession) -> None:
    speech = await session.start_speech({})
    await speech.push("One two three. ")
    receiving = asyncio.create_task(collect(speech))
    await asyncio.sleep(0)
    receiving.cancel()
    await asyncio.wait([receiving])
    async with asyncio.timeout(5):
        assert await speech.retract(0) == "One two three. "


async def test_half_an_emoji_does_not_end_the_speech(session: KeptSession) -> None:
    speech = await session.start_speech({})
    assert await speak(speech, "One ", "\ud83d", "\ude00 two \ud83d\ude00.")
    assert speech.text == "One \ufffd\ufffd two \U0001f600."


async def collect(speech: Speech) -> list[Audio]:
    return [audio async for audio in speech]


async def test_a_cancelled_speech_ends_its_iteration_and_knows_its_words() -> None:
    async with run_server(speak_everything) as url:
        session = KeptSession(url, None, None)
        speech = await session.start_speech({})
        await speech.push("One ")
        async for _ in speech:
            speech.cancel()
        assert speech.heard(60.0).text == "One "
        await session.close()


async def test_all_speeches_share_one_session_that_is_opened_once() -> None:
    connections = 0

    async def count(peer: ScriptedConnection) -> None:
        nonlocal connections
        connections += 1
        await speak_everything(peer)

    async with run_server(count) as url:
        session = KeptSession(url, None, None)
        speeches = await asyncio.gather(*(session.start_speech({}) for _ in range(3)))
        for speech in speeches:
            assert len(await speak(speech, "Hello.")) == 1
        await session.close()
    assert connections == 1


async def test_a_failed_opening_is_tried_again_by_the_next_speech() -> None:
    session = KeptSession("http://127.0.0.1:9", None, None)
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            await session.start_speech({})
    assert not session.is_open


async def test_a_refusal_is_raised_with_its_code(session: KeptSession) -> None:
    with pytest.raises(SpeechFailed) as failed:
        await speak(await session.start_speech({"voice": "nobody"}), "Hello.")
    assert failed.value.code == "unknown_voice"


def test_wrong_parameters_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match="unknown parameter 'pitch'"):
        check_speech_parameters({"pitch": 2})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(ValueError, match="pcm_s16le"):
        check_speech_parameters({"format": "opus"})
