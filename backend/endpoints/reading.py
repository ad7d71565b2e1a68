"""Shows how a text is read: `POST /v1/read`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from backend.engines.base import Release
from backend.errors import DuplexError, TextLimit
from backend.events import Start
from backend.protocols.json_fields import LenientModel, read_json
from backend.sessions.reading_setup import ContextLanguage
from backend.sessions.services import Services
from backend.text.markup.reader import MarkupOptions
from backend.text.text_reading import ReadSentence, read_sentences
from backend.transport.auth import Access, bearer_key
from backend.transport.error_response import create_error_response

READ = "/v1/read"
MOST_CHARACTERS = 5000


class ReadBody(LenientModel):
    """The body: what a context has, too."""

    text: str
    language: str | None = None
    voice: str | None = None
    ssml: bool = False
    lexicon: dict[str, str] | None = None


def reading_routes(access: Access) -> APIRouter:
    """The route; requires `services` in the application's state."""
    router = APIRouter()

    @router.post(READ)
    async def read(request: Request) -> Response:
        """What is said for a text, word by word."""
        services: Services = request.app.state.services
        try:
            access.authorize(bearer_key(request.headers))
            body = read_json(ReadBody, await request.body())
            if len(body.text) > MOST_CHARACTERS:
                raise TextLimit(f"text: expected at most {MOST_CHARACTERS} characters")
            await services.tts.look_for_voice(body.voice)
            return JSONResponse(await run_in_threadpool(_describe_reading, services, body))
        except DuplexError as error:
            return create_error_response(services.metrics, error)

    return router


def _describe_reading(services: Services, body: ReadBody) -> dict[str, Any]:
    """Blocks (about 0.2 ms a word)."""
    start = Start("", voice=body.voice, language=body.language, lexicon=body.lexicon)
    voice = services.tts.resolve_params(start).voice
    language = ContextLanguage(start, services.tts.listed_voice(voice), services.lexicons)
    choice = language if language.is_chosen_by_text else None
    sentences = read_sentences(body.text, language, MarkupOptions(ssml=body.ssml), choice)
    return {
        "spoken": " ".join(filter(None, (each.spoken.plain for each in sentences))),
        "sentences": [[each.start, each.end] for each in sentences],
        "words": [word for each in sentences for word in _describe_words(services, each, voice)],
    }


def _describe_words(services: Services, sentence: ReadSentence, voice: str) -> list[dict[str, Any]]:
    spoken = sentence.spoken
    release = Release(
        spoken.text, len(spoken.text), final=True, pronunciations=spoken.pronunciations
    )
    phonemes = services.tts.read_phonemes(release, voice)
    return [
        {
            "from": sentence.start + start,
            "to": sentence.start + end,
            "spoken": word.plain,
            "phonemes": None if phonemes is None else phonemes.get(at, ""),
        }
        for (start, end), at, word in spoken.list_words()
        if word.plain  # else it is a pause
    ]
