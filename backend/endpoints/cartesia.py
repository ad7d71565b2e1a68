"""Cartesia's routes: `/tts/websocket`, `/tts/bytes`, `/tts/sse`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.requests import HTTPConnection

from backend.audio.formats import AudioFormat, parse_format
from backend.errors import DuplexError
from backend.events import Failed, Start
from backend.protocols.audio_body import AudioBody
from backend.protocols.cartesia.request import FileRequest, refuse
from backend.protocols.cartesia.websocket import CartesiaEvents, CartesiaProtocol
from backend.protocols.json_fields import read_json
from backend.sessions.context import Services
from backend.transport.auth import Access, bearer
from backend.transport.speech_response import SpeechResponse, refusal
from backend.websocket_manager import WebSocketManager

_SDK = "cartesia-python/"


def cartesia_routes(access: Access) -> APIRouter:
    """The routes; they expect `services` and `connections` in the application's state."""
    router = APIRouter()

    @router.websocket("/tts/websocket")
    async def stream(websocket: WebSocket) -> None:
        connections: WebSocketManager = websocket.app.state.connections
        find_voice = _services(websocket).tts.find_voice
        sdk = websocket.headers.get("user-agent", "").startswith(_SDK)
        protocol = CartesiaProtocol(find_voice, done_after_error=not sdk)
        await connections.serve(websocket, protocol, _key(websocket))

    @router.post("/tts/bytes")
    async def audio_alone(request: Request) -> Response:
        try:
            asked, start, audio = await _asked(request, access)
        except DuplexError as error:
            return _refused(request, error)
        body = AudioBody(audio.media_type, refuse)
        return SpeechResponse(_services(request), start, asked.text, body)

    @router.post("/tts/sse")
    async def events(request: Request) -> Response:
        try:
            asked, start, _ = await _asked(request, access)
        except DuplexError as error:
            return _refused(request, error)
        return SpeechResponse(_services(request), start, asked.text, CartesiaEvents(asked))

    return router


async def _asked(request: Request, access: Access) -> tuple[FileRequest, Start, AudioFormat]:
    """What is wanted, checked as far as it can be before it is spoken. Raises `DuplexError`."""
    services = _services(request)
    access.authorize(_key(request))
    asked = read_json(FileRequest, await request.body())
    start = asked.start("", services.tts.find_voice)
    services.tts.manner(start)
    return asked, start, parse_format(start.format, start.sample_rate, start.bit_rate)


def _key(connection: HTTPConnection) -> str | None:
    """The key in the header or, for browsers, in the URL."""
    query = connection.query_params
    in_url = query.get("api_key") or query.get("access_token")
    return connection.headers.get("x-api-key") or bearer(connection.headers) or in_url


def _services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


def _refused(request: Request, error: DuplexError) -> Response:
    _services(request).metrics.count_error(error.code)
    return refusal(refuse(Failed(None, error.code, error.message)))
