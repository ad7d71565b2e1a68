"""ElevenLabs' routes: `/v1/text-to-speech`, voices and account.

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
from backend.protocols.elevenlabs.http import (
    ElevenLabsSpeechRequest,
    TimestampedLines,
    TimestampedObject,
)
from backend.protocols.elevenlabs.stream_request import StreamQuery
from backend.protocols.elevenlabs.voice_list import VoiceQuery, describe_page, describe_voices
from backend.protocols.elevenlabs.websocket import ElevenLabsProtocol
from backend.protocols.json_fields import read_json, read_query
from backend.sessions.services import Services
from backend.transport.auth import Access, bearer_key
from backend.transport.speech_response import SpeechResponse, create_refusal_response
from backend.transport.websocket import PeerGone, WebSocketConnection
from backend.websocket_manager import WebSocketManager

_SPEECH_PATH = "/v1/text-to-speech/{voice_id}"
_FIRST_MESSAGE_S = 1.0
_QUERY_KEYS = ("xi-api-key", "xi_api_key", "single_use_token")


def elevenlabs_routes(access: Access) -> APIRouter:
    """The routes; require `services` and `connections` in the application's state."""
    router = APIRouter()

    @router.websocket(f"{_SPEECH_PATH}/stream-input")
    async def stream_input(websocket: WebSocket, voice_id: str) -> None:
        await _serve_stream(websocket, access, voice_id, multi=False)

    @router.websocket(f"{_SPEECH_PATH}/multi-stream-input")
    async def multi_stream_input(websocket: WebSocket, voice_id: str) -> None:
        await _serve_stream(websocket, access, voice_id, multi=True)

    @router.post(_SPEECH_PATH)
    @router.post(f"{_SPEECH_PATH}/stream")
    async def speech(request: Request, voice_id: str) -> Response:
        return await _serve_speech(request, access, voice_id, _create_audio_body)

    @router.post(f"{_SPEECH_PATH}/with-timestamps")
    async def timestamped(request: Request, voice_id: str) -> Response:
        return await _serve_speech(
            request, access, voice_id, lambda text, _: TimestampedObject(text)
        )

    @router.post(f"{_SPEECH_PATH}/stream/with-timestamps")
    async def timestamped_stream(request: Request, voice_id: str) -> Response:
        return await _serve_speech(
            request, access, voice_id, lambda text, _: TimestampedLines(text)
        )

    _add_list_routes(router, access)
    return router


def _add_list_routes(router: APIRouter, access: Access) -> None:
    @router.get("/v2/voices", response_model=None)
    async def voices(request: Request) -> Response | dict[str, object]:
        services = _get_services(request)
        try:
            return describe_page(services.tts.voices(), _read_voice_query(request))
        except DuplexError as error:
            return _error_response(services, error)

    @router.get("/v1/voices/{voice_id}", response_model=None)
    async def voice(request: Request, voice_id: str) -> Response | dict[str, object]:
        """The voice for an id, the server's or ElevenLabs'."""
        try:
            access.authorize(_get_key(request))
        except DuplexError as error:
            return _error_response(_get_services(request), error)
        tts = _get_services(request).tts
        await tts.look_for_voice(voice_id)
        name = tts.find_voice(voice_id)
        for candidate in tts.voices():
            if candidate.name == name:
                (described,) = describe_voices([candidate])
                return described
        names = ", ".join(candidate.name for candidate in tts.voices())
        unknown = UnknownVoice(f"unknown voice {voice_id[:40]!r}; choose {names}")
        return _error_response(_get_services(request), unknown)

    @router.get("/v1/user", response_model=None)
    async def user(request: Request) -> Response | dict[str, object]:
        return _describe_account(request, access, elevenlabs_account.describe_user)

    @router.get("/v1/user/subscription", response_model=None)
    async def subscription(request: Request) -> Response | dict[str, object]:
        return _describe_account(request, access, elevenlabs_account.describe_subscription)


def _read_voice_query(request: Request) -> VoiceQuery:
    query = request.query_params
    repeated = {name: query.getlist(name) for name in ("language", "voice_ids") if name in query}
    return read_query(VoiceQuery, {**query, **repeated})


def _describe_account(
    request: Request, access: Access, describe: Callable[[int], dict[str, object]]
) -> Response | dict[str, object]:
    services = _get_services(request)
    try:
        access.authorize(_get_key(request))
    except DuplexError as error:
        return _error_response(services, error)
    return describe(services.settings.server.max_text_length)


