"""Routes that list, add and remove voices: `/v1/voices`."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException  # base class of FastAPI's
from starlette.responses import JSONResponse

from backend.audio.recordings import FORMATS, LARGEST_BYTES
from backend.errors import BadMessage, DuplexError
from backend.events import Voice
from backend.language_names import speaks
from backend.protocols.elevenlabs.voice_list import describe_voices
from backend.protocols.together.voice_list import describe_models
from backend.sessions.services import Services
from backend.transport.auth import Access, bearer_key
from backend.transport.error_response import create_error_response

log = structlog.get_logger(__name__)

VOICES = "/v1/voices"
_COPY_BYTES = 1 << 20


def voice_routes(access: Access) -> APIRouter:
    """The routes; require `services` in the application's state."""
    router = APIRouter()

    @router.get(VOICES)
    async def voices(request: Request) -> dict[str, object]:
        """One response for native, ElevenLabs' and Together's clients, which read different fields.
        `language`: a tag or a name; only voices that speak it.
        """
        tts, language = _get_services(request).tts, request.query_params.get("language", "")
        described = [
            _describe_voice(voice)
            for voice in tts.voices()
            if not language or speaks(_languages(voice), language)
        ]
        return {
            "default": tts.default_voice,
            "voices": described,
            "clones": tts.clones,
            "data": describe_models(tts.voices(), request.query_params.get("model", "")),
        }

    @router.post(VOICES)
    async def add_voice(request: Request) -> Response:
        """Create a voice from a recording: multipart/form-data with `name` and the file `audio`.
        The response has `warnings`: what the recording lacks.
        """
        services = _get_services(request)
        try:
            owner = access.authorize(_get_key(request))
            async with _read_upload(request) as (name, recording):
                added = await services.tts.add_voice(name, recording)
        except DuplexError as error:
            return _error_response(services, error)
        log.info("voice.added", voice=name, by=owner, warnings=len(added.warnings))
        return JSONResponse({**_describe_voice(added.voice), "warnings": added.warnings}, 201)

    @router.delete(VOICES + "/{name}")
    async def remove_voice(request: Request, name: str) -> Response:
        """Remove a voice that was added."""
        services = _get_services(request)
        try:
            owner = access.authorize(_get_key(request))
            await services.tts.remove_voice(name)
            await services.lexicons.forget_voice(name)
        except DuplexError as error:
            return _error_response(services, error)
        log.info("voice.removed", voice=name, by=owner)
        return JSONResponse({"status": "ok"})

    return router


@asynccontextmanager
async def _read_upload(request: Request) -> AsyncIterator[tuple[str, Path]]:
    """Yield the name and the recording, in a temporary file. Raises `BadMessage`."""
    try:
        form = await request.form(max_files=1, max_fields=8)
    except HTTPException as error:
        raise BadMessage(f"not valid multipart/form-data: {error.detail}") from error
    try:
        name, audio = form.get("name"), form.get("audio")
        if not (isinstance(name, str) and isinstance(audio, UploadFile)):
            raise BadMessage(
                f"expected multipart/form-data with `name` and the file `audio` ({FORMATS})"
            )
        if (audio.size or 0) > LARGEST_BYTES:
            raise BadMessage(f"audio: expected at most {LARGEST_BYTES >> 20} MiB")
        with tempfile.TemporaryDirectory() as folder:
            recording = Path(folder) / "recording"
            await run_in_threadpool(_copy_upload, audio, recording)
            yield name, recording
    finally:
        await form.close()


def _copy_upload(audio: UploadFile, to: Path) -> None:
    with to.open("wb") as file:
        while block := audio.file.read(_COPY_BYTES):
            file.write(block)


def _describe_voice(voice: Voice) -> dict[str, Any]:
    (vendor_fields,) = describe_voices([voice])
    native = {"languages": _languages(voice), "installed": voice.ready, **asdict(voice)}
    return {**vendor_fields, **native}


def _languages(voice: Voice) -> tuple[str, ...]:
    return voice.language, *voice.other_languages


def _get_key(request: Request) -> str | None:
    return bearer_key(request.headers) or request.headers.get("xi-api-key")


def _get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _error_response(services: Services, error: DuplexError) -> Response:
    """The native error, with the fields that ElevenLabs' clients read."""
    vendor_fields = {"status": error.code, "message": error.message}
    return create_error_response(services.metrics, error, detail=vendor_fields)
