"""The replacement for an engine that could not be created."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.engines.base import Chunk, EngineInfo, Failure, Release, Utterance
from backend.errors import DuplexError


@dataclass(slots=True)
class UnavailableEngine:
    """Refuses every utterance with the error."""

    info: EngineInfo
    error: DuplexError

    def begin(self, utterance: Utterance) -> None:
        """See `Engine`."""
        raise self.error

    def extend(self, utterance_id: str, release: Release) -> None:
        """See `Engine`."""

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        """See `Engine`."""
        return []

    def abort(self, utterance_id: str) -> None:
        """See `Engine`."""
