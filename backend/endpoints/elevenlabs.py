"""ElevenLabs' routes: `/v1/text-to-speech`, its voices, and who asks.

`/v1/voices` and `/v1/models` are shared with other protocols: see `voices` and `openai`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.requests import HTTPConnection

from backend.audio.formats import AudioFormat, parse_format
from backend.errors import DuplexError, UnknownVoice
from backend.events import Failed, Start
from backend.protocols.audio_body import AudioBody
from backend.protocols.base import HttpTranslator
from backend.protocols.elevenlabs import account as elevenlabs_account
from backend.protocols.elevenlabs import http as elevenlabs_http
from backend.protocols.elevenlabs.http import SpeechRequest, TimestampedLines, TimestampedWhole
from backend.protocols.elevenlabs.stream_request import StreamQuery
from backend.protocols.elevenlabs.websocket import ElevenLabsProtocol
from backend.protocols.json_fields import read_json, read_query
from backend.sessions.context import Services
from backend.transport.auth import Access, bearer
from backend.transport.speech_response import SpeechResponse, refusal
from backend.transport.websocket import Connection, PeerGone
from backend.websocket_manager import WebSocketManager

_SPEECH = "/v1/text-to-speech/{voice_id}"
_FIRST_MESSAGE_S = 1.0
_QUERY_KEYS = ("xi-api-key", "xi_api_key", "single_use_token")


def elevenlabs_routes(access: Access) -> APIRouter:
    """The routes; they expect `services` and `connections` in the application's state."""
    router = APIRouter()

    @router.websocket(f"{_SPEECH}/stream-input")
    async def stream_input(websocket: WebSocket, voice_id: str) -> None:
        await _stream(websocket, access, voice_id, multi=False)

    @router.websocket(f"{_SPEECH}/multi-stream-input")
    async def multi_stream_input(websocket: WebSocket, voice_id: str) -> None:
        await _stream(websocket, access, voice_id, multi=True)

    @router.post(_SPEECH)
    @router.post(f"{_SPEECH}/stream")
    async def speech(request: Request, voice_id: str) -> Response:
        return await _speech(request, access, voice_id, _audio_alone)

    @router.post(f"{_SPEECH}/with-timestamps")
    async def timestamped(request: Request, voice_id: str) -> Response:
        return await _speech(request, access, voice_id, lambda text, _: TimestampedWhole(text))

    @router.post(f"{_SPEECH}/stream/with-timestamps")
    async def timestamped_stream(request: Request, voice_id: str) -> Response:
        return await _speech(request, access, voice_id, lambda text, _: TimestampedLines(text))

    _add_lists(router, access)
    return router


def _add_lists(router: APIRouter, access: Access) -> None:
    @router.get("/v2/voices")
    async def voices(request: Request) -> dict[str, object]:
        known = elevenlabs_http.describe_voices(_services(request).tts.voices())
        return {"voices": known, "has_more": False, "total_count": len(known)}

    @router.get("/v1/voices/{voice_id}", response_model=None)
    async def voice(request: Request, voice_id: str) -> Response | dict[str, object]:
        """The voice that speaks for an id, one of theirs too."""
        try:
            access.authorize(_key(request))
        except DuplexError as refused:
            return _refused(_services(request), refused)
        tts = _services(request).tts
        name = tts.find_voice(voice_id)
        for known in tts.voices():
            if known.name == name:
                (described,) = elevenlabs_http.describe_voices([known])
                return described
        names = ", ".join(known.name for known in tts.voices())
        error = UnknownVoice(f"no voice {voice_id[:40]!r}; voices: {names}")
        return _refused(_services(request), error)

    @router.get("/v1/user", response_model=None)
    async def user(request: Request) -> Response | dict[str, object]:
        return _told(request, access, elevenlabs_account.describe_user)

    @router.get("/v1/user/subscription", response_model=None)
    async def subscription(request: Request) -> Response | dict[str, object]:
        return _told(request, access, elevenlabs_account.describe_subscription)


