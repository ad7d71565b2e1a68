"""Speech over HTTP, at the real server with the fake engine."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import wave
from collections.abc import AsyncIterator

import av
import httpx
import numpy as np
import pytest

from backend.errors import EngineFailed
from backend.sessions.audio_sender import RenderedSpan
from backend.sessions.context import Context
from tests.support.engines.fake_engine import FakeModel, decode_pcm
from tests.support.live_server import live_server, wait_until


async def test_events_are_streamed_as_json_lines() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        body = {"text": "Hello there. How are you?", "format": "pcm_f32le"}
        answer = await http.post("/v1/speech", json=body)
        assert answer.headers["content-type"] == "application/x-ndjson"
        *audio, done = map(json.loads, answer.text.splitlines())
        pcm = np.frombuffer(b"".join(base64.b64decode(a["audio"]) for a in audio), "<f4")
        assert decode_pcm(pcm) == "Hellothere.Howareyou?"
        assert (done["type"], done["characters"], done["chunks"]) == ("done", 25, len(audio))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"hello", "bad_json"),
        (b"\xff", "bad_json"),
        (b"{}", "bad_message"),
        (b'{"text": 5}', "bad_message"),
        (b'{"text": "a", "speed": 9}', "bad_message"),
        (b'{"text": "a", "voice": "nobody"}', "unknown_voice"),
        (b'{"text": "a", "format": "cassette"}', "bad_format"),
    ],
)
async def test_bad_requests_get_a_code(body: bytes, code: str) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post("/v1/speech", content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_a_disconnect_aborts_the_rendering() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        request = {"text": "word " * 3000}
        async with http.stream("POST", "/v1/speech", json=request) as answer:
            async for _ in answer.aiter_raw():
                break
        await wait_until(lambda: live.model.open_utterances == 0)


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_oversized_body_is_refused(chunked: bool) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield bytes(1 << 18)

    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post("/v1/speech", content=parts() if chunked else bytes(5 << 18))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_limit")


async def test_an_unread_response_stops_only_its_own_rendering() -> None:
    settings = {"bidirectional_streaming": {"queue_size": 4}}
    long = {"text": "word " * 3900, "format": "pcm_f32le"}  # 20 MB: more than any kernel buffer
    async with live_server(**settings) as live, httpx.AsyncClient(base_url=live.http) as http:
        # A raw socket with a small receive buffer, because HTTP clients read ahead.
        reader, writer = await asyncio.open_connection(*live.address.split(":"), limit=1)
        body = json.dumps(long)
        writer.write(f"POST /v1/speech HTTP/1.1\r\nHost: {live.address}\r\n".encode())
        writer.write(f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        (engine,) = live.model.engines
        await reader.readexactly(1)
        steps = -1
        while len(engine.steps) > steps:
            steps = len(engine.steps)
            await asyncio.sleep(0.3)
        assert 0 < steps < 600  # of 780, at 25 characters a step
        answer = await http.post("/v1/speech", json={"text": "Hello."})
        assert json.loads(answer.text.splitlines()[-1])["type"] == "done"
        assert len(engine.steps) == steps + 1
        writer.transport.abort()
        await wait_until(lambda: live.model.open_utterances == 0)


async def test_an_error_that_ends_the_context_ends_the_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def breaks(context: Context) -> None:
        await context._audio_sender.send_span(
            RenderedSpan(np.zeros(240, np.float32), (0, 6)), silent_s=0.0
        )
        raise EngineFailed("no more")

    monkeypatch.setattr(Context, "run", breaks)
    async with live_server(FakeModel()) as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post("/v1/speech", json={"text": "Hello. There."})
        assert [json.loads(line)["type"] for line in answer.text.splitlines()] == ["audio", "error"]


async def test_an_empty_text_is_done_at_once() -> None:
    async with live_server(FakeModel()) as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post("/v1/speech", json={"text": ""})
        assert [json.loads(line)["type"] for line in answer.text.splitlines()] == ["done"]


# --- text without sound ---------------------------------------------------------------------------

SILENT = ["👋", " ", "🙂🙂\n"]
ELEVEN = "/v1/text-to-speech/heart"
RAW: dict[str, object] = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
CARTESIA: dict[str, object] = {"model_id": "sonic-3", "voice": "heart"}
FILES: list[tuple[str, str, dict[str, object], str]] = [
    ("/v1/audio/speech", "input", {"response_format": "wav"}, "wav"),
    ("/v1/audio/speech", "input", {"response_format": "flac"}, "flac"),
    ("/v1/audio/speech", "input", {"response_format": "mp3"}, "mp3"),
    ("/v1/audio/speech", "input", {"response_format": "opus"}, "ogg"),
    ("/v1/audio/speech", "input", {"response_format": "aac"}, "aac"),
    (f"{ELEVEN}?output_format=wav_44100", "text", {}, "wav"),
    (f"{ELEVEN}/stream?output_format=mp3_44100_128", "text", {}, "mp3"),
    (f"{ELEVEN}?output_format=opus_48000_64", "text", {}, "ogg"),
    ("/tts/bytes", "transcript", CARTESIA | {"output_format": RAW | {"container": "wav"}}, "wav"),
    ("/v1/speak?encoding=linear16", "text", {}, "wav"),
    ("/v1/speak?encoding=mulaw&container=wav", "text", {}, "wav"),
    ("/v1/speak", "text", {}, "mp3"),
    ("/v1/audio/speech", "input", {"voice": "tara", "segment": "sentence"}, "wav"),
]
BARE: list[tuple[str, str, dict[str, object], int]] = [
    ("/v1/audio/speech", "input", {"response_format": "pcm"}, 2),
    (f"{ELEVEN}?output_format=pcm_24000", "text", {}, 2),
    ("/tts/bytes", "transcript", CARTESIA | {"output_format": RAW}, 2),
    ("/v1/speak?encoding=linear16&container=none", "text", {}, 2),
    ("/v1/audio/speech", "input", {"voice": "tara", "response_format": "raw"}, 2),
]


def seconds(data: bytes, container: str) -> float:
    with av.open(io.BytesIO(data), "r", format=container) as reader:
        rate = reader.streams.audio[0].rate
        return sum(frame.samples for frame in reader.decode(audio=0)) / rate


@pytest.mark.parametrize(("path", "field", "fields", "container"), FILES)
async def test_a_text_without_sound_gives_a_file_of_silence(
    path: str, field: str, fields: dict[str, object], container: str
) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        for text in SILENT:
            answer = await http.post(path, json={**fields, field: text})
            assert answer.status_code == 200
            assert 0.09 < seconds(answer.content, container) < 0.25
            if container == "wav" and "mulaw" not in path:
                with wave.open(io.BytesIO(answer.content)) as reader:
                    assert not any(reader.readframes(1 << 20))


@pytest.mark.parametrize(("path", "field", "fields", "width"), BARE)
async def test_raw_samples_of_a_vendor_contain_silence_too(
    path: str, field: str, fields: dict[str, object], width: int
) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post(path, json={**fields, field: "👋"})
        assert answer.content == bytes(2400 * width)


async def test_vendor_events_of_a_text_without_sound_contain_silence() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        speech = {"input": "👋", "response_format": "wav", "stream_format": "sse"}
        answer = await http.post("/v1/audio/speech", json=speech)
        delta, done, _ = answer.text.split("\n\n")
        data = base64.b64decode(json.loads(delta.removeprefix("data: "))["audio"])
        assert seconds(data, "wav") == 0.1
        assert json.loads(done.removeprefix("data: "))["usage"]["output_tokens"] == 2
        whole = (await http.post(f"{ELEVEN}/with-timestamps", json={"text": "👋"})).json()
        assert seconds(base64.b64decode(whole["audio_base64"]), "mp3") > 0.09
        lines = await http.post(f"{ELEVEN}/stream/with-timestamps", json={"text": "👋"})
        (line,) = map(json.loads, lines.text.splitlines())
        assert line["alignment"]["characters"] == ["👋"]
        assert seconds(base64.b64decode(line["audio_base64"]), "mp3") > 0.09
        asked = {**CARTESIA, "output_format": RAW, "transcript": "👋"}
        events = (await http.post("/tts/sse", json=asked)).text
        assert events.count("event: chunk") == events.count("event: done") == 1
        mistral = {"input": "👋", "voice_id": "heart", "response_format": "wav"}
        whole = (await http.post("/v1/audio/speech", json=mistral)).json()
        assert seconds(base64.b64decode(whole["audio_data"]), "wav") == 0.1
        events = (await http.post("/v1/audio/speech", json=mistral | {"stream": True})).text
        assert events.count("event: speech.audio.delta") == 1
        together = {"input": "👋", "response_format": "raw", "stream": True}
        events = (await http.post("/v1/audio/speech", json=together)).text
        assert events.count("conversation.item.audio_output.delta") == 1


async def test_native_events_contain_silence_only_for_file_formats() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post("/v1/speech", json={"text": "👋", "format": "wav"})
        *audio, done = map(json.loads, answer.text.splitlines())
        data = b"".join(base64.b64decode(each["audio"]) for each in audio)
        assert seconds(data, "wav") == 0.1
        assert done["audio_ms"] == sum(each["duration_ms"] for each in audio) == 100
        assert (done["chunks"], done["characters"]) == (len(audio), 1)
        answer = await http.post("/v1/speech", json={"text": "👋"})
        *audio, done = map(json.loads, answer.text.splitlines())
        assert (done["audio_ms"], [each["audio"] for each in audio]) == (0, [""])


@pytest.mark.parametrize("text", ["Привет, мир.", "你好。", "مرحبا 👋"])
@pytest.mark.parametrize(
    ("path", "field", "fields"),
    [(path, field, fields) for path, field, fields, _ in FILES[::3]]
    + [("/v1/speech", "text", {}), (f"{ELEVEN}/with-timestamps", "text", {})],
)
async def test_unreadable_text_is_refused(
    path: str, field: str, fields: dict[str, object], text: str
) -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post(path, json={**fields, field: text})
        assert answer.status_code == 400
        assert "script" in answer.text
        assert path.startswith("/v1/speak") or "unreadable_text" in answer.text
        some = await http.post(path, json={**fields, field: f"Hello, {text}"})
        assert some.status_code == 200


async def test_the_response_names_the_voice() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        for path, field, fields, _ in FILES[::4]:
            answer = await http.post(path, json={**fields, field: "Hi"})
            assert answer.headers["x-voice"] == "heart"
        for name, voice in (("SECOND", "second"), ("af_bella", "heart"), ("alloy", "heart")):
            asked = {"input": "Hi", "voice": name}
            answer = await http.post("/v1/audio/speech", json=asked)
            assert (answer.status_code, answer.headers["x-voice"]) == (200, voice)


async def test_speaking_requests_count_as_connections() -> None:
    gate = threading.Semaphore(0)
    model = FakeModel(gate=gate)
    gate.release(1)  # the warm-up's
    body = {"text": "Hello there.", "format": "pcm_f32le", "mode": "batch"}
    async with (
        live_server(model, server={"max_connections": 2}) as live,
        httpx.AsyncClient(base_url=live.http, timeout=20) as http,
        live.connect(),
    ):
        waiting = asyncio.create_task(http.post("/v1/speech", json=body))
        await wait_until(lambda: model.open_utterances > 0)
        refused = await http.post("/v1/speech", json=body)
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
        gate.release(1000)
        assert (await waiting).status_code == 200
        assert (await http.post("/v1/speech", json=body)).status_code == 200
