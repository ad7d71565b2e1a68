"""Proves on demand that the engine still renders, if it has rendered nothing for a while."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from backend.engines.base import Release
from backend.errors import DuplexError, EngineFailed
from backend.monitoring.metrics import Metrics
from backend.synthesis.utterance_handle import UtteranceHandle

_TEXT = "Ready."
_ANSWER_S = 0.8  # probes of supervisors time out after a second
_RETRY_S = 10.0  # after a failure
_SILENCE = 1e-4  # peak


@dataclass(frozen=True, slots=True)
class Health:
    """`problem`: why the engine does not render; None if it does. `rendered_s_ago`: since it last
    rendered audio; None before the first.
    """

    problem: str | None
    rendered_s_ago: float | None


class CheckedEngine(Protocol):
    """What a check reads of an engine; see `ServedEngine`."""

    @property
    def rendered_at_s(self) -> float:
        """Loop time at which it last brought audio to a listener; -inf before."""

    @property
    def waiting_count(self) -> int:
        """Utterances that wait for its threads."""

    @property
    def is_loaded(self) -> bool:
        """Whether it can speak without loading its weights first."""

    @property
    def patience_s(self) -> float:
        """How long it may work on an utterance without a result."""


class HealthCheck:
    """Renders a word when asked, unless speech has just proved the same. Lives on one event loop.

    It disturbs no listener: it begins only while nothing is rendered, has no deadline, so that all
    speech goes before it, and ends with its first sound. An unloaded engine is left alone.
    """

    def __init__(
        self,
        engine: CheckedEngine,
        open_utterance: Callable[[], UtteranceHandle],
        interval_s: float,
        metrics: Metrics,
    ) -> None:
        """`open_utterance`: with the default voice. `interval_s`: of silence, after which a word is
        rendered, once in so long at most; 0: never.
        """
        self._engine = engine
        self._open_utterance = open_utterance
        self._interval_s = interval_s
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None
        self._began_s = self._proven_s = -math.inf  # of the last check: its start, its success
        self._problem: str | None = None

    async def check(self) -> Health:
        """The engine's health. Renders if that is due, and waits for it for `_ANSWER_S` at most:
        the next call has the result then.
        """
        if self._task is None and self._is_due():
            self._began_s = self._now_s()
            self._task = asyncio.create_task(self._probe(), name="health check")
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_ANSWER_S)
        return self._health()

    async def stop(self) -> None:
        """End a check in progress."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _health(self) -> Health:
        if self._engine.rendered_at_s > self._began_s:  # speech, since then
            self._problem = None
        proven_s = max(self._proven_s, self._engine.rendered_at_s)
        ago_s = None if math.isinf(proven_s) else round(self._now_s() - proven_s, 1)
        return Health(self._problem, ago_s)

    def _is_due(self) -> bool:
        if not self._interval_s or self._engine.waiting_count or not self._engine.is_loaded:
            return False
        wait_s = min(self._interval_s, _RETRY_S) if self._problem else self._interval_s
        last_s = max(self._began_s, self._engine.rendered_at_s)
        return self._now_s() - last_s >= wait_s

    async def _probe(self) -> None:
        try:
            patience_s = self._engine.patience_s
            async with asyncio.timeout(None if math.isinf(patience_s) else patience_s):
                await self._render()
            self._problem, self._proven_s = None, self._now_s()
        except TimeoutError:
            self._problem = "the engine rendered nothing within task_timeout"
        except DuplexError as error:
            self._problem = error.message
        finally:
            self._task = None
        self._metrics.count_health_check(ok=self._health().problem is None)

    async def _render(self) -> None:
        """Render up to the first sound. Raises `DuplexError` if there is none."""
        async with self._open_utterance() as handle:
            handle.is_probe = True
            handle.extend(Release(_TEXT, len(_TEXT), final=True), deadline_s=math.inf)
            while True:
                chunk = await handle.next_chunk()
                if not np.isfinite(chunk.pcm).all():
                    raise EngineFailed("the engine renders samples that are not numbers")
                if np.abs(chunk.pcm).max(initial=0.0) > _SILENCE:
                    return
                if chunk.caught_up:
                    raise EngineFailed("the engine renders silence")

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()
