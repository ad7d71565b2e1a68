"""Deepgram's list of models: each voice is one. Sans I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from backend.events import Voice
from backend.language_names import language_names, primary_subtag


def describe_model(voice: Voice) -> dict[str, Any]:
    """Describe a voice as Deepgram does a model; `canonical_name` is what `model` takes."""
    languages = (voice.language, *voice.other_languages)
    subtags = dict.fromkeys(each for tag in languages for each in (primary_subtag(tag), tag))
    return {
        "name": voice.name,
        "canonical_name": voice.name,
        "architecture": voice.engine,
        "languages": list(subtags),
        "version": "1",
        "uuid": str(uuid5(NAMESPACE_OID, f"duplex-tts/{voice.engine}/{voice.name}")),
        "metadata": {
            "accent": language_names(voice.language)[0],
            "tags": [voice.gender] if voice.gender else [],
        },
    }


def describe_models(voices: Sequence[Voice]) -> dict[str, Any]:
    """What Deepgram's clients read of the response to `GET /v1/models`."""
    return {"stt": [], "tts": [describe_model(voice) for voice in voices]}
