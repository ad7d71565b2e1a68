"""ElevenLabs' routes for pronunciation dictionaries: `/v1/pronunciation-dictionaries`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException  # base class of FastAPI's
from starlette.responses import JSONResponse

from backend.endpoints.elevenlabs_rules import (
    ChangeBody,
    RemovalBody,
    RulesBody,
    describe_created,
    describe_dictionary,
    describe_rule,
)
from backend.errors import BadLexicon, BadMessage, DuplexError
from backend.events import Failed
from backend.protocols.elevenlabs.http import build_refusal
from backend.protocols.json_fields import read_json
from backend.sessions.services import Services
from backend.synthesis.lexicon_store import Dictionary
from backend.text.reading.lexicon_entry import LexiconEntry, normalize
from backend.text.reading.pls import MEDIA_TYPE, read_pls, write_pls
from backend.transport.auth import Access, bearer_key
from backend.transport.speech_response import create_refusal_response

DICTIONARIES = "/v1/pronunciation-dictionaries"
_MOST_PROBLEMS = 10  # in an error
_PAGE = 30


def elevenlabs_dictionary_routes(access: Access) -> APIRouter:
    """The routes; require `services` in the application's state."""
    router = APIRouter()
    _add_reading_routes(router, access)
    _add_changing_routes(router, access)

    @router.post(f"{DICTIONARIES}/add-from-rules")
    async def add_from_rules(request: Request) -> Response:
        async def create() -> dict[str, Any]:
            body, entries = await _read_rules(request)
            created = await _get_services(request).lexicons.create_dictionary(
                body.name or "dictionary", body.description, entries
            )
            return describe_created(created)

        return await _answer(request, access, create)

    @router.post(f"{DICTIONARIES}/add-from-file")
    async def add_from_file(request: Request) -> Response:
        """Multipart with `name` and the file `file`, a lexicon of the W3C."""

        async def create() -> dict[str, Any]:
            name, description, document = await _read_upload(request)
            entries, problems = await run_in_threadpool(read_pls, document)
            if problems:
                listed = "; ".join(problems[:_MOST_PROBLEMS])
                raise BadLexicon(f"{len(problems)} lexemes cannot be used: {listed}")
            created = await _get_services(request).lexicons.create_dictionary(
                name, description, entries
            )
            return describe_created(created)

        return await _answer(request, access, create)

    return router


def _add_reading_routes(router: APIRouter, access: Access) -> None:
    @router.get(DICTIONARIES)
    async def list_dictionaries(request: Request) -> Response:
        async def describe() -> dict[str, Any]:
            return _describe_page(request, _get_services(request).lexicons.list_dictionaries())

        return await _answer(request, access, describe)

    @router.get(DICTIONARIES + "/{id_}")
    async def get_dictionary(request: Request, id_: str) -> Response:
        async def describe() -> dict[str, Any]:
            dictionary = _get_services(request).lexicons.get_dictionary(id_)
            rules = [describe_rule(entry) for entry in dictionary.lexicon.entries]
            return {**describe_dictionary(dictionary), "rules": rules}

        return await _answer(request, access, describe)

    @router.get(DICTIONARIES + "/{id_}/{version}/download")
    async def download(request: Request, id_: str, version: str) -> Response:
        """The dictionary as a lexicon of the W3C: its latest version."""

        async def write() -> bytes:
            dictionary = _get_services(request).lexicons.get_dictionary(id_)
            return await run_in_threadpool(write_pls, dictionary.lexicon.entries)

        return await _answer(request, access, write)


