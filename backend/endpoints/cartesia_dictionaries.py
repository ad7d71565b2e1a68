"""Cartesia's routes for pronunciation dictionaries: `/pronunciation-dicts`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from backend.errors import BadMessage, DuplexError
from backend.events import Failed
from backend.protocols.cartesia.request import build_refusal
from backend.protocols.json_fields import LenientModel, read_json
from backend.sessions.services import Services
from backend.synthesis.lexicon_store import Dictionary
from backend.text.reading.lexicon_entry import LexiconEntry, create_entry
from backend.transport.auth import Access, bearer_key
from backend.transport.speech_response import create_refusal_response

DICTIONARIES = "/pronunciation-dicts"
_IPA = re.compile(r"<<([^<>]*)>>")
_PAGE = 10


class Item(LenientModel):
    """How a text is said: words, or IPA such as `<<w|ɪ|n>>`. Matches any capitalisation, unless
    `case_sensitive`.
    """

    text: str
    pronunciation: str = ""
    alias: str = ""
    case_sensitive: bool = False

    def create_entry(self) -> LexiconEntry:
        """Raises `BadLexicon`."""
        said = self.pronunciation or self.alias
        if words := _IPA.findall(said):
            said = f"/{' '.join(word.replace('|', '') for word in words)}/"
        return create_entry(self.text, said, match_case=self.case_sensitive)


class DictionaryBody(LenientModel):
    """A dictionary to create, or the changes of one."""

    name: str | None = None
    description: str | None = None
    items: list[Item] | None = Field(default=None, max_length=10_000)

    def create_entries(self) -> list[LexiconEntry] | None:
        """None: unchanged. Blocks for milliseconds. Raises `BadLexicon`."""
        return None if self.items is None else [item.create_entry() for item in self.items]


def cartesia_dictionary_routes(access: Access) -> APIRouter:
    """The routes; require `services` in the application's state."""
    router = APIRouter()
    _add_single_routes(router, access)

    @router.post(DICTIONARIES)
    @router.post(f"{DICTIONARIES}/", include_in_schema=False)
    async def create_dictionary(request: Request) -> Response:
        async def create() -> dict[str, Any]:
            body = read_json(DictionaryBody, await request.body())
            if not body.name:
                raise BadMessage("name: expected the name of the dictionary")
            entries = await run_in_threadpool(body.create_entries)
            created = await _get_services(request).lexicons.create_dictionary(
                body.name, body.description or "", entries or []
            )
            return _describe_dictionary(created)

        return await _answer(request, access, create)

    @router.get(DICTIONARIES)
    @router.get(f"{DICTIONARIES}/", include_in_schema=False)
    async def list_dictionaries(request: Request) -> Response:
        async def describe() -> dict[str, Any]:
            return _describe_page(request, _get_services(request).lexicons.list_dictionaries())

        return await _answer(request, access, describe)

    return router


def _add_single_routes(router: APIRouter, access: Access) -> None:
    path = DICTIONARIES + "/{id_}"

    @router.get(path)
    async def get_dictionary(request: Request, id_: str) -> Response:
        async def describe() -> dict[str, Any]:
            return _describe_dictionary(_get_services(request).lexicons.get_dictionary(id_))

        return await _answer(request, access, describe)

    @router.patch(path)
    async def change_dictionary(request: Request, id_: str) -> Response:
        async def change() -> dict[str, Any]:
            body = read_json(DictionaryBody, await request.body())
            new = await run_in_threadpool(body.create_entries)
            changed = await _get_services(request).lexicons.change_dictionary(
                id_,
                lambda old: old if new is None else new,
                name=body.name,
                description=body.description,
            )
            return _describe_dictionary(changed)

        return await _answer(request, access, change)

    @router.delete(path)
    async def delete_dictionary(request: Request, id_: str) -> Response:
        async def delete() -> None:
            await _get_services(request).lexicons.delete_dictionary(id_)

        return await _answer(request, access, delete)


async def _answer(
    request: Request, access: Access, work: Callable[[], Awaitable[dict[str, Any] | None]]
) -> Response:
    """Authorize, do the work and answer with its result or its error."""
    services = _get_services(request)
    try:
        access.authorize(request.headers.get("x-api-key") or bearer_key(request.headers))
        result = await work()
    except DuplexError as error:
        services.metrics.count_error(error.code)
        return create_refusal_response(build_refusal(Failed.from_error(error)))
    return (
        Response(status_code=204)
        if result is None
        else await run_in_threadpool(JSONResponse, result)
    )


def _describe_dictionary(dictionary: Dictionary) -> dict[str, Any]:
    return {
        "id": dictionary.id,
        "name": dictionary.name,
        "description": dictionary.description,
        "owner_id": "duplex-tts",
        "pinned": False,
        "items": [_describe_item(entry) for entry in dictionary.lexicon.entries],
        "created_at": datetime.fromtimestamp(dictionary.created_s, UTC).isoformat(),
    }


def _describe_item(entry: LexiconEntry) -> dict[str, Any]:
    said = entry.said if entry.phonemes is None else f"<<{'|'.join(entry.phonemes)}>>"
    fields = {"text": entry.written, "pronunciation": said, "alias": said}
    return {**fields, "case_sensitive": entry.is_exact}


def _describe_page(request: Request, dictionaries: Sequence[Dictionary]) -> dict[str, Any]:
    """A page of the list, newest first. Raises `BadMessage`."""
    query = request.query_params
    size = query.get("limit", str(_PAGE))
    if not (size.isascii() and size.isdigit() and 1 <= int(size) <= 100):
        raise BadMessage(f"limit: expected 1 to 100, got {size[:40]!r}")
    newest = list(reversed(dictionaries))
    ids = [dictionary.id for dictionary in newest]
    first, last = 0, len(newest)
    if query.get("starting_after") in ids:
        first = ids.index(query["starting_after"]) + 1
    if query.get("ending_before") in ids:
        last = ids.index(query["ending_before"])
        first = max(first, last - int(size))
    page = newest[first : min(last, first + int(size))]
    has_more = first + len(page) < len(newest)
    return {"data": [_describe_dictionary(dictionary) for dictionary in page], "has_more": has_more}


def _get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
