"""Mistral's lists of voices: `GET /v1/audio/voices`, `/v2/audio/voices` and `/{voice_id}`.

Source: the models `VoiceResponse`, `VoiceListResponse`, `VoiceListPage` of mistralai 3.7.0, and the
parameters of its `audio.voices`. Sans I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from backend.errors import BadMessage
from backend.events import Voice
from backend.language_names import speaks
from backend.protocols.json_fields import LenientModel

_UNKNOWN_TIME = "1970-01-01T00:00:00Z"
_DEFAULT_PAGE = 10
_TYPES = {True: "custom", False: "preset"}

VoiceType = Literal["all", "custom", "preset"]


class OffsetQuery(LenientModel):
    """The query of `GET /v1/audio/voices`."""

    limit: int = Field(_DEFAULT_PAGE, ge=1, le=1000)
    offset: int = Field(0, ge=0)
    type: VoiceType = "all"


class PageQuery(LenientModel):
    """The query of `GET /v2/audio/voices`; `kind` is ignored."""

    page_size: int = Field(_DEFAULT_PAGE, ge=1, le=1000)
    page_token: str = ""
    type: VoiceType = "all"
    gender: tuple[str, ...] = Field((), max_length=100)
    language: tuple[str, ...] = Field((), max_length=100)
    query: str = Field("", max_length=200)


def describe_voice(voice: Voice) -> dict[str, Any]:
    """Describe a voice as Mistral does: id, slug and name are its name here."""
    return {
        "name": voice.name,
        "id": voice.name,
        "slug": voice.name,
        "created_at": _UNKNOWN_TIME,
        "user_id": None,
        "type": _TYPES[voice.learned],
        "languages": [voice.language, *voice.other_languages],
        "gender": voice.gender or None,
        "description": voice.description,
    }


def describe_offset_page(voices: Sequence[Voice], query: OffsetQuery) -> dict[str, Any]:
    """The fields of `GET /v1/audio/voices` that Mistral's clients read."""
    listed = [voice for voice in voices if query.type in ("all", _TYPES[voice.learned])]
    page = listed[query.offset : query.offset + query.limit]
    return {
        "items": [describe_voice(voice) for voice in page],
        "total": len(listed),
        "page": query.offset // query.limit + 1,
        "page_size": query.limit,
        "total_pages": -(-len(listed) // query.limit),
    }


def describe_page(voices: Sequence[Voice], query: PageQuery) -> dict[str, Any]:
    """The response to `GET /v2/audio/voices`. Raises `BadMessage`: an unknown page."""
    listed = [voice for voice in voices if _matches(voice, query)]
    first = 0
    if query.page_token:
        if not (query.page_token.isascii() and query.page_token.isdecimal()):
            raise BadMessage("page_token: not one of this server; begin without it")
        first = int(query.page_token)
    following = first + query.page_size
    return {
        "data": [describe_voice(voice) for voice in listed[first:following]],
        "next_page_token": str(following) if following < len(listed) else None,
    }


def _matches(voice: Voice, query: PageQuery) -> bool:
    languages = voice.language, *voice.other_languages
    return (
        query.type in ("all", _TYPES[voice.learned])
        and (not query.gender or voice.gender in query.gender)
        and (not query.language or any(speaks(languages, each) for each in query.language))
        and query.query.lower() in voice.name.lower()
    )
