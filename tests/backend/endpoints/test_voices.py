"""The voice routes, on the real server with a fake cloning model."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import soundfile

from backend.audio.recordings import LARGEST_BYTES
from tests.support.engines.cloning_model import CloningModel, recording
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import LiveServer, live_server, wait_until
from tests.support.speech import RATE_HZ, noise, speech

GOOD = recording()


@asynccontextmanager
async def serve_voices(
    model: Any = None, **sections: Any
) -> AsyncIterator[tuple[LiveServer, httpx.AsyncClient]]:
    async with (
        live_server(model or CloningModel(), **sections) as live,
        httpx.AsyncClient(base_url=live.http, timeout=20) as http,
    ):
        yield live, http


async def add_voice(http: httpx.AsyncClient, name: str, data: bytes = GOOD, **more: Any) -> Any:
    files = {"audio": ("voice.wav", data)}
    return await http.post("/v1/voices", data={"name": name}, files=files, **more)


def check_refused(response: httpx.Response, status: int, code: str) -> str:
    """Check the error in its native and ElevenLabs forms; returns the message."""
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    assert body["detail"] == {"status": code, "message": body["message"]}
    return str(body["message"])


async def list_names(http: httpx.AsyncClient) -> list[str]:
    return [voice["name"] for voice in (await http.get("/v1/voices")).json()["voices"]]


async def test_added_voice_speaks() -> None:
    async with serve_voices() as (live, http):
        response = await add_voice(http, "anna", recording(7, "FLAC", rate_hz=44_100))
        assert response.status_code == 201
        assert (response.json()["name"], response.json()["learned"]) == ("anna", True)
        assert live.model.learned == {"anna": (7.0, 44_100)}  # type: ignore[attr-defined]
        async with live.connect() as client:
            assert await client.speak_text("a", "Hello there.", voice="anna") == "Hellothere."


async def test_what_a_recording_lacks_is_said_or_refused() -> None:
    async with serve_voices() as (live, http):
        assert (await add_voice(http, "good")).json()["warnings"] == []
        noisy = wav(speech(8) + noise(8, 0.01))
        (warning,) = (await add_voice(http, "noisy", noisy)).json()["warnings"]
        assert "noise" in warning
        response = await add_voice(http, "noise", wav(noise(8, 0.1)))
        assert "only noise" in check_refused(response, 400, "bad_message")
        assert list(live.model.learned) == ["good", "noisy"]  # type: ignore[attr-defined]


def wav(samples: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format="WAV")
    return file.getvalue()


async def test_list_suits_native_and_elevenlabs_clients() -> None:
    async with serve_voices() as (_, http):
        await add_voice(http, "anna")
        listed = (await http.get("/v1/voices")).json()
        assert listed["clones"] is True
        elevenlabs_voices = (await http.get("/v2/voices")).json()["voices"]
    (native_voice,) = [voice for voice in listed["voices"] if voice["name"] == "anna"]
    assert (native_voice["ready"], native_voice["learned"], native_voice["language"]) == (
        True,
        True,
        "en",
    )
    assert (native_voice["voice_id"], native_voice["category"]) == ("anna", "cloned")
    assert [entry["voice_id"] for entry in elevenlabs_voices] == [
        entry["name"] for entry in listed["voices"]
    ]


async def test_removed_voice_is_gone() -> None:
    async with serve_voices() as (live, http):
        await add_voice(http, "anna")
        assert (await http.delete("/v1/voices/anna")).status_code == 200
        assert "anna" not in await list_names(http)
        assert live.model.learned == {}  # type: ignore[attr-defined]
        check_refused(await http.delete("/v1/voices/anna"), 404, "unknown_voice")
        assert (await add_voice(http, "anna")).status_code == 201


async def test_removed_voice_finishes_running_speech() -> None:
    async with serve_voices() as (live, http), live.connect() as client:
        await add_voice(http, "anna")
        await client.send("start", context="a", format="pcm_f32le", voice="anna")
        await client.send("text", context="a", text="One two three. ")
        await client.receive_until("audio", "a")
        assert (await http.delete("/v1/voices/anna")).status_code == 200
        assert "anna" not in await list_names(http)
        check_refused(await add_voice(http, "anna"), 409, "voice_exists")
        await client.send("start", context="b", voice="anna")
        assert (await client.receive_until("error", "b"))[-1]["code"] == "unknown_voice"
        await client.send("text", context="a", text="A sentence that begins later.")
        await client.send("end", context="a")
        messages = await client.receive_until("done", "a")
        assert not [m for m in messages if m["type"] == "error"]
        learned = live.model.learned  # type: ignore[attr-defined]
        await wait_until(lambda: not learned, within_s=10)
        assert (await add_voice(http, "anna")).status_code == 201


INVALID_NAMES = (
    "",
    " ",
    ".",
    "..",
    "../anna",
    "a/b",
    "a\\b",
    "/etc/passwd",
    "-a",
    "_a",
    "a b",
    "änna",
)


async def test_invalid_name_is_refused() -> None:
    async with serve_voices() as (live, http):
        for name in (*INVALID_NAMES, "a" * 65, "anna\n", "a\0b", "con.txt"):
            assert "name" in check_refused(await add_voice(http, name), 400, "bad_message")
        assert live.model.learned == {}  # type: ignore[attr-defined]


async def test_existing_name_is_refused() -> None:
    async with serve_voices() as (_, http):
        check_refused(await add_voice(http, "heart"), 409, "voice_exists")
        await add_voice(http, "anna")
        check_refused(await add_voice(http, "anna"), 409, "voice_exists")


async def test_invalid_recording_is_refused() -> None:
    async with serve_voices() as (live, http):
        message = check_refused(
            await add_voice(http, "anna", b"these are words"), 400, "bad_message"
        )
        assert "WAV, FLAC, MP3 or OGG" in message
        assert "4.0 s" in check_refused(
            await add_voice(http, "anna", recording(4)), 400, "bad_message"
        )
        assert live.model.learned == {}  # type: ignore[attr-defined]
        assert (await add_voice(http, "anna")).status_code == 201  # the name is free


INVALID_FORMS: list[dict[str, Any]] = [
    {},
    {"json": {"name": "anna"}},
    {"data": {"name": "anna"}},
    {"data": {"name": "anna", "audio": "words"}},
    {"files": {"audio": ("a.wav", GOOD)}},
    {"data": {"name": "anna"}, "files": [("audio", ("a", GOOD)), ("audio", ("b", GOOD))]},
    {"data": {"name": "a" * (2 << 20)}, "files": {"audio": ("a.wav", GOOD)}},
    {"content": b"--x\r\nnonsense", "headers": {"content-type": "multipart/form-data"}},
    {"content": b"nonsense", "headers": {"content-type": "multipart/form-data; boundary=x"}},
]


async def test_invalid_form_is_refused() -> None:
    async with serve_voices() as (_, http):
        for form in INVALID_FORMS:
            check_refused(await http.post("/v1/voices", **form), 400, "bad_message")


async def test_oversized_file_is_refused() -> None:
    async with serve_voices() as (_, http):
        message = check_refused(
            await add_voice(http, "anna", b"a" * (LARGEST_BYTES + 1)), 400, "bad_message"
        )
        assert "20 MiB" in message
        with suppress(httpx.TransportError):  # the server may close during the upload
            far_more = await add_voice(http, "anna", b"a" * (LARGEST_BYTES + (2 << 20)))
            assert far_more.status_code == 413
        assert "anna" not in await list_names(http)


async def test_engine_without_cloning_is_reported() -> None:
    async with serve_voices(FakeModel()) as (_, http):
        message = check_refused(await add_voice(http, "anna"), 400, "unsupported")
        assert "chatterbox-turbo" in message
        assert (await http.get("/v1/voices")).json()["clones"] is False


async def test_built_in_and_default_voices_cannot_be_removed() -> None:
    model = CloningModel()
    model.learned["anna"] = (6.0, 16_000)
    async with serve_voices(model, engine={"threads": 1, "voice": "anna"}) as (_, http):
        check_refused(await http.delete("/v1/voices/second"), 400, "unsupported")
        assert "default" in check_refused(await http.delete("/v1/voices/anna"), 400, "unsupported")
        assert list(model.learned) == ["anna"]


async def test_key_is_required_if_configured() -> None:
    async with serve_voices(access={"api_keys": "secret"}) as (_, http):
        check_refused(await add_voice(http, "anna"), 401, "invalid_api_key")
        check_refused(await http.delete("/v1/voices/anna"), 401, "invalid_api_key")
        for headers in ({"authorization": "Bearer secret"}, {"xi-api-key": "secret"}):
            assert (await add_voice(http, "anna", headers=headers)).status_code == 201
            assert (await http.delete("/v1/voices/anna", headers=headers)).status_code == 200


async def test_other_origins_cannot_add_or_remove_voices() -> None:
    async with serve_voices() as (_, http):
        headers = {"origin": "http://elsewhere.example"}
        assert (await add_voice(http, "anna", headers=headers)).status_code == 403
        assert (await http.delete("/v1/voices/anna", headers=headers)).status_code == 403
