"""One of the engines that the server offers: its model, the threads that render, its voices."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from backend.engines.base import EngineInfo, EvictingModel, Model
from backend.errors import EngineDead
from backend.monitoring.metrics import Metrics
from backend.synthesis.health_check import Health, HealthCheck
from backend.synthesis.live_listeners import LiveListener, LiveListeners
from backend.synthesis.scheduler import Scheduler
from backend.synthesis.utterance_handle import UtteranceHandle
from backend.synthesis.voice_store import VoiceStore

Probe = Callable[["ServedEngine"], UtteranceHandle]
"""Opens an utterance with an engine's own voice, to see whether the engine renders."""


class ServedEngine:
    """An engine, with what the server knows of it. Lives on one event loop.

    `scheduler`: may serve other engines, too. `gains`: of its loaded voices, by their names in the
    model; `measuring`: locks, held while one is measured. `fatal_error`: set once it can render
    nothing more.
    """

    def __init__(
        self,
        model: Model,
        scheduler: Scheduler,
        open_probe: Probe,
        health_interval_s: float,
        metrics: Metrics,
    ) -> None:
        self.model = model
        self.scheduler = scheduler
        self.costs = scheduler.costs_of(model)
        self.store = VoiceStore(model)
        self.gains: dict[str, float] = {}
        self.fatal_error: EngineDead | None = None
        self.starting = asyncio.Lock()
        self.measuring: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._health = HealthCheck(self, lambda: open_probe(self), health_interval_s, metrics)
        # Downloads run one at a time and block nothing else.
        self._loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="voice")

    @property
    def info(self) -> EngineInfo:
        """The engine's properties."""
        return self.model.info

    @property
    def listeners(self) -> LiveListeners:
        """The live contexts that its threads serve, those of other engines included."""
        return self.scheduler.listeners

    @property
    def is_loaded(self) -> bool:
        """Whether it can speak without loading its weights first."""
        return self.scheduler.is_loaded

    @property
    def waiting_count(self) -> int:
        """Utterances that wait for its threads."""
        return self.scheduler.waiting_count

    @property
    def patience_s(self) -> float:
        """How long it may work on an utterance without a result."""
        return self.scheduler.patience_s

    @property
    def rendered_at_s(self) -> float:
        """Loop time at which it last brought audio to a listener; -inf before."""
        return self.costs.rendered_at_s

    def add_listener(self, listener: LiveListener, now_s: float) -> None:
        """Add the listener of a new context with one of its voices."""
        listener.costs = self.costs
        self.listeners.add(listener, now_s)

    def check_capacity(self, now_s: float) -> None:
        """Raises `Overloaded` if another listener would cause gaps for others; `EngineDead`."""
        if self.fatal_error is not None:
            raise EngineDead(self.fatal_error.message)
        self.listeners.check_capacity(now_s, self.costs)

    async def check_health(self) -> Health:
        """Whether it renders; see `HealthCheck.check`. An unused engine is not made to
        render.
        """
        if self.fatal_error is not None:
            return Health(self.fatal_error.message, None)
        if not self.scheduler.has_all_threads:
            return Health("its threads hang", None)
        if not self.gains:
            return Health(None, None)
        return await self._health.check()

    def is_voice_ready(self, name: str) -> bool:
        """Whether the voice is loaded and its loudness known."""
        if isinstance(self.model, EvictingModel) and not self.model.is_voice_loaded(name):
            return False
        return name in self.gains

    async def load_voice(self, name: str) -> None:
        """See `Model.load_voice`."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._loader, self.model.load_voice, name)

    async def stop(self) -> None:
        """End what is in progress: a health check, downloads, the sharing and learning of voices.
        Its threads are the scheduler's.
        """
        await self._health.stop()
        await self.store.stop_sharing()
        self._loader.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.store.shut_down)
