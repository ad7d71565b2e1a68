"""The voice lists of the real SDKs, by language and in pages, with only their URL changed."""

from __future__ import annotations

from cartesia import Cartesia
from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from elevenlabs.client import ElevenLabs
from openai import OpenAI

from tests.interop.live_servers import RunningServer


def test_elevenlabs_searches_by_language_in_pages(server: RunningServer) -> None:
    voices = ElevenLabs(base_url=server.http, api_key="any").voices
    first = voices.search(language="en", page_size=2)
    assert len(first.voices) == 2
    second = voices.search(language="en", page_size=2, next_page_token=first.next_page_token)
    assert {v.voice_id for v in first.voices}.isdisjoint(v.voice_id for v in second.voices)
    (verified,) = first.voices[0].verified_languages or []
    assert (verified.language, verified.locale) == ("en", "en-US")
    assert voices.search(language=["ar", "de"]).voices == []


def test_cartesia_walks_all_pages(server: RunningServer) -> None:
    with Cartesia(api_key="any", base_url=server.http) as client:
        listed = list(client.voices.list(limit=2))
        assert len({voice.id for voice in listed}) == len(listed) > 2
        assert listed[0].language == "en"
        assert client.voices.get(listed[0].id).locales[0].locale == "en-US"
        assert {voice.gender for voice in client.voices.list(gender="masculine")} == {"masculine"}


def test_deepgram_lists_voices_as_models(server: RunningServer) -> None:
    urls = DeepgramClientEnvironment(
        base=server.http, production=server.ws, agent=server.ws, agent_rest=server.http
    )
    models = DeepgramClient(api_key="any", environment=urls).manage.v1.models
    listed = models.list().tts or []
    assert listed[0].languages == ["en", "en-US"]
    assert models.get(listed[0].uuid_).canonical_name == listed[0].canonical_name


def test_openai_still_lists_models(server: RunningServer) -> None:
    client = OpenAI(base_url=f"{server.http}/v1", api_key="any")
    assert "tts-1" in [model.id for model in client.models.list()]
