"""Deepgram's routes, on the real server with the fake engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.engines.fake_engine import CHARACTER_SAMPLES, FakeModel
from tests.support.live_server import LiveServer, live_server, wait_until


class DeepgramClient:
    """A minimal Deepgram client."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send_message(self, kind: str, **fields: object) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def read_to(self, kind: str) -> tuple[bytes, dict[str, Any]]:
        """The audio up to the next message of this kind, and the message."""
        audio = b""
        while True:
            message = await self.socket.recv()
            if isinstance(message, bytes):
                audio += message
            else:
                fields: dict[str, Any] = json.loads(message)
                assert fields["type"] == kind, fields
                return audio, fields

    async def read_to_close(self) -> tuple[bytes, int]:
        """The audio up to the server's close, and its code."""
        audio = b""
        with suppress(ConnectionClosed):
            while True:
                message = await self.socket.recv()
                assert isinstance(message, bytes), message
                audio += message
        assert self.socket.close_code is not None
        return audio, self.socket.close_code


@asynccontextmanager
async def connect_client(
    live: LiveServer, query: str = "", **options: Any
) -> AsyncIterator[DeepgramClient]:
    url = f"ws://{live.address}/v1/speak{query}"
    async with connect(url, compression=None, **options) as socket:
        client = DeepgramClient(socket)
        await client.read_to("Metadata")
        yield client


def linear16_bytes(*texts: str) -> int:
    """The number of bytes that speak the texts."""
    return sum(not c.isspace() for text in texts for c in text) * CHARACTER_SAMPLES * 2


async def test_turns_are_spoken_in_order_each_followed_by_flushed() -> None:
    async with live_server() as live, connect_client(live) as client:
        turns = ["Hello there, how are you", "Second turn. With two sentences.", "Third"]
        for turn in turns:  # without waiting, as pipecat with a fast LLM
            for word in turn.split():
                await client.send_message("Speak", text=f"{word} ")
            await client.send_message("Flush")
        for number, turn in enumerate(turns):
            audio, flushed = await client.read_to("Flushed")
            assert flushed == {"type": "Flushed", "sequence_id": number}
            assert len(audio) == linear16_bytes(turn)
        await client.send_message("Close")
        assert await client.read_to_close() == (b"", 1000)


async def test_new_turn_does_not_wait_for_playback_of_the_previous() -> None:
    async with live_server() as live, connect_client(live) as client:
        await client.send_message("Speak", text="x" * 2000 + ".")  # 20 s of audio, sent at once
        await client.send_message("Flush")
        await client.read_to("Flushed")
        await client.send_message("Speak", text="An interruption, which is not finished ")
        async with asyncio.timeout(5):
            assert isinstance(await client.socket.recv(), bytes)


async def test_close_speaks_unflushed_text_first() -> None:
    async with live_server() as live, connect_client(live, "?encoding=mulaw") as client:
        await client.send_message("Speak", text="Not flushed")
        await client.send_message("Close")
        audio, code = await client.read_to_close()
        assert (len(audio), code) == (linear16_bytes("Not flushed") // 6, 1000)


async def test_clear_drops_earlier_audio() -> None:
    async with live_server() as live, connect_client(live) as client:
        await client.send_message("Speak", text="word " * 2000)
        await client.send_message("Flush")
        await client.socket.recv()
        await client.send_message("Clear")
        _, cleared = await client.read_to("Cleared")
        assert cleared["sequence_id"] == 0
        await client.send_message("Speak", text="New.")
        await client.send_message("Flush")
        audio, flushed = await client.read_to("Flushed")
        assert (len(audio), flushed["sequence_id"]) == (linear16_bytes("New."), 1)
        await wait_until(lambda: live.model.open_utterances == 0)


async def test_disconnect_during_speech_releases_everything() -> None:
    async with live_server() as live:
        async with connect_client(live) as client:
            await client.send_message("Speak", text="word " * 2000)
            await client.socket.recv()
            client.socket.transport.abort()
        await wait_until(lambda: not live.connections.sessions())
        await wait_until(lambda: live.model.open_utterances == 0)


async def test_invalid_message_does_not_disturb_other_clients() -> None:
    async with live_server() as live, connect_client(live) as client, connect_client(live) as other:
        await other.send_message("Speak", text="Undisturbed.")
        for garbage in ("{", b"\0", '{"type": "Speak"}'):
            await client.socket.send(garbage)
            await client.read_to("Warning")
        await other.send_message("Flush")
        audio, _ = await other.read_to("Flushed")
        assert len(audio) == linear16_bytes("Undisturbed.")
        await client.send_message("Speak", text="Still here.")
        await client.send_message("Flush")
        audio, _ = await client.read_to("Flushed")
        assert len(audio) == linear16_bytes("Still here.")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("?model=nova-3", b"nova-3"),
        ("?model=aura-2-celeste-es", b"language"),
        ("?encoding=mp3", b"encoding"),
        ("?sample_rate=1", b"sample_rate"),
        ("?speed=9", b"speed"),
    ],
)
async def test_invalid_query_refuses_the_handshake(query: str, why: bytes) -> None:
    async with live_server() as live:
        with pytest.raises(InvalidStatus) as refused:
            async with connect_client(live, query):
                pass
        response = refused.value.response
        assert response.status_code == 400
        assert why in (response.body or b"")
        assert why.decode() in response.headers["dg-error"]


