"""Together's routes: the WebSocket `/v1/audio/speech/websocket`.

`POST /v1/audio/speech` and `GET /v1/voices` are shared with other protocols: see `openai` and
`voices`.
"""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request, Response, WebSocket

from backend.audio.formats import AudioFormat, parse_format
from backend.errors import DuplexError
from backend.events import Failed, Start
from backend.protocols import openai
from backend.protocols.audio_body import AudioBody
from backend.protocols.base import HttpTranslator
from backend.protocols.json_fields import LenientModel, read_json, read_query
from backend.protocols.together.events import TogetherEvents
from backend.protocols.together.request import StreamQuery, TogetherSpeechRequest
from backend.protocols.together.websocket import TogetherProtocol
from backend.sessions.services import Services
from backend.transport.auth import Access, bearer_key
from backend.transport.speech_response import SpeechResponse, create_refusal_response
from backend.websocket_manager import WebSocketManager

_SDKS = ("Together/", "AsyncTogether/")  # how the user agents of Together's SDKs begin
_OWN_FORMATS = ("raw", "mulaw")


class _OwnFields(LenientModel):
    """The fields by which a body is Together's. `stream` and `sample_rate` are none of them: local
    servers with OpenAI's API take them, too, and answer with plain audio.
    """

    response_format: object = None
    response_encoding: object = None
    alignment: object = None
    segment: object = None
    extra_params: object = None


def together_routes(access: Access) -> APIRouter:
    """The routes; require `services` and `connections` in the application's state."""
    router = APIRouter()

    @router.websocket("/v1/audio/speech/websocket")
    async def stream(websocket: WebSocket) -> None:
        services: Services = websocket.app.state.services
        connections: WebSocketManager = websocket.app.state.connections
        key = bearer_key(websocket.headers) or websocket.query_params.get("api_key")
        try:
            access.authorize(key)
            params = read_query(StreamQuery, websocket.query_params)
            await _validate_start(services, params.build_start(services.tts.find_voice))
        except DuplexError as error:
            refused = error_response(services, error)
            await websocket.send_denial_response(refused)
            return
        await connections.serve(websocket, TogetherProtocol(params, services.tts.find_voice), key)

    return router


def is_together(request: Request) -> bool:
    """Whether it comes from one of Together's SDKs."""
    return request.headers.get("user-agent", "").startswith(_SDKS)


def has_together_fields(body: bytes) -> bool:
    """Whether a body of `POST /v1/audio/speech` is Together's."""
    try:
        fields = read_json(_OwnFields, body)
    except DuplexError:
        return False
    own = fields.model_fields_set - {"response_format"}
    return bool(own) or fields.response_format in _OWN_FORMATS


async def serve_speech(services: Services, body: bytes, owner: str) -> Response:
    """Answer `POST /v1/audio/speech` in Together's form."""
    try:
        speech = read_json(TogetherSpeechRequest, body)
        start = replace(speech.build_start(services.tts.find_voice), context="speech")
        audio = await _validate_start(services, start)
    except DuplexError as error:
        return error_response(services, error)
    translator: HttpTranslator = AudioBody(audio.media_type, openai.build_refusal)
    if speech.stream:
        translator = TogetherEvents(speech.input, with_words=speech.alignment == "word")
    return SpeechResponse(services, start, speech.input, translator, owner)


async def _validate_start(services: Services, start: Start) -> AudioFormat:
    """Validate before the first word. Raises `DuplexError`."""
    await services.look_for_missing(start)
    params = services.tts.resolve_params(start)
    services.lexicons.lexicon_for(params.voice, start.lexicon, start.dictionaries)
    return parse_format(start.format, start.sample_rate, start.bit_rate)


def error_response(services: Services, error: DuplexError) -> Response:
    """The error in Together's form, which is OpenAI's; counted."""
    services.metrics.count_error(error.code)
    return create_refusal_response(openai.build_refusal(Failed.from_error(error)))
