"""Cartesia's lists of voices: their form, filters and pages. Sans I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from backend.errors import BadMessage
from backend.events import Voice
from backend.language_names import primary_subtag, speaks
from backend.protocols.json_fields import LenientModel

_GENDERS = {"female": "feminine", "male": "masculine"}
_CREATED = "1970-01-01T00:00:00Z"  # not known; their clients require a time


class VoiceQuery(LenientModel):
    """The query of `GET /voices`, `language` as in their earlier versions."""

    limit: int = Field(10, ge=1, le=100)
    starting_after: str = ""
    ending_before: str = ""
    q: str = Field("", max_length=200)
    gender: Literal["", "feminine", "masculine", "gender_neutral"] = ""
    is_owner: bool | None = None
    language: str = Field("", max_length=80)


def describe_voice(voice: Voice) -> dict[str, Any]:
    """Describe a voice as Cartesia does."""
    languages = (voice.language, *voice.other_languages)
    return {
        "id": voice.name,
        "name": voice.name,
        "tagline": "",
        "description": voice.description,
        "language": primary_subtag(voice.language),
        "locales": [
            {"locale": language, "is_native": language == voice.language} for language in languages
        ],
        "gender": _GENDERS.get(voice.gender),
        "is_owner": voice.learned,
        "is_public": not voice.learned,
        "access": "private" if voice.learned else "public",
        "visibility": "all",
        "created_at": _CREATED,
    }


def describe_page(voices: Sequence[Voice], query: VoiceQuery) -> dict[str, Any]:
    """The response to `GET /voices`. Raises `BadMessage`: an unknown cursor."""
    found = [voice for voice in voices if _matches(voice, query)]
    names = [voice.name for voice in found]
    start, end = 0, len(found)
    for cursor in filter(None, (query.starting_after, query.ending_before)):
        if cursor not in names:
            raise BadMessage(f"no voice {cursor[:40]!r} in this list; begin without a cursor")
    if query.starting_after:
        start = names.index(query.starting_after) + 1
    if query.ending_before:
        end = names.index(query.ending_before)
        start = max(start, end - query.limit)
    page = found[start : min(end, start + query.limit)]
    more = start > 0 if query.ending_before else start + len(page) < end
    return {
        "data": [describe_voice(voice) for voice in page],
        "has_more": more,
        "next_page": page[-1].name if page and more else None,
    }


def _matches(voice: Voice, query: VoiceQuery) -> bool:
    languages = (voice.language, *voice.other_languages)
    return (
        query.q.casefold() in f"{voice.name} {voice.description}".casefold()
        and query.gender in ("", _GENDERS.get(voice.gender))
        and query.is_owner in (None, voice.learned)
        and (not query.language or speaks(languages, query.language))
    )
