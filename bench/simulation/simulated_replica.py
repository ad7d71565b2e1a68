"""A replica in virtual time: a whole server, its sessions, and what it reports of itself."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any

from backend.cluster.replicas import Load
from backend.config import Settings
from backend.errors import Overloaded
from backend.sessions.services import Services
from bench.simulation.simulated_engine import Machine
from bench.simulation.simulated_machine import SimulatedTTS

FULL_SHARE = 0.95  # of the threads' time: from there on `live_listeners` refuses


class ReplicaGone(Exception):
    """The replica died while it served a session."""


class SimulatedReplica:
    """A server process. `is_draining`: it takes no more sessions."""

    def __init__(self, number: int, machine: Machine, settings: Settings) -> None:
        self.number = number
        self.is_draining = self.is_dead = False
        self._machine = machine
        self._tts = SimulatedTTS(machine, seed=number)
        clock = asyncio.get_running_loop().time
        self.services = Services(settings, self._tts, self._tts.metrics, clock)
        self._sessions: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Render a first sentence."""
        await self._tts.warm_up()

    @property
    def late_gaps_s(self) -> list[float]:
        """Gaps that its listeners heard because speech came late."""
        return self._tts.metrics.late_gaps_s

    @property
    def session_count(self) -> int:
        """Open sessions."""
        return len(self._sessions)

    @property
    def takes_sessions(self) -> bool:
        """Whether new sessions may come."""
        return not (self.is_draining or self.is_dead)

    def slow_down(self, times: float) -> None:
        """Every step takes this many times as long from now on."""
        self._tts.slowness = times

    def measure_load(self) -> Load:
        """What it reports."""
        listeners, now_s = self._tts.listeners, self.services.clock()
        try:
            listeners.check_capacity(now_s)
            wait_s = listeners.first_wait_s(now_s)
        except Overloaded:
            wait_s = math.inf
        share = listeners.demand(now_s) / (FULL_SHARE * self._machine.threads)
        return Load(wait_s, share, self.services.settings.server.max_connections)

    async def serve(self, session: Coroutine[Any, Any, None]) -> None:
        """Run a session here to its end. Raises `ReplicaGone`."""
        task = asyncio.ensure_future(session)
        self._sessions.add(task)
        try:
            await task
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if not self.is_dead or (own is not None and own.cancelling()):
                raise
            raise ReplicaGone from None
        finally:
            self._sessions.discard(task)

    def kill(self) -> None:
        """Die now, with all sessions."""
        self.is_dead = True
        for task in self._sessions:
            task.cancel()
        self.stop()

    def stop(self) -> None:
        """Stop the threads."""
        self._tts.stop()
