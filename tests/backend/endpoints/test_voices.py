"""The routes of voices, on the real server with a fake model that makes some."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx

from backend.audio.recordings import LARGEST_BYTES
from tests.support.engines.cloning_model import CloningModel, recording
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import Live, eventually, live_server

GOOD = recording()


@asynccontextmanager
async def serving(
    model: Any = None, **sections: Any
) -> AsyncIterator[tuple[Live, httpx.AsyncClient]]:
    async with (
        live_server(model or CloningModel(), **sections) as live,
        httpx.AsyncClient(base_url=live.http, timeout=20) as http,
    ):
        yield live, http


async def add(http: httpx.AsyncClient, name: str, data: bytes = GOOD, **more: Any) -> Any:
    files = {"audio": ("voice.wav", data)}
    return await http.post("/v1/voices", data={"name": name}, files=files, **more)


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """The message of a refusal, which is also in the form that ElevenLabs' clients read."""
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert body["detail"] == {"status": code, "message": body["message"]}
    return str(body["message"])


async def names(http: httpx.AsyncClient) -> list[str]:
    return [voice["name"] for voice in (await http.get("/v1/voices")).json()["voices"]]


async def test_a_recording_becomes_a_voice_that_speaks() -> None:
    async with serving() as (live, http):
        answer = await add(http, "anna", recording(7, "FLAC", rate_hz=44_100))
        assert answer.status_code == 201
        assert (answer.json()["name"], answer.json()["learned"]) == ("anna", True)
        assert live.model.learned == {"anna": (7.0, 44_100)}  # type: ignore[attr-defined]
        async with live.client() as client:
            assert await client.speak("a", "Hello there.", voice="anna") == "Hellothere."


async def test_one_list_for_our_clients_and_those_of_elevenlabs() -> None:
    async with serving() as (_, http):
        await add(http, "anna")
        listed = (await http.get("/v1/voices")).json()
        assert listed["clones"] is True
        theirs = (await http.get("/v2/voices")).json()["voices"]
    (ours,) = [voice for voice in listed["voices"] if voice["name"] == "anna"]
    assert (ours["ready"], ours["learned"], ours["language"]) == (True, True, "en")
    assert (ours["voice_id"], ours["category"]) == ("anna", "cloned")
    assert [each["voice_id"] for each in theirs] == [each["name"] for each in listed["voices"]]


async def test_a_voice_that_is_removed_is_gone() -> None:
    async with serving() as (live, http):
        await add(http, "anna")
        assert (await http.delete("/v1/voices/anna")).status_code == 200
        assert "anna" not in await names(http)
        assert live.model.learned == {}  # type: ignore[attr-defined]
        refused(await http.delete("/v1/voices/anna"), 404, "unknown_voice")
        assert (await add(http, "anna")).status_code == 201


async def test_a_voice_that_is_removed_finishes_what_it_says() -> None:
    async with serving() as (live, http), live.client() as client:
        await add(http, "anna")
        await client.say("start", context="a", format="pcm_f32le", voice="anna")
        await client.say("text", context="a", text="One two three. ")
        await client.read_to("audio", "a")
        assert (await http.delete("/v1/voices/anna")).status_code == 200
        assert "anna" not in await names(http)
        refused(await add(http, "anna"), 409, "voice_exists")
        await client.say("start", context="b", voice="anna")
        assert (await client.read_to("error", "b"))[-1]["code"] == "unknown_voice"
        await client.say("text", context="a", text="A sentence that begins later.")
        await client.say("end", context="a")
        messages = await client.read_to("done", "a")
        assert not [m for m in messages if m["type"] == "error"]
        learned = live.model.learned  # type: ignore[attr-defined]
        await eventually(lambda: not learned, within_s=10)
        assert (await add(http, "anna")).status_code == 201


NO_NAMES = ("", " ", ".", "..", "../anna", "a/b", "a\\b", "/etc/passwd", "-a", "_a", "a b", "änna")


async def test_names_that_are_no_names() -> None:
    async with serving() as (live, http):
        for name in (*NO_NAMES, "a" * 65, "anna\n", "a\0b", "con.txt"):
            assert "name" in refused(await add(http, name), 400, "bad_message")
        assert live.model.learned == {}  # type: ignore[attr-defined]


async def test_a_name_that_is_taken() -> None:
    async with serving() as (_, http):
        refused(await add(http, "heart"), 409, "voice_exists")
        await add(http, "anna")
        refused(await add(http, "anna"), 409, "voice_exists")


async def test_what_is_no_recording() -> None:
    async with serving() as (live, http):
        message = refused(await add(http, "anna", b"these are words"), 400, "bad_message")
        assert "WAV, FLAC, MP3 or OGG" in message
        assert "4.0 s" in refused(await add(http, "anna", recording(4)), 400, "bad_message")
        assert live.model.learned == {}  # type: ignore[attr-defined]
        assert (await add(http, "anna")).status_code == 201  # the name is free


NO_FORMS: list[dict[str, Any]] = [
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


async def test_what_is_not_the_form() -> None:
    async with serving() as (_, http):
        for form in NO_FORMS:
            refused(await http.post("/v1/voices", **form), 400, "bad_message")


async def test_too_large_a_file_is_refused() -> None:
    async with serving() as (_, http):
        message = refused(await add(http, "anna", b"a" * (LARGEST_BYTES + 1)), 400, "bad_message")
        assert "20 MiB" in message
        with suppress(httpx.TransportError):  # it may hang up while we still send
            far_more = await add(http, "anna", b"a" * (LARGEST_BYTES + (2 << 20)))
            assert far_more.status_code == 413
        assert "anna" not in await names(http)


async def test_an_engine_that_makes_no_voices_says_so() -> None:
    async with serving(FakeModel()) as (_, http):
        message = refused(await add(http, "anna"), 400, "unsupported")
        assert "chatterbox-turbo" in message
        assert (await http.get("/v1/voices")).json()["clones"] is False


async def test_voices_of_the_engine_and_the_default_one_stay() -> None:
    model = CloningModel()
    model.learned["anna"] = (6.0, 16_000)
    async with serving(model, engine={"threads": 1, "voice": "anna"}) as (_, http):
        refused(await http.delete("/v1/voices/second"), 400, "unsupported")
        assert "default" in refused(await http.delete("/v1/voices/anna"), 400, "unsupported")
        assert list(model.learned) == ["anna"]


async def test_a_key_is_wanted_where_keys_are() -> None:
    async with serving(access={"api_keys": "secret"}) as (_, http):
        refused(await add(http, "anna"), 401, "invalid_api_key")
        refused(await http.delete("/v1/voices/anna"), 401, "invalid_api_key")
        for headers in ({"authorization": "Bearer secret"}, {"xi-api-key": "secret"}):
            assert (await add(http, "anna", headers=headers)).status_code == 201
            assert (await http.delete("/v1/voices/anna", headers=headers)).status_code == 200


async def test_pages_of_other_sites_make_and_remove_nothing() -> None:
    async with serving() as (_, http):
        headers = {"origin": "http://elsewhere.example"}
        assert (await add(http, "anna", headers=headers)).status_code == 403
        assert (await http.delete("/v1/voices/anna", headers=headers)).status_code == 403
