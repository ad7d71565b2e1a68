"""What every context needs; built once, in `main`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.cluster.replicas import Replicas
from backend.config import Settings
from backend.events import Start
from backend.monitoring.metrics import Metrics
from backend.sessions.client_slots import ClientSlots
from backend.sessions.key_slots import KeySlots
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
    key_slots: KeySlots = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_slots", ClientSlots(self.settings.server.max_connections))
        key_slots = KeySlots(self.settings.access.sessions_per_key, self.replicas)
        object.__setattr__(self, "key_slots", key_slots)

    async def look_for_missing(self, start: Start) -> None:
        """Before a voice or dictionary of `start` counts as unknown: look whether another replica
        has stored it meanwhile. Returns at once if all are known, else within seconds.
        """
        await self.tts.look_for_voice(start.voice)
        await self.lexicons.look_for(start.dictionaries)
