"""Routes of the lexicons of the server and its voices: `/v1/lexicon`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from backend.errors import BadLexicon, BadMessage, DuplexError, UnknownVoice
from backend.protocols.json_fields import LenientModel, read_json
from backend.sessions.services import Services
from backend.text.reading import lexicon_text
from backend.text.reading.lexicon_entry import LexiconEntry, create_entry
from backend.text.reading.lexicon_text import BadLine
from backend.text.reading.pls import MEDIA_TYPE, read_pls, write_pls
from backend.transport.auth import Access, bearer_key
from backend.transport.error_response import create_error_response

log = structlog.get_logger(__name__)

LEXICON = "/v1/lexicon"
_MOST_PROBLEMS = 20  # in an error


class EntryFields(LenientModel):
    """An entry in JSON."""

    written: str
    said: str
    match_case: bool | None = None
    parts: bool = False


class LexiconBody(LenientModel):
    """The body of a PUT: entries with all fields, or what is said by what is written."""

    entries: list[EntryFields] | dict[str, str]


def lexicon_routes(access: Access) -> APIRouter:
    """The routes; require `services` in the application's state. With `?voice=NAME` they are about
    the entries of a voice.
    """
    router = APIRouter()

    @router.get(LEXICON)
    async def list_entries(request: Request) -> Response:
        """The entries, as JSON or, by the `Accept` header, as PLS or text."""
        services = _get_services(request)
        try:
            access.authorize(bearer_key(request.headers))
            voice = await _get_voice(request)
        except DuplexError as error:
            return create_error_response(services.metrics, error)
        file = services.lexicons.get_file(voice)
        entries = await run_in_threadpool(lambda: file.lexicon.entries)
        accepted = request.headers.get("accept", "")
        if MEDIA_TYPE in accepted:
            return Response(await run_in_threadpool(write_pls, entries), media_type=MEDIA_TYPE)
        if accepted.startswith("text/plain"):
            text = await run_in_threadpool(lexicon_text.add_entries, "", entries)
            return Response(text, media_type="text/plain")
        return await run_in_threadpool(_describe_file, voice, entries, file.bad_lines)

    @router.put(LEXICON)
    async def add_entries(request: Request) -> Response:
        """Add entries, in the place of those for the same words: all of them or none. The body is
        JSON, PLS (`application/pls+xml`) or the text of a lexicon file (`text/plain`).
        """
        services = _get_services(request)
        try:
            owner = access.authorize(bearer_key(request.headers))
            voice = await _get_voice(request)
            entries = await run_in_threadpool(
                _read_entries, await request.body(), request.headers.get("content-type", "")
            )
            await services.lexicons.add_entries(voice, entries)
        except DuplexError as error:
            return create_error_response(services.metrics, error)
        log.info("lexicon.added", voice=voice, entries=len(entries), by=owner)
        return JSONResponse({"added": len(entries)})

    @router.delete(LEXICON)
    async def remove_entry(request: Request) -> Response:
        """Remove the entry for `?written=`."""
        services = _get_services(request)
        try:
            owner = access.authorize(bearer_key(request.headers))
            voice, written = await _get_voice(request), request.query_params.get("written")
            if not written:
                raise BadMessage("written: expected the words whose entry is to be removed")
            await services.lexicons.remove_entry(voice, written)
        except DuplexError as error:
            return create_error_response(services.metrics, error)
        log.info("lexicon.removed", voice=voice, by=owner)
        return JSONResponse({"status": "ok"})

    return router


def describe_entry(entry: LexiconEntry) -> dict[str, Any]:
    """An entry as JSON."""
    fields: dict[str, Any] = {"written": entry.written, "said": entry.said}
    return {**fields, "match_case": entry.match_case, "parts": entry.parts}


def _describe_file(
    voice: str | None, entries: Sequence[LexiconEntry], bad_lines: Sequence[BadLine]
) -> Response:
    bad = [{"line": line.number, "why": line.why} for line in bad_lines]
    described = [describe_entry(entry) for entry in entries]
    return JSONResponse({"voice": voice, "entries": described, "bad_lines": bad})


def _read_entries(body: bytes, content_type: str) -> list[LexiconEntry]:
    """The entries of a PUT. Blocks. Raises `BadJson`, `BadMessage`, `BadLexicon`."""
    problems: list[str] = []
    if "xml" in content_type:
        entries, problems = read_pls(body)
    elif content_type.startswith("text/plain"):
        entries, bad = lexicon_text.parse_lexicon(_decode(body))
        problems = [f"line {line.number}: {line.why}" for line in bad]
    else:
        entries = _read_json_entries(body)
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        listed = "; ".join(problems[:_MOST_PROBLEMS]) + f"; and {more} more" * (more > 0)
        raise BadLexicon(f"nothing was added: {listed}")
    return entries


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadLexicon(f"not UTF-8: {error}") from error


def _read_json_entries(body: bytes) -> list[LexiconEntry]:
    given = read_json(LexiconBody, body).entries
    if isinstance(given, dict):
        return [lexicon_text.parse_entry(written, said) for written, said in given.items()]
    return [create_entry(e.written, e.said, match_case=e.match_case, parts=e.parts) for e in given]


async def _get_voice(request: Request) -> str | None:
    """The voice of the query, None without. Raises `UnknownVoice`."""
    voice = request.query_params.get("voice")
    tts = _get_services(request).tts
    await tts.look_for_voice(voice)
    names = [known.name for known in tts.voices()]
    if voice is not None and voice not in names:
        raise UnknownVoice(f"no voice {voice[:40]!r}; voices: {', '.join(names)}")
    return voice


def _get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
