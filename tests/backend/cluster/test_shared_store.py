"""Two servers with one `cluster.store`: what one learns, the other speaks with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.cluster.shared_entries import SharedEntries
from backend.synthesis import lexicon_store, voice_store
from tests.support.engines.cloning_model import CloningModel
from tests.support.live_server import LiveServer, live_server


@pytest.fixture(autouse=True)
def no_regular_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is asked for is looked for."""
    monkeypatch.setattr(voice_store, "_LOOK_S", 1000.0)
    monkeypatch.setattr(lexicon_store, "_LOOK_S", 1000.0)


@asynccontextmanager
async def servers(tmp_path: Path) -> AsyncIterator[tuple[LiveServer, LiveServer]]:
    settings = {"cluster": {"store": str(tmp_path / "store")}}
    own = [{"lexicon": {"folder": str(tmp_path / name)}} for name in ("one", "other")]
    async with (
        live_server(CloningModel(), **settings, **own[0]) as one,
        live_server(CloningModel(), **settings, **own[1]) as other,
    ):
        store = SharedEntries(settings["cluster"]["store"], "voices-fake")
        store.write("anna", b"[6.0, 16000]", None)  # as if another had just learned it
        yield one, other


async def request(method: str, server: LiveServer, path: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.request(method, f"{server.http}{path}", **options)


async def test_a_websocket_speaks_with_it_at_once(tmp_path: Path) -> None:
    async with servers(tmp_path) as (_, other), other.connect() as client:
        assert await client.speak_text("a", "Hello.", voice="anna") == "Hello."


SPEAKING = {
    "native": ("/v1/speech", {"text": "Hello.", "voice": "anna"}),
    "openai": ("/v1/audio/speech", {"input": "Hello.", "voice": "anna", "model": "tts-1"}),
    "elevenlabs": ("/v1/text-to-speech/anna", {"text": "Hello."}),
    "cartesia": (
        "/tts/bytes",
        {
            "transcript": "Hello.",
            "voice": {"mode": "id", "id": "anna"},
            "output_format": {"container": "wav", "encoding": "pcm_s16le", "sample_rate": 24000},
        },
    ),
    "deepgram": ("/v1/speak?model=anna", {"text": "Hello."}),
    "mistral": ("/v1/audio/speech", {"input": "Hello.", "voice_id": "anna"}),
    "together": ("/v1/audio/speech", {"input": "Hello.", "voice": "anna", "segment": "never"}),
    "reading": ("/v1/read", {"text": "Hello.", "voice": "anna"}),
}


@pytest.mark.parametrize("vendor", SPEAKING)
async def test_a_request_speaks_with_it_at_once(vendor: str, tmp_path: Path) -> None:
    path, body = SPEAKING[vendor]
    async with servers(tmp_path) as (_, other):
        response = await request("POST", other, path, json=body)
    assert response.status_code == 200, response.text


async def test_it_is_removed_with_its_lexicon(tmp_path: Path) -> None:
    async with servers(tmp_path) as (one, other):
        entries = {"entries": {"Nguyen": "win"}}
        added = await request("PUT", other, "/v1/lexicon?voice=anna", json=entries)
        assert added.status_code == 200
        removed = await request("DELETE", other, "/v1/voices/anna")
        assert removed.status_code == 200
        again = await request("DELETE", other, "/v1/voices/anna")
        assert (again.status_code, again.json()["code"]) == (404, "unknown_voice")
        await one.app.state.services.lexicons.read_changed_files()
        assert one.app.state.services.lexicons.get_file("anna").lexicon.entries == []


async def test_a_default_voice_may_be_one_of_the_store(tmp_path: Path) -> None:
    async with servers(tmp_path):
        engine = {"threads": 1, "voice": "anna"}
        store = {"store": str(tmp_path / "store")}
        async with live_server(CloningModel(), engine=engine, cluster=store) as late:
            response = await request("POST", late, "/v1/speech", json={"text": "Hello."})
            assert response.status_code == 200


async def test_an_unknown_voice_is_still_unknown(tmp_path: Path) -> None:
    async with servers(tmp_path) as (_, other):
        response = await request("POST", other, "/v1/speech", json={"text": "A", "voice": "bob"})
        assert response.json()["code"] == "unknown_voice"
