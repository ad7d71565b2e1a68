"""The language that a client of each protocol asks for, and `auto`."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.engines.multilingual_model import LANGUAGES, MultilingualModel
from tests.support.live_server import LiveServer, live_server

GERMAN, RUSSIAN = "Ich habe gestern mit ihr telefoniert. ", "Где он живёт?"
_LAST = re.compile(r'"type": ?"(done|error|conversation.item.audio_output.done)"')
Ask = Callable[[LiveServer, str, str], Awaitable[str]]


@pytest.fixture
async def live() -> AsyncIterator[LiveServer]:
    async with live_server(MultilingualModel()) as live:
        spoken_by(live).clear()  # the warm-up
        yield live


def spoken_by(live: LiveServer) -> list[str | None]:
    assert isinstance(live.model, MultilingualModel)
    return live.model.spoken


async def post(live: LiveServer, path: str, body: dict[str, Any]) -> str:
    async with httpx.AsyncClient(base_url=live.http) as http:
        response = await http.post(path, json=body)
    return "" if response.is_success else response.text


async def talk(live: LiveServer, path: str, *messages: dict[str, Any]) -> str:
    """Send these; returns the texts received until the end, or the close."""
    received: list[str] = []
    async with asyncio.timeout(20), connect(f"ws://{live.address}{path}", max_size=None) as socket:
        for message in messages:
            await socket.send(json.dumps(message))
        try:
            while not _LAST.search("".join(received[-1:])):
                answer = await socket.recv()
                received += [answer] if isinstance(answer, str) else []
        except ConnectionClosed as closed:
            received.append(str(closed))
    return "".join(received)


async def ask_native(live: LiveServer, language: str, voice: str) -> str:
    start = {"type": "start", "context": "a", "language": language, "voice": voice}
    text = {"type": "text", "context": "a", "text": GERMAN + RUSSIAN}
    return await talk(live, "/ws/tts", start, text, {"type": "end", "context": "a"})


async def ask_native_http(live: LiveServer, language: str, voice: str) -> str:
    body = {"text": GERMAN + RUSSIAN, "language": language, "voice": voice}
    return await post(live, "/v1/speech", body)


async def ask_reading(live: LiveServer, language: str, voice: str) -> str:
    body = {"text": GERMAN + RUSSIAN, "language": language, "voice": voice}
    return await post(live, "/v1/read", body)


def cartesia_body(language: str, voice: str) -> dict[str, Any]:
    return {
        "context_id": "a",
        "transcript": GERMAN + RUSSIAN,
        "voice": {"mode": "id", "id": voice},
        "language": language,
        "output_format": {"container": "raw", "encoding": "pcm_f32le", "sample_rate": 24_000},
    }


async def ask_cartesia(live: LiveServer, language: str, voice: str) -> str:
    return await talk(live, "/tts/websocket", cartesia_body(language, voice))


async def ask_cartesia_http(live: LiveServer, language: str, voice: str) -> str:
    return await post(live, "/tts/bytes", cartesia_body(language, voice))


async def ask_elevenlabs(live: LiveServer, language: str, voice: str) -> str:
    path = f"/v1/text-to-speech/{voice}/stream-input?language_code={language}"
    return await talk(live, path, {"text": " "}, {"text": GERMAN + RUSSIAN}, {"text": ""})


async def ask_elevenlabs_http(live: LiveServer, language: str, voice: str) -> str:
    body = {"text": GERMAN + RUSSIAN, "language_code": language}
    return await post(live, f"/v1/text-to-speech/{voice}", body)


async def ask_openai(live: LiveServer, language: str, voice: str) -> str:
    body = {"input": GERMAN + RUSSIAN, "language": language, "voice": voice}
    return await post(live, "/v1/audio/speech", body)


async def ask_together(live: LiveServer, language: str, voice: str) -> str:
    path = f"/v1/audio/speech/websocket?language={language}&voice={voice}"
    text = {"type": "input_text_buffer.append", "text": GERMAN + RUSSIAN}
    try:
        return await talk(live, path, text, {"type": "input_text_buffer.commit"})
    except InvalidStatus as refused:
        return (refused.response.body or b"").decode()


async def ask_together_http(live: LiveServer, language: str, voice: str) -> str:
    body = {"input": GERMAN + RUSSIAN, "language": language, "voice": voice}
    return await post(live, "/v1/audio/speech", body | {"segment": "sentence"})


SPEAKING: list[Ask] = [
    ask_native,
    ask_native_http,
    ask_cartesia,
    ask_cartesia_http,
    ask_elevenlabs,
    ask_elevenlabs_http,
    ask_openai,
    ask_together,
    ask_together_http,
]


@pytest.mark.parametrize("ask", [*SPEAKING, ask_reading])
async def test_a_language_that_the_voice_lacks_is_refused_naming_those_it_has(
    live: LiveServer, ask: Ask
) -> None:
    answer = await ask(live, "ja", "heart")
    assert ", ".join(LANGUAGES) in answer
    assert spoken_by(live) == []


@pytest.mark.parametrize("ask", SPEAKING)
async def test_auto_chooses_the_language_of_each_sentence(live: LiveServer, ask: Ask) -> None:
    pytest.importorskip("py3langid")
    await ask(live, "auto", "heart")
    assert spoken_by(live) == ["de", "ru"]


@pytest.mark.parametrize("ask", SPEAKING)
async def test_auto_is_the_language_of_a_voice_of_one(live: LiveServer, ask: Ask) -> None:
    await ask(live, "AUTO", "second")
    assert spoken_by(live) == ["en", "en"]


async def test_auto_without_a_voice_chooses_among_the_default_voices_languages(
    live: LiveServer,
) -> None:
    pytest.importorskip("py3langid")
    assert await post(live, "/v1/speech", {"text": GERMAN + RUSSIAN, "language": "auto"}) == ""
    assert spoken_by(live) == ["de", "ru"]


async def test_a_text_that_no_language_of_the_voice_can_read_is_refused(live: LiveServer) -> None:
    assert "unreadable" in await post(live, "/v1/speech", {"text": "日本", "language": "auto"})
    body = {"text": RUSSIAN, "language": "auto", "voice": "second"}
    assert "unreadable" in await post(live, "/v1/speech", body)


@pytest.mark.parametrize(("language", "told"), [("DE_at", "de"), ("ru-RU", "ru"), ("en", "en")])
async def test_the_engine_is_told_the_tag_of_the_voice(
    live: LiveServer, language: str, told: str
) -> None:
    await ask_native_http(live, language, "heart")
    assert set(spoken_by(live)) == {told}
