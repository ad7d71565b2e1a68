"""Duplex TTS for LiveKit Agents (`pip install 'duplex-tts[livekit]'`); see docs/voice-agents.md."""

from __future__ import annotations

try:
    import livekit.agents  # noqa: F401 - absolute: LiveKit's package, not this one
except ModuleNotFoundError as error:
    raise ImportError(
        "duplex_tts.livekit needs LiveKit Agents: pip install 'duplex-tts[livekit]'"
    ) from error

from duplex_tts.heard import Heard
from duplex_tts.livekit.stream import SpeechStream
from duplex_tts.livekit.voice import TTS

__all__ = ["TTS", "Heard", "SpeechStream"]
