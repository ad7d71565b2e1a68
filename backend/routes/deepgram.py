"""Deepgram's routes: the WebSocket and the POST of `/v1/speak`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.datastructures import Headers

from backend.access import Access
from backend.audio import AudioFormat, parse_format
from backend.context import Services
from backend.errors import DuplexError
from backend.http_speech import SpeechResponse, refusal
from backend.protocols import deepgram
from backend.protocols.deepgram_query import Speech, decode_request, file_query, stream_query
from backend.tts_manager import TTSManager
from backend.websocket_manager import WebSocketManager

_SCHEMES = ("token", "bearer")


def deepgram_routes(access: Access) -> APIRouter:
    """The routes; they expect `services` and `connections` in the application's state."""
    router = APIRouter()

    @router.websocket("/v1/speak")
    async def stream(websocket: WebSocket) -> None:
        services: Services = websocket.app.state.services
        connections: WebSocketManager = websocket.app.state.connections
        key = key_of(websocket.headers)
        try:
            access.authorize(key)
            speech = stream_query(websocket.query_params, _voices(services.tts))
            _check(speech, services.tts)
        except DuplexError as error:
            services.metrics.error(error.code)
            refused = deepgram.refusal(error.code, error.message)
            await websocket.send_denial_response(refusal(refused))
            return
        await connections.serve(websocket, deepgram.DeepgramProtocol(speech), key)

    @router.post("/v1/speak")
    async def speak(request: Request) -> Response:
        services: Services = request.app.state.services
        try:
            access.authorize(key_of(request.headers))
            speech = file_query(request.query_params, _voices(services.tts))
            audio = _check(speech, services.tts)
            text = decode_request(await request.body(), request.headers.get("content-type", ""))
        except DuplexError as error:
            services.metrics.error(error.code)
            return refusal(deepgram.refusal(error.code, error.message))
        answer = deepgram.DeepgramBody(speech, audio.media_type, len(text))
        return SpeechResponse(services, speech.start, text, answer)

    return router


def key_of(headers: Headers) -> str | None:
    """The key in `Authorization: Token KEY` (or Bearer)."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() in _SCHEMES else None


def _voices(tts: TTSManager) -> list[str]:
    return [voice.name for voice in tts.voices()]


def _check(speech: Speech, tts: TTSManager) -> AudioFormat:
    """Refuse now what would be refused at the first word. Raises what both of these raise."""
    tts.manner(speech.start)
    return parse_format(speech.start.format, speech.start.sample_rate, speech.start.bit_rate)
