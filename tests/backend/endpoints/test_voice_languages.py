"""Voices by language, in the lists of every vendor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from backend.events import Voice
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import live_server

ARABIC = Voice("ar_JO-kareem-medium", "ar-JO", "medium, Jordan", ready=True, gender="male")
GERMAN = Voice("de_DE-eva-low", "de-DE", "low", ready=True, gender="female")
POLYGLOT = Voice("anna", "en", "", ready=True, learned=True, other_languages=("fr", "ar"))


class Polyglots(FakeModel):
    """Has voices of several languages; `more` appear while the server runs."""

    more: tuple[Voice, ...] = ()

    def voices(self) -> tuple[Voice, ...]:
        return *super().voices(), ARABIC, GERMAN, POLYGLOT, *self.more


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with live_server(Polyglots()) as live, httpx.AsyncClient(base_url=live.http) as http:
        yield http


async def get(http: httpx.AsyncClient, path: str, **query: Any) -> Any:
    response = await http.get(path, params=query)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("wanted", ["ar", "arabic", "العربية", "AR"])
@pytest.mark.parametrize("path", ["/v1/voices", "/v1/audio/voices", "/v2/voices"])
async def test_voices_are_filtered_by_language(
    http: httpx.AsyncClient, path: str, wanted: str
) -> None:
    voices = (await get(http, path, language=wanted))["voices"]
    assert [voice["name"] for voice in voices] == [ARABIC.name, POLYGLOT.name]


async def test_native_list_says_languages_engine_and_whether_installed(
    http: httpx.AsyncClient,
) -> None:
    voices = {each["name"]: each for each in (await get(http, "/v1/voices"))["voices"]}
    assert voices["anna"]["languages"] == ["en", "fr", "ar"]
    assert voices["anna"]["engine"] == "fake"
    assert voices["anna"]["installed"] is True
    assert voices["remote"]["installed"] is False


async def test_voices_that_appear_are_listed_without_a_restart() -> None:
    model = Polyglots()
    async with live_server(model) as live, httpx.AsyncClient(base_url=live.http) as http:
        model.more = (Voice("ka_GE-natia-medium", "ka-GE", "", ready=True),)
        for path in ("/v1/voices", "/v2/voices", "/v1/audio/voices"):
            voices = (await get(http, path, language="georgian"))["voices"]
            assert [voice["name"] for voice in voices] == ["ka_GE-natia-medium"]


async def test_elevenlabs_language_fields(http: httpx.AsyncClient) -> None:
    (voice,) = (await get(http, "/v2/voices", search="kareem"))["voices"]
    assert voice["labels"] == {"language": "ar", "locale": "ar-JO", "gender": "male"}
    (verified,) = voice["verified_languages"]
    assert (verified["language"], verified["locale"]) == ("ar", "ar-JO")
    assert verified["model_id"] == "fake"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"gender": "female", "language": "de"}, [GERMAN.name]),
        ({"language": ["de", "fr"]}, [GERMAN.name, "anna"]),
        ({"category": "cloned"}, ["anna"]),
        ({"voice_type": "personal"}, ["anna"]),
        ({"voice_type": "community"}, []),
        ({"voice_ids": ["anna", GERMAN.name]}, [GERMAN.name, "anna"]),
        ({"search": "JORDAN"}, [ARABIC.name]),
    ],
)
async def test_elevenlabs_filters(
    http: httpx.AsyncClient, query: dict[str, Any], names: list[str]
) -> None:
    listed = await get(http, "/v2/voices", **query)
    assert [voice["voice_id"] for voice in listed["voices"]] == names
    assert listed["total_count"] == len(names)


async def test_elevenlabs_pages_tile_the_list(http: httpx.AsyncClient) -> None:
    every = [v["name"] for v in (await get(http, "/v2/voices", sort="name"))["voices"]]
    assert every == sorted(every)
    seen: list[str] = []
    token, more = "", True
    while more:
        page = await get(http, "/v2/voices", sort="name", page_size=2, next_page_token=token)
        seen += [voice["name"] for voice in page["voices"]]
        token, more = page["next_page_token"], page["has_more"]
    assert seen == every


@pytest.mark.parametrize("query", [{"page_size": 0}, {"page_size": 101}, {"next_page_token": "x"}])
async def test_elevenlabs_refuses_wrong_pages(
    http: httpx.AsyncClient, query: dict[str, Any]
) -> None:
    refused = await http.get("/v2/voices", params=query)
    assert refused.status_code == 422
    assert refused.json()["detail"]["status"] == "bad_message"


async def test_cartesia_language_fields_and_filters(http: httpx.AsyncClient) -> None:
    listed = await get(http, "/voices", language="ar", gender="masculine")
    (voice,) = listed["data"]
    assert (voice["id"], voice["language"]) == (ARABIC.name, "ar")
    assert voice["locales"] == [{"locale": "ar-JO", "is_native": True}]
    assert await get(http, f"/voices/{ARABIC.name}") == voice
    owned = await get(http, "/voices", is_owner="true")
    assert [each["id"] for each in owned["data"]] == ["anna"]
    assert [each["id"] for each in (await get(http, "/voices", q="eva"))["data"]] == [GERMAN.name]
    missing = await http.get("/voices/nobody")
    assert missing.status_code == 404


async def test_cartesia_pages_tile_the_list_in_both_directions(http: httpx.AsyncClient) -> None:
    every = [each["id"] for each in (await get(http, "/voices", limit=100))["data"]]
    seen: list[str] = []
    more = True
    while more:
        cursor = {"starting_after": seen[-1]} if seen else {}
        page = await get(http, "/voices", limit=2, **cursor)
        seen += [each["id"] for each in page["data"]]
        more = page["has_more"]
    assert seen == every
    before = await get(http, "/voices", limit=2, ending_before=every[3])
    assert [each["id"] for each in before["data"]] == every[1:3]
    assert before["has_more"] is True
    for wrong in ({"limit": 0}, {"limit": 101}, {"starting_after": "x"}, {"gender": "x"}):
        assert (await http.get("/voices", params=wrong)).status_code == 400


async def test_the_pages_own_files_are_not_taken_for_voices(http: httpx.AsyncClient) -> None:
    script = await http.get("/voices/voices.js")
    assert script.headers["content-type"].startswith("text/javascript")


async def test_deepgram_lists_each_voice_as_a_model(http: httpx.AsyncClient) -> None:
    models = await get(http, "/v1/models")
    assert models["stt"] == []
    by_name = {each["canonical_name"]: each for each in models["tts"]}
    assert by_name[ARABIC.name]["languages"] == ["ar", "ar-JO"]
    assert by_name[ARABIC.name]["metadata"]["accent"] == "Arabic (Jordan)"
    assert by_name["anna"]["languages"] == ["en", "fr", "ar"]
    uuid = by_name[ARABIC.name]["uuid"]
    assert (await get(http, f"/v1/models/{uuid}"))["canonical_name"] == ARABIC.name
    assert models["object"] == "list"  # for OpenAI's clients


async def test_mistral_language_and_gender_filters(http: httpx.AsyncClient) -> None:
    async def search(**query: Any) -> list[str]:
        page = await get(http, "/v2/audio/voices", page_size=100, **query)
        return [voice["slug"] for voice in page["data"]]

    assert await search(language="ar") == [ARABIC.name, "anna"]
    assert await search(language=["ar", "de"], gender="male") == [ARABIC.name]
    assert await search(type="custom") == ["anna"]
    assert await search(query="KAREEM") == [ARABIC.name]
    assert (await get(http, f"/v1/audio/voices/{ARABIC.name}"))["languages"] == ["ar-JO"]


async def test_keys_of_every_vendor_open_its_list() -> None:
    async with (
        live_server(Polyglots(), access={"api_keys": "secret"}) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        for path, header in (
            ("/v1/models", {"authorization": "Token secret"}),
            ("/v1/models", {"authorization": "Bearer secret"}),
            ("/voices", {"x-api-key": "secret"}),
            ("/voices/anna", {"authorization": "Bearer secret"}),
            ("/v2/audio/voices", {"authorization": "Bearer secret"}),
            ("/v1/audio/voices/anna", {"authorization": "Bearer secret"}),
        ):
            assert (await http.get(path)).status_code == 401
            assert (await http.get(path, headers=header)).status_code == 200
