"""OpenAI's routes: `/v1/audio/speech`, and the lists of models and voices.

Mistral and Together have the same paths: their SDKs or the fields of the body tell them apart.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from backend.audio.formats import parse_format
from backend.endpoints import mistral, together
from backend.errors import DuplexError
from backend.events import Failed
from backend.protocols import openai
from backend.protocols.audio_body import AudioBody
from backend.protocols.base import HttpTranslator
from backend.protocols.deepgram import models as deepgram
from backend.protocols.elevenlabs import http as elevenlabs_http
from backend.protocols.json_fields import read_query
from backend.protocols.mistral.errors import build_refusal as build_mistral_refusal
from backend.protocols.mistral.voice_list import OffsetQuery, describe_offset_page
from backend.sessions.services import Services
from backend.transport.auth import PUBLIC, Access, authorization_key
from backend.transport.speech_response import SpeechResponse, create_refusal_response
from backend.tts_manager import SPEED_RANGE

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_ELEVENLABS_KEY = "xi-api-key"  # selects ElevenLabs' response on a URL that both vendors have


class _OpenAIRoute(APIRoute):
    """A route that answers errors in the vendor's form."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handler = super().get_route_handler()

        async def respond(request: Request) -> Response:
            try:
                return await handler(request)
            except DuplexError as error:
                _get_services(request).metrics.count_error(error.code)
                return _error_response(request, Failed.from_error(error))

        return respond


def openai_routes(access: Access) -> APIRouter:
    """The routes; require `services` in the application's state."""

    def authorize(request: Request) -> None:
        _authorize(request, access)

    router = APIRouter(route_class=_OpenAIRoute, dependencies=[Depends(authorize)])

    @router.post("/v1/audio/speech")
    async def speech(request: Request) -> Response:
        return await _serve_speech(request)

    @router.get("/v1/models")
    async def models(request: Request) -> Any:
        services = _get_services(request)
        if _ELEVENLABS_KEY in request.headers:
            max_characters = services.settings.server.max_text_length
            return [
                elevenlabs_http.describe_model(
                    engine.info.name, sorted(engine.info.languages), max_characters
                )
                for engine in services.tts.engines
            ]
        # One response for OpenAI's and Deepgram's clients, which read different fields.
        listed = openai.describe_models(*_name_engines(services))
        return {**listed, **deepgram.describe_models(services.tts.voices())}

    @router.get("/v1/models/{name}", response_model=None)
    async def model(request: Request, name: str) -> Response | dict[str, Any]:
        return _describe_model(request, name)

    @router.get("/v1/audio/models")  # used by Open WebUI
    async def audio_models(request: Request) -> dict[str, Any]:
        engines = _name_engines(_get_services(request))
        return {"models": openai.describe_models(*engines)["data"]}

    @router.get("/v1/audio/voices")
    async def voices(request: Request) -> dict[str, Any]:
        """One response for OpenAI's and Mistral's clients, which read different fields."""
        tts = _get_services(request).tts
        language = request.query_params.get("language", "")
        listed = openai.describe_voices(tts.voices(), tts.default_voice, language)
        query = read_query(OffsetQuery, request.query_params)
        return {**listed, **describe_offset_page(tts.voices(), query)}

    @router.api_route("/v1/audio/{rest:path}", methods=_METHODS, include_in_schema=False)
    async def unknown(request: Request, rest: str) -> Response:
        path = request.url.path
        message = (
            f"no {request.method} {path} on this server; available: POST /v1/audio/speech, "
            "WebSockets /v1/audio/speech/realtime (Mistral's), /v1/audio/speech/websocket "
            "(Together's); GET /v1/audio/voices"
        )
        return _error_response(request, Failed(None, "unknown_url", message))

    return router


def _describe_model(request: Request, name: str) -> Response | dict[str, Any]:
    """The model of this name: OpenAI's, or Deepgram's, whose models are voices."""
    services = _get_services(request)
    if name in (*_name_engines(services), *openai.MODELS):
        return openai.describe_model(name)
    for voice in deepgram.describe_models(services.tts.voices())["tts"]:
        if name in (voice["uuid"], voice["canonical_name"]):
            return {**openai.describe_model(name), **voice}
    message = f"the model {name[:80]!r} does not exist; GET /v1/models lists the models"
    return _error_response(request, Failed(None, "model_not_found", message))


def _authorize(request: Request, access: Access) -> None:
    if request.scope["route"].path not in PUBLIC:
        # "Token" is Deepgram's.
        key = authorization_key(request.headers, "bearer", "token")
        key = key or request.headers.get(_ELEVENLABS_KEY)
        request.state.owner = access.authorize(key)


async def _serve_speech(request: Request) -> Response:
    services, body, owner = _get_services(request), await request.body(), request.state.owner
    if mistral.is_mistral(request) or mistral.has_mistral_fields(body):
        return await mistral.serve_speech(services, body, owner)
    if together.is_together(request) or together.has_together_fields(body):
        return await together.serve_speech(services, body, owner)
    speech_request = openai.decode_request(body)
    await services.tts.look_for_voice(speech_request.voice_name)
    return _create_response(services, speech_request, owner)


def _create_response(
    services: Services, speech_request: openai.OpenAISpeechRequest, owner: str
) -> Response:
    tts = services.tts
    voice = openai.find_openai_voice(speech_request.voice_name, tts.voices(), tts.default_voice)
    slowest, fastest = SPEED_RANGE
    speed = min(max(speech_request.speed, slowest), fastest)
    start = openai.build_start(speech_request, voice, speed)
    headers = {"cache-control": "no-store", "x-request-id": uuid4().hex}
    if speed != speech_request.speed:
        headers["x-speed"] = f"{speed:g}"
    body: HttpTranslator = openai.OpenAIEvents(headers)
    if speech_request.stream_format == "audio":
        audio = AudioBody(
            parse_format(start.format, start.sample_rate).media_type, openai.build_refusal
        )
        audio.headers = headers
        body = audio
    return SpeechResponse(services, start, speech_request.input, body, owner)


def _name_engines(services: Services) -> list[str]:
    return [engine.info.name for engine in services.tts.engines]


def _get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _error_response(request: Request, failed: Failed) -> Response:
    if _ELEVENLABS_KEY in request.headers:
        refused = elevenlabs_http.build_refusal(failed)
    elif mistral.is_mistral(request):
        refused = build_mistral_refusal(failed)
    else:
        refused = openai.build_refusal(failed)
    return create_refusal_response(refused)