def _add_changing_routes(router: APIRouter, access: Access) -> None:
    @router.post(DICTIONARIES + "/{id_}/add-rules")
    async def add_rules(request: Request, id_: str) -> Response:
        async def change() -> dict[str, Any]:
            new = (await _read_rules(request))[1]
            return await _change(request, id_, lambda old: [*old, *new])

        return await _answer(request, access, change)

    @router.post(DICTIONARIES + "/{id_}/set-rules")
    async def set_rules(request: Request, id_: str) -> Response:
        async def change() -> dict[str, Any]:
            new = (await _read_rules(request))[1]
            return await _change(request, id_, lambda _: new)

        return await _answer(request, access, change)

    @router.post(DICTIONARIES + "/{id_}/remove-rules")
    async def remove_rules(request: Request, id_: str) -> Response:
        async def change() -> dict[str, Any]:
            strings = read_json(RemovalBody, await request.body()).rule_strings
            unwanted = set(map(normalize, strings))
            return await _change(
                request, id_, lambda old: [e for e in old if e.written not in unwanted]
            )

        return await _answer(request, access, change)

    @router.patch(DICTIONARIES + "/{id_}")
    async def change_dictionary(request: Request, id_: str) -> Response:
        async def change() -> dict[str, Any]:
            body = read_json(ChangeBody, await request.body())
            lexicons = _get_services(request).lexicons
            changed = await lexicons.change_dictionary(id_, name=body.name)
            if body.archived:
                await lexicons.delete_dictionary(id_)
            return describe_dictionary(changed)

        return await _answer(request, access, change)


async def _read_rules(request: Request) -> tuple[RulesBody, list[LexiconEntry]]:
    """The body and its entries. Raises `BadJson`, `BadMessage`, `BadLexicon`."""
    body = read_json(RulesBody, await request.body())
    return body, await run_in_threadpool(body.create_entries)


async def _change(request: Request, id_: str, change: Any) -> dict[str, Any]:
    changed = await _get_services(request).lexicons.change_dictionary(id_, change)
    return {
        "id": changed.id,
        "version_id": changed.version,
        "version_rules_num": len(changed.lexicon),
    }


async def _answer(
    request: Request, access: Access, work: Callable[[], Awaitable[dict[str, Any] | bytes]]
) -> Response:
    """Authorize, do the work and answer with its result or its error."""
    services = _get_services(request)
    try:
        key = request.headers.get("xi-api-key") or bearer_key(request.headers)
        access.authorize(key)
        result = await work()
    except DuplexError as error:
        services.metrics.count_error(error.code)
        return create_refusal_response(build_refusal(Failed.from_error(error)))
    if isinstance(result, bytes):
        return Response(result, media_type=MEDIA_TYPE)
    return await run_in_threadpool(JSONResponse, result)


async def _read_upload(request: Request) -> tuple[str, str, bytes]:
    """The name, the description and the file. Raises `BadMessage`."""
    try:
        form = await request.form(max_files=1, max_fields=8)
    except HTTPException as error:
        raise BadMessage(f"not valid multipart/form-data: {error.detail}") from error
    try:
        name, description, file = form.get("name"), form.get("description"), form.get("file")
        if not (isinstance(name, str) and name and isinstance(file, UploadFile)):
            raise BadMessage("expected multipart/form-data with `name` and the file `file`")
        return name, description if isinstance(description, str) else "", await file.read()
    finally:
        await form.close()


def _describe_page(request: Request, dictionaries: Sequence[Dictionary]) -> dict[str, Any]:
    """A page of the list, newest first. Raises `BadMessage`."""
    query = request.query_params
    size = query.get("page_size", str(_PAGE))
    if not (size.isascii() and size.isdigit() and 1 <= int(size) <= 100):
        raise BadMessage(f"page_size: expected 1 to 100, got {size[:40]!r}")
    newest = list(reversed(dictionaries))
    ids = [dictionary.id for dictionary in newest]
    first = ids.index(query["cursor"]) + 1 if query.get("cursor") in ids else 0
    page = newest[first : first + int(size)]
    has_more = first + len(page) < len(newest)
    return {
        "pronunciation_dictionaries": [describe_dictionary(dictionary) for dictionary in page],
        "next_cursor": page[-1].id if has_more else None,
        "has_more": has_more,
    }


def _get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
