"""Speech over HTTP, at the real server with the fake engine."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest

from backend.context import Context
from backend.delivery import Piece
from backend.errors import EngineFailed
from tests.fake_engine import FakeModel, heard
from tests.live_server import eventually, live_server


async def test_a_text_is_spoken_line_by_line() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        body = {"text": "Hello there. How are you?", "format": "pcm_f32le"}
        answer = await http.post("/v1/speech", json=body)
        assert answer.headers["content-type"] == "application/x-ndjson"
        *audio, done = map(json.loads, answer.text.splitlines())
        pcm = np.frombuffer(b"".join(base64.b64decode(a["audio"]) for a in audio), "<f4")
        assert heard(pcm) == "Hellothere.Howareyou?"
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


async def test_a_client_that_leaves_has_its_rendering_aborted() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        request = {"text": "word " * 3000}
        async with http.stream("POST", "/v1/speech", json=request) as answer:
            async for _ in answer.aiter_raw():
                break
        await eventually(lambda: live.model.open_utterances == 0)


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_that_is_too_large_is_refused(chunked: bool) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield bytes(1 << 18)

    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post("/v1/speech", content=parts() if chunked else bytes(5 << 18))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_limit")


async def test_speech_that_nobody_reads_stops_its_rendering_and_nobody_elses() -> None:
    settings = {"bidirectional_streaming": {"queue_size": 4}}
    long = {"text": "word " * 3900, "format": "pcm_f32le"}  # 20 MB: no kernel buffers as much
    async with live_server(**settings) as live, httpx.AsyncClient(base_url=live.http) as http:
        # A small receive buffer; a socket of its own, because HTTP clients read ahead.
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
        assert 0 < steps < 600  # of 780: the fake engine speaks 25 characters a step
        answer = await http.post("/v1/speech", json={"text": "Hello."})
        assert json.loads(answer.text.splitlines()[-1])["type"] == "done"
        assert len(engine.steps) == steps + 1
        writer.transport.abort()
        await eventually(lambda: live.model.open_utterances == 0)


async def test_an_error_that_ends_the_speech_ends_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def breaks(context: Context) -> None:
        await context._delivery.send(Piece(np.zeros(240, np.float32), (0, 6)))
        raise EngineFailed("no more")

    monkeypatch.setattr(Context, "run", breaks)
    async with live_server(FakeModel()) as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post("/v1/speech", json={"text": "Hello. There."})
        assert [json.loads(line)["type"] for line in answer.text.splitlines()] == ["audio", "error"]


async def test_an_empty_text_is_done_at_once() -> None:
    async with live_server(FakeModel()) as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = await http.post("/v1/speech", json={"text": ""})
        assert [json.loads(line)["type"] for line in answer.text.splitlines()] == ["done"]


async def test_requests_that_speak_count_as_connections() -> None:
    gate = threading.Semaphore(0)
    model = FakeModel(gate=gate)
    gate.release(1)  # the warm-up's
    body = {"text": "Hello there.", "format": "pcm_f32le", "mode": "batch"}
    async with (
        live_server(model, server={"max_connections": 2}) as live,
        httpx.AsyncClient(base_url=live.http, timeout=20) as http,
        live.client(),
    ):
        waiting = asyncio.create_task(http.post("/v1/speech", json=body))
        await eventually(lambda: model.open_utterances > 0)
        refused = await http.post("/v1/speech", json=body)
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
        gate.release(1000)
        assert (await waiting).status_code == 200
        assert (await http.post("/v1/speech", json=body)).status_code == 200
