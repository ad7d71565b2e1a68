"""The native protocol's routes: `/ws/tts`, `/ws/resume`, `/v1/speech`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, WebSocket

from backend.cluster.holder_connection import RESUME_PATH
from backend.errors import DuplexError
from backend.events import Failed
from backend.protocols.native import NativeLines, NativeProtocol, decode_speech_request
from backend.sessions.services import Services
from backend.transport.auth import Access, bearer_key
from backend.transport.resume_access import Caller
from backend.transport.speech_response import SpeechResponse, create_refusal_response
from backend.websocket_manager import WebSocketManager


def native_routes(access: Access) -> APIRouter:
    """The routes; require `services` and `connections` in the application's state."""
    router = APIRouter()

    @router.websocket("/ws/tts")
    async def speak(websocket: WebSocket) -> None:
        connections: WebSocketManager = websocket.app.state.connections
        # Browsers cannot set headers on a WebSocket.
        key = bearer_key(websocket.headers) or websocket.query_params.get("key")
        await connections.serve(websocket, NativeProtocol(), key, resumable=True)

    @router.post("/v1/speech")
    async def speech(request: Request) -> Response:
        """Speak one text; returns the server's messages, one JSON object per line."""
        services: Services = request.app.state.services
        lines = NativeLines()
        try:
            owner = access.authorize(bearer_key(request.headers))
            start, text = decode_speech_request(await request.body())
        except DuplexError as error:
            services.metrics.count_error(error.code)
            return create_refusal_response(lines.refuse(Failed.from_error(error)))
        return SpeechResponse(services, start, text, lines, owner)

    return router


def resume_routes() -> APIRouter:
    """The replica's own address for sessions that it holds; only in a cluster."""
    router = APIRouter()

    @router.websocket(RESUME_PATH)
    async def resume(websocket: WebSocket) -> None:
        connections: WebSocketManager = websocket.app.state.connections
        caller = Caller.from_handshake(websocket)
        await connections.serve_resuming(websocket, NativeProtocol(), caller)

    return router
