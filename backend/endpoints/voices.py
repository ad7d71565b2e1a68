"""Voices: which there are, new ones of recordings, and their end. `/v1/voices`."""

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
from starlette.exceptions import HTTPException  # of which the one of FastAPI is a special case
from starlette.responses import JSONResponse

from backend.audio.recordings import FORMATS, LARGEST_BYTES
from backend.errors import BadMessage, DuplexError
from backend.events import Voice
from backend.protocols.elevenlabs.http import describe_voices
from backend.sessions.context import Services
from backend.transport.auth import Access, bearer

log = structlog.get_logger(__name__)

VOICES = "/v1/voices"
_COPY_BYTES = 1 << 20
_STATUS = {"invalid_api_key": 401, "unknown_voice": 404, "voice_exists": 409, "overloaded": 503}
_STATUS |= {"engine_dead": 503}


def voice_routes(access: Access) -> APIRouter:
    """The routes; they expect `services` in the application's state."""
    router = APIRouter()

    @router.get(VOICES)
    async def voices(request: Request) -> dict[str, object]:
        """One answer for everybody who asks: ElevenLabs' clients read other fields than ours."""
        tts = _services(request).tts
        described = [_described(voice) for voice in tts.voices()]
        return {"default": tts.default_voice, "voices": described, "clones": tts.info.clones}

    @router.post(VOICES)
    async def add(request: Request) -> Response:
        """Make a voice of a recording: multipart/form-data with `name` and the file `audio`."""
        services = _services(request)
        try:
            owner = access.authorize(_key(request))
            async with _uploaded(request) as (name, recording):
                voice = await services.tts.add_voice(name, recording)
        except DuplexError as error:
            return _refused(services, error)
        log.info("voice.added", voice=name, by=owner)
        return JSONResponse(_described(voice), 201)

    @router.delete(VOICES + "/{name}")
    async def remove(request: Request, name: str) -> Response:
        """Remove a voice that was made here."""
        services = _services(request)
        try:
            owner = access.authorize(_key(request))
            await services.tts.remove_voice(name)
        except DuplexError as error:
            return _refused(services, error)
        log.info("voice.removed", voice=name, by=owner)
        return JSONResponse({"status": "ok"})

    return router


@asynccontextmanager
async def _uploaded(request: Request) -> AsyncIterator[tuple[str, Path]]:
    """The name and the recording, in a file for as long as the block runs. Raises `BadMessage`."""
    try:
        form = await request.form(max_files=1, max_fields=8)
    except HTTPException as error:
        raise BadMessage(f"not the form that is expected: {error.detail}") from error
    try:
        name, audio = form.get("name"), form.get("audio")
        if not (isinstance(name, str) and isinstance(audio, UploadFile)):
            raise BadMessage(
                f"expected multipart/form-data with `name` and the file `audio` ({FORMATS})"
            )
        if (audio.size or 0) > LARGEST_BYTES:
            raise BadMessage(f"audio: at most {LARGEST_BYTES >> 20} MiB are taken")
        with tempfile.TemporaryDirectory() as folder:
            recording = Path(folder) / "recording"
            await run_in_threadpool(_copy, audio, recording)
            yield name, recording
    finally:
        await form.close()


def _copy(audio: UploadFile, to: Path) -> None:
    with to.open("wb") as file:
        while block := audio.file.read(_COPY_BYTES):
            file.write(block)


def _described(voice: Voice) -> dict[str, Any]:
    (theirs,) = describe_voices([voice])
    return {**theirs, **asdict(voice)}


def _key(request: Request) -> str | None:
    return bearer(request.headers) or request.headers.get("xi-api-key")


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _refused(services: Services, error: DuplexError) -> Response:
    """The native `error` message, with all that ElevenLabs' clients look for in one."""
    services.metrics.count_error(error.code)
    message = {"type": "error", "context": None, "code": error.code, "message": error.message}
    theirs = {"status": error.code, "message": error.message}
    return JSONResponse({**message, "detail": theirs}, _STATUS.get(error.code, 400))