async def _serve_stream(
    websocket: WebSocket, access: Access, voice_id: str, *, multi: bool
) -> None:
    services = _get_services(websocket)
    connections: WebSocketManager = websocket.app.state.connections
    key = _get_key(websocket)
    key_follows = access.requires_key and key is None
    try:
        if not key_follows:
            access.authorize(key)
        query = read_query(StreamQuery, websocket.query_params)
        await services.tts.look_for_voice(voice_id)
        start = _build_start(services, voice_id, query.output_format, query)
        _validate_start(services, start)
    except DuplexError as error:
        await _accept_and_fail(websocket, services, error, multi=multi)
        return
    protocol = ElevenLabsProtocol(start, query, multi=multi)
    with services.key_slots.open_holder() as key_slot:
        if key_follows:
            protocol.require_key(
                lambda key: key_slot.take(access.limited_owner(access.authorize(key)))
            )
        await connections.serve(websocket, protocol, key, key_follows=key_follows)


async def _accept_and_fail(
    websocket: WebSocket, services: Services, error: DuplexError, *, multi: bool
) -> None:
    """Accept, send the error and close, as ElevenLabs does: clients show only the status of a
    refused handshake.

    Waits up to a second for the first message: livekit ignores errors without its context.
    """
    services.metrics.count_error(error.code)
    query = StreamQuery(inactivity_timeout=_FIRST_MESSAGE_S)
    protocol = ElevenLabsProtocol(Start(""), query, multi=multi)
    connection = WebSocketConnection(websocket, protocol)
    await connection.accept()
    context = None
    with suppress(PeerGone):
        with suppress(DuplexError):  # no message, or an invalid one
            commands = protocol.decode(await connection.receive_message(busy=lambda: False))
            context = next((c.context for c in commands if isinstance(c, Start)), None)
        await connection.send_event(Failed.from_error(error, context))


async def _serve_speech(
    request: Request,
    access: Access,
    voice_id: str,
    create_translator: Callable[[str, AudioFormat], HttpTranslator],
) -> Response:
    services = _get_services(request)
    try:
        owner = access.authorize(_get_key(request))
        speech_request = read_json(ElevenLabsSpeechRequest, await request.body())
        output_format = request.query_params.get("output_format", elevenlabs_http.DEFAULT_FORMAT)
        await services.tts.look_for_voice(voice_id)
        start = _build_start(services, voice_id, output_format, speech_request)
        start = replace(start, speed=speech_request.speed, dictionaries=speech_request.dictionaries)
        await services.lexicons.look_for(start.dictionaries)
        audio = _validate_start(services, start)
    except DuplexError as error:
        return _error_response(services, error)
    translator = create_translator(speech_request.reported_text, audio)
    return SpeechResponse(services, start, speech_request.text, translator, owner)


def _create_audio_body(_: str, audio: AudioFormat) -> HttpTranslator:
    return AudioBody(audio.media_type, elevenlabs_http.build_refusal)


def _build_start(
    services: Services,
    voice_id: str,
    output_format: str,
    speech_request: StreamQuery | ElevenLabsSpeechRequest,
) -> Start:
    voice = services.tts.find_voice(voice_id)
    return elevenlabs_http.build_start(
        voice, output_format, language=speech_request.language_code, seed=speech_request.seed
    )


def _validate_start(services: Services, start: Start) -> AudioFormat:
    """Validate before the first word. Raises `DuplexError`."""
    params = services.tts.resolve_params(start)
    services.lexicons.lexicon_for(params.voice, start.lexicon, start.dictionaries)
    return parse_format(start.format, start.sample_rate, start.bit_rate)


def _get_key(connection: HTTPConnection) -> str | None:
    """The key from a header or, for browsers, the URL."""
    query = connection.query_params
    named = next((query[name] for name in _QUERY_KEYS if name in query), None)
    authorization = query.get("authorization", "").removeprefix("Bearer ")
    header = connection.headers.get("xi-api-key") or bearer_key(connection.headers)
    return header or named or authorization or None


def _get_services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


def _error_response(services: Services, error: DuplexError) -> Response:
    services.metrics.count_error(error.code)
    return create_refusal_response(elevenlabs_http.build_refusal(Failed.from_error(error)))
