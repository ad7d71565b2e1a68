"""The native protocol's routes: `/ws/tts`, `/v1/speech`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, WebSocket

from backend.errors import DuplexError
from backend.events import Failed
from backend.protocols.native import NativeLines, NativeProtocol, decode_speech
from backend.sessions.context import Services
from backend.transport.auth import Access, bearer
from backend.transport.speech_response import SpeechResponse, refusal
from backend.websocket_manager import WebSocketManager


def native_routes(access: Access) -> APIRouter:
    """The routes; they expect `services` and `connections` in the application's state."""
    router = APIRouter()

    @router.websocket("/ws/tts")
    async def speak(websocket: WebSocket) -> None:
        connections: WebSocketManager = websocket.app.state.connections
        # A browser's page cannot set a header here.
        key = bearer(websocket.headers) or websocket.query_params.get("key")
        await connections.serve(websocket, NativeProtocol(), key, resumable=True)

    @router.post("/v1/speech")
    async def speech(request: Request) -> Response:
        """Speak one text: the server's messages, one JSON object a line."""
        services: Services = request.app.state.services
        lines = NativeLines()
        try:
            access.authorize(bearer(request.headers))
            start, text = decode_speech(await request.body())
        except DuplexError as error:
            services.metrics.count_error(error.code)
            return refusal(lines.refuse(Failed(None, error.code, error.message)))
        return SpeechResponse(services, start, text, lines)

    return router
