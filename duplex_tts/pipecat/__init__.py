"""Duplex TTS for Pipecat (`pip install 'duplex-tts[pipecat]'`); see docs/voice-agents.md."""

from __future__ import annotations

try:
    import pipecat.services.tts_service  # noqa: F401 - absolute: Pipecat's package, not this one
except ModuleNotFoundError as error:
    raise ImportError(
        "duplex_tts.pipecat needs Pipecat: pip install 'duplex-tts[pipecat]'"
    ) from error

from duplex_tts.heard import Heard
from duplex_tts.pipecat.service import DuplexTTSService
from duplex_tts.pipecat.settings import DuplexTTSSettings

__all__ = ["DuplexTTSService", "DuplexTTSSettings", "Heard"]
