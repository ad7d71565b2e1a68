"""OpenAI's routes: `/v1/audio/speech`, and the lists of models and voices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from backend.audio.formats import parse_format
from backend.errors import DuplexError
from backend.events import Failed
from backend.protocols import openai
from backend.protocols.audio_body import AudioBody
from backend.protocols.base import HttpTranslator
from backend.protocols.elevenlabs import http as elevenlabs_http
from backend.sessions.context import Services
from backend.transport.auth import PUBLIC, Access, bearer
from backend.transport.speech_response import SpeechResponse, refusal
from backend.tts_manager import SPEED_RANGE

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_ELEVENLABS_KEY = "xi-api-key"  # who sends it wants ElevenLabs' answer from a URL that both have


class _Route(APIRoute):
    """Answers errors in the vendor's form."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except DuplexError as error:
                _services(request).metrics.count_error(error.code)
                return _refused(request, Failed(None, error.code, error.message))

        return answer


def openai_routes(access: Access) -> APIRouter:
    """The routes; they expect `services` in the application's state."""

    def authorize(request: Request) -> None:
        _authorize(request, access)

    router = APIRouter(route_class=_Route, dependencies=[Depends(authorize)])

    @router.post("/v1/audio/speech")
    async def speech(request: Request) -> Response:
        return _speech(_services(request), openai.decode_request(await request.body()))

    @router.get("/v1/models")
    async def models(request: Request) -> Any:
        services = _services(request)
        info = services.tts.info
        if _ELEVENLABS_KEY in request.headers:
            longest = services.settings.server.max_text_length
            return [elevenlabs_http.describe_model(info.name, sorted(info.languages), longest)]
        return openai.describe_models(info.name)

    @router.get("/v1/models/{name}", response_model=None)
    async def model(request: Request, name: str) -> Response | dict[str, Any]:
        engine = _services(request).tts.info.name
        if name in (engine, *openai.MODELS):
            return openai.describe_model(name)
        message = f"the model {name[:80]!r} does not exist; GET /v1/models lists those there are"
        return _refused(request, Failed(None, "model_not_found", message))

    @router.get("/v1/audio/models")  # Open WebUI asks here
    async def audio_models(request: Request) -> dict[str, Any]:
        return {"models": openai.describe_models(_services(request).tts.info.name)["data"]}

    @router.get("/v1/audio/voices")
    async def voices(request: Request) -> dict[str, Any]:
        tts = _services(request).tts
        return openai.describe_voices(tts.voices(), tts.default_voice)

    @router.api_route("/v1/audio/{rest:path}", methods=_METHODS, include_in_schema=False)
    async def unknown(request: Request, rest: str) -> Response:
        message = f"no {request.method} {request.url.path} here; there is POST /v1/audio/speech"
        return _refused(request, Failed(None, "unknown_url", message))

    return router


def _authorize(request: Request, access: Access) -> None:
    if request.scope["route"].path not in PUBLIC:
        access.authorize(bearer(request.headers) or request.headers.get(_ELEVENLABS_KEY))


def _speech(services: Services, asked: openai.SpeechRequest) -> Response:
    tts = services.tts
    voice = openai.voice_named(asked.voice_name, tts.voices(), tts.default_voice)
    slowest, fastest = SPEED_RANGE
    speed = min(max(asked.speed, slowest), fastest)
    start = openai.start_for(asked, voice, speed)
    headers = {"cache-control": "no-store", "x-request-id": uuid4().hex}
    if speed != asked.speed:
        headers["x-speed"] = f"{speed:g}"
    answer: HttpTranslator = openai.SpeechEvents(headers)
    if asked.stream_format == "audio":
        audio = AudioBody(parse_format(start.format, start.sample_rate).media_type, openai.refuse)
        audio.headers = headers
        answer = audio
    return SpeechResponse(services, start, asked.input, answer)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _refused(request: Request, failed: Failed) -> Response:
    form = elevenlabs_http if _ELEVENLABS_KEY in request.headers else openai
    return refusal(form.refuse(failed))
