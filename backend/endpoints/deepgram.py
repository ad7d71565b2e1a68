"""Deepgram's routes: the WebSocket and the POST of `/v1/speak`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, WebSocket

from backend.audio.formats import AudioFormat, parse_format
from backend.errors import DuplexError
from backend.protocols.deepgram import websocket as deepgram
from backend.protocols.deepgram.query import (
    SpeakRequest,
    count_characters,
    decode_text,
    parse_file_query,
    parse_stream_query,
    pronounce_text,
)
from backend.sessions.services import Services
from backend.transport.auth import Access, authorization_key
from backend.transport.speech_response import SpeechResponse, create_refusal_response
from backend.transport.subprotocol_keys import find_key
from backend.tts_manager import TTSManager
from backend.websocket_manager import WebSocketManager

_SCHEMES = ("token", "bearer")


def deepgram_routes(access: Access) -> APIRouter:
    """The routes; require `services` and `connections` in the application's state."""
    router = APIRouter()

    @router.websocket("/v1/speak")
    async def stream(websocket: WebSocket) -> None:
        services: Services = websocket.app.state.services
        connections: WebSocketManager = websocket.app.state.connections
        key, websocket = find_key(websocket, _SCHEMES, _SCHEMES)
        try:
            access.authorize(key)
            speech = parse_stream_query(websocket.query_params, services.tts.find_voice)
            await services.look_for_missing(speech.start)
            _validate_speech(speech, services.tts)
        except DuplexError as error:
            services.metrics.count_error(error.code)
            response = deepgram.build_refusal(error.code, error.message)
            await websocket.send_denial_response(create_refusal_response(response))
            return
        await connections.serve(websocket, deepgram.DeepgramProtocol(speech), key)

    @router.post("/v1/speak")
    async def speak(request: Request) -> Response:
        services: Services = request.app.state.services
        try:
            owner = access.authorize(authorization_key(request.headers, *_SCHEMES))
            speech = parse_file_query(request.query_params, services.tts.find_voice)
            await services.look_for_missing(speech.start)
            audio = _validate_speech(speech, services.tts)
            text = decode_text(await request.body(), request.headers.get("content-type", ""))
        except DuplexError as error:
            services.metrics.count_error(error.code)
            return create_refusal_response(deepgram.build_refusal(error.code, error.message))
        body = deepgram.DeepgramBody(speech, audio.media_type, count_characters(text))
        return SpeechResponse(services, speech.start, pronounce_text(text), body, owner)

    return router


def _validate_speech(speech: SpeakRequest, tts: TTSManager) -> AudioFormat:
    """Validate before the first word. Raises `DuplexError`."""
    tts.resolve_params(speech.start)
    return parse_format(speech.start.format, speech.start.sample_rate, speech.start.bit_rate)