async def test_key_is_required_and_refused_in_deepgrams_form() -> None:
    async with live_server(access={"api_keys": "right"}) as live:
        for scheme in ("Token", "token", "Bearer"):
            headers = {"Authorization": f"{scheme} right"}
            async with connect_client(live, additional_headers=headers):
                pass
        for headers in ({}, {"Authorization": "Token wrong"}, {"Authorization": "Basic right"}):
            with pytest.raises(InvalidStatus) as refused:
                async with connect_client(live, additional_headers=headers):
                    pass
            assert refused.value.response.status_code == 401
            async with httpx.AsyncClient(base_url=live.http, headers=headers) as http:
                response = await http.post("/v1/speak", json={"text": "Hello."})
            assert (response.status_code, response.json()["err_code"]) == (401, "INVALID_AUTH")


async def test_browser_sends_its_key_as_a_subprotocol() -> None:
    async with live_server(access={"api_keys": "right"}) as live:
        async with connect_client(live, subprotocols=["token", "right"]) as client:
            assert client.socket.subprotocol == "token"
            await client.send_message("Speak", text="Hello.")
            await client.send_message("Close")
            assert await client.read_to_close() == (ANY, 1000)
        with pytest.raises(InvalidStatus) as refused:
            async with connect_client(live, subprotocols=["token", "wrong"]):
                pass
        assert refused.value.response.status_code == 401


async def test_post_returns_the_file() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        query = {"encoding": "linear16", "container": "none", "model": "aura-2-thalia-en"}
        response = await http.post("/v1/speak", params=query, json={"text": "Hello there."})
        assert response.status_code == 200
        assert len(response.content) == linear16_bytes("Hello there.")
        assert response.headers["dg-model-name"] == "aura-2-thalia-en"
        assert response.headers["dg-char-count"] == "12"
        for name in ("content-type", "transfer-encoding", "date"):
            assert response.headers[name]
        for name in ("dg-request-id", "dg-model-uuid"):
            UUID(response.headers[name])
        again = await http.post("/v1/speak", params=query, json={"text": "Hello there."})
        assert again.headers["dg-model-uuid"] == response.headers["dg-model-uuid"]
        plain = {"content-type": "text/plain"}
        response = await http.post("/v1/speak", content="Hello there.", headers=plain)
        assert response.headers["content-type"] == "audio/mpeg"
        assert response.content[:2] in (b"\xff\xf3", b"\xff\xfb"), "an mp3 frame"


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("", b"{}", 400),
        ("", b'{"url": "https://example.org"}', 400),
        ("?encoding=cassette", b'{"text": "a"}', 400),
        ("?bit_rate=1", b'{"text": "a"}', 400),
        ("?speed=9", b'{"text": "a"}', 400),
        ("", json.dumps({"text": "a" * 30_000}).encode(), 413),
    ],
)
async def test_invalid_post_gets_a_deepgram_error(query: str, body: bytes, status: int) -> None:
    async with live_server(FakeModel()) as live, httpx.AsyncClient(base_url=live.http) as http:
        response = await http.post(f"/v1/speak{query}", content=body)
        assert response.status_code == status
        assert set(response.json()) == {"err_code", "err_msg", "request_id"}
