"""Deepgram's routes: the WebSocket and the POST of `/v1/speak`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.types import Message

from backend.audio.formats import AudioFormat, parse_format
from backend.errors import DuplexError
from backend.protocols.deepgram import websocket as deepgram
from backend.protocols.deepgram.query import SpeakRequest, decode_request, file_query, stream_query
from backend.sessions.context import Services
from backend.transport.auth import Access, authorization
from backend.transport.speech_response import SpeechResponse, refusal
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
        key, websocket = _key(websocket)
        try:
            access.authorize(key)
            speech = stream_query(websocket.query_params, services.tts.find_voice)
            _check(speech, services.tts)
        except DuplexError as error:
            services.metrics.count_error(error.code)
            refused = deepgram.refusal(error.code, error.message)
            await websocket.send_denial_response(refusal(refused))
            return
        await connections.serve(websocket, deepgram.DeepgramProtocol(speech), key)

    @router.post("/v1/speak")
    async def speak(request: Request) -> Response:
        services: Services = request.app.state.services
        try:
            access.authorize(authorization(request.headers, *_SCHEMES))
            speech = file_query(request.query_params, services.tts.find_voice)
            audio = _check(speech, services.tts)
            text = decode_request(await request.body(), request.headers.get("content-type", ""))
        except DuplexError as error:
            services.metrics.count_error(error.code)
            return refusal(deepgram.refusal(error.code, error.message))
        answer = deepgram.DeepgramBody(speech, audio.media_type, len(text))
        return SpeechResponse(services, speech.start, text, answer)

    return router


def _key(websocket: WebSocket) -> tuple[str | None, WebSocket]:
    """The key in `Authorization: Token KEY` (or Bearer), or where a browser's page can put it: in
    the subprotocols, `token, KEY`. That wants to see the first of them agreed to.
    """
    key = authorization(websocket.headers, *_SCHEMES)
    offered = websocket.scope["subprotocols"]
    if key is None and len(offered) == 2 and offered[0].lower() in _SCHEMES:
        return offered[1], _agreeing(websocket, offered[0])
    return key, websocket


def _agreeing(websocket: WebSocket, subprotocol: str) -> WebSocket:
    async def send(message: Message) -> None:
        if message["type"] == "websocket.accept":
            message = {**message, "subprotocol": subprotocol}
        await websocket.send(message)

    return WebSocket(websocket.scope, websocket.receive, send)


def _check(speech: SpeakRequest, tts: TTSManager) -> AudioFormat:
    """Refuse now what would be refused at the first word. Raises what both of these raise."""
    tts.manner(speech.start)
    return parse_format(speech.start.format, speech.start.sample_rate, speech.start.bit_rate)