def _told(
    request: Request, access: Access, describe: Callable[[int], dict[str, object]]
) -> Response | dict[str, object]:
    services = _services(request)
    try:
        access.authorize(_key(request))
    except DuplexError as error:
        return _refused(services, error)
    return describe(services.settings.server.max_text_length)


async def _stream(websocket: WebSocket, access: Access, voice_id: str, *, multi: bool) -> None:
    services = _services(websocket)
    connections: WebSocketManager = websocket.app.state.connections
    key = _key(websocket)
    key_follows = access.demanded and key is None
    try:
        if not key_follows:
            access.authorize(key)
        query = read_query(StreamQuery, websocket.query_params)
        start = _start(services, voice_id, query.output_format, query)
        _check(services, start)
    except DuplexError as error:
        await _dismiss(websocket, services, error, multi=multi)
        return
    protocol = ElevenLabsProtocol(start, query, multi=multi)
    if key_follows:
        protocol.demand_key(access.authorize)
    await connections.serve(websocket, protocol, key, key_follows=key_follows)


async def _dismiss(
    websocket: WebSocket, services: Services, error: DuplexError, *, multi: bool
) -> None:
    """As the vendor does it: of a handshake that is refused a client shows only the number.

    The first message is awaited for a moment: livekit looks at an error only with the context that
    it has sent.
    """
    services.metrics.count_error(error.code)
    query = StreamQuery(inactivity_timeout=_FIRST_MESSAGE_S)
    protocol = ElevenLabsProtocol(Start(""), query, multi=multi)
    connection = Connection(websocket, protocol)
    await connection.accept()
    context = None
    with suppress(PeerGone):
        with suppress(DuplexError):  # silent, or not to be understood
            said = protocol.decode(await connection.receive(busy=lambda: False))
            context = next((each.context for each in said if isinstance(each, Start)), None)
        await connection.send(Failed(context, error.code, error.message))


async def _speech(
    request: Request,
    access: Access,
    voice_id: str,
    translator: Callable[[str, AudioFormat], HttpTranslator],
) -> Response:
    services = _services(request)
    try:
        access.authorize(_key(request))
        asked = read_json(SpeechRequest, await request.body())
        output_format = request.query_params.get("output_format", elevenlabs_http.DEFAULT_FORMAT)
        start = _start(services, voice_id, output_format, asked)
        start = replace(start, speed=asked.speed)
        audio = _check(services, start)
    except DuplexError as error:
        return _refused(services, error)
    return SpeechResponse(services, start, asked.spoken, translator(asked.spoken, audio))


def _audio_alone(_: str, audio: AudioFormat) -> HttpTranslator:
    return AudioBody(audio.media_type, elevenlabs_http.refuse)


def _start(
    services: Services, voice_id: str, output_format: str, asked: StreamQuery | SpeechRequest
) -> Start:
    voice = services.tts.find_voice(voice_id)
    return elevenlabs_http.start_for(
        voice, output_format, language=asked.language_code, seed=asked.seed
    )


def _check(services: Services, start: Start) -> AudioFormat:
    """Refuse at the door what would be refused at the first word. Raises `DuplexError`."""
    services.tts.manner(start)
    return parse_format(start.format, start.sample_rate, start.bit_rate)


def _key(connection: HTTPConnection) -> str | None:
    """The key in the header or, for browsers, in the URL."""
    query = connection.query_params
    named = next((query[name] for name in _QUERY_KEYS if name in query), None)
    authorization = query.get("authorization", "").removeprefix("Bearer ")
    header = connection.headers.get("xi-api-key") or bearer(connection.headers)
    return header or named or authorization or None


def _services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


def _refused(services: Services, error: DuplexError) -> Response:
    services.metrics.count_error(error.code)
    return refusal(elevenlabs_http.refuse(Failed(None, error.code, error.message)))
