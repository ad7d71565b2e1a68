"""ElevenLabs' lists of voices: their form, filters and pages. Sans I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from backend.errors import BadMessage
from backend.events import Voice
from backend.language_names import primary_subtag, speaks
from backend.protocols.json_fields import LenientModel


class VoiceQuery(LenientModel):
    """The query of `GET /v2/voices`. Filters that no voice here has a property for are ignored.

    Without `page_size` all voices are on one page.
    """

    search: str = Field("", max_length=200)
    language: tuple[str, ...] = Field((), max_length=100)
    gender: str = ""
    category: str = ""
    voice_type: str = ""
    voice_ids: tuple[str, ...] = Field((), max_length=100)
    sort: str = ""
    sort_direction: Literal["asc", "desc"] = "asc"
    page_size: int | None = Field(None, ge=1, le=100)
    next_page_token: str = ""


def describe_voices(voices: Sequence[Voice]) -> list[dict[str, Any]]:
    """Describe each voice as ElevenLabs does; its own language is the first of the verified."""
    return [
        {
            "voice_id": voice.name,
            "name": voice.name,
            "category": "cloned" if voice.learned else "premade",
            "labels": _describe_labels(voice),
            "description": voice.description,
            "preview_url": None,
            "verified_languages": [
                {
                    "language": primary_subtag(language),
                    "model_id": voice.engine,
                    "accent": None,
                    "locale": language,
                    "preview_url": None,
                }
                for language in (voice.language, *voice.other_languages)
            ],
        }
        for voice in voices
    ]


def _describe_labels(voice: Voice) -> dict[str, str]:
    gender = {"gender": voice.gender} if voice.gender else {}
    return {"language": primary_subtag(voice.language), "locale": voice.language, **gender}


def describe_page(voices: Sequence[Voice], query: VoiceQuery) -> dict[str, Any]:
    """The response to `GET /v2/voices`. Raises `BadMessage`: an unknown page."""
    found = [voice for voice in voices if _matches(voice, query)]
    if query.sort == "name":
        found.sort(key=lambda voice: voice.name, reverse=query.sort_direction == "desc")
    names = [voice.name for voice in found]
    if query.next_page_token and query.next_page_token not in names:
        raise BadMessage("next_page_token: no such page; begin with the first")
    start = names.index(query.next_page_token) + 1 if query.next_page_token else 0
    end = start + (query.page_size or len(found))
    more = end < len(found)
    return {
        "voices": describe_voices(found[start:end]),
        "has_more": more,
        "total_count": len(found),
        "next_page_token": names[end - 1] if more else None,
    }


def _matches(voice: Voice, query: VoiceQuery) -> bool:
    (described,) = describe_voices([voice])
    searched = [
        voice.name,
        voice.description,
        described["category"],
        json.dumps(described["labels"]),
    ]
    languages = (voice.language, *voice.other_languages)
    return (
        query.search.casefold() in " ".join(searched).casefold()
        and query.gender in ("", voice.gender)
        and query.category in ("", described["category"])
        and _is_of_type(voice, query.voice_type)
        and (not query.voice_ids or voice.name in query.voice_ids)
        and (not query.language or any(speaks(languages, each) for each in query.language))
    )


def _is_of_type(voice: Voice, kind: str) -> bool:
    learned: Mapping[str, bool] = {
        "default": False,
        **dict.fromkeys(("personal", "workspace", "non-default", "non-community", "saved"), True),
    }
    return kind != "community" and voice.learned == learned.get(kind, voice.learned)
