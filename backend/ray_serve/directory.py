"""What the replicas of a cluster know of each other: each reports to one actor, which answers with
all reports.

The actor holds nothing that a replica cannot tell again, so it may die at any time: restarted, it
knows all again within two heartbeats. It is no part of Serve, so Serve's controller and proxies may
die, too. Ages are measured by the actor's monotonic clock and then by the receiver's: no two
clocks are compared.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import ray
import structlog
from ray.exceptions import RayError

from backend.cluster.replicas import ReplicaReport

log = structlog.get_logger(__name__)

HEARTBEAT_S = 1.0
GONE_S = 5.0
"""A replica that has not reported for so long is gone."""
_ANSWER_S = 3.0  # before a heartbeat is given up
_NAMESPACE = "duplex-tts"
_NAME = "replicas"


@dataclass(frozen=True, slots=True)
class _Heard:
    report: ReplicaReport
    at_s: float


class ReportBoard:
    """Collects the reports of all replicas. Plain."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = ""
        self._heard: dict[str, _Heard] = {}  # oldest replica first

    def exchange(self, report: ReplicaReport, key: str) -> tuple[str, dict[str, float], list[Any]]:
        """Store a report. Returns the cluster's key (`key`, if it had none yet), the age in seconds
        of each replica's report, and all reports.
        """
        now_s = self._clock()
        self._key = self._key or key
        self._heard[report.id] = _Heard(report, now_s)
        self._heard = {k: each for k, each in self._heard.items() if now_s - each.at_s < GONE_S}
        ages_s = {each.report.id: now_s - each.at_s for each in self._heard.values()}
        return self._key, ages_s, [each.report for each in self._heard.values()]

    def leave(self, replica_id: str) -> None:
        """Forget a replica that has ended."""
        self._heard.pop(replica_id, None)


class ReplicaDirectory:
    """Implements `Replicas`. `name`: of the application; each has a board of its own."""

    def __init__(
        self,
        own_id: str,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        *,
        offers_direct: bool = False,
    ) -> None:
        self.own_id = own_id
        self.offers_direct = offers_direct
        self.cluster_key = secrets.token_urlsafe(32)
        self._board_name = f"{_NAME}-{name}"
        self._clock = clock
        self._heard: dict[str, _Heard] = {}
        self._board: Any = None

    def find(self, replica_id: str) -> ReplicaReport | None:
        """See `Replicas`."""
        heard = self._heard.get(replica_id)
        if heard is None or self._clock() - heard.at_s >= GONE_S:
            return None
        return heard.report

    def reports(self) -> list[ReplicaReport]:
        """See `Replicas`."""
        return [report for key in list(self._heard) if (report := self.find(key)) is not None]

    def take_answer(self, key: str, ages_s: dict[str, float], reports: list[ReplicaReport]) -> None:
        """Replace what is known by an answer of the board."""
        now_s = self._clock()
        self.cluster_key = key
        self._heard = {each.id: _Heard(each, now_s - ages_s[each.id]) for each in reports}

    async def report(self, own: ReplicaReport) -> None:
        """Report to the board. Raises `RayError` or `TimeoutError` if it does not answer; what is
        known then stays, until it is too old.
        """
        try:
            async with asyncio.timeout(_ANSWER_S):
                if self._board is None:
                    self._board = await asyncio.to_thread(_find_board, self._board_name)
                self.take_answer(*await self._board.exchange.remote(own, self.cluster_key))
        except (RayError, TimeoutError, ValueError):
            self._board = None  # looked up again: another may have replaced it
            raise

    @asynccontextmanager
    async def reporting(
        self, create_report: Callable[[], Awaitable[ReplicaReport]]
    ) -> AsyncIterator[None]:
        """Report about once a second while the block runs; the first answer comes before it, unless
        the board is silent.
        """
        await self._try_report(create_report)
        async with asyncio.TaskGroup() as tasks:
            heart = tasks.create_task(self._beat(create_report), name="heartbeat")
            try:
                yield
            finally:
                heart.cancel()
                if self._board is not None:
                    self._board.leave.remote(self.own_id)

    async def _beat(self, create_report: Callable[[], Awaitable[ReplicaReport]]) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self._try_report(create_report)

    async def _try_report(self, create_report: Callable[[], Awaitable[ReplicaReport]]) -> None:
        try:
            await self.report(await create_report())
        except (RayError, TimeoutError, ValueError) as error:
            log.warning("cluster.board_silent", why=type(error).__name__)


def _find_board(name: str) -> Any:
    """Find or create the board of an application. Blocks. It outlives each of its replicas."""
    actor = ray.remote(ReportBoard)
    return actor.options(
        name=name,
        namespace=_NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
    ).remote()
