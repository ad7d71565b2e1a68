"""Mistral's routes: the WebSocket `/v1/audio/speech/realtime`, and its lists of voices.

`POST /v1/audio/speech` and `GET /v1/audio/voices` are shared with other protocols: see `openai`.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, WebSocket

from backend.audio.formats import parse_format
from backend.errors import DuplexError, UnknownVoice
from backend.events import Failed
from backend.protocols.json_fields import LenientModel, read_json, read_query
from backend.protocols.mistral.errors import build_refusal
from backend.protocols.mistral.http import MistralEvents, MistralObject, MistralSpeechRequest
from backend.protocols.mistral.voice_list import PageQuery, describe_page, describe_voice
from backend.protocols.mistral.websocket import DEFAULT_MODEL, MistralProtocol
from backend.sessions.services import Services
from backend.transport.auth import Access, bearer_key
from backend.transport.speech_response import SpeechResponse, create_refusal_response
from backend.transport.subprotocol_keys import find_key
from backend.websocket_manager import WebSocketManager

MISTRAL_SDK = "mistralai"  # in the user agent of Mistral's SDKs


class _OwnFields(LenientModel):
    """The fields by which a body is Mistral's; other services name a `voice`."""

    voice: object = None
    voice_id: object = None
    ref_audio: object = None


def mistral_routes(access: Access) -> APIRouter:
    """The routes; require `services` and `connections` in the application's state."""
    router = APIRouter()

    @router.websocket("/v1/audio/speech/realtime")
    async def stream(websocket: WebSocket) -> None:
        services: Services = websocket.app.state.services
        connections: WebSocketManager = websocket.app.state.connections
        model = websocket.query_params.get("model", DEFAULT_MODEL)[:200]
        key, websocket = find_key(websocket, ["bearer"], ["realtime"])
        await connections.serve(websocket, MistralProtocol(model, services.tts.find_voice), key)

    @router.get("/v2/audio/voices", response_model=None)
    async def voices(request: Request) -> Response | dict[str, object]:
        services: Services = request.app.state.services
        try:
            access.authorize(bearer_key(request.headers))
            query = request.query_params
            repeated = {name: query.getlist(name) for name in ("gender", "language")}
            page = read_query(PageQuery, {**query, **repeated})
            return describe_page(services.tts.voices(), page)
        except DuplexError as error:
            return error_response(services, error)

    @router.get("/v1/audio/voices/{voice_id}", response_model=None)
    async def voice(request: Request, voice_id: str) -> Response | dict[str, object]:
        """The voice for an id, the server's or Mistral's."""
        services: Services = request.app.state.services
        try:
            access.authorize(bearer_key(request.headers))
            await services.tts.look_for_voice(voice_id)
            name = services.tts.find_voice(voice_id)
            found = [each for each in services.tts.voices() if each.name == name]
            if not found:
                raise UnknownVoice(f"no voice {voice_id[:40]!r}; GET /v2/audio/voices lists them")
            return describe_voice(found[0])
        except DuplexError as error:
            return error_response(services, error)

    return router


def is_mistral(request: Request) -> bool:
    """Whether it comes from one of Mistral's SDKs."""
    return MISTRAL_SDK in request.headers.get("user-agent", "")


def has_mistral_fields(body: bytes) -> bool:
    """Whether a body of `POST /v1/audio/speech` is Mistral's."""
    try:
        fields = read_json(_OwnFields, body)
    except DuplexError:
        return False
    is_own = fields.voice_id is not None or fields.ref_audio is not None
    return is_own and fields.voice is None


async def serve_speech(services: Services, body: bytes, owner: str) -> Response:
    """Answer `POST /v1/audio/speech` in Mistral's form."""
    try:
        speech = read_json(MistralSpeechRequest, body)
        start = speech.build_start(services.tts.find_voice)
        await services.look_for_missing(start)
        params = services.tts.resolve_params(start)
        services.lexicons.lexicon_for(params.voice, start.lexicon, start.dictionaries)
        parse_format(start.format, start.sample_rate)
    except DuplexError as error:
        return error_response(services, error)
    translator = MistralEvents() if speech.stream else MistralObject()
    return SpeechResponse(services, start, speech.input, translator, owner)


def error_response(services: Services, error: DuplexError) -> Response:
    """The error in Mistral's form; counted."""
    services.metrics.count_error(error.code)
    return create_refusal_response(build_refusal(Failed.from_error(error)))
