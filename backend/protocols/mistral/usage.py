"""Mistral's `usage`: estimates, as no tokens are counted here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from backend.events import Audio

_CHARACTERS_PER_TOKEN, _MS_PER_TOKEN = 4, 80


@dataclass(slots=True)
class Usage:
    """What was spoken in a generation."""

    characters: int = 0
    audio_ms: float = 0.0

    def add_audio(self, audio: Audio) -> None:
        """Count an audio event."""
        self.characters += audio.text[1] - audio.text[0]
        self.audio_ms += audio.duration_ms

    def describe(self) -> dict[str, int]:
        """The `usage` of `speech.audio.done`."""
        prompt = math.ceil(self.characters / _CHARACTERS_PER_TOKEN)
        completion = math.ceil(self.audio_ms / _MS_PER_TOKEN)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
