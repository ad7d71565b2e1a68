"""What every context needs; built once, in `main`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.cluster.replicas import Replicas
from backend.config import Settings
from backend.monitoring.metrics import Metrics
from backend.sessions.client_slots import ClientSlots
from backend.synthesis.lexicon_store import LexiconStore
from backend.tts_manager import TTSManager


@dataclass(frozen=True, slots=True)
class Services:
    """Dependencies of every context; built once, in `main`."""

    settings: Settings
    tts: TTSManager
    metrics: Metrics
    clock: Callable[[], float]  # seconds; the event loop's
    # At most one context reads text per turn of the event loop.
    reading_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    lexicons: LexiconStore = field(default_factory=LexiconStore)
    replicas: Replicas | None = None  # of the cluster; None: this server is alone
    client_slots: ClientSlots = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_slots", ClientSlots(self.settings.server.max_connections))
