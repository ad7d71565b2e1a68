"""One picture of all replicas: a line for each, and their sum. Plain; made of their reports.

Replicas of another version may report other fields: what is not understood is left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.cluster.replicas import ReplicaReport, Replicas

MOST_SESSIONS = 500  # in the sum; a replica's own status has all
_FRESH_S = 0.5  # a sum is used again for this long

Status = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """All replicas at one time, as JSON. `sessions`: the first `MOST_SESSIONS`, each with its
    `replica`; for operators only.
    """

    replicas: list[dict[str, Any]]
    sum: dict[str, Any]
    sessions: list[dict[str, Any]]


class ClusterPicture:
    """Adds up the reports, at most twice a second however many ask."""

    def __init__(self, replicas: Replicas, clock: Callable[[], float] = time.monotonic) -> None:
        self._replicas = replicas
        self._clock = clock
        self._made_s = -math.inf
        self._status: ClusterStatus | None = None

    def status(self) -> ClusterStatus:
        """The picture. Blocks for some milliseconds with a hundred replicas; may be called on any
        thread.
        """
        now_s = self._clock()
        if self._status is None or now_s - self._made_s >= _FRESH_S:
            self._status = describe_cluster(self._replicas.reports())
            self._made_s = now_s
        return self._status

    def find_session(self, session_id: str) -> ReplicaReport | None:
        """The replica that has reported the session, if any has yet."""
        for report in self._replicas.reports():
            if any(each.get("id") == session_id for each in _sessions(report)):
                return report
        return None


def describe_cluster(reports: Sequence[ReplicaReport]) -> ClusterStatus:
    """The picture of these replicas."""
    sessions: list[dict[str, Any]] = []
    for report in reports:
        missing = MOST_SESSIONS - len(sessions)
        sessions += [{**each, "replica": report.id} for each in _sessions(report)[:missing]]
    return ClusterStatus(
        [_describe_replica(report) for report in reports],
        add_statuses([report.status for report in reports]),
        sessions,
    )


def add_statuses(statuses: Sequence[Status]) -> dict[str, Any]:
    """The sum of bodies of `GET /v1/status`, in the same shape, without sessions. The uptime is the
    longest, the RTF the mean of those that speak; texts are the first, or all if they differ.
    """
    known = [status for status in statuses if isinstance(status.get("figures"), Mapping)]
    summed = _add([{k: v for k, v in s.items() if k not in _NOT_SUMMED} for s in known]) or {}
    for key in ("time_s", "uptime_s", "window_s", "ttfa_goal_s"):
        summed[key] = max((s[key] for s in known if _is_number(s.get(key))), default=0)
    engines = [s["engine"] for s in known if isinstance(s.get("engine"), Mapping)]
    if engines:
        summed["engine"] = _add_engines(engines)
    others: dict[str, list[Status]] = {}
    for engine in (each for s in known for each in _list(s.get("other_engines"))):
        if isinstance(engine, Mapping):
            others.setdefault(str(engine.get("name")), []).append(engine)
    summed["other_engines"] = [_add_engines(engines) for engines in others.values()]
    summed["accepting"] = any(s.get("accepting") for s in known)
    summed["session_count"] = sum(len(_list(s.get("sessions"))) for s in known)
    return summed


_NOT_SUMMED = {
    *("sessions", "sessions_by_key", "cluster", "replica", "accepting"),
    *("engine", "other_engines"),
}


def _add_engines(engines: Sequence[Status]) -> dict[str, Any]:
    summed: dict[str, Any] = _add(engines)
    speaking = [e["rtf"] for e in engines if _is_number(e.get("rtf")) and e["rtf"] > 0]
    summed["rtf"] = sum(speaking) / len(speaking) if speaking else 0
    summed["loaded"] = all(e.get("loaded", True) for e in engines)
    return summed


def _describe_replica(report: ReplicaReport) -> dict[str, Any]:
    status, load = report.status, report.load
    figures, engine = _mapping(status.get("figures")), _mapping(status.get("engine"))
    return {
        "id": report.id,
        "draining": report.is_draining,
        "accepting": status.get("accepting", True) and not report.is_draining,
        "first_wait_s": load.first_wait_s if math.isfinite(load.first_wait_s) else None,
        "share": load.share if math.isfinite(load.share) else None,
        "free_slots": load.free_slots,
        "uptime_s": status.get("uptime_s"),
        "engine": engine.get("name"),
        "connections": figures.get("connections"),
        "contexts": figures.get("contexts"),
        "audio_s": figures.get("audio_s"),
        "underruns": figures.get("underruns"),
        "errors": sum(n for n in _mapping(figures.get("errors")).values() if _is_number(n)),
        "first_sound_p95_s": _mapping(figures.get("first_sound_s")).get("p95"),
    }


def _add(values: Sequence[Any]) -> Any:
    """The sum of numbers, of mappings by key, and of distributions."""
    mappings = [value for value in values if isinstance(value, Mapping)]
    if spreads := [value for value in mappings if _is_distribution(value)]:
        return _add_distributions(spreads)
    if mappings:
        keys = dict.fromkeys(key for value in mappings for key in value)
        return {key: _add([value[key] for value in mappings if key in value]) for key in keys}
    if numbers := [value for value in values if _is_number(value)]:
        return sum(numbers)
    texts = dict.fromkeys(value for value in values if isinstance(value, str))
    return ", ".join(texts) if texts else next(iter(values), None)


def _is_distribution(value: Status) -> bool:
    bounds, counts = _list(value.get("bounds")), _list(value.get("counts"))
    return bool(bounds) and len(counts) == len(bounds) + 1


def _add_distributions(spreads: Sequence[Status]) -> dict[str, Any]:
    """Those with the bounds of the first; quantiles are the upper bounds of their buckets."""
    bounds = spreads[0]["bounds"]
    alike = [each for each in spreads if each["bounds"] == bounds]
    counts = [sum(column) for column in zip(*(each["counts"] for each in alike), strict=True)]
    highest = max((each["max"] for each in alike if _is_number(each.get("max"))), default=None)
    return {
        "count": sum(counts),
        "p50": _quantile(counts, bounds, highest, 0.5),
        "p95": _quantile(counts, bounds, highest, 0.95),
        "max": highest,
        "bounds": bounds,
        "counts": counts,
    }


def _quantile(
    counts: Sequence[int], bounds: Sequence[float], highest: float | None, share: float
) -> float | None:
    rank, passed = math.ceil(share * sum(counts)), 0
    if not rank or highest is None:
        return None
    for count, bound in zip(counts, bounds, strict=False):
        passed += count
        if passed >= rank:
            return min(bound, highest)
    return highest


def _sessions(report: ReplicaReport) -> list[Mapping[str, Any]]:
    return [each for each in _list(report.status.get("sessions")) if isinstance(each, Mapping)]


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
