"""Together's list of voices, by model: `GET /v1/voices`.

Source: `VoiceListResponse` of together 3.1.1. Each engine here is a model. Sans I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.events import Voice


def describe_models(voices: Sequence[Voice], model: str) -> list[dict[str, Any]]:
    """The models with their voices; only `model`, if there is one of this name."""
    engines = list(dict.fromkeys(voice.engine for voice in voices))
    return [
        {
            "model": engine,
            "voices": [
                {"id": voice.name, "name": voice.name} for voice in voices if voice.engine == engine
            ],
        }
        for engine in ([model] if model in engines else engines)
    ]
