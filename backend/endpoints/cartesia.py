"""Cartesia's routes: `/tts/websocket`, `/tts/bytes`, `/tts/sse`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.requests import HTTPConnection

from backend.audio.formats import AudioFormat, parse_format
from backend.errors import DuplexError, UnknownVoice
from backend.events import Failed, Start
from backend.protocols.audio_body import AudioBody
from backend.protocols.cartesia.request import CartesiaHttpRequest, build_refusal
from backend.protocols.cartesia.voice_list import VoiceQuery, describe_page, describe_voice
from backend.protocols.cartesia.websocket import CartesiaEvents, CartesiaProtocol
from backend.protocols.json_fields import read_json, read_query
from backend.sessions.services import Services
from backend.transport.auth import Access, bearer_key
from backend.transport.speech_response import SpeechResponse, create_refusal_response
from backend.websocket_manager import WebSocketManager

_SDK = "cartesia-python/"


def cartesia_routes(access: Access) -> APIRouter:
    """The routes; require `services` and `connections` in the application's state."""
    router = APIRouter()

    @router.websocket("/tts/websocket")
    async def stream(websocket: WebSocket) -> None:
        connections: WebSocketManager = websocket.app.state.connections
        find_voice = _get_services(websocket).tts.find_voice
        sdk = websocket.headers.get("user-agent", "").startswith(_SDK)
        protocol = CartesiaProtocol(find_voice, done_after_error=not sdk)
        await connections.serve(websocket, protocol, _get_key(websocket))

    @router.post("/tts/bytes")
    async def audio_bytes(request: Request) -> Response:
        try:
            owner = access.authorize(_get_key(request))
            speech, start, audio = await _read_request(request)
        except DuplexError as error:
            return _error_response(request, error)
        body = AudioBody(audio.media_type, build_refusal)
        return SpeechResponse(_get_services(request), start, speech.transcript, body, owner)

    @router.post("/tts/sse")
    async def events(request: Request) -> Response:
        try:
            owner = access.authorize(_get_key(request))
            speech, start, _ = await _read_request(request)
        except DuplexError as error:
            return _error_response(request, error)
        return SpeechResponse(
            _get_services(request), start, speech.transcript, CartesiaEvents(speech), owner
        )

    _add_voice_routes(router, access)
    return router


def _add_voice_routes(router: APIRouter, access: Access) -> None:
    @router.get("/voices", response_model=None)
    async def voices(request: Request) -> Response | dict[str, object]:
        try:
            access.authorize(_get_key(request))
            query = read_query(VoiceQuery, request.query_params)
            return describe_page(_get_services(request).tts.voices(), query)
        except DuplexError as error:
            return _error_response(request, error)

    @router.get("/voices/{voice_id:path}", response_model=None)
    async def voice(request: Request, voice_id: str) -> Response | dict[str, object]:
        """The voice for an id, the server's or Cartesia's."""
        tts = _get_services(request).tts
        try:
            access.authorize(_get_key(request))
            name = tts.find_voice(voice_id)
            found = [each for each in tts.voices() if each.name == name]
            if not found:
                raise UnknownVoice(f"no voice {voice_id[:40]!r}; GET /voices lists the voices")
            return describe_voice(found[0])
        except DuplexError as error:
            return _error_response(request, error)


async def _read_request(request: Request) -> tuple[CartesiaHttpRequest, Start, AudioFormat]:
    """Read and validate a request. Raises `DuplexError`."""
    services = _get_services(request)
    speech = read_json(CartesiaHttpRequest, await request.body())
    start = speech.build_start("", services.tts.find_voice)
    await services.look_for_missing(start)
    params = services.tts.resolve_params(start)
    services.lexicons.lexicon_for(params.voice, start.lexicon, start.dictionaries)
    return speech, start, parse_format(start.format, start.sample_rate, start.bit_rate)


def _get_key(connection: HTTPConnection) -> str | None:
    """The key from a header or, for browsers, the URL."""
    query = connection.query_params
    in_url = query.get("api_key") or query.get("access_token")
    return connection.headers.get("x-api-key") or bearer_key(connection.headers) or in_url


def _get_services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


def _error_response(request: Request, error: DuplexError) -> Response:
    _get_services(request).metrics.count_error(error.code)
    return create_refusal_response(build_refusal(Failed.from_error(error)))
